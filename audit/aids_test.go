package audit_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

const day = 24 * time.Hour

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var errGone = errors.New("the ledger is in use by another process")

// reported is what drwatch sees of a system in good order: a database, a cache of
// which nothing is promised, and a service that has to move.
func reported() *readiness.Report {
	checks := func(subject string, names ...string) (all []readiness.Check) {
		for _, name := range names {
			all = append(all, readiness.Check{Name: name, Subject: subject, Status: readiness.Pass, Evidence: "seen"})
		}
		return all
	}
	copyOf := func(name string, kind readiness.CopyKind, region string, names ...string) readiness.CopyReport {
		return readiness.CopyReport{Name: name, Kind: kind, Region: region, Checks: checks("db/"+name, append(names, "look")...)}
	}
	part := func(name string, kind readiness.PartKind, side readiness.Side, names ...string) readiness.PartReport {
		return readiness.PartReport{Name: name, Kind: kind, Side: side, Checks: checks("api/"+name, append(names, "look")...)}
	}
	return &readiness.Report{
		At: now, System: "shop", PrimaryRegion: "west", StandbyRegion: "central",
		Datastores: []readiness.DatastoreReport{
			{
				Name: "db", Checks: checks("db", "split-brain"), Coverage: []readiness.Coverage{{Scenario: readiness.RegionFailure}},
				Copies: []readiness.CopyReport{
					copyOf("primary", readiness.Primary, "west", "role"),
					copyOf("replica", readiness.Replica, "central", "connected"),
					copyOf("pitr", readiness.PITR, "west", "fresh"),
					copyOf("dumps", readiness.Backup, "central", "fresh", "locked"),
				},
			},
			{Name: "cache"},
		},
		Services: []readiness.ServiceReport{{
			Name: "api", Parts: []readiness.PartReport{
				part("record", readiness.Record, "", "pair"),
				part("resolvers", readiness.Resolution, "", "leads"),
				part("primary", readiness.Endpoint, readiness.PrimarySide, "up"),
				part("standby", readiness.Endpoint, readiness.StandbySide, "up"),
				part("targets", readiness.Balancer, readiness.StandbySide, "healthy"),
			},
		}},
	}
}

// setting gives a check of the report another state.
func setting(r *readiness.Report, subject, check string, s readiness.Status) {
	set := func(all []readiness.Check) {
		for i := range all {
			if all[i].Subject == subject && all[i].Name == check {
				all[i] = readiness.Check{Name: check, Subject: subject, Status: s, Evidence: "was seen to be " + s.String()}
				if s != readiness.Pass {
					all[i].Remedy = "mend it"
				}
			}
		}
	}
	for _, d := range r.Datastores {
		set(d.Checks)
		for _, c := range d.Copies {
			set(c.Checks)
		}
	}
	for _, s := range r.Services {
		for _, p := range s.Parts {
			set(p.Checks)
		}
	}
}

// said is the word of a person, of so long ago, that lapses in so long.
func said(about string, ago, left time.Duration) audit.Attestation {
	return audit.Attestation{Item: about, By: "ada", Evidence: "https://wiki.festivals.app/1", At: now.Add(-ago), Until: now.Add(left)}
}

// known is a book with these words in it, read just now.
func known(words ...audit.Attestation) audit.Attestations {
	a := audit.Attestations{Newest: make(map[string]audit.Attestation), AsOf: now}
	for _, w := range words {
		a.Newest[w.Item] = w
	}
	return a
}

// inOrder is an audit of which nothing is in the way.
func inOrder() audit.Options {
	o := audit.Config{
		Runbooks: []audit.Runbook{{Name: "failover", File: "failover.md", Touches: []string{"db/replica", "api"}}},
		Contacts: contacts(),
	}.Options()
	var words []audit.Attestation
	for _, name := range o.Attestable() {
		words = append(words, said(name, time.Minute, 60*day))
	}
	o.Attestations = known(words...)
	o.Files = map[string]audit.File{"failover.md": {Changed: now.Add(-day)}}
	return o
}

func contacts() (all []audit.Contact) {
	for _, role := range audit.Roles() {
		all = append(all, audit.Contact{Role: role, Name: "Ada Lovelace", Means: []string{"phone:+49 30 901820", "mail:ada@festivals.app"}})
	}
	return all
}

func item(t testing.TB, r audit.Result, name string) audit.ItemResult {
	t.Helper()
	i := slices.IndexFunc(r.Items, func(i audit.ItemResult) bool { return i.Item == name })
	require.GreaterOrEqual(t, i, 0, "there is no item %s", name)
	return r.Items[i]
}

// told writes an item as people would read it.
func told(i audit.ItemResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-7s %-13s %-21s %s\n", i.Status, i.Phase, i.Item, i.Title)
	for _, rest := range i.Rests {
		fmt.Fprintf(&b, "        %-7s %s: %s\n", rest.Status, rest.What, rest.Evidence)
		if rest.Remedy != "" {
			fmt.Fprintf(&b, "                -> %s\n", rest.Remedy)
		}
	}
	return b.String()
}

func toldAll(r audit.Result) string {
	var b strings.Builder
	for _, i := range r.Items {
		b.WriteString(told(i))
	}
	return b.String()
}
