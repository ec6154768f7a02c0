package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

const (
	// markerName is the file that makes a folder ours. The running lab holds a lock on it, which the kernel drops with
	// the process, however that ends: locked means alive.
	markerName = "drwatch-lab"
	markerText = "This folder belongs to `drwatch lab`, which empties it whenever it comes up here.\n"

	controlSocket = "control.sock"
	// maxSocketPath is what sun_path holds on Linux, less its final zero (unix(7)).
	maxSocketPath = 107
)

// A folder is the place of one lab, claimed for as long as the lab runs.
type folder struct {
	dir       string
	marker    *os.File
	temporary bool // made by us among the system's temporary folders, and removed with the lab
}

// openFolder claims the folder. What an earlier lab left there is ended and removed; what is not ours is not touched.
func openFolder(ctx context.Context, dir string, p programs) (*folder, error) {
	f := &folder{dir: dir, temporary: dir == ""}
	if err := f.make(); err != nil {
		return nil, fmt.Errorf("make the lab's folder: %w", err)
	}
	if err := f.claim(ctx, p); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) make() (err error) {
	if f.temporary {
		f.dir, err = os.MkdirTemp("", "drwatch-lab-")
	} else {
		err = os.MkdirAll(f.dir, 0o711)
	}
	if err != nil {
		return err
	}
	if f.dir, err = filepath.Abs(f.dir); err != nil {
		return err
	}
	// Processes are recognised by their working folder, which the kernel shows without symbolic links.
	f.dir, err = filepath.EvalSymlinks(f.dir)
	return err
}

func (f *folder) claim(ctx context.Context, p programs) error {
	if path := f.path(controlSocket); len(path) > maxSocketPath {
		return fmt.Errorf("use folder %s for the lab: its control socket would have a path of %d bytes, at most %d are possible; choose a shorter one", f.dir, len(path), maxSocketPath)
	}
	if err := f.checkOurs(); err != nil {
		return err
	}
	if err := f.lock(); err != nil {
		return err
	}
	if err := sweep(ctx, f.dir, p.executables); err != nil {
		return err
	}
	if err := f.empty(); err != nil {
		return fmt.Errorf("empty the lab's folder: %w", err)
	}
	// Others may pass through, as the user postgres must, but not look around.
	if err := os.Chmod(f.dir, 0o711); err != nil {
		return fmt.Errorf("open the lab's folder to the servers: %w", err)
	}
	return p.postgresUser.checkReach(f.dir)
}

// checkOurs refuses a folder of somebody else, and one that holds anything but a lab.
func (f *folder) checkOurs() error {
	info, err := os.Stat(f.dir)
	if err != nil {
		return fmt.Errorf("look at the lab's folder: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("use folder %s for the lab: it belongs to user %d; choose another", f.dir, stat.Uid)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("look into the lab's folder: %w", err)
	}
	isMarker := func(e os.DirEntry) bool { return e.Name() == markerName && e.Type().IsRegular() }
	if len(entries) > 0 && !slices.ContainsFunc(entries, isMarker) {
		return fmt.Errorf("use folder %s for the lab: it holds files of something else (no file %s); choose an empty or a new one", f.dir, markerName)
	}
	return nil
}

func (f *folder) lock() (err error) {
	f.marker, err = os.OpenFile(f.path(markerName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("mark the lab's folder: %w", err)
	}
	err = unix.Flock(int(f.marker.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("use folder %s for the lab: a lab is running there; end it first, or choose another folder", f.dir)
	}
	if err == nil {
		_, err = f.marker.WriteAt([]byte(markerText), 0)
	}
	if err != nil {
		return fmt.Errorf("lock the lab's folder: %w", err)
	}
	return nil
}

// empty removes everything but the marker, whose lock must not be lost.
func (f *folder) empty() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Name() != markerName {
			errs = append(errs, os.RemoveAll(f.path(e.Name())))
		}
	}
	return errors.Join(errs...)
}

func (f *folder) close() error {
	var errs []error
	if f.temporary {
		errs = append(errs, os.RemoveAll(f.dir))
	}
	if f.marker != nil {
		errs = append(errs, f.marker.Close())
	}
	return errors.Join(errs...)
}

func (f *folder) path(elements ...string) string {
	return filepath.Join(append([]string{f.dir}, elements...)...)
}

// sweep ends the servers that a killed lab left in the folder, and frees what they held outside of it. A server is
// known by its program and its working folder, so that no process id that was given away again can mislead us.
func sweep(ctx context.Context, dir string, executables []string) error {
	stray, err := strays(dir, executables)
	if err != nil {
		return err
	}
	if err := killAll(ctx, stray); err != nil {
		return fmt.Errorf("end the servers left in %s: %w", dir, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", "postgres", "postmaster.pid")) // the pattern is well formed
	for _, file := range left {
		removeSharedMemory(file)
	}
	return nil
}

// strays are the living processes of the given programs that work inside the folder.
func strays(dir string, executables []string) ([]int, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []int
	for _, p := range all {
		cwd, cwdErr := p.Cwd()
		program, exeErr := p.Executable()
		if cwdErr != nil || exeErr != nil { // gone meanwhile, or not ours to see
			continue
		}
		name := filepath.Base(strings.TrimSuffix(program, " (deleted)"))
		if strings.HasPrefix(cwd, dir+"/") && slices.Contains(executables, name) {
			found = append(found, p.PID)
		}
	}
	return found, nil
}

// removeSharedMemory frees the System V segment that a killed PostgreSQL leaves behind, a small one that it holds as
// a lock. The first line of postmaster.pid is the process that made it, the seventh the segment's key and id. Only a
// segment of that very process to which nobody is attached is removed; all else is let be.
func removeSharedMemory(pidFile string) {
	content, err := os.ReadFile(pidFile)
	if err != nil {
		return
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) < 7 {
		return
	}
	fields := strings.Fields(lines[6])
	if len(fields) != 2 {
		return
	}
	pid, pidErr := strconv.Atoi(strings.TrimSpace(lines[0]))
	id, idErr := strconv.Atoi(fields[1])
	if pidErr != nil || idErr != nil {
		return
	}
	var segment unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &segment); err != nil || int(segment.Cpid) != pid || segment.Nattch != 0 {
		return
	}
	_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) // a tiny leak at worst
}

// An account is a user other than ourselves who runs a program. The nil account is ourselves.
type account struct {
	name     string
	uid, gid uint32
}

// postgresAccount is the user postgres where we are root, since PostgreSQL refuses to run as root.
func postgresAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("find who may run PostgreSQL, which refuses to run as root: %w", err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("find who may run PostgreSQL: %w", err)
	}
	return &account{name: u.Username, uid: uint32(uid), gid: uint32(gid)}, nil
}

// own makes the account the owner of a file.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// writeFile writes a file that the account alone can read.
func (a *account) writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return a.own(path)
}

// checkReach says so early, and which folder it is, where the account cannot come to the path.
func (a *account) checkReach(path string) error {
	if a == nil {
		return nil
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("check that user %s reaches the lab's folder: %w", a.name, err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		owns := ok && stat.Uid == a.uid && info.Mode()&0o100 != 0
		if !owns && info.Mode()&0o001 == 0 {
			return fmt.Errorf("use folder %s for the lab: user %s, who runs PostgreSQL, may not pass through %s; choose a folder elsewhere, or run: chmod o+x %s", path, a.name, dir, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
