package ledger

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrExport is that a file is no sound export of a ledger.
var ErrExport = errors.New("this is no sound export of a ledger")

// mostLine bounds what one line of an export may take of our memory.
const mostLine = 64 << 20

// Import adds the events of an export to a ledger, as they are: with their
// positions, hashes, IDs and times. The ledger must be one in which nothing was ever
// written, or hold the beginning of the same events; then it goes on from there. It
// tells how many events were added. progress may be nil.
//
// Each event is verified, and so is that none is missing: before the first is added
// where the reader can seek, as a file does, otherwise while they are. Then some are
// added when a fault is found; the error says up to which.
func Import(ctx context.Context, r io.Reader, s Store, progress func(done, total uint64)) (added uint64, err error) {
	if file, ok := r.(io.Seeker); ok {
		if start, err := file.Seek(0, io.SeekCurrent); err == nil { // a pipe cannot, though it has the method
			if err := verifyExport(ctx, r); err != nil {
				return 0, err
			}
			if _, err := file.Seek(start, io.SeekStart); err != nil {
				return 0, fmt.Errorf("read the export once more: %w", err)
			}
		}
	}
	x, err := openExport(r)
	if err != nil {
		return 0, err
	}
	at, err := s.Extent(ctx)
	if err != nil {
		return 0, err
	}
	i := importer{export: x, store: s, at: at, progress: progress}
	if err := i.fits(); err != nil {
		return 0, err
	}
	err = i.run(ctx)
	if err != nil && i.added > 0 {
		err = fmt.Errorf("%w; %d events were added, up to event %d, and are there: import again to go on", err, i.added, i.at.Last)
	}
	return i.added, err
}

// verifyExport reads an export to its end.
func verifyExport(ctx context.Context, r io.Reader) error {
	x, err := openExport(r)
	for err == nil {
		if _, err = x.next(); err == nil {
			err = ctx.Err()
		}
	}
	if err == io.EOF { //nolint:errorlint // next gives it as it is
		return nil
	}
	return err
}

// How much is added in one step.
const (
	stepEvents = 1000
	stepBytes  = 4 << 20
)

// importer adds the events of an export.
type importer struct {
	*export
	store    Store
	at       Extent // what the store holds
	progress func(done, total uint64)
	step     Restored
	bytes    int
	added    uint64
}

// fits finds out whether the events can follow what is there.
func (i *importer) fits() error {
	h := i.header
	switch {
	case i.at == Extent{} && h.After != h.First-1:
		return conflict("import what follows event %d: the ledger is empty, and there were events before: import them first", h.After)
	case i.at == Extent{}:
		i.at = Extent{First: h.After + 1, Last: h.After, Base: h.Base, Head: h.Base}
	case i.at.Last < h.After:
		return conflict("import what follows event %d: the ledger ends with event %d: import first what is between", h.After, i.at.Last)
	case i.at.Last > h.Last:
		return conflict("import up to event %d: the ledger ends with event %d already", h.Last, i.at.Last)
	case i.at.Last == h.After && i.at.Head != h.Base:
		return i.other()
	}
	i.step = Restored{After: i.at.Last, Base: i.at.Head, Marks: Marks{Sequences: h.Sequences, Tokens: h.Tokens}}
	return nil
}

func (i *importer) other() error {
	return conflict("import: event %d of the ledger is not the one of the export: these are two ledgers", i.at.Last)
}

func (i *importer) run(ctx context.Context) error {
	for {
		e, err := i.next()
		switch {
		case err == io.EOF: //nolint:errorlint // next gives it as it is
			return i.flush(ctx)
		case err != nil:
			return err
		case e.Position == i.at.Last && e.Hash != i.at.Head && i.added == 0:
			return i.other()
		case e.Position <= i.at.Last: // it is there already
			continue
		}
		i.step.Events, i.bytes = append(i.step.Events, e), i.bytes+len(e.Body)
		if len(i.step.Events) == stepEvents || i.bytes >= stepBytes {
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
		tell(i.progress, i.header, e)
	}
}

func (i *importer) flush(ctx context.Context) error {
	if err := i.store.Restore(ctx, i.step); err != nil {
		return err
	}
	if n := len(i.step.Events); n > 0 {
		last := i.step.Events[n-1]
		i.at.Last, i.at.Head, i.added = last.Position, last.Hash, i.added+uint64(n)
	}
	i.step, i.bytes = Restored{After: i.at.Last, Base: i.at.Head, Events: i.step.Events[:0]}, 0
	return nil
}

// export reads an export, line by line.
type export struct {
	*checker
	lines  *bufio.Scanner
	number int // of the line
}

func openExport(r io.Reader) (*export, error) {
	x := &export{lines: scanner(r)}
	l, err := x.line()
	if err != nil {
		return nil, err
	}
	switch h := l.Ledger; {
	case h == nil:
		return nil, x.refuse("it is not the header of an export")
	case h.Version != exportVersion:
		return nil, x.refuse("it is of version %d, and this drwatch reads version %d: use the drwatch that has written it, or a newer one", h.Version, exportVersion)
	case h.partial():
		return nil, x.refuse("it is an export of some streams: a ledger can only be made of all")
	case h.First == 0 || h.After < h.First-1 || h.After > h.Last || h.Last > math.MaxInt64:
		return nil, x.refuse("it speaks of events that cannot be")
	case h.After == 0 && h.Base != (Hash{}):
		return nil, x.refuse("before the first event there is none that has a hash")
	}
	x.checker = newChecker(*l.Ledger)
	return x, nil
}

func scanner(r io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostLine)
	return lines
}

// next gives the next event, and io.EOF after the last one, if nothing is missing.
func (x *export) next() (Event, error) {
	l, err := x.line()
	if err != nil {
		return Event{}, err
	}
	switch {
	case l.Event != nil:
		e := l.Event.event()
		var wrong *CorruptError
		if errors.As(x.take(e), &wrong) {
			return Event{}, x.refuse("event %d: %s", wrong.Position, wrong.What)
		}
		return e, nil
	case l.Ledger != nil:
		return Event{}, x.refuse("it is a second header")
	}
	if err := x.end(); err != nil || l.End.Events != x.events || l.End.Head != x.previous {
		return Event{}, x.refuse("it ends with %d events, and not as the ledger did: some are missing", x.events)
	}
	if x.lines.Scan() {
		x.number++
		return Event{}, x.refuse("it stands after the end")
	}
	if err := x.lines.Err(); err != nil {
		return Event{}, fmt.Errorf("read the export: %w", err)
	}
	return Event{}, io.EOF
}

// line reads one line, which has exactly one meaning.
func (x *export) line() (l line, err error) {
	x.number++
	if !x.lines.Scan() {
		switch err := x.lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return l, x.refuse("it has more than %d bytes", mostLine)
		case err != nil:
			return l, fmt.Errorf("read line %d of the export: %w", x.number, err)
		}
		return l, x.refuse("it is missing: the export was cut off")
	}
	decoder := json.NewDecoder(bytes.NewReader(x.lines.Bytes()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return l, x.refuse("%w", err)
	}
	meanings := 0
	for _, is := range []bool{l.Ledger != nil, l.Event != nil, l.End != nil} {
		if is {
			meanings++
		}
	}
	if _, err := decoder.Token(); err != io.EOF || meanings != 1 {
		return l, x.refuse("it is not one event, nor a header or an end")
	}
	return l, nil
}

// refuse says which line is wrong.
func (x *export) refuse(format string, arguments ...any) error {
	return fmt.Errorf("%w: line %d: %w", ErrExport, x.number, fmt.Errorf(format, arguments...))
}
