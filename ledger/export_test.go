package ledger_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

var update = flag.Bool("update", false, "write the golden files anew")

func open(t testing.TB) ledger.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "ledger.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func add(t testing.TB, s ledger.Store, stream, id, body string) {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	_, err := s.Append(t.Context(), ledger.Append{Stream: stream, After: ledger.Any, Drafts: []ledger.Draft{
		{ID: id, Time: at, Kind: "step <done> & more", Actor: "Zoë", Body: []byte(body)},
	}})
	require.NoError(t, err)
}

// past makes a ledger that has one: bodies that are no tidy JSON, events that were
// pruned, and leases that were given back.
func past(t testing.TB) ledger.Store {
	t.Helper()
	s := open(t)
	add(t, s, "gone", "a", "{}")
	add(t, s, "run/1", "b", "{}")
	require.NoError(t, s.Prune(t.Context(), 2))
	for i, body := range []string{
		`{"b":2,"a":[1,1.0,1e400],"b":2,"html":"<&>"}`, `null`, ` { "a" : 1 }`, "\"\xff\xfe\"", `"\ud800\u0000"`, "\"\u2028\"", "[\n1]", "1 ", `"` + strings.Repeat("x", 1<<20-2) + `"`,
	} {
		add(t, s, fmt.Sprintf("run/%d", 1+i%3), fmt.Sprint(i), body)
	}
	for _, name := range []string{"executor", "elector"} {
		l, err := s.Acquire(t.Context(), name, "a", time.Hour)
		require.NoError(t, err)
		require.NoError(t, s.Release(t.Context(), l))
	}
	return s
}

func export(t testing.TB, s ledger.Store, q ledger.Query) string {
	t.Helper()
	var out bytes.Buffer
	_, err := ledger.Export(t.Context(), s, &out, q, nil)
	require.NoError(t, err)
	return out.String()
}

func all(t testing.TB, s ledger.Store) (events []ledger.Event) {
	t.Helper()
	_, err := ledger.Verify(t.Context(), s, nil)
	require.NoError(t, err)
	for e, err := range s.Events(t.Context(), ledger.Query{}) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

// A ledger that moves to another store must be the one that it was: as evidence, and
// for whoever counts on in it.
func TestExport_ImportsAsItWas(t *testing.T) {
	from, to := past(t), open(t)
	text := export(t, from, ledger.Query{})
	var done, total uint64
	added, err := ledger.Import(t.Context(), strings.NewReader(text), to, func(d, n uint64) { done, total = d, n })
	require.NoError(t, err)
	require.EqualValues(t, 9, added)
	require.Equal(t, []uint64{9, 9}, []uint64{done, total})
	require.Equal(t, all(t, from), all(t, to))

	want, err := from.Extent(t.Context())
	require.NoError(t, err)
	got, err := to.Extent(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, text, export(t, to, ledger.Query{}), "what is exported again")

	lease, err := to.Acquire(t.Context(), "executor", "b", time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 2, lease.Token, "a token of the old ledger is not given again")
	_, err = to.Append(t.Context(), ledger.Append{Stream: "gone", After: 0, Drafts: []ledger.Draft{{Time: time.Now(), Kind: "k", Actor: "a", Body: []byte("1")}}})
	require.ErrorIs(t, err, ledger.ErrConflict, "a stream that was pruned is not new")
}

func TestExport_OfNothing(t *testing.T) {
	from, to := open(t), open(t)
	text := export(t, from, ledger.Query{})
	added, err := ledger.Import(t.Context(), strings.NewReader(text), to, nil)
	require.NoError(t, err)
	require.Zero(t, added)
	extent, err := to.Extent(t.Context())
	require.NoError(t, err)
	require.Equal(t, ledger.Extent{}, extent)
}

// Who reads an export with other tools, or with a newer drwatch, relies on how it looks.
func TestExport_LooksAsItDid(t *testing.T) {
	s := open(t)
	add(t, s, "gone", "a", "{}")
	require.NoError(t, s.Prune(t.Context(), 1))
	add(t, s, "run/1", "b", `{"step":"promote <db>"}`)
	add(t, s, "run/1", "c", `{ "step": "not tidy" }`)
	_, err := s.Acquire(t.Context(), "executor", "a", time.Hour)
	require.NoError(t, err)
	golden := filepath.Join("testdata", "export.golden")
	got := export(t, s, ledger.Query{})
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// A backup is made of what is new since the last one.
func TestImport_GoesOn(t *testing.T) {
	from, to := past(t), open(t)
	text := export(t, from, ledger.Query{UpTo: 6})
	for _, want := range []uint64{4, 0} { // the second time it is all there
		added, err := ledger.Import(t.Context(), strings.NewReader(text), to, nil)
		require.NoError(t, err)
		require.Equal(t, want, added)
	}
	added, err := ledger.Import(t.Context(), strings.NewReader(export(t, from, ledger.Query{})), to, nil)
	require.NoError(t, err)
	require.EqualValues(t, 5, added, "only what was not there")
	add(t, from, "run/1", "new", "{}")
	rest := export(t, from, ledger.Query{After: 11})
	require.Equal(t, 3, strings.Count(rest, "\n"))
	added, err = ledger.Import(t.Context(), strings.NewReader(rest), to, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, added)
	require.Equal(t, all(t, from), all(t, to))
}

// Two ledgers must never be made into one.
func TestImport_RefusesAnotherLedger(t *testing.T) {
	from := past(t)
	whole, begun := export(t, from, ledger.Query{}), export(t, from, ledger.Query{UpTo: 6})
	for name, c := range map[string]struct {
		there func(ledger.Store)
		text  string
		want  string
	}{
		"other events": {
			there: func(s ledger.Store) { add(t, s, "x", "1", "1"); add(t, s, "x", "2", "2"); add(t, s, "x", "3", "3") },
			text:  whole, want: "import: event 3 of the ledger is not the one of the export: these are two ledgers",
		},
		"other events before": {
			there: func(s ledger.Store) { add(t, s, "x", "1", "1"); add(t, s, "x", "2", "2") },
			text:  whole, want: "import: event 2 of the ledger is not the one of the export: these are two ledgers",
		},
		"too few": {
			there: func(s ledger.Store) { add(t, s, "x", "1", "1") },
			text:  whole, want: "import what follows event 2: the ledger ends with event 1: import first what is between",
		},
		"more than the export": {
			there: func(s ledger.Store) {
				_, err := ledger.Import(t.Context(), strings.NewReader(whole), s, nil)
				require.NoError(t, err)
			},
			text: begun, want: "import up to event 6: the ledger ends with event 11 already",
		},
		"the end without the beginning": {
			there: func(ledger.Store) {},
			text:  export(t, from, ledger.Query{After: 6}),
			want:  "import what follows event 6: the ledger is empty, and there were events before: import them first",
		},
	} {
		s := open(t)
		c.there(s)
		before := all(t, s)
		for _, r := range []io.Reader{strings.NewReader(c.text), io.MultiReader(strings.NewReader(c.text))} {
			added, err := ledger.Import(t.Context(), r, s, nil)
			require.EqualError(t, err, c.want, name)
			require.ErrorIs(t, err, ledger.ErrConflict, name)
			require.Zero(t, added, name)
			require.Equal(t, before, all(t, s), name)
		}
	}
}

// A person who holds a bad file at night must be told what is wrong, and where; and
// must not find half of it in the ledger.
func TestImport_RefusesWhatIsNotSound(t *testing.T) {
	s := open(t)
	for i := range 5 {
		add(t, s, fmt.Sprintf("run/%d", i%2), fmt.Sprint(i), fmt.Sprintf(`{"i":%d}`, i))
	}
	sound := strings.SplitAfter(export(t, s, ledger.Query{}), "\n")[:7]
	replace := func(at int, old, with string) func([]string) []string {
		return func(l []string) []string {
			require.Contains(t, l[at], old)
			l[at] = strings.Replace(l[at], old, with, 1)
			return l
		}
	}
	for name, c := range map[string]struct {
		damage func(l []string) []string
		want   string
	}{
		"empty":            {func([]string) []string { return nil }, "line 1: it is missing: the export was cut off"},
		"foreign":          {func([]string) []string { return []string{"PGDMP\x01\x0e\x00"} }, "line 1: invalid character 'P' looking for beginning of value"},
		"foreign JSON":     {func([]string) []string { return []string{`{"a":1}`} }, `line 1: json: unknown field "a"`},
		"an empty line":    {func(l []string) []string { return append(l[:3:3], "\n") }, "line 4: EOF"},
		"no header":        {func(l []string) []string { return l[1:] }, "line 1: it is not the header of an export"},
		"two headers":      {func(l []string) []string { return append(l[:1:1], l...) }, "line 2: it is a second header"},
		"a newer version":  {replace(0, `"version":1`, `"version":2`), "line 1: it is of version 2, and this drwatch reads version 1: use the drwatch that has written it, or a newer one"},
		"another base":     {replace(0, `"base":"0`, `"base":"1`), "line 1: before the first event there is none that has a hash"},
		"no such position": {replace(0, `"last":5`, `"last":18446744073709551615`), "line 1: it speaks of events that cannot be"},
		"cut off":          {func(l []string) []string { return l[:4] }, "line 5: it is missing: the export was cut off"},
		"cut off in line":  {func(l []string) []string { l[3] = l[3][:90]; return l[:4] }, "line 4: unexpected EOF"},
		"without its end":  {func(l []string) []string { return l[:6] }, "line 7: it is missing: the export was cut off"},
		"an event less":    {func(l []string) []string { return append(l[:3:3], l[4:]...) }, "line 4: event 3: it is missing: after it comes event 4"},
		"the last less":    {func(l []string) []string { return append(l[:5:5], l[6]) }, "line 6: it ends with 4 events, and not as the ledger did: some are missing"},
		"an event twice":   {func(l []string) []string { return append(l[:3:3], l[2:]...) }, "line 4: event 3: it is missing: after it comes event 2"},
		"a body":           {replace(3, `{"i":2}`, `{"i":7}`), "line 4: event 3: it is not what was written: its hash is another"},
		"a blank":          {replace(3, `{"i":2}`, `{"i": 2}`), "line 4: event 3: it is not what was written: its hash is another"},
		"a time":           {replace(3, `.123456Z`, `.123457Z`), "line 4: event 3: it is not what was written: its hash is another"},
		"a time of day":    {replace(3, `12:00:00`, `25:00:00`), "line 4: parsing time \"2026-03-01T25:00:00.123456Z\": hour out of range"},
		"a hash":           {replace(3, `"hash":"`, `"hash":"00`), "line 4: \"00"},
		"a field more":     {replace(3, `"kind":`, `"note":1,"kind":`), `line 4: json: unknown field "note"`},
		"two in a line":    {func(l []string) []string { l[3] = strings.TrimSpace(l[3]) + l[4]; return l }, "line 4: it is not one event, nor a header or an end"},
		"two meanings":     {replace(3, `{"event"`, `{"end":{},"event"`), "line 4: it is not one event, nor a header or an end"},
		"no meaning":       {func(l []string) []string { l[3] = "null\n"; return l }, "line 4: it is not one event, nor a header or an end"},
		"a lie at the end": {replace(6, `"events":5`, `"events":6`), "line 7: it ends with 5 events, and not as the ledger did: some are missing"},
		"another head":     {replace(6, `"head":"`, `"head":"0`), "line 7: \"0"},
		"more at the end":  {func(l []string) []string { return append(l, "\n") }, "line 8: it stands after the end"},
		"too long":         {func(l []string) []string { return append(l[:2:2], strings.Repeat(" ", 65<<20)) }, "line 3: it has more than 67108864 bytes"},
	} {
		text := strings.Join(c.damage(append([]string(nil), sound...)), "")
		to := open(t)
		added, err := ledger.Import(t.Context(), strings.NewReader(text), to, nil)
		require.ErrorIs(t, err, ledger.ErrExport, name)
		require.ErrorContains(t, err, "this is no sound export of a ledger: "+c.want, name)
		require.Zero(t, added, name)
		require.Empty(t, all(t, to), "%s: nothing is added", name)
	}
	_, err := ledger.Import(t.Context(), strings.NewReader(export(t, s, ledger.Query{Stream: "run/1"})), open(t), nil)
	require.EqualError(t, err, "this is no sound export of a ledger: line 1: it is an export of some streams: a ledger can only be made of all")
}

// What comes over a pipe cannot be read twice. Then it must be told how far it came,
// so that a person can go on.
func TestImport_FromAPipeThatBreaks(t *testing.T) {
	from, to := open(t), open(t)
	var drafts []ledger.Draft
	for i := range 2500 {
		drafts = append(drafts, ledger.Draft{ID: fmt.Sprint(i), Time: time.Unix(0, 0), Kind: "k", Actor: "a", Body: []byte("1")})
	}
	want, err := from.Append(t.Context(), ledger.Append{Stream: "run/1", Drafts: drafts})
	require.NoError(t, err)
	text := export(t, from, ledger.Query{})
	lines := strings.SplitAfter(text, "\n")
	for _, stage := range []struct {
		pipe  io.Reader
		added uint64
		err   string
	}{
		{io.MultiReader(strings.NewReader(strings.Join(lines[:1800], ""))), 1000, "this is no sound export of a ledger: line 1801: it is missing: the export was cut off; 1000 events were added, up to event 1000, and are there: import again to go on"},
		{io.MultiReader(strings.NewReader(strings.Join(lines[:2200], "")), brokenPipe{}), 1000, "read line 2201 of the export: the pipe is broken; 1000 events were added, up to event 2000, and are there: import again to go on"},
		{io.MultiReader(strings.NewReader(text)), 500, ""},
	} {
		added, err := ledger.Import(t.Context(), stage.pipe, to, nil)
		require.Equal(t, stage.added, added)
		if stage.err != "" {
			require.EqualError(t, err, stage.err)
		} else {
			require.NoError(t, err)
		}
	}
	require.Equal(t, want, all(t, to))
}

type brokenPipe struct{}

func (brokenPipe) Read([]byte) (int, error) { return 0, fmt.Errorf("the pipe is broken") }

// A part of a ledger is what an auditor is given.
func TestExport_OfAPart(t *testing.T) {
	s := past(t)
	for _, c := range []struct {
		q     ledger.Query
		first uint64
		last  uint64
		count int
	}{
		{ledger.Query{}, 3, 11, 9},
		{ledger.Query{After: 1, UpTo: 99}, 3, 11, 9},
		{ledger.Query{After: 5}, 6, 11, 6},
		{ledger.Query{After: 5, UpTo: 7}, 6, 7, 2},
		{ledger.Query{After: 11}, 12, 11, 0},
		{ledger.Query{UpTo: 1}, 3, 2, 0},
		{ledger.Query{Stream: "run/2"}, 3, 11, 3},
		{ledger.Query{Stream: "run/2", Prefix: "x", After: 4}, 5, 11, 2},
		{ledger.Query{Prefix: "run/"}, 3, 11, 9},
		{ledger.Query{Stream: "none"}, 3, 11, 0},
	} {
		var out bytes.Buffer
		extent, err := ledger.Export(t.Context(), s, &out, c.q, nil)
		require.NoError(t, err, "%+v", c.q)
		require.Equal(t, c.count, strings.Count(out.String(), `{"event":`), "%+v", c.q)
		require.Equal(t, []uint64{c.first, c.last}, []uint64{extent.First, extent.Last}, "%+v", c.q)
	}
	_, err := ledger.Export(t.Context(), s, io.Discard, ledger.Query{Backward: true}, nil)
	require.ErrorIs(t, err, ledger.ErrInvalid)
}

// A disk that is full while a backup is made must not leave one that looks whole.
func TestExport_TellsThatItCouldNotWrite(t *testing.T) {
	s := past(t)
	_, err := ledger.Export(t.Context(), s, full{}, ledger.Query{}, nil)
	require.EqualError(t, err, "write the export: no space left on device")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = ledger.Export(ctx, s, io.Discard, ledger.Query{}, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = ledger.Import(ctx, strings.NewReader(export(t, s, ledger.Query{})), open(t), nil)
	require.ErrorIs(t, err, context.Canceled)
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left on device") }
