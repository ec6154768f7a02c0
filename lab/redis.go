package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"golang.org/x/sys/unix"
)

// The links of Redis, both from the standby region to the primary.
const (
	redisReplication = "redis-replication"
	redisView        = "redis-view"
)

// redisSettings hold on both sides.
//
// repl-timeout is 5 s instead of 60: a link that is cut is noticed at once, since its connection ends, but one that
// fell silent, as that of a frozen primary, only when this has passed. The primary pings its replicas each second, so
// that silence means something. Above twice the delay of the slow link, or a replica could not connect over it.
const redisSettings = `
bind 127.0.0.1
daemonize no
appendonly yes
shutdown-on-sigterm nosave now
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-timeout 5
repl-ping-replica-period 1
tls-auth-clients no
`

// upRedis brings up the primary, its two links, and the replica.
func (l *Lab) upRedis(ctx context.Context) error {
	primary, replica := l.newRedis(Primary), l.newRedis(Standby)
	if err := l.writeRedisConfig(primary, ""); err != nil {
		return fmt.Errorf("set up %s: %w", primary.name, err)
	}
	if err := l.startAndRegister(ctx, primary); err != nil {
		return err
	}
	l.say("%s: Redis %s primary on %s", primary.region, l.programs.redis, primary.address())
	for _, name := range []string{redisReplication, redisView} {
		if err := l.openLink(ctx, name, primary); err != nil {
			return err
		}
	}
	host, port, _ := strings.Cut(l.link(redisReplication).address, ":")
	if err := l.writeRedisConfig(replica, fmt.Sprintf("replicaof %s %s\n", host, port)); err != nil {
		return fmt.Errorf("set up %s: %w", replica.name, err)
	}
	if err := l.startAndRegister(ctx, replica); err != nil {
		return err
	}
	if err := l.redisCaughtUp(ctx); err != nil {
		return err
	}
	l.say("%s: Redis %s replica on %s, linked", replica.region, l.programs.redis, replica.address())
	return nil
}

func (l *Lab) newRedis(site Site) *server {
	region := regionOf(site)
	dir := l.folder.path(region, "redis")
	s := &server{
		name:    "Redis " + region,
		region:  region,
		program: l.programs.redisServer,
		dir:     dir,
		logFile: l.folder.path(region, "redis.log"),
		spawner: l.spawner,
		ports:   make([]int, 2), // the second one speaks TLS

		quickStop: unix.SIGTERM,
		args: func(ports []int) []string {
			return []string{filepath.Join(dir, "redis.conf"), "--port", strconv.Itoa(ports[0]), "--tls-port", strconv.Itoa(ports[1])}
		},
	}
	s.ready = func(ctx context.Context) error {
		return l.withRedis(site, func(client *redis.Client) error { return client.Ping(ctx).Err() })
	}
	l.redis[site] = s
	return s
}

// writeRedisConfig writes the settings and the users. Passwords are known to Redis by their hash, but for the one
// that the replica shows.
func (l *Lab) writeRedisConfig(s *server, more string) error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	var config strings.Builder
	config.WriteString(redisSettings)
	fmt.Fprintf(&config, "dir %q\n", s.dir)
	fmt.Fprintf(&config, "tls-cert-file %q\ntls-key-file %q\ntls-ca-cert-file %q\n", l.tls.certificate(), l.tls.key(), l.tls.ca())
	config.WriteString("user default off\n")
	for user, password := range l.secrets.passwords[Redis] {
		fmt.Fprintf(&config, "user %s on #%x %s\n", user, sha256.Sum256([]byte(password)), redisRights(user, l.programs.redis))
	}
	fmt.Fprintf(&config, "masteruser replica\nmasterauth %s\n", l.secrets.passwords[Redis]["replica"])
	config.WriteString(more)
	return os.WriteFile(filepath.Join(s.dir, "redis.conf"), []byte(config.String()), 0o600)
}

// redisRights are the access rules of a user. AUTH, HELLO, QUIT and RESET are open to all.
func redisRights(user string, v version) string {
	switch user {
	case "admin":
		return "~* &* +@all"
	case "replica": // what redis.io names for replication
		return "resetkeys resetchannels -@all +psync +replconf +ping"
	case "festivals":
		return "~festivals:* resetchannels -@all +@read +@write +ping"
	case "drwatch": // to look: no key, no channel, nothing that changes data
		rights := "resetkeys resetchannels -@all +info +role +ping +time +client|setname +client|getname +client|id"
		if v.atLeast(7, 2) { // older ones refuse a rule about a command that they do not know
			rights += " +client|setinfo"
		}
		return rights
	}
	return "reset"
}

func (l *Lab) redisURL(address, user string) string {
	return "redis://" + user + "@" + address + "/0"
}

// redisOptions are the way to one server, directly, with the password; without anything that go-redis does in the
// background or on connecting that the server would have to know or allow.
func (l *Lab) redisOptions(site Site, user string) *redis.Options {
	return &redis.Options{
		Addr:                     l.redis[site].address(),
		Username:                 user,
		Password:                 l.secrets.passwords[Redis][user],
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1,
		Dialer:                   dialRedis,
	}
}

// dialRedis answers with a connection even where there is none. When a dial fails, go-redis writes to standard error,
// and starts a goroutine that goes on dialling and outlives the client; but here it is normal that a server is dead.
func dialRedis(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		stand, _ := net.Pipe()                         // for the methods that must work; nothing to close but itself
		return unreachable{Conn: stand, err: err}, nil //nolint:nilerr // the connection tells it, see above
	}
	return conn, nil
}

// unreachable is a connection on which nothing comes about but the error of its making.
type unreachable struct {
	net.Conn
	err error
}

func (u unreachable) Read([]byte) (int, error)  { return 0, u.err }
func (u unreachable) Write([]byte) (int, error) { return 0, u.err }

// withRedis lends a client of one server, with all rights.
func (l *Lab) withRedis(site Site, use func(*redis.Client) error) error {
	client := l.RedisClient(site)
	return errors.Join(use(client), client.Close())
}

// replication reads the section replication of INFO.
func (l *Lab) replication(ctx context.Context, site Site) (info map[string]string, err error) {
	err = l.withRedis(site, func(client *redis.Client) error {
		sections, err := client.InfoMap(ctx, "replication").Result()
		info = sections["Replication"]
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s about its replication: %w", l.redis[site].name, err)
	}
	return info, nil
}

// redisCaughtUp waits until the replica is linked, follows the history that the primary writes, and has received all
// that the primary had written when the wait began. A primary that started again begins a new history when its first
// replica comes; then what it had written at that time counts.
func (l *Lab) redisCaughtUp(ctx context.Context) error {
	var history string
	var target int64
	return poll(ctx, l.redis[Standby].name+" to be linked and catch up", func(ctx context.Context) error {
		primary, err := l.replication(ctx, Primary)
		if err != nil {
			return err
		}
		if history != primary["master_replid"] {
			history = primary["master_replid"]
			if target, err = strconv.ParseInt(primary["master_repl_offset"], 10, 64); err != nil {
				return err
			}
		}
		replica, err := l.replication(ctx, Standby)
		if err != nil {
			return err
		}
		offset, err := strconv.ParseInt(replica["slave_repl_offset"], 10, 64)
		if err != nil {
			return err
		}
		if replica["master_link_status"] != "up" || replica["master_replid"] != history || offset < target {
			return fmt.Errorf("link %s, at byte %d of %d", replica["master_link_status"], offset, target)
		}
		return nil
	})
}

// redisCutOff waits until the replica knows that it is cut off.
func (l *Lab) redisCutOff(ctx context.Context) error {
	return poll(ctx, l.redis[Standby].name+" to lose its primary", func(ctx context.Context) error {
		info, err := l.replication(ctx, Standby)
		if err == nil && info["master_link_status"] != "down" {
			err = errors.New("it is still linked")
		}
		return err
	})
}
