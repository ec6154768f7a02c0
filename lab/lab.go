// Package lab runs a two-region system on one machine, out of real servers, and breaks it on purpose.
//
// In eu-west-1 stand a PostgreSQL primary and a Redis primary; in eu-central-1 their streaming standby and their
// replica. The regions reach each other only over links that can be cut and slowed; a small workload writes to both
// primaries, and knows which of its writes were acknowledged, so that a claimed recovery point can be held against
// the truth. Where it is wanted, a stand-in for AWS keeps real dumps of them, and tells of them what RDS would; an API in
// both regions is led to by its Route 53 through name servers and resolvers. Break brings a named disaster about and returns once it is in effect; Heal ends it and returns once what
// it stopped is running again. Everything listens on 127.0.0.1 only and ends with the process that called Up.
//
// It needs Linux, and the Debian packages postgresql (14 or newer), redis-server (7.0 or newer) and unbound.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/drwatch/drwatch/lab/aws"
)

// The two regions, named as the cloud names them.
const (
	PrimaryRegion = "eu-west-1"
	StandbyRegion = "eu-central-1"
)

// A Site names one server of a store by the role that it was born with. It keeps the name when roles change.
type Site string

// The two sites of each store: Primary is in eu-west-1, Standby in eu-central-1.
const (
	Primary Site = "primary"
	Standby Site = "standby"
)

// A Store is one of the two things that hold data.
type Store string

// The stores of the lab.
const (
	Postgres Store = "postgres"
	Redis    Store = "redis"
)

// Options say how a lab comes up. The zero value is a good lab.
type Options struct {
	// Dir is a folder of the lab's own. It is made where it is missing; one left by an earlier lab is emptied and used
	// again; any other folder that holds something is refused. It stays after Close, with the servers' logs in it.
	// Empty means a new folder among the system's temporary ones, which Close removes.
	Dir string
	// Logger gets what happens inside. Nil means nowhere.
	Logger *slog.Logger
	// Progress gets one line for people about each thing that came up. It may be nil.
	Progress func(line string)
	// WriteInterval is the time between two writes of the workload to each store. Zero means 100 ms.
	WriteInterval time.Duration
	// AWS also starts a stand-in for AWS, in which the servers of the lab are RDS instances, and which keeps their
	// backups. They are made every BackupInterval; zero means 20 s.
	AWS            bool
	BackupInterval time.Duration
	// SetupSQL runs as superuser in the database festivals of the primary, once the roles exist.
	SetupSQL []string
	// Now dates the writes of the workload. Nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.WriteInterval <= 0 {
		o.WriteInterval = 100 * time.Millisecond
	}
	if o.BackupInterval <= 0 {
		o.BackupInterval = backupInterval
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// ErrClosed is what a lab answers once Close has begun.
var ErrClosed = errors.New("the lab is closed")

const (
	// patience bounds Up, Break and Heal where their context does not end before. Each takes seconds when it works.
	patience = time.Minute
	// closeTimeout bounds Close. Every server is killed where it does not stop by itself well before.
	closeTimeout = 30 * time.Second
)

// A Lab is a running two-region system. Its methods may be called from several goroutines.
type Lab struct {
	options  Options
	folder   *folder
	programs programs
	spawner  *spawner
	tls      certificates
	secrets  secrets

	postgres map[Site]*server
	redis    map[Site]*server
	links    map[string]*link
	workload *workload
	cloud    *aws.Cloud // nil without AWS, as backups and traffic are
	traffic  *traffic
	backups  *backups
	faults   []fault

	turn    chan struct{} // holds one token: one fault is broken or healed at a time
	closing chan struct{} // closed when Close begins

	progress sync.Mutex // one line at a time

	mu        sync.Mutex // protects links while they come up, and the fields below
	broken    []Fault
	interrupt context.CancelCauseFunc // ends the Break or Heal that is under way; nil before the first
	teardowns []teardown

	closeOnce sync.Once
	closeErr  error
}

type teardown struct {
	name string
	run  func(context.Context) error
}

// Up brings a lab up: when it returns, the standby streams, the replica is linked, and the workload has written to
// both stores. On error nothing is left running. The context, and a minute, bound coming up only; the lab runs until Close.
// Where a program is not installed the error is a *MissingServersError.
func Up(ctx context.Context, options Options) (*Lab, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("start the lab: it needs Linux (its processes are found in /proc), this is %s", runtime.GOOS)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	programs, err := findPrograms(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := openFolder(ctx, options.Dir, programs)
	if err != nil {
		return nil, err
	}
	l := &Lab{
		options:  options.withDefaults(),
		folder:   folder,
		programs: programs,
		postgres: make(map[Site]*server),
		redis:    make(map[Site]*server),
		links:    make(map[string]*link),
		turn:     make(chan struct{}, 1),
		closing:  make(chan struct{}),
	}
	l.faults = l.allFaults()
	l.onClose("the folder", func(context.Context) error { return folder.close() })
	if err := l.up(ctx); err != nil {
		return nil, errors.Join(err, l.Close()) //nolint:contextcheck // it must work although the context has ended
	}
	return l, nil
}

func (l *Lab) up(ctx context.Context) error {
	l.spawner = newSpawner()
	l.onClose("the spawner", func(context.Context) error { l.spawner.close(); return nil })
	var err error
	if l.tls, err = makeCertificates(l.folder.path("tls")); err != nil {
		return err
	}
	if l.secrets, err = makeSecrets(l.folder.path("secrets")); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.upPostgres(groupCtx) })
	group.Go(func() error { return l.upRedis(groupCtx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := l.upWorkload(ctx); err != nil {
		return err
	}
	if l.options.AWS {
		if err := l.upAWS(ctx); err != nil {
			return err
		}
		if err := l.upTraffic(ctx); err != nil {
			return err
		}
	}
	if err := l.upControl(ctx); err != nil {
		return err
	}
	// Torn down first: nothing that is frozen can end, or answer those who wait for it.
	l.onClose("what is frozen", func(context.Context) error { return l.thawAll() })
	return nil
}

// upWorkload starts the writers and waits for the first acknowledged write to each store.
func (l *Lab) upWorkload(ctx context.Context) error {
	config, err := l.postgresConfig(Primary, "festivals")
	if err != nil {
		return err
	}
	l.workload = startWorkload(context.WithoutCancel(ctx), l.options, config, l.redisOptions(Primary, "festivals"))
	l.onClose("the workload", func(context.Context) error { return l.workload.stop() })
	err = poll(ctx, "the first write to both stores", func(context.Context) error {
		if l.LastWrite(Postgres).Number == 0 || l.LastWrite(Redis).Number == 0 {
			return errors.New("not acknowledged yet")
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.say("%s: workload writes to both primaries every %s", PrimaryRegion, l.options.WriteInterval)
	return nil
}

// upControl serves the control socket.
func (l *Lab) upControl(ctx context.Context) error {
	listener, err := listenControl(ctx, l.folder.path(controlSocket))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           controlHandler(l),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(l.options.Logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	l.onClose("the control socket", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		err := server.Shutdown(ctx) // what was asked for has ended with the lab's life; this waits for the answers
		if err != nil {
			err = server.Close()
		}
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	})
	l.say("control socket at %s", l.folder.path(controlSocket))
	return nil
}

// Close stops everything in reverse order, kills what does not stop, and waits until all of it is gone. Closing twice
// is no error and answers the same.
func (l *Lab) Close() error {
	l.closeOnce.Do(func() {
		l.interruptAll()
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		l.turn <- struct{}{} // never given back: nothing can be broken from here on
		var errs []error
		for _, t := range slices.Backward(l.teardowns) {
			if err := t.run(ctx); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", t.name, err))
			}
		}
		l.closeErr = errors.Join(errs...)
	})
	return l.closeErr
}

// interruptAll ends a Break or Heal that is under way, and those that wait for their turn.
func (l *Lab) interruptAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.closing)
	if l.interrupt != nil {
		l.interrupt(ErrClosed)
	}
}

func (l *Lab) onClose(name string, run func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.teardowns = append(l.teardowns, teardown{name, run})
}

func (l *Lab) thawAll() error {
	var errs []error
	for _, servers := range []map[Site]*server{l.postgres, l.redis} {
		for _, s := range servers {
			errs = append(errs, s.thaw())
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	l.options.Logger.Info("up", "what", line)
	l.progress.Lock()
	defer l.progress.Unlock()
	l.options.Progress(line)
}

// Dir is the folder of the lab.
func (l *Lab) Dir() string { return l.folder.dir }

// LastWrite is the newest write of the workload that the primary of the store acknowledged; the zero Write while
// there is none.
func (l *Lab) LastWrite(store Store) Write { return l.workload.last(store) }

// ConnectPostgres connects as superuser to the database festivals of one server, directly. The caller closes the
// connection.
func (l *Lab) ConnectPostgres(ctx context.Context, site Site) (*pgx.Conn, error) {
	return l.connectPostgres(ctx, site, database)
}

// RedisClient is a client of one server, directly, with all rights. The caller closes it.
func (l *Lab) RedisClient(site Site) *redis.Client {
	return redis.NewClient(l.redisOptions(site, "admin"))
}

// Logs copies the log of one server to w, for people and for failing tests.
func (l *Lab) Logs(w io.Writer, store Store, site Site) error {
	return l.server(store, site).copyLog(w)
}

func (l *Lab) server(store Store, site Site) *server {
	if store == Redis {
		return l.redis[site]
	}
	return l.postgres[site]
}
