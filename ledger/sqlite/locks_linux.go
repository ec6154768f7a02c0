package sqlite

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// holders says who has locks on the files of the ledger, as far as the kernel tells
// (proc_locks(5)). To open the files and ask for it with fcntl(2) would take away
// the locks that SQLite has on them.
func (s *Store) holders() string {
	inodes := make(map[string]bool)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(s.path + suffix)
		if err != nil {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			inodes[fmt.Sprintf(":%d", stat.Ino)] = true
		}
	}
	file, err := os.Open("/proc/locks")
	if err != nil {
		return s.anybody()
	}
	defer func() { _ = file.Close() }()
	var found []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// 1: POSIX  ADVISORY  WRITE 4711 fd:01:1234 120 120
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 || fields[3] != "WRITE" || !inodes[fields[5][max(strings.LastIndex(fields[5], ":"), 0):]] {
			continue
		}
		name, err := os.ReadFile("/proc/" + fields[4] + "/comm")
		if err == nil {
			found = append(found, fmt.Sprintf("process %s (%s)", fields[4], strings.TrimSpace(string(name))))
		}
	}
	if len(found) == 0 {
		return s.anybody()
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), " and ") + " writes into it"
}

func (s *Store) anybody() string {
	return "another process writes into it (find it with: fuser -v " + s.path + ")"
}
