package lab

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// writeTimeout bounds one write, connecting included: a dead or frozen primary costs the writer no more.
const writeTimeout = time.Second

// A Write is one write that a primary acknowledged: the truth against which a recovery point can be held. A copy
// that has it lost nothing up to Sent; one that does not has lost something acknowledged at Acknowledged.
type Write struct {
	// Number counts up from 1: the id of the row in bookings, or the value of the key festivals:bookings.
	Number int64 `json:"number"`
	// Sent is the time just before the statement was sent, Acknowledged just after its answer came. Between the two
	// the primary committed.
	Sent         time.Time `json:"sent"`
	Acknowledged time.Time `json:"acknowledged"`
}

// workload is the application: one writer for each store, so that neither waits for the other.
type workload struct {
	writers map[Store]*writer
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

// startWorkload begins to write, until stop.
func startWorkload(ctx context.Context, o Options, postgres *pgx.ConnConfig, redisOptions *redis.Options) *workload {
	p := &postgresWriter{config: postgres}
	r := &redisWriter{client: redis.NewClient(redisOptions)}
	w := &workload{writers: map[Store]*writer{
		Postgres: {store: Postgres, interval: o.WriteInterval, now: o.Now, log: o.Logger, write: p.write, close: p.close},
		Redis:    {store: Redis, interval: o.WriteInterval, now: o.Now, log: o.Logger, write: r.write, close: r.client.Close},
	}}
	ctx, cancel := context.WithCancel(ctx)
	w.cancel = cancel
	for _, writer := range w.writers {
		w.group.Go(func() { writer.run(ctx) })
	}
	return w
}

// stop ends the writers and closes their connections. With a frozen server it would wait for pgx, which tries to
// cancel what was under way.
func (w *workload) stop() error {
	w.cancel()
	w.group.Wait()
	return errors.Join(w.writers[Postgres].close(), w.writers[Redis].close())
}

func (w *workload) last(store Store) Write {
	writer, known := w.writers[store]
	if !known {
		return Write{}
	}
	writer.mu.Lock()
	defer writer.mu.Unlock()
	return writer.newest
}

// pause returns when no write is under way, and none begins until it is called with false.
func (w *workload) pause(paused bool) {
	for _, writer := range w.writers {
		writer.gate.Lock()
		writer.paused = paused
		writer.gate.Unlock()
	}
}

// A writer writes to one store, on and on.
type writer struct {
	store    Store
	interval time.Duration
	now      func() time.Time
	log      *slog.Logger
	write    func(context.Context) (number int64, err error)
	close    func() error

	gate   sync.Mutex // held during a write; protects paused
	paused bool

	mu     sync.Mutex // protects newest
	newest Write
}

func (w *writer) run(ctx context.Context) {
	ticker := time.NewTicker(w.interval)
	defer ticker.Stop()
	failing := false
	for {
		err := w.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != failing {
			failing = err != nil
			w.log.Info("workload: writing changed", "store", w.store, "failing", failing, "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *writer) once(ctx context.Context) error {
	w.gate.Lock()
	defer w.gate.Unlock()
	if w.paused {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	sent := w.now()
	number, err := w.write(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest = Write{Number: number, Sent: sent, Acknowledged: w.now()}
	return nil
}

// postgresWriter inserts rows over one connection, and makes a new one after any error.
type postgresWriter struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn
	broken sync.WaitGroup // broken connections that pgx still closes in the background
}

func (p *postgresWriter) write(ctx context.Context) (number int64, err error) {
	if p.conn == nil {
		if p.conn, err = pgx.ConnectConfig(ctx, p.config); err != nil {
			return 0, err
		}
	}
	err = p.conn.QueryRow(ctx, "INSERT INTO bookings DEFAULT VALUES RETURNING id").Scan(&number)
	if err != nil {
		conn := p.conn
		p.conn = nil
		p.broken.Go(func() {
			_ = conn.Close(ctx) // nobody is told: the write has failed already
			<-conn.PgConn().CleanupDone()
		})
	}
	return number, err
}

func (p *postgresWriter) close() error {
	defer p.broken.Wait()
	if p.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	_ = p.conn.Close(ctx) // a server that is gone already is no error here
	<-p.conn.PgConn().CleanupDone()
	return nil
}

// redisWriter counts up one key. The client reconnects by itself.
type redisWriter struct{ client *redis.Client }

func (r *redisWriter) write(ctx context.Context) (int64, error) {
	return r.client.Incr(ctx, "festivals:bookings").Result()
}
