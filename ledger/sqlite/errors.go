package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/drwatch/drwatch/ledger"
)

// The kinds of failure of SQLite (https://sqlite.org/rescode.html).
const (
	cannotOpen    = sqlite3.SQLITE_CANTOPEN
	readOnly      = sqlite3.SQLITE_READONLY
	busy          = sqlite3.SQLITE_BUSY
	misunderstood = sqlite3.SQLITE_ERROR
)

// codeOf is the extended code of SQLite; 0 where the error is not its.
func codeOf(err error) int {
	var failure *driver.Error
	if !errors.As(err, &failure) {
		return 0
	}
	return failure.Code()
}

// isCode reports whether SQLite has failed for a reason.
func isCode(err error, kind int) bool { return codeOf(err)&0xff == kind }

// failure says what could not be done with which ledger, and what to do.
func (s *Store) failure(ctx context.Context, doing string, err error) error {
	if err == nil || isTold(err) {
		return err
	}
	what := fmt.Sprintf("%s: the ledger %s", doing, s.path)
	var corrupt *ledger.CorruptError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	case errors.As(err, &corrupt):
		corrupt.What = strings.ReplaceAll(corrupt.What, "PATH", s.path)
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", what, &ledger.CorruptError{What: "a row is missing" + restore})
	case strings.Contains(err.Error(), "sql: Scan error"): // database/sql has no other mark for it
		return fmt.Errorf("%s: %w", what, &ledger.CorruptError{What: err.Error() + restore})
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: %w: %w: make room on the disk", what, ledger.ErrFull, err)
	case isReadOnly(err):
		return fmt.Errorf("%s: %w: %w", what, ledger.ErrReadOnly, err)
	default:
		return s.classify(what, err)
	}
}

// isTold reports whether an error says already what is to be said.
func isTold(err error) bool {
	for _, told := range []error{ledger.ErrConflict, ledger.ErrFenced, ledger.ErrHeld, ledger.ErrInvalid, ledger.ErrReadOnly, ledger.ErrFull, ledger.ErrLocked} {
		if errors.Is(err, told) {
			return true
		}
	}
	return false
}

func isReadOnly(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)
}

// classify tells the failures of SQLite apart.
func (s *Store) classify(what string, err error) error {
	switch code := codeOf(err); code & 0xff {
	case busy:
		return fmt.Errorf("%s: %w: %s, for longer than %s: %w", what, ledger.ErrLocked, s.holders(), s.options.BusyTimeout, err)
	case readOnly:
		return fmt.Errorf("%s: %w: %w: see whether its disk is mounted read-only, and whom the file belongs to", what, ledger.ErrReadOnly, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%s: %w: %w: make room on the disk", what, ledger.ErrFull, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s: %w", what, &ledger.CorruptError{What: err.Error() + restore})
	case sqlite3.SQLITE_IOERR:
		return s.classifyIO(what, code, err)
	case cannotOpen:
		return fmt.Errorf("%s: %w: see whom its folder, the file and %s-wal beside it belong to, and whether the disk can be written", what, err, s.path)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

func (s *Store) classifyIO(what string, code int, err error) error {
	if code == sqlite3.SQLITE_IOERR_SHORT_READ || code == sqlite3.SQLITE_IOERR_DATA || code == sqlite3.SQLITE_IOERR_CORRUPTFS {
		return fmt.Errorf("%s: %w", what, &ledger.CorruptError{What: err.Error() + restore})
	}
	// SQLite tells only some of the ways in which there is no room.
	if full := canWrite(filepath.Dir(s.path)); errors.Is(full, syscall.ENOSPC) || errors.Is(full, syscall.EDQUOT) {
		return fmt.Errorf("%s: %w: %w: make room on the disk", what, ledger.ErrFull, err)
	}
	return fmt.Errorf("%s: %w: see what the system says about the disk (dmesg)", what, err)
}
