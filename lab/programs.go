package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/drwatch/drwatch/lab/dns"
)

// MissingServersError says which servers are not installed. Its text is the command that installs them.
type MissingServersError struct {
	Packages []string // names of Debian packages
}

func (e *MissingServersError) Error() string {
	return "find the lab's servers: not installed; run: apt-get install -y --no-install-recommends " + strings.Join(e.Packages, " ")
}

// Missing names the Debian packages that the lab needs and did not find. It is empty where the lab can run.
func Missing() []string {
	var packages []string
	if findPostgres() == "" {
		packages = append(packages, "postgresql")
	}
	if findRedis() == "" {
		packages = append(packages, "redis-server")
	}
	if dns.FindUnbound() == "" {
		packages = append(packages, "unbound")
	}
	return packages
}

// programs are the servers found on this machine.
type programs struct {
	postgresBin  string // the folder of initdb, postgres and pg_basebackup
	postgres     version
	redisServer  string
	redis        version
	executables  []string // base names of what may run in a lab, as /proc shows them
	postgresUser *account // who runs PostgreSQL's programs; nil where that is ourselves
}

func findPrograms(ctx context.Context) (programs, error) {
	if missing := Missing(); len(missing) > 0 {
		return programs{}, &MissingServersError{Packages: missing}
	}
	p := programs{postgresBin: findPostgres(), redisServer: findRedis()}
	var err error
	if p.postgres, err = programVersion(ctx, filepath.Join(p.postgresBin, "postgres")); err != nil {
		return programs{}, err
	}
	if p.redis, err = programVersion(ctx, p.redisServer); err != nil {
		return programs{}, err
	}
	if p.postgres.major < 14 || p.redis.major < 7 {
		return programs{}, fmt.Errorf("find the lab's servers: PostgreSQL %s and Redis %s are here, 14 and 7.0 or newer are needed", p.postgres, p.redis)
	}
	p.executables = []string{"initdb", "pg_basebackup", "postgres", realName(p.redisServer), "unbound"}
	p.postgresUser, err = postgresAccount()
	return p, err
}

// findPostgres looks where Debian puts PostgreSQL, newest major first, then along PATH.
func findPostgres() string {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well formed
	major := func(folder string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
		return n
	}
	slices.SortFunc(folders, func(a, b string) int { return major(b) - major(a) })
	if path, err := exec.LookPath("postgres"); err == nil {
		folders = append(folders, filepath.Dir(realPath(path)))
	}
	for _, folder := range folders {
		if executable(filepath.Join(folder, "postgres")) && executable(filepath.Join(folder, "initdb")) &&
			executable(filepath.Join(folder, "pg_basebackup")) {
			return folder
		}
	}
	return ""
}

func findRedis() string {
	if executable("/usr/bin/redis-server") {
		return "/usr/bin/redis-server"
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return ""
	}
	return path
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func realPath(path string) string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return path
	}
	return target
}

func realName(path string) string { return filepath.Base(realPath(path)) }

// A version is major and minor as the program prints them, for instance 15.20 and 7.0.
type version struct{ major, minor int }

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

var versionPattern = regexp.MustCompile(`(?:v=|PostgreSQL\) )(\d+)\.?(\d*)`)

func programVersion(ctx context.Context, path string) (version, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return version{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	match := versionPattern.FindStringSubmatch(string(out))
	if match == nil {
		return version{}, fmt.Errorf("ask %s for its version: cannot read %q", path, strings.TrimSpace(string(out)))
	}
	major, _ := strconv.Atoi(match[1])
	minor, _ := strconv.Atoi(match[2]) // absent in a release candidate of PostgreSQL
	return version{major, minor}, nil
}
