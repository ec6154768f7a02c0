package lab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// database is the one that holds the application's data.
const database = "festivals"

// slot is the physical replication slot of the standby.
const slot = "eu_central_1"

// The links of PostgreSQL, both from the standby region to the primary.
const (
	postgresReplication = "postgres-replication"
	postgresView        = "postgres-view"
)

// postgresSettings are written on the primary and copied to the standby with its data.
//
// Nothing is flushed to the disk: the lab loses processes, never the machine, and what a process wrote outlives it in
// the kernel's cache. wal_sender_timeout and wal_receiver_timeout keep their 60 s, as in production: how long a stalled
// connection goes unnoticed is part of what the lab shows. Shared memory beyond the segment that serves as a lock stays
// in files of the data folder, so that it goes with them.
const postgresSettings = `
# drwatch lab
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
ssl = on
fsync = off
full_page_writes = off
shared_buffers = '16MB'
max_connections = 50
dynamic_shared_memory_type = 'mmap'
wal_level = 'logical'
max_wal_senders = 10
max_replication_slots = 10
hot_standby_feedback = on
wal_receiver_status_interval = '1s'
wal_retrieve_retry_interval = '500ms'
`

// upPostgres brings up the primary, its two links, and the standby.
func (l *Lab) upPostgres(ctx context.Context) error {
	primary, standby := l.newPostgres(Primary), l.newPostgres(Standby)
	if err := l.initPrimary(ctx, primary); err != nil {
		return fmt.Errorf("set up %s: %w", primary.name, err)
	}
	if err := l.startAndRegister(ctx, primary); err != nil {
		return err
	}
	l.say("%s: PostgreSQL %s primary on %s", primary.region, l.programs.postgres, primary.address())
	if err := l.createRoles(ctx); err != nil {
		return fmt.Errorf("create the roles on %s: %w", primary.name, err)
	}
	for _, name := range []string{postgresReplication, postgresView} {
		if err := l.openLink(ctx, name, primary); err != nil {
			return err
		}
	}
	if err := l.copyToStandby(ctx, standby); err != nil {
		return fmt.Errorf("copy the primary to %s: %w", standby.name, err)
	}
	if err := l.startAndRegister(ctx, standby); err != nil {
		return err
	}
	if err := l.postgresCaughtUp(ctx, true); err != nil {
		return err
	}
	l.say("%s: PostgreSQL %s standby on %s, streaming", standby.region, l.programs.postgres, standby.address())
	return nil
}

func (l *Lab) newPostgres(site Site) *server {
	region := regionOf(site)
	dir := l.folder.path(region, "postgres")
	s := &server{
		name:    "PostgreSQL " + region,
		region:  region,
		program: filepath.Join(l.programs.postgresBin, "postgres"),
		dir:     dir,
		logFile: l.folder.path(region, "postgres.log"),
		user:    l.programs.postgresUser,
		spawner: l.spawner,
		ports:   make([]int, 1),

		quickStop: unix.SIGQUIT, // "immediate": no checkpoint, which nobody would read
		args: func(ports []int) []string {
			return []string{"-D", dir, "-c", "port=" + strconv.Itoa(ports[0]), "-c", "cluster_name=" + region}
		},
	}
	s.ready = func(ctx context.Context) error { return l.queryPostgres(ctx, site, "SELECT 1", nil, new(int)) }
	l.postgres[site] = s
	l.onClose("the shared memory of "+s.name, func(context.Context) error {
		removeSharedMemory(filepath.Join(dir, "postmaster.pid")) // if the server was killed, and could not
		return nil
	})
	return s
}

func regionOf(site Site) string {
	if site == Primary {
		return PrimaryRegion
	}
	return StandbyRegion
}

// startAndRegister starts a server and sees to it that Close ends it.
func (l *Lab) startAndRegister(ctx context.Context, s *server) error {
	l.onClose(s.name, func(ctx context.Context) error { return s.stop(ctx, s.quickStop) })
	return s.start(ctx)
}

func (l *Lab) link(name string) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.links[name]
}

func (l *Lab) openLink(ctx context.Context, name string, to *server) error {
	return l.openLinkTo(ctx, name, to.address())
}

func (l *Lab) openLinkTo(ctx context.Context, name, address string) error {
	link, err := newLink(ctx, name, address)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.links[name] = link
	l.mu.Unlock()
	l.onClose("link "+name, func(context.Context) error { link.close(); return nil })
	l.say("%s: link %s on %s", StandbyRegion, name, link.address)
	return nil
}

// initPrimary makes an empty cluster with our settings and certificate. The standby gets both with the data.
func (l *Lab) initPrimary(ctx context.Context, s *server) error {
	if err := l.makeDataFolder(s); err != nil {
		return err
	}
	passwordFile := filepath.Join(filepath.Dir(s.dir), "initdb-password")
	if err := s.user.writeFile(passwordFile, []byte(l.secrets.passwords[Postgres]["postgres"])); err != nil {
		return err
	}
	defer func() { _ = os.Remove(passwordFile) }()
	err := l.spawner.run(ctx, s.dir, s.user, filepath.Join(l.programs.postgresBin, "initdb"), "-D", s.dir,
		"--username=postgres", "--pwfile="+passwordFile, "--auth=scram-sha-256", "--data-checksums",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if err != nil {
		return err
	}
	if err := appendFile(filepath.Join(s.dir, "postgresql.conf"), postgresSettings); err != nil {
		return err
	}
	for target, source := range map[string]string{"server.crt": l.tls.certificate(), "server.key": l.tls.key()} {
		content, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		if err := s.user.writeFile(filepath.Join(s.dir, target), content); err != nil {
			return err
		}
	}
	return nil
}

// makeDataFolder makes the region's folder where it is missing, and in it the folder that the server owns.
func (l *Lab) makeDataFolder(s *server) error {
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	return s.user.own(s.dir)
}

func appendFile(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// createRoles makes everyone but the superuser, the database with the table of the workload, and what the caller asked for.
func (l *Lab) createRoles(ctx context.Context) error {
	passwords := l.secrets.passwords[Postgres]
	server := []string{
		`CREATE ROLE replicator LOGIN REPLICATION PASSWORD '` + passwords["replicator"] + `'`,
		`CREATE ROLE festivals LOGIN PASSWORD '` + passwords["festivals"] + `'`,
		`CREATE ROLE drwatch LOGIN PASSWORD '` + passwords["drwatch"] + `' IN ROLE pg_monitor`,
		`CREATE ROLE drwatch_heartbeat LOGIN PASSWORD '` + passwords["drwatch_heartbeat"] + `'`,
		`CREATE DATABASE ` + database + ` OWNER festivals`,
	}
	if err := l.executePostgres(ctx, "postgres", server); err != nil {
		return err
	}
	app := []string{
		`CREATE TABLE bookings (
			id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			booked_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
		`ALTER TABLE bookings OWNER TO festivals`,
	}
	return l.executePostgres(ctx, database, append(app, l.options.SetupSQL...))
}

// executePostgres runs statements one by one as superuser on the primary. They may hold passwords: no error quotes them.
func (l *Lab) executePostgres(ctx context.Context, database string, statements []string) error {
	conn, err := l.connectPostgres(ctx, Primary, database)
	if err != nil {
		return err
	}
	for i, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("statement %d of %d: %w", i+1, len(statements), err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

// copyToStandby makes the standby out of a base backup, which also creates its slot and, with --write-recovery-conf,
// tells it how to reach the primary: over the link.
func (l *Lab) copyToStandby(ctx context.Context, s *server) error {
	if err := l.makeDataFolder(s); err != nil {
		return err
	}
	passwordFile := filepath.Join(filepath.Dir(s.dir), "pgpass")
	if err := s.user.writeFile(passwordFile, []byte("*:*:*:replicator:"+l.secrets.passwords[Postgres]["replicator"]+"\n")); err != nil {
		return err
	}
	host, port, _ := strings.Cut(l.link(postgresReplication).address, ":")
	primary := fmt.Sprintf("host=%s port=%s user=replicator passfile='%s' sslmode=verify-full sslrootcert='%s'",
		host, port, quoted(passwordFile), quoted(l.tls.ca()))
	return l.spawner.run(ctx, s.dir, s.user, filepath.Join(l.programs.postgresBin, "pg_basebackup"), "-D", s.dir,
		"-d", primary, "--write-recovery-conf", "--create-slot", "--slot="+slot,
		"--wal-method=stream", "--checkpoint=fast", "--no-sync")
}

// quoted escapes a value for a libpq connection string.
func quoted(value string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)
}

// postgresURL is the way to one address as the given user, without a password.
func (l *Lab) postgresURL(address, user string) string {
	query := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {l.tls.ca()}}
	u := url.URL{Scheme: "postgres", User: url.User(user), Host: address, Path: "/" + database, RawQuery: query.Encode()}
	return u.String()
}

// postgresConfig is the way to one server, directly, with the password.
func (l *Lab) postgresConfig(site Site, user string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(l.postgresURL(l.postgres[site].address(), user))
	if err != nil { // the variables PG... of the environment have a say in it
		return nil, fmt.Errorf("prepare a connection to %s: %w", l.postgres[site].name, err)
	}
	config.Password = l.secrets.passwords[Postgres][user]
	return config, nil
}

func (l *Lab) connectPostgres(ctx context.Context, site Site, database string) (*pgx.Conn, error) {
	config, err := l.postgresConfig(site, "postgres")
	if err != nil {
		return nil, err
	}
	config.Database = database
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s as superuser: %w", l.postgres[site].name, err)
	}
	return conn, nil
}

// queryPostgres asks one server as superuser for one row, over a connection of its own.
func (l *Lab) queryPostgres(ctx context.Context, site Site, query string, args []any, row ...any) error {
	conn, err := l.connectPostgres(ctx, site, "postgres")
	if err != nil {
		return err
	}
	err = conn.QueryRow(ctx, query, args...).Scan(row...)
	return errors.Join(err, conn.Close(ctx))
}

// postgresCaughtUp waits until the standby streams and has received, and with replay also replayed, all that the
// primary had written when the wait began.
func (l *Lab) postgresCaughtUp(ctx context.Context, replay bool) error {
	var target string
	err := poll(ctx, l.postgres[Primary].name+" to answer", func(ctx context.Context) error {
		return l.queryPostgres(ctx, Primary, "SELECT pg_current_wal_lsn()::text", nil, &target)
	})
	if err != nil {
		return err
	}
	// After a restart the receive position begins anew at a WAL file, behind what is replayed.
	const query = `SELECT
		EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
		coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) >= $1::pg_lsn, false),
		coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)`
	return poll(ctx, l.postgres[Standby].name+" to stream and catch up", func(ctx context.Context) error {
		var streaming, received, replayed bool
		if err := l.queryPostgres(ctx, Standby, query, []any{target}, &streaming, &received, &replayed); err != nil {
			return err
		}
		if !streaming || !received || replay && !replayed {
			return fmt.Errorf("streaming %t, received %t, replayed %t", streaming, received, replayed)
		}
		return nil
	})
}

// postgresCutOff waits until the standby knows that it is cut off.
func (l *Lab) postgresCutOff(ctx context.Context) error {
	const query = `SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')`
	return poll(ctx, l.postgres[Standby].name+" to lose its primary", func(ctx context.Context) error {
		var streaming bool
		if err := l.queryPostgres(ctx, Standby, query, nil, &streaming); err != nil {
			return err
		}
		if streaming {
			return errors.New("it still streams")
		}
		return nil
	})
}

// pauseReplay pauses the standby's replay and waits until it stands still.
func (l *Lab) pauseReplay(ctx context.Context) error {
	return poll(ctx, l.postgres[Standby].name+" to pause its replay", func(ctx context.Context) error {
		var state string
		// Pausing twice is the same as pausing once. pg_wal_replay_pause returns void, which text can stand for.
		err := l.queryPostgres(ctx, Standby, "SELECT pg_wal_replay_pause()::text || pg_get_wal_replay_pause_state()", nil, &state)
		if err == nil && state != "paused" {
			err = fmt.Errorf("it is %s", state)
		}
		return err
	})
}

func (l *Lab) resumeReplay(ctx context.Context) error {
	return l.queryPostgres(ctx, Standby, "SELECT pg_wal_replay_resume()::text", nil, new(string))
}

// freezeReceiver stops the standby's WAL receiver alone: the row in pg_stat_wal_receiver stays and says streaming.
func (l *Lab) freezeReceiver(ctx context.Context) error {
	const query = `SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'`
	var receiver int
	err := l.queryPostgres(ctx, Standby, query, nil, &receiver)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("freeze the WAL receiver of %s: there is none while it is cut off from its primary", l.postgres[Standby].name)
	}
	if err != nil {
		return err
	}
	return freezeAll(ctx, []int{receiver})
}

// restartStandbyAlone kills the primary and then restarts the standby, which finds nobody.
func (l *Lab) restartStandbyAlone(ctx context.Context) error {
	if err := l.postgres[Primary].kill(ctx); err != nil {
		return err
	}
	if err := l.postgres[Standby].stop(ctx, unix.SIGINT); err != nil {
		return err
	}
	return l.postgres[Standby].start(ctx)
}

func (l *Lab) startBothPostgres(ctx context.Context) error {
	return errors.Join(l.postgres[Standby].start(ctx), l.postgres[Primary].start(ctx))
}
