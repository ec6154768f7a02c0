package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "ledger.db")})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var attestable = inOrder().Attestable()

func attest(t testing.TB, s ledger.Store, a audit.Attestation) {
	t.Helper()
	require.NoError(t, audit.Attest(t.Context(), s, a, attestable, now))
}

func book() *audit.Book { return audit.NewBook(func() time.Time { return now }) }

func events(t testing.TB, s ledger.Store) (all []ledger.Event) {
	t.Helper()
	for e, err := range s.Events(t.Context(), ledger.Query{}) {
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

// What somebody stands for has to be there, word for word, when it is asked for.
func TestAttest_IsWhatTheBookSays(t *testing.T) {
	s, b := open(t), book()
	require.Zero(t, b.Known())
	require.NoError(t, b.Refresh(t.Context(), s))
	_, found := b.Newest("training")
	require.False(t, found)

	a := audit.Attestation{Item: "training", By: "Zoë", Evidence: "OPS-1: all were there", Note: "but Bob", Until: now.Add(60 * day)}
	attest(t, s, a)
	require.NoError(t, b.Refresh(t.Context(), s))
	got, found := b.Newest("training")
	require.True(t, found)
	a.At = now
	require.Equal(t, a, got)
	e := events(t, s)[0]
	require.Equal(t, []string{audit.Stream, audit.KindAttested, "Zoë"}, []string{e.Stream, e.Kind, e.Actor})
	require.Equal(t, now, e.Time)

	before := b.Known()
	require.NoError(t, audit.Withdraw(t.Context(), s, audit.Attestation{Item: "training", By: "bob", Note: "I was ill"}, attestable, now.Add(time.Hour)))
	require.NoError(t, b.Refresh(t.Context(), s))
	got, _ = b.Newest("training")
	require.Equal(t, audit.Attestation{Item: "training", By: "bob", Note: "I was ill", At: now.Add(time.Hour), Withdrawn: true}, got)
	require.Equal(t, a, before.Newest["training"], "what was handed out stays as it was")
	require.NotContains(t, string(events(t, s)[1].Body), "until")
}

// A word that may or may not have arrived is written again, and counts once.
func TestAttest_AgainIsHarmless(t *testing.T) {
	s := open(t)
	a := said("training", time.Minute, 60*day)
	attest(t, s, a)
	attest(t, s, a)
	require.Len(t, events(t, s), 1)
	a.Note = "and Bob"
	attest(t, s, a)
	require.Len(t, events(t, s), 2)
	w := audit.Attestation{Item: "training", By: "ada", Note: "no", At: now}
	require.NoError(t, audit.Withdraw(t.Context(), s, w, attestable, now))
	require.NoError(t, audit.Withdraw(t.Context(), s, w, attestable, now))
	require.Len(t, events(t, s), 3)
}

// What is worth nothing must not get into a ledger that an auditor reads.
func TestAttest_Refuses(t *testing.T) {
	s := open(t)
	good := said("training", 0, 60*day)
	for name, row := range map[string]struct {
		change func(*audit.Attestation)
		path   string
		text   string
	}{
		"an item that is not there":        {func(a *audit.Attestation) { a.Item = "trainings" }, "item", `nothing of the name "trainings" is attested: did you mean "training"?`},
		"an item that rests on checks":     {func(a *audit.Attestation) { a.Item = "dns-failover" }, "item", `nothing of the name "dns-failover" is attested: known are backups, training,`},
		"no item":                          {func(a *audit.Attestation) { a.Item = "" }, "item", `nothing of the name "" is attested: known are`},
		"nobody":                           {func(a *audit.Attestation) { a.By = " " }, "by", "is empty: say who stands for it"},
		"somebody to be named":             {func(a *audit.Attestation) { a.By = "TODO" }, "by", "is not filled in"},
		"somebody on two lines":            {func(a *audit.Attestation) { a.By = "ada\nbob" }, "by", "is to be one line that can be shown, without blanks around it"},
		"somebody with a very long name":   {func(a *audit.Attestation) { a.By = strings.Repeat("a", 256) }, "by", "has 256 bytes, 255 is the most"},
		"no evidence":                      {func(a *audit.Attestation) { a.Evidence = "" }, "evidence", "is empty: give what it rests on: a link, a ticket, or a few words"},
		"dots":                             {func(a *audit.Attestation) { a.Evidence = "..." }, "evidence", "is not filled in"},
		"a control character":              {func(a *audit.Attestation) { a.Evidence = "see\x1b[2Jhere" }, "evidence", "is to be one line that can be shown, without blanks around it"},
		"a link to nowhere":                {func(a *audit.Attestation) { a.Evidence = "https://" }, "evidence", "has a link in it that leads nowhere: write https://host/path"},
		"a link to a file":                 {func(a *audit.Attestation) { a.Evidence = "see file://etc/passwd" }, "evidence", "has a link in it that begins with neither http:// nor https://"},
		"a password":                       {func(a *audit.Attestation) { a.Evidence = "see https://ada:secret@wiki/" }, "evidence", "has a user or a password in it, and the ledger keeps it for ever: take it away"},
		"two lines of notes":               {func(a *audit.Attestation) { a.Note = "a\nb" }, "note", "is to be one line that can be shown, without blanks around it"},
		"no end":                           {func(a *audit.Attestation) { a.Until = time.Time{} }, "until", "say how long it counts, such as --valid-for 2160h"},
		"past":                             {func(a *audit.Attestation) { a.Until = now.Add(-time.Second) }, "until", "2026-03-01T11:59:59Z is past: it would count for nothing"},
		"now":                              {func(a *audit.Attestation) { a.Until = now }, "until", "2026-03-01T12:00:00Z is past: it would count for nothing"},
		"for ever":                         {func(a *audit.Attestation) { a.Until = now.Add(audit.MaxValidity + time.Second) }, "until", "366d is longer than a year: what nobody looks at for so long is worth nothing"},
		"for ever, by being said too soon": {func(a *audit.Attestation) { a.At = now.Add(day) }, "at", "2026-03-02T12:00:00Z has not come yet"},
	} {
		t.Run(name, func(t *testing.T) {
			a := good
			row.change(&a)
			err := audit.Attest(t.Context(), s, a, attestable, now)
			var refused *audit.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Len(t, refused.Problems, 1)
			require.Equal(t, row.path, refused.Problems[0].Path)
			require.Contains(t, refused.Problems[0].Message, row.text)
			require.ErrorContains(t, err, fmt.Sprintf("the word about %q is refused: %s: ", a.Item, row.path))
			require.NotContains(t, err.Error(), "secret")
		})
	}
	var refused *audit.RefusedError
	require.ErrorAs(t, audit.Attest(t.Context(), s, audit.Attestation{}, attestable, now), &refused)
	require.Len(t, refused.Problems, 4, "all mistakes at once: %s", refused)
	require.ErrorAs(t, audit.Withdraw(t.Context(), s, audit.Attestation{Item: "training", By: "ada"}, attestable, now), &refused)
	require.Equal(t, []audit.Problem{{Path: "note", Message: "is empty: say why it is withdrawn"}}, refused.Problems)
	require.Empty(t, events(t, s))
	require.ErrorIs(t, audit.Attest(t.Context(), nil, good, attestable, now), audit.ErrNoLedger)
}

// A page must not send its reader where a word of somebody leads to.
func TestAttestation_Link(t *testing.T) {
	for evidence, want := range map[string]string{
		"https://wiki.festivals.app/1": "https://wiki.festivals.app/1",
		"http://wiki/":                 "http://wiki/",
		"javascript:alert(1)":          "",
		"javascript://x/%0aalert(1)":   "",
		"https://ada:secret@wiki/":     "",
		"OPS-1":                        "",
		"see https://wiki/":            "",
		"https://":                     "",
		"%":                            "",
	} {
		link, ok := audit.Attestation{Evidence: evidence}.Link()
		require.Equal(t, want, link)
		require.Equal(t, want != "", ok, evidence)
	}
}

// counting tells what is read of a store, and breaks it.
type counting struct {
	ledger.Store
	events int
	broken error
}

func (c *counting) Extent(ctx context.Context) (ledger.Extent, error) {
	if c.broken != nil {
		return ledger.Extent{}, c.broken
	}
	return c.Store.Extent(ctx)
}

func (c *counting) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	return func(yield func(ledger.Event, error) bool) {
		for e, err := range c.Store.Events(ctx, q) {
			c.events++
			if !yield(e, err) {
				return
			}
		}
	}
}

// A daemon asks each minute: were it to read all each time, it would read for ever.
func TestBook_ReadsOnlyWhatIsNew(t *testing.T) {
	s, b := &counting{Store: open(t)}, book()
	for i := range 50 {
		attest(t, s, audit.Attestation{Item: "training", By: "ada", Evidence: fmt.Sprint("number ", i), Until: now.Add(60 * day)})
	}
	require.NoError(t, b.Refresh(t.Context(), s))
	require.Equal(t, 50, s.events)
	require.NoError(t, b.Refresh(t.Context(), s))
	require.Equal(t, 50, s.events, "nothing is new")
	attest(t, s, said("templates", 0, 60*day))
	require.NoError(t, b.Refresh(t.Context(), s))
	require.Equal(t, 52, s.events, "the newest that was known, and the new one")
	a, _ := b.Newest("training")
	require.Equal(t, "number 49", a.Evidence)
	require.Len(t, b.Known().Newest, 2)
}

// With the ledger gone, what was known stays known, and it is said since when.
func TestBook_LedgerGone(t *testing.T) {
	clock := now
	s, b := &counting{Store: open(t)}, audit.NewBook(func() time.Time { return clock })
	attest(t, s, said("training", 0, 60*day))
	require.NoError(t, b.Refresh(t.Context(), s))

	s.broken, clock = errGone, now.Add(time.Hour)
	require.ErrorIs(t, b.Refresh(t.Context(), s), errGone)
	got := b.Known()
	require.Equal(t, now, got.AsOf)
	require.ErrorIs(t, got.Unknown, errGone)
	require.ErrorContains(t, got.Unknown, "read the attestations")
	require.Len(t, got.Newest, 1)

	s.broken = nil
	require.NoError(t, b.Refresh(t.Context(), s))
	require.Equal(t, clock, b.Known().AsOf)
	require.NoError(t, b.Known().Unknown)

	require.ErrorIs(t, b.Refresh(t.Context(), nil), audit.ErrNoLedger)
	require.ErrorIs(t, b.Known().Unknown, audit.ErrNoLedger)
	require.NoError(t, s.Close())
	require.Error(t, b.Refresh(t.Context(), s.Store))
}

// A reader of a page who goes away does not make the ledger unreadable; one who
// waits in vain has seen that it is.
func TestBook_CallerGone(t *testing.T) {
	s, b := open(t), book()
	require.NoError(t, b.Refresh(t.Context(), s))
	attest(t, s, said("training", 0, 60*day))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Refresh(ctx, s), context.Canceled)
	require.NoError(t, b.Known().Unknown)
	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	require.ErrorIs(t, b.Refresh(ctx, &counting{Store: s, broken: context.DeadlineExceeded}), context.DeadlineExceeded)
}

// Were the file of the ledger replaced, the words of the old one would count on.
func TestBook_AnotherLedger(t *testing.T) {
	s, b := open(t), book()
	attest(t, s, said("training", 0, 60*day))
	attest(t, s, said("backups", 0, 60*day))
	require.NoError(t, b.Refresh(t.Context(), s))
	for name, words := range map[string][]string{"empty": nil, "shorter": {"templates"}, "as long": {"templates", "contact:security-lead"}, "longer": {"templates", "contact:security-lead", "runbook:failover"}} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, b.Refresh(t.Context(), s))
			require.Len(t, b.Known().Newest, 2)
			other := open(t)
			for _, about := range words {
				attest(t, other, said(about, 0, 60*day))
			}
			require.NoError(t, b.Refresh(t.Context(), other))
			require.Len(t, b.Known().Newest, len(words))
			for _, about := range words {
				require.Contains(t, b.Known().Newest, about)
			}
		})
	}
}

// What is pruned away was read, and is no other ledger.
func TestBook_PrunedLedger(t *testing.T) {
	s, b := open(t), book()
	attest(t, s, said("training", 0, 60*day))
	require.NoError(t, b.Refresh(t.Context(), s))
	attest(t, s, said("backups", 0, 60*day))
	require.NoError(t, s.Prune(t.Context(), 1))
	require.NoError(t, b.Refresh(t.Context(), s))
	require.Len(t, b.Known().Newest, 2)
}

// One event that says nothing must not hide those after it.
func TestBook_UnreadableEvents(t *testing.T) {
	s, b := open(t), book()
	add := func(kind, body string) {
		_, err := s.Append(t.Context(), ledger.Append{Stream: audit.Stream, After: ledger.Any, Drafts: []ledger.Draft{{Time: now, Kind: kind, Actor: "x", Body: []byte(body)}}})
		require.NoError(t, err)
	}
	add("of a later drwatch", `[]`)
	require.NoError(t, b.Refresh(t.Context(), s))
	add(audit.KindAttested, `{}`)
	add(audit.KindAttested, `{"item":"training","at":"yesterday"}`)
	attest(t, s, said("training", 0, 60*day))
	var unreadable *audit.UnreadableError
	require.ErrorAs(t, b.Refresh(t.Context(), s), &unreadable)
	require.EqualError(t, unreadable, "read the attestations: 2 events count for nothing, the first is event 2: it says not what it is about")
	require.NoError(t, b.Known().Unknown)
	require.Contains(t, b.Known().Newest, "training")
	require.NoError(t, b.Refresh(t.Context(), s), "it is told once")
	add(audit.KindAttested, `{"item":"training","at":"yesterday"}`)
	require.ErrorContains(t, b.Refresh(t.Context(), s), "event 5 counts for nothing: ")
}

// The kind of the event decides, whatever the body says.
func TestBook_KindDecides(t *testing.T) {
	s, b := open(t), book()
	a := said("training", 0, 60*day)
	a.Withdrawn = true
	body, err := json.Marshal(a)
	require.NoError(t, err)
	_, err = s.Append(t.Context(), ledger.Append{Stream: audit.Stream, After: ledger.Any, Drafts: []ledger.Draft{{Time: now, Kind: audit.KindAttested, Actor: "x", Body: body}}})
	require.NoError(t, err)
	require.NoError(t, b.Refresh(t.Context(), s))
	got, _ := b.Newest("training")
	require.False(t, got.Withdrawn)
}

// Pages, metrics and the daemon read while it is refreshed.
func TestBook_ManyReaders(t *testing.T) {
	s, b := open(t), book()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for k := range 10 {
				a := audit.Attestation{Item: "training", By: "ada", Evidence: fmt.Sprintf("%d of %d", k, i), Until: now.Add(60 * day)}
				if err := audit.Attest(t.Context(), s, a, attestable, now); err != nil {
					t.Error(err)
				}
				if err := b.Refresh(t.Context(), s); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for range 100 {
				for about := range b.Known().Newest {
					b.Newest(about)
				}
			}
		})
	}
	group.Wait()
	require.NoError(t, b.Refresh(t.Context(), s))
	all := events(t, s)
	var last audit.Attestation
	require.NoError(t, json.Unmarshal(all[len(all)-1].Body, &last))
	got, _ := b.Newest("training")
	require.Equal(t, last, got)
	require.Len(t, all, 40)
}

// A ledger that cannot be written says so, and what was attested is not lost silently.
func TestAttest_LedgerGone(t *testing.T) {
	s := open(t)
	require.NoError(t, s.Close())
	err := audit.Attest(t.Context(), s, said("training", 0, day), attestable, now)
	require.ErrorContains(t, err, "attest training: ")
	var refused *audit.RefusedError
	require.NotErrorAs(t, err, &refused)
}
