package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/drwatch/drwatch/ledger"
)

// Backup writes a ledger that is as this one is now into a new file, while others
// read and write. It is on disk and was verified, event by event, when Backup
// returns without an error; until then the file is not there. The room that pruning
// has left is not in it. A file that is there is not replaced.
func (s *Store) Backup(ctx context.Context, to string) error {
	doing := "back up to " + to
	_, err := os.Lstat(to)
	if err == nil {
		err = errors.New("that file is there already: name one that is not")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return s.failure(ctx, doing, err)
	}
	copied, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".unfinished-*") // for its owner alone
	if err != nil {
		return s.failure(ctx, doing, err)
	}
	defer func() { _ = os.Remove(copied.Name()) }()
	if err := copied.Close(); err != nil {
		return s.failure(ctx, doing, err)
	}
	if err := s.copyTo(ctx, copied.Name()); err != nil {
		return s.failure(ctx, doing, err)
	}
	if err := s.proof(ctx, copied.Name()); err != nil {
		return fmt.Errorf("%s: the ledger %s: what was copied is not sound: %w", doing, s.path, err)
	}
	return s.failure(ctx, doing, place(copied.Name(), to))
}

// copyTo copies one state of the ledger into an empty file.
func (s *Store) copyTo(ctx context.Context, path string) (err error) {
	from, err := s.database("ro", 1, s.options.BusyTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	_, err = from.ExecContext(ctx, "VACUUM INTO ?", path)
	return err
}

// proof verifies a copy.
func (s *Store) proof(ctx context.Context, path string) (err error) {
	o := s.options
	o.Path, o.ReadOnly = path, true
	copied, err := Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	_, err = ledger.Verify(ctx, copied, nil)
	return err
}
