// Package sqlite keeps a ledger in a file of this machine. It is the default: it
// needs no server.
//
// What Append returns is on disk. The file is written ahead (WAL) and synced at
// each commit (synchronous=FULL, and fullfsync where the system has it): neither
// the death of the process nor a loss of power takes an acknowledged event, as long
// as the disk writes what it says it has written. A commit that was under way when
// the power went is there as a whole, or not at all.
//
// Several processes of one machine may have the same ledger open; they take turns
// in writing. Never put it on a network file system (NFS, SMB, a volume that
// several machines mount): the locks of such systems do not hold, and two writers
// destroy the file. For several machines there is ledger/postgres.
//
// The ledger is three files: PATH, PATH-wal and PATH-shm. Copying them while drwatch
// runs gives a damaged ledger; [Store.Backup] gives a sound one. Pruning makes room
// within the file, for events to come; the file itself stays as long as it is, and a
// backup is as short as it can be.
//
// A file that is damaged, empty, cut or of another program is refused at the start,
// and never made anew: see [Options.CheckTime] for how closely [Open] looks. What it
// does not look at is found when it is read: each event is held against its hash, and
// a stream that is read as a whole against its count. Two things nobody can tell: a
// value that has changed in the table of leases, which has no hashes, and damage to
// the very last commit where drwatch was killed after it, which looks as if it had
// been broken off.
//
// Leases run by the clock of this machine. When it is set forward they run out
// early, and their holders are fenced. When it is set back, no lease lasts longer
// than its time from the moment at which the first call that asks for it sees the
// jump; one that had run out, and that nobody has taken since, may be held again.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/drwatch/drwatch/ledger"
)

// Options say where the ledger is, and how to open it. Only Path is needed.
type Options struct {
	// Path is the file. It is made, for its owner alone, where there is none; the
	// folder must be there.
	Path string
	// ReadOnly opens a ledger that is there, and never changes it. Where the disk
	// cannot be written it is so anyway.
	ReadOnly bool
	// BusyTimeout is how long to wait for another process that writes, until the error
	// is [ledger.ErrLocked]. 0 is 5 s.
	BusyTimeout time.Duration
	// CheckTime is how long Open may look for damage, beyond the beginning, the end
	// and what was written ahead, which it always looks at. 0 is 5 s: on a machine
	// that is idle that is enough for about a gigabyte. Negative is not at all.
	CheckTime time.Duration
	// Now is the clock by which leases run out. nil is [time.Now].
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.BusyTimeout = cmp.Or(o.BusyTimeout, 5*time.Second)
	o.CheckTime = cmp.Or(o.CheckTime, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is a ledger in a file. It implements [ledger.Store].
type Store struct {
	path    string
	file    os.FileInfo // the file that was opened, which another one may replace
	options Options
	current bool // its tables were of this version when it was opened
	// writer has one connection, so that writers of this process stand in line rather
	// than contend; readers have a few.
	writer, readers *sql.DB
	statements      statements
}

// mostReaders is how many read at the same moment. Nobody holds a connection while
// he thinks about an event.
const mostReaders = 4

// Open opens a ledger, or makes it where there is none.
func Open(ctx context.Context, o Options) (*Store, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("open the ledger %s: %w", o.Path, err)
	}
	s := &Store{path: path, options: o.withDefaults()}
	if err := s.open(ctx); err != nil {
		_ = s.Close() // what went wrong is told already
		return nil, s.failure(ctx, "open", err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := s.find(ctx); err != nil {
		return err
	}
	if err := checkAhead(s.path + "-wal"); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	err := s.prepareFile(ctx)
	if err == nil && s.writer != nil {
		err = s.statements.prepare(ctx, s.writer)
	}
	if isCode(err, misunderstood) { // what we ask is right
		return &ledger.CorruptError{What: "its tables are not those of a ledger: " + err.Error() + restore}
	}
	return err
}

// connect opens the file. It does not change anything in it: it may be another's.
func (s *Store) connect(ctx context.Context) (err error) {
	mode := "rw"
	if s.options.ReadOnly {
		mode = "ro"
	}
	if s.readers, err = s.database(mode, mostReaders, s.options.BusyTimeout); err != nil {
		return err
	}
	err = s.readers.PingContext(ctx)
	if err == nil {
		err = s.identify(ctx)
	}
	if isCode(err, cannotOpen) && s.isFrozen(ctx) {
		if s.readers, err = s.database("immutable", mostReaders, s.options.BusyTimeout); err != nil {
			return err
		}
		s.options.ReadOnly = true
		err = s.identify(ctx)
	}
	if err == nil && !s.options.ReadOnly {
		s.writer, err = s.database("rw", 1, 0) // see patiently
	}
	return err
}

// isFrozen reports whether the file lies on a disk that cannot be written, with
// nothing beside it: then nobody changes it, and no lock is needed, nor to be had.
func (s *Store) isFrozen(ctx context.Context) bool {
	_ = s.readers.Close() // it could not open the file
	ahead, err := os.Stat(s.path + "-wal")
	if err == nil && ahead.Size() > 0 {
		return false // its newest events would be missing
	}
	return ctx.Err() == nil && isReadOnly(canWrite(filepath.Dir(s.path)))
}

// database gives connections to the file. mode is rw, ro, or immutable.
func (s *Store) database(mode string, connections int, wait time.Duration) (*sql.DB, error) {
	query := url.Values{
		"mode":          {mode}, // never rwc: a file that is missing is not made anew
		"_txlock":       {"immediate"},
		"_busy_timeout": {strconv.FormatInt(wait.Milliseconds(), 10)},
		"_synchronous":  {"FULL"},
		"_foreign_keys": {"1"},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
		"_pragma":       {"fullfsync(1)", "checkpoint_fullfsync(1)", "trusted_schema(0)", "cell_size_check(1)", "cache_size(-8192)", "journal_size_limit(67108864)"},
	}
	if mode == "immutable" {
		query.Set("mode", "ro")
		query.Set("immutable", "1")
	}
	path := filepath.ToSlash(s.path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive of Windows
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Close closes the ledger. Closing twice is nothing.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writer} { // the writer last: it moves what was written ahead
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return s.failure(context.Background(), "close", errors.Join(errs...))
}

// write does something in one step, when it is this writer's turn.
func (s *Store) write(ctx context.Context, doing string, do func(context.Context, *sql.Tx) error) error {
	if s.writer == nil {
		return fmt.Errorf("%s: the ledger %s: %w: it was opened for reading, or lies on a disk that is read-only", doing, s.path, ledger.ErrReadOnly)
	}
	return s.failure(ctx, doing, s.transact(ctx, do))
}

func (s *Store) transact(ctx context.Context, do func(context.Context, *sql.Tx) error) (err error) {
	var tx *sql.Tx
	err = s.patiently(ctx, func() (err error) {
		tx, err = s.writer.BeginTx(ctx, nil)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it is over where the commit was reached
	if err := s.inPlace(); err != nil {
		return err
	}
	// Once it is his turn a writer is not held up any more, so his statements need not
	// be watched one by one. The transaction is: it ends with ctx.
	if err := do(context.WithoutCancel(ctx), tx); err != nil {
		return err
	}
	return tx.Commit()
}

// patiently tries until no other process is in the way, or the time is up. SQLite
// would wait as long, but look ten times in a second only: beside a process that
// writes all the time it would hardly ever find it at rest.
func (s *Store) patiently(ctx context.Context, try func() error) error {
	const pause = 10 * time.Millisecond
	var since time.Time
	for {
		err := try()
		if !isCode(err, busy) || !since.IsZero() && time.Since(since) >= s.options.BusyTimeout {
			return err
		}
		if since.IsZero() {
			since = time.Now() // before, he stood in line with others of this process
		}
		timer := time.NewTimer(rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// inPlace finds that the file was removed or replaced while it is open: what is
// written into it then goes nowhere.
func (s *Store) inPlace() error {
	now, err := os.Stat(s.path)
	if err == nil && os.SameFile(now, s.file) {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look whether the file is there: %w", err)
	}
	return &ledger.CorruptError{What: "its file was removed or replaced while it is in use: stop drwatch, put the file back or restore a backup, and start it again"}
}

// read asks several things of one state of the ledger.
func (s *Store) read(ctx context.Context, doing string, do func(*sql.Tx) error) error {
	return s.failure(ctx, doing, s.snapshot(ctx, do))
}

func (s *Store) snapshot(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was changed
	return do(tx)
}
