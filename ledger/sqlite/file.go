package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/drwatch/drwatch/ledger"
)

const (
	// applicationID says in the head of the file that it is a ledger: "drwL".
	applicationID = 0x6472774c
	// version is that of the tables, and the number of steps in the folder schema.
	version = 1
	// smallest is less than any ledger has; SQLite takes a file of a few bytes for an
	// empty database.
	smallest = 512
)

//go:embed schema/*.sql
var schema embed.FS

// find looks for the file, and makes it where there is none.
func (s *Store) find(ctx context.Context) (err error) {
	folder, err := os.Stat(filepath.Dir(s.path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder %s is not there: make it, or correct the path", filepath.Dir(s.path))
	case err != nil:
		return err
	case !folder.IsDir():
		return fmt.Errorf("%s is no folder: correct the path", filepath.Dir(s.path))
	}
	s.file, err = os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.create(ctx); err == nil {
			s.file, err = os.Stat(s.path)
		}
	}
	switch {
	case err != nil:
		return err
	case !s.file.Mode().IsRegular():
		return errors.New("that is no file: correct the path")
	case s.file.Size() < smallest:
		return &ledger.CorruptError{What: fmt.Sprintf("its file has %d bytes, which is no ledger any more%s; remove it only if there never was one in it", s.file.Size(), restore)}
	}
	return nil
}

// create makes a ledger beside its place and moves it there, so that there never is
// half of one, and two who make it at once have the same.
func (s *Store) create(ctx context.Context) error {
	if s.options.ReadOnly {
		return errors.New("there is no ledger: correct the path, or open it for writing to make one")
	}
	ahead, err := os.Stat(s.path + "-wal")
	if err == nil && ahead.Size() > 0 {
		return &ledger.CorruptError{What: "its file is gone, while PATH-wal, which belongs to it, is there: put it back, or restore a backup; remove PATH-wal only if its events are not needed any more"}
	}
	made := &Store{path: s.path + ".new-" + rand.Text()[:8], options: s.options}
	defer func() { _ = os.Remove(made.path) }()
	file, err := os.OpenFile(made.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	made.file, err = file.Stat()
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if made.writer, err = made.database("rw", 1, 0); err != nil {
		return err
	}
	err = errors.Join(made.migrate(ctx), made.Close())
	if err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	if err := place(made.path, s.path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil // another process was quicker
}

// place gives a file its name for good, unless there is one that has it.
func place(from, to string) error {
	err := syncFile(from)
	if err == nil {
		err = os.Link(from, to)
	}
	if err == nil {
		err = os.Remove(from)
	}
	if err != nil {
		return err
	}
	return syncFile(filepath.Dir(to))
}

func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// canWrite tries to make a file of a size in a folder.
func canWrite(folder string) error {
	const size = 64 << 10 // more than the file system keeps for itself in a block that it has
	file, err := os.CreateTemp(folder, ".drwatch-room-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = io.CopyN(file, rand.Reader, size)
	return errors.Join(err, file.Sync(), file.Close())
}

// identify finds out whether the file is a ledger, and one of a version that is known.
func (s *Store) identify(ctx context.Context) error {
	id, known, err := s.marks(ctx, s.readers)
	s.current = known == version
	switch {
	case err != nil:
		return err
	case id != applicationID:
		return fmt.Errorf("the file is an SQLite database, but no ledger (its application id is %d): correct the path", id)
	case known > version:
		return fmt.Errorf("a newer drwatch has written it (version %d of its tables, this one knows %d): use that one", known, version)
	case known < version && s.options.ReadOnly:
		return fmt.Errorf("an older drwatch has written it (version %d of its tables, this one has %d): open it for writing once", known, version)
	}
	return nil
}

// marks are those in the head of the file.
func (s *Store) marks(ctx context.Context, in interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}) (id, known int64, err error) {
	err = in.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id)
	if err == nil {
		err = in.QueryRowContext(ctx, "PRAGMA user_version").Scan(&known)
	}
	return id, known, err
}

// prepareFile looks for damage, and brings a ledger that may be written up to date.
// One that cannot be written after all, because its disk is read-only, it leaves to
// the readers.
func (s *Store) prepareFile(ctx context.Context) error {
	if s.current {
		if err := s.check(ctx); err != nil { // before anything is changed
			return err
		}
	}
	if s.writer == nil {
		return nil
	}
	err := s.migrate(ctx)
	if err == nil && !s.current {
		return s.check(ctx)
	}
	if isCode(err, readOnly) {
		err = s.writer.Close()
		s.writer = nil
	}
	return err
}

// migrate takes the steps that a ledger has not taken yet; one that was just made
// has taken none.
func (s *Store) migrate(ctx context.Context) error {
	if !s.current {
		if err := s.transact(ctx, s.takeSteps); err != nil {
			return err
		}
	}
	var journal string
	err := s.patiently(ctx, func() error { return s.writer.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&journal) })
	if err == nil && journal != "wal" {
		return fmt.Errorf("the file cannot be written ahead (its journal is %q): it must be on a disk of this machine", journal)
	}
	return err
}

func (s *Store) takeSteps(ctx context.Context, tx *sql.Tx) error {
	_, known, err := s.marks(ctx, tx)
	for err == nil && known < version {
		known++
		var step []byte
		if step, err = schema.ReadFile(fmt.Sprintf("schema/%d.sql", known)); err == nil {
			_, err = tx.ExecContext(ctx, string(step)+fmt.Sprintf("; PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, known))
		}
	}
	return err
}

// check looks for damage: at the beginning and the end of the log, and then, for a
// while, at how the whole file hangs together.
func (s *Store) check(ctx context.Context) error {
	if err := s.checkEnds(ctx); err != nil || s.options.CheckTime < 0 {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, s.options.CheckTime)
	defer cancel()
	for _, look := range []string{
		"PRAGMA integrity_check(1)",
		`SELECT 'the stream ' || name || ' was at number ' || newest || ', its newest event has number ' || sequence
			FROM streams JOIN events ON position = (SELECT max(position) FROM events WHERE stream = number) WHERE sequence <> newest LIMIT 1`,
	} {
		var found string
		err := s.readers.QueryRowContext(limited, look).Scan(&found)
		switch {
		case limited.Err() != nil && ctx.Err() == nil:
			return nil // the rest is found when it is read
		case err == nil && found != "ok":
			return &ledger.CorruptError{What: found + restore}
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		}
	}
	return nil
}

// checkEnds holds the oldest event and the newest against what was noted.
func (s *Store) checkEnds(ctx context.Context) error {
	return s.snapshot(ctx, func(tx *sql.Tx) error {
		ends, err := endsOf(ctx, tx)
		if err != nil {
			return err
		}
		for _, position := range []int64{ends.base + 1, ends.last} {
			if ends.base == ends.last {
				break
			}
			rows, err := page(ctx, tx, query{after: position - 1, upTo: position}, 1, 1)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				return &ledger.CorruptError{Position: uint64(position), What: "it is missing" + restore}
			}
			if position == ends.last && rows[0].Hash != ends.head {
				return &ledger.CorruptError{Position: uint64(position), What: "its hash is not the one that was noted" + restore}
			}
		}
		var beyond int64
		err = tx.QueryRowContext(ctx, "SELECT coalesce(max(position), 0) FROM events").Scan(&beyond)
		if err == nil && beyond > ends.last {
			return &ledger.CorruptError{Position: uint64(beyond), What: "it comes after the newest that was noted" + restore}
		}
		return err
	})
}

// restore is what to do with a ledger that is damaged.
const restore = ": copy the file away for whoever will look into it, and restore a backup"
