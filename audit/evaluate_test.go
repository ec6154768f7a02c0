package audit_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

// What people read when all is in order, and when nothing is known: each sentence
// has to say what it rests on, and what to do.
func TestEvaluate_AsText(t *testing.T) {
	good := audit.Evaluate(inOrder(), reported(), now)
	golden(t, "in-order.golden", toldAll(good))
	require.Equal(t, readiness.Pass, good.Status)
	require.True(t, good.Ready(true))
	require.Equal(t, "shop", good.System)

	nothing := audit.Evaluate(audit.Config{}.Options(), nil, now)
	golden(t, "nothing-known.golden", toldAll(nothing))
	require.Equal(t, readiness.Unknown, nothing.Status)
	require.False(t, nothing.Ready(false))
}

// A checklist that blames the wrong item sends people to the wrong place.
func TestEvaluate_BlamesTheItemThatRestsOnIt(t *testing.T) {
	for name, row := range map[string]struct {
		subject, check string
		items          []string
	}{
		"a backup":        {"db/dumps", "locked", []string{"backups", "backups-verified"}},
		"a restore point": {"db/pitr", "fresh", []string{"backups", "backups-verified"}},
		"a standby copy":  {"db/dumps", "look", []string{"backups", "dr-region", "backups-verified"}},
		"a replica":       {"db/replica", "connected", []string{"replication", "replication-back"}},
		"a standby end":   {"api/standby", "up", []string{"dr-region"}},
		"the balancer":    {"api/targets", "healthy", []string{"dr-region"}},
		"the record":      {"api/record", "pair", []string{"dns-failover"}},
		"the resolvers":   {"api/resolvers", "leads", []string{"dns-failover"}},
		"the primary":     {"db/primary", "role", nil},
		"the primary end": {"api/primary", "up", nil},
		"the datastore":   {"db", "split-brain", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range []readiness.Status{readiness.Warn, readiness.Fail, readiness.Unknown} {
				r := reported()
				setting(r, row.subject, row.check, s)
				result := audit.Evaluate(inOrder(), r, now)
				var blamed []string
				for _, i := range result.Items {
					if i.Status == readiness.Pass {
						continue
					}
					blamed = append(blamed, i.Item)
					require.Equal(t, s, i.Status)
					require.Equal(t, audit.Rest{What: row.subject + ": " + row.check, Status: s, Evidence: "was seen to be " + s.String(), Remedy: "mend it"}, i.Rests[0])
				}
				require.Equal(t, row.items, blamed)
				want := readiness.Pass
				if len(row.items) > 0 {
					want = s
				}
				require.Equal(t, want, result.Status)
				require.Equal(t, want == readiness.Pass, result.Ready(true))
				require.Equal(t, want.Ready(), result.Ready(false))
			}
		})
	}
}

// What is not looked at must not pass because something else is.
func TestEvaluate_UnknownWhereNothingIsPicked(t *testing.T) {
	const nothing = "nothing in the file is looked at that this could rest on"
	for name, row := range map[string]struct {
		change   func(*readiness.Report)
		item     string
		status   readiness.Status
		what     string
		evidence string
		remedy   string
	}{
		"no service": {
			change: func(r *readiness.Report) { r.Services = nil }, item: "dns-failover", what: "checks", evidence: nothing,
			remedy: "add to the file what it can rest on: a part that looks at the record of the name (route53); a part that looks at where the name leads (dns)",
		},
		"no record of one service": {
			change: func(r *readiness.Report) { r.Services[0].Parts = r.Services[0].Parts[1:] }, item: "dns-failover", what: "api", evidence: nothing,
			remedy: "add to api a part that looks at the record of the name (route53)",
		},
		"a service without a standby end": {
			change: func(r *readiness.Report) { r.Services[0].Parts = r.Services[0].Parts[:3] }, item: "dr-region", what: "api", evidence: nothing,
			remedy: "add to api a part that looks at what answers there (endpoint) or the load balancer (elb) on the side of the standby",
		},
		"no backup of one datastore": {
			change: func(r *readiness.Report) { r.Datastores[1].Coverage = r.Datastores[0].Coverage }, item: "backups", what: "cache", evidence: nothing,
			remedy: "add to cache a copy of kind pitr, snapshot or backup",
		},
		"no replica at all": {
			change: func(r *readiness.Report) {
				r.Datastores[0].Copies = slices.Delete(r.Datastores[0].Copies, 1, 2)
				r.Datastores[0].Coverage = nil
			}, item: "replication", what: "checks", evidence: nothing, remedy: "add to the file what it can rest on: a copy of kind replica",
		},
		"a copy on which no check is made": {
			change: func(r *readiness.Report) { r.Datastores[0].Copies[1].Checks = nil }, item: "replication", what: "db", evidence: nothing,
			remedy: "add to db a copy of kind replica",
		},
		"no standby region": {
			change: func(r *readiness.Report) { r.StandbyRegion, r.Services = "", nil }, item: "dr-region", what: "checks", evidence: nothing,
			remedy: "add to the file what it can rest on: a part that looks at what answers there (endpoint) or the load balancer (elb) on the side of the standby; a copy on the side of the standby, with the check look",
		},
		"copies in no region where there is none": {
			change: func(r *readiness.Report) {
				r.StandbyRegion, r.Services = "", nil
				for i := range r.Datastores[0].Copies {
					r.Datastores[0].Copies[i].Region = ""
				}
			}, item: "dr-region", what: "checks", evidence: nothing,
			remedy: "add to the file what it can rest on: a part that looks at what answers there (endpoint) or the load balancer (elb) on the side of the standby; a copy on the side of the standby, with the check look",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := reported()
			row.change(r)
			i := item(t, audit.Evaluate(inOrder(), r, now), row.item)
			require.Equal(t, readiness.Unknown, i.Status)
			require.Equal(t, audit.Rest{What: row.what, Evidence: row.evidence, Remedy: row.remedy}, i.Rests[0])
		})
	}
}

// A slip of the pen in a selector would otherwise look like good order.
func TestEvaluate_SelectorsOfTheFile(t *testing.T) {
	for name, row := range map[string]struct {
		selector audit.Selector
		whats    []string // worst first
		status   readiness.Status
		remedy   string
	}{
		"one datastore":          {audit.Selector{Of: []string{"db"}, Checks: []string{"look"}}, []string{"db/primary: look", "db/replica: look", "db/pitr: look", "db/dumps: look"}, readiness.Pass, ""},
		"a datastore as a whole": {audit.Selector{Checks: []string{"split-brain"}}, []string{"db: split-brain"}, readiness.Pass, ""},
		"a side, of both kinds":  {audit.Selector{Sides: []readiness.Side{readiness.PrimarySide}, Checks: []string{"role", "up"}}, []string{"db/primary: role", "api/primary: up"}, readiness.Pass, ""},
		"a check that nobody makes": {
			audit.Selector{Checks: []string{"split-brain", "connect"}}, []string{"check connect", "db: split-brain"}, readiness.Unknown,
			`correct it in audit.items, or add to the file what it is made on: did you mean "connected"?`,
		},
		"a datastore that is not there": {
			audit.Selector{Of: []string{"api", "dbb"}, Checks: []string{"pair"}}, []string{"dbb", "api/record: pair"}, readiness.Unknown,
			`correct it in audit.items: did you mean "db"?`,
		},
		"each of those that are named": {
			audit.Selector{Of: []string{"db", "cache"}, CopyKinds: []readiness.CopyKind{readiness.Replica}, Checks: []string{"connected"}, Each: true},
			[]string{"cache", "db/replica: connected"}, readiness.Unknown, "add to cache a copy of kind replica, with the check connected",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := audit.Options{Items: []audit.Item{{Name: "x", Phase: audit.Before, Observed: []audit.Selector{row.selector}}}}
			r := reported()
			r.Datastores[1].Copies = []readiness.CopyReport{{Name: "a", Kind: readiness.Primary}}
			got := item(t, audit.Evaluate(o, r, now), "x")
			require.Equal(t, row.status, got.Status)
			require.Equal(t, row.remedy, got.Rests[0].Remedy)
			var whats []string
			for _, rest := range got.Rests {
				whats = append(whats, rest.What)
			}
			require.Equal(t, row.whats, whats)
			o.Items[0].Observed = append(o.Items[0].Observed, row.selector)
			require.Equal(t, row.status, item(t, audit.Evaluate(o, r, now), "x").Status)
		})
	}
}

// An attestation that is not worth what it seems is worse than none.
func TestEvaluate_Attested(t *testing.T) {
	withdrawn := said("training", day, 0)
	withdrawn.Withdrawn, withdrawn.Note, withdrawn.Until = true, "half the team has left", time.Time{}
	noted := said("training", day, 60*day)
	noted.Note = "all but Bob"
	const first = "go through the procedure with everybody who is on call, and attest that with the list of who was there: drwatch attest training --by ... --evidence ... --valid-for 4320h"
	const ledger = "bring the ledger back that the key ledger of the file names, or add that key"
	stale := func(age time.Duration, err error, words ...audit.Attestation) audit.Attestations {
		a := known(words...)
		a.AsOf, a.Unknown = now.Add(-age), err
		return a
	}
	for name, row := range map[string]struct {
		book     audit.Attestations
		status   readiness.Status
		evidence string
		remedy   string
	}{
		"nobody":        {known(), readiness.Unknown, "nobody has attested it", first},
		"somebody else": {known(said("templates", 0, 60*day)), readiness.Unknown, "nobody has attested it", first},
		"in force":      {known(said("training", day, 60*day)), readiness.Pass, "until 2026-04-30, attested by ada on 2026-02-28: https://wiki.festivals.app/1", ""},
		"with a note":   {known(noted), readiness.Pass, "until 2026-04-30, attested by ada on 2026-02-28: https://wiki.festivals.app/1 (all but Bob)", ""},
		"longer than the item lets it": {
			known(said("training", 180*day, 60*day)), readiness.Unknown, "lapsed 0s ago, attested by ada on 2025-09-02: https://wiki.festivals.app/1", first,
		},
		"lapses in 13 days":              {known(said("training", 150*day, 13*day)), readiness.Warn, "lapses in 13d, attested by ada on 2025-10-02: https://wiki.festivals.app/1", first},
		"lapses in 15 days":              {known(said("training", 140*day, 15*day)), readiness.Pass, "until 2026-03-16, attested by ada on 2025-10-12: https://wiki.festivals.app/1", ""},
		"lapses in a tenth of its time":  {known(said("training", 9*day, day)), readiness.Warn, "lapses in 1d, attested by ada on 2026-02-20: https://wiki.festivals.app/1", first},
		"lapses in more than that":       {known(said("training", 9*day, day+time.Hour)), readiness.Pass, "until 2026-03-02, attested by ada on 2026-02-20: https://wiki.festivals.app/1", ""},
		"lapses now":                     {known(said("training", 9*day, 0)), readiness.Unknown, "lapsed 0s ago, attested by ada on 2026-02-20: https://wiki.festivals.app/1", first},
		"lapsed":                         {known(said("training", 9*day, -3*day)), readiness.Unknown, "lapsed 3d ago, attested by ada on 2026-02-20: https://wiki.festivals.app/1", first},
		"withdrawn":                      {known(withdrawn), readiness.Unknown, "withdrawn by ada on 2026-02-28 (half the team has left)", first},
		"said tomorrow":                  {known(said("training", -day, 60*day)), readiness.Unknown, "by ada on 2026-03-02, which has not come yet: the clocks disagree", first},
		"never read":                     {audit.Attestations{}, readiness.Unknown, "what was attested cannot be read: nobody has read it yet", ledger},
		"no ledger":                      {audit.Attestations{Unknown: audit.ErrNoLedger}, readiness.Unknown, "what was attested cannot be read: there is no ledger: add the key ledger to the file", ledger},
		"ledger gone for an hour":        {stale(time.Hour, errGone, said("training", day, 60*day)), readiness.Warn, "until 2026-04-30, attested by ada on 2026-02-28: https://wiki.festivals.app/1 (as of 1h ago; what was attested cannot be read since: the ledger is in use by another process)", ledger},
		"ledger gone, and lapsed":        {stale(time.Hour, errGone, said("training", 9*day, -3*day)), readiness.Unknown, "lapsed 3d ago, attested by ada on 2026-02-20: https://wiki.festivals.app/1 (as of 1h ago; what was attested cannot be read since: the ledger is in use by another process)", ledger},
		"ledger gone, and nobody said":   {stale(time.Hour, errGone), readiness.Unknown, "nobody has attested it (as of 1h ago; what was attested cannot be read since: the ledger is in use by another process)", ledger},
		"ledger gone for two days":       {stale(2*day, errGone, said("training", 3*day, 60*day)), readiness.Unknown, "until 2026-04-30, attested by ada on 2026-02-26: https://wiki.festivals.app/1 (as of 2d ago; what was attested cannot be read since: the ledger is in use by another process)", ledger},
		"nobody has read it for two day": {stale(2*day, nil, said("training", 3*day, 60*day)), readiness.Unknown, "until 2026-04-30, attested by ada on 2026-02-26: https://wiki.festivals.app/1 (as of 2d ago; what was attested cannot be read since)", ledger},
	} {
		t.Run(name, func(t *testing.T) {
			o := inOrder()
			o.Attestations = row.book
			i := item(t, audit.Evaluate(o, reported(), now), "training")
			require.Len(t, i.Rests, 1)
			require.Equal(t, row.evidence, i.Rests[0].Evidence)
			require.Equal(t, row.status, i.Status)
			require.Equal(t, row.remedy, i.Rests[0].Remedy)
			require.Equal(t, row.status.Ready(), i.Attestation != nil)
			require.Equal(t, i.Rests[0].Lapses, i.Lapses)
		})
	}
}

// An item that rests on checks and on a person needs both.
func TestEvaluate_ObservedAndAttested(t *testing.T) {
	o := inOrder()
	delete(o.Attestations.Newest, "backups")
	i := item(t, audit.Evaluate(o, reported(), now), "backups")
	require.Equal(t, readiness.Unknown, i.Status)
	require.Equal(t, "attestation", i.Rests[0].What)
	require.Equal(t, "restore a backup of each datastore somewhere else, compare what came back, and attest that: drwatch attest backups --by ... --evidence ... --valid-for 2160h", i.Rests[0].Remedy)

	r := reported()
	setting(r, "db/dumps", "fresh", readiness.Fail)
	i = item(t, audit.Evaluate(o, r, now), "backups")
	require.Equal(t, readiness.Fail, i.Status)
	require.Equal(t, "db/dumps: fresh", i.Rests[0].What)
	require.Equal(t, "attestation", i.Rests[1].What)
}

// A runbook that is followed in the night and names what is gone costs the hour that
// was promised.
func TestEvaluate_Runbooks(t *testing.T) {
	base := audit.Runbook{Name: "failover", File: "failover.md", Within: 100 * day}
	with := func(change func(*audit.Runbook)) audit.Runbook { r := base; change(&r); return r }
	changed := func(ago time.Duration) audit.File { return audit.File{Changed: now.Add(-ago)} }
	const about = "runbook:failover"
	const goThrough = "go through it and change what is not true any more, or exercise it: drwatch attest runbook:failover --by ... --evidence ... --valid-for 2400h"
	withdrawn := said(about, 0, 0)
	withdrawn.Withdrawn = true
	gone := known()
	gone.Unknown = errGone
	old := known(said(about, 3*day, 50*day))
	old.AsOf, old.Unknown = now.Add(-2*day), errGone
	for name, row := range map[string]struct {
		runbook  audit.Runbook
		file     *audit.File
		book     audit.Attestations
		status   readiness.Status
		what     string
		evidence string
		remedy   string
	}{
		"changed lately":   {base, new(changed(day)), known(), readiness.Pass, "file", "failover.md can be read", ""},
		"no file":          {base, &audit.File{Err: errors.New("open failover.md: no such file")}, known(said(about, day, 50*day)), readiness.Fail, "file", "open failover.md: no such file", "put the runbook where drwatch can read it, or correct its file in audit.runbooks"},
		"not looked at":    {base, nil, known(said(about, day, 50*day)), readiness.Unknown, "file", "nobody has looked at failover.md", "give the file of the runbook in audit.runbooks"},
		"changed long ago": {base, new(changed(101 * day)), known(), readiness.Fail, "current", "changed 101d ago, which counts for 100d; an exercise: nobody has attested it", goThrough},
		"changed long ago, as far as is known": {base, new(changed(101 * day)), audit.Attestations{Unknown: errGone}, readiness.Unknown, "current", "changed 101d ago, which counts for 100d; an exercise: what was attested cannot be read: the ledger is in use by another process",
			"bring the ledger back that the key ledger of the file names, or add that key"},
		"changed a while ago":          {base, new(changed(91 * day)), known(), readiness.Warn, "current", "changed 91d ago, which counts for 100d", goThrough},
		"changed lately, ledger gone":  {base, new(changed(day)), gone, readiness.Pass, "file", "failover.md can be read", ""},
		"both, and the ledger is gone": {base, new(changed(day)), old, readiness.Pass, "file", "failover.md can be read", ""},
		"exercised lately":             {base, new(changed(300 * day)), known(said(about, day, 50*day)), readiness.Pass, "file", "failover.md can be read", ""},
		"exercised long ago":           {base, new(changed(300 * day)), known(said(about, 120*day, 50*day)), readiness.Fail, "current", "lapsed 20d ago, attested by ada on 2025-11-01: https://wiki.festivals.app/1", goThrough},
		"exercise withdrawn":           {base, new(changed(101 * day)), known(withdrawn), readiness.Fail, "current", "changed 101d ago, which counts for 100d; an exercise: withdrawn by ada on 2026-03-01", goThrough},
		"changed in the future":        {base, new(changed(-2 * day)), known(), readiness.Unknown, "current", "its file was changed on 2026-03-03, which has not come yet; nobody has attested it", goThrough},
		"no time of change":            {base, &audit.File{}, known(said(about, day, 50*day)), readiness.Pass, "file", "failover.md can be read", ""},
		"90 days where nothing is said": {
			with(func(r *audit.Runbook) { r.Within = 0 }), new(changed(91 * day)), known(), readiness.Fail, "current", "changed 91d ago, which counts for 90d; an exercise: nobody has attested it",
			"go through it and change what is not true any more, or exercise it: drwatch attest runbook:failover --by ... --evidence ... --valid-for 2160h",
		},
		"touches what is there": {with(func(r *audit.Runbook) { r.Touches = []string{"db", "db/replica", "api", "api/standby", "worker"} }), new(changed(day)), known(), readiness.Pass, "file", "failover.md can be read", ""},
		"touches what is gone": {with(func(r *audit.Runbook) { r.Touches = []string{"db/replika", "mainframe"} }), new(changed(day)), known(), readiness.Fail, "names", `"db/replika" is not in the file: did you mean "db/replica"?; "mainframe" is not in the file`,
			"change the runbook to what there is now, and its touches in audit.runbooks with it"},
	} {
		t.Run(name, func(t *testing.T) {
			o := inOrder()
			o.Runbooks, o.Attestations, o.Names = []audit.Runbook{row.runbook}, row.book, []string{"worker"}
			o.Files = nil
			if row.file != nil {
				o.Files = map[string]audit.File{row.runbook.File: *row.file}
			}
			i := item(t, audit.Evaluate(o, reported(), now), "runbooks")
			require.Len(t, i.Rests, 3)
			require.Equal(t, row.evidence, i.Rests[0].Evidence)
			require.Equal(t, "runbook failover: "+row.what, i.Rests[0].What)
			require.Equal(t, row.status, i.Status)
			require.Equal(t, row.remedy, i.Rests[0].Remedy)
		})
	}
	o := inOrder()
	o.Runbooks[0].Touches, o.Names = []string{"db"}, nil
	i := item(t, audit.Evaluate(o, nil, now), "runbooks")
	require.Equal(t, readiness.Unknown, i.Status, "what there is is not known: %s", told(i))
}

// Whoever is called in the night has to have a number, and to be still there.
func TestEvaluate_Contacts(t *testing.T) {
	const confirm = "reach them by what the file says, and attest that they answered: drwatch attest contact:security-lead --by ... --evidence ... --valid-for "
	for name, row := range map[string]struct {
		change   func(*audit.Options)
		status   readiness.Status
		what     string
		evidence string
		remedy   string
	}{
		"all there": {func(*audit.Options) {}, readiness.Pass, "contact incident-commander: reachable", "Ada Lovelace by phone, mail", ""},
		"nobody": {func(o *audit.Options) { o.Contacts = nil }, readiness.Unknown, "contacts", "the file names nobody",
			"name in audit.contacts who has each role, and how to reach them: incident-commander, database-lead, infrastructure-lead, communications-lead, security-lead"},
		"a role that nobody has": {func(o *audit.Options) { o.Contacts = o.Contacts[:4] }, readiness.Fail, "contact security-lead", "nobody has this role", "name in audit.contacts who has it, and how to reach them"},
		"another role":           {func(o *audit.Options) { o.Roles = append(o.Roles, "press-officer") }, readiness.Fail, "contact press-officer", "nobody has this role", "name in audit.contacts who has it, and how to reach them"},
		"no name":                {func(o *audit.Options) { o.Contacts[4].Name = "TBD" }, readiness.Fail, "contact security-lead: reachable", "it is not said who it is", "give the name in audit.contacts"},
		"no means":               {func(o *audit.Options) { o.Contacts[4].Means = nil }, readiness.Fail, "contact security-lead: reachable", "Ada Lovelace cannot be reached: no means are given", "give at least one of the means phone, mail, pager or chat in audit.contacts"},
		"no means that is one":   {func(o *audit.Options) { o.Contacts[4].Means = []string{"phone:4711", "mail:TODO"} }, readiness.Fail, "contact security-lead: reachable", "Ada Lovelace cannot be reached: phone: begins with + and the country, so that it can be called from anywhere; mail: is not filled in", "correct the means in audit.contacts"},
		"one means that is none": {func(o *audit.Options) { o.Contacts[4].Means[0] = "phone:4711" }, readiness.Warn, "contact security-lead: reachable", "Ada Lovelace by mail; but phone: begins with + and the country, so that it can be called from anywhere", "correct the means in audit.contacts"},
		"not confirmed":          {func(o *audit.Options) { delete(o.Attestations.Newest, "contact:security-lead") }, readiness.Unknown, "contact security-lead: confirmed", "nobody has attested it", confirm + "2160h"},
		"confirmed long ago": {func(o *audit.Options) {
			o.Attestations.Newest["contact:security-lead"] = said("contact:security-lead", 100*day, 100*day)
		}, readiness.Unknown, "contact security-lead: confirmed", "lapsed 10d ago, attested by ada on 2025-11-21: https://wiki.festivals.app/1", confirm + "2160h"},
		"confirmed a while ago": {func(o *audit.Options) {
			o.Attestations.Newest["contact:security-lead"] = said("contact:security-lead", 85*day, 100*day)
		}, readiness.Warn, "contact security-lead: confirmed", "lapses in 5d, attested by ada on 2025-12-06: https://wiki.festivals.app/1", confirm + "2160h"},
		"the shortest of two": {func(o *audit.Options) {
			deputy := o.Contacts[4]
			deputy.Within = 30 * day
			o.Contacts = append(o.Contacts, deputy)
			o.Attestations.Newest["contact:security-lead"] = said("contact:security-lead", 31*day, 100*day)
		}, readiness.Unknown, "contact security-lead: confirmed", "lapsed 1d ago, attested by ada on 2026-01-29: https://wiki.festivals.app/1", confirm + "720h"},
	} {
		t.Run(name, func(t *testing.T) {
			o := inOrder()
			row.change(&o)
			i := item(t, audit.Evaluate(o, reported(), now), "contacts")
			require.Equal(t, row.evidence, i.Rests[0].Evidence)
			require.Equal(t, row.what, i.Rests[0].What)
			require.Equal(t, row.status, i.Status)
			require.Equal(t, row.remedy, i.Rests[0].Remedy)
		})
	}
}

// Results go into a ledger that forgets nothing: numbers of people do not.
func TestEvaluate_TellsNoNumbers(t *testing.T) {
	text, err := json.Marshal(audit.Evaluate(inOrder(), reported(), now))
	require.NoError(t, err)
	require.NotContains(t, string(text), "901820")
	require.NotContains(t, string(text), "ada@")
	require.NotContains(t, string(text), `"0001-`)
	var again audit.Result
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, audit.Evaluate(inOrder(), reported(), now), again)
}

// An alert has to come before the first of the things lapses.
func TestEvaluate_LapsesWithTheFirst(t *testing.T) {
	o := inOrder()
	o.Files["failover.md"] = audit.File{Changed: now.Add(-10 * day)}
	o.Attestations.Newest["contact:database-lead"] = said("contact:database-lead", day, 20*day)
	r := audit.Evaluate(o, reported(), now)
	require.Equal(t, now.Add(80*day), item(t, r, "runbooks").Lapses)
	require.Equal(t, now.Add(20*day), item(t, r, "contacts").Lapses)
	require.Equal(t, now.Add(60*day), item(t, r, "backups").Lapses)
	require.Zero(t, item(t, r, "replication").Lapses)
}

// What is due in a disaster is in nobody's way before it.
func TestEvaluate_OnlyTheFirstPhaseCounts(t *testing.T) {
	o := inOrder()
	for _, i := range o.Items {
		if i.Phase != audit.Before {
			delete(o.Attestations.Newest, i.Name)
		}
	}
	o.Items = append([]audit.Item{{Name: "odd", Phase: "later"}}, o.Items...)
	r := audit.Evaluate(o, reported(), now)
	require.Equal(t, "odd", r.Items[0].Item)
	require.Equal(t, readiness.Unknown, r.Status, "an item of no known phase is not lost")
	o.Items = o.Items[1:]
	slices.Reverse(o.Items)
	r = audit.Evaluate(o, reported(), now)
	require.Equal(t, readiness.Pass, r.Status)
	require.Equal(t, []string{"templates", "incident-declared", "lessons-learned"}, []string{r.Items[0].Item, r.Items[15].Item, r.Items[16].Item})
	require.Equal(t, readiness.Unknown, item(t, r, "incident-declared").Status)
	require.Equal(t, readiness.Unknown, audit.Evaluate(audit.Options{}, reported(), now).Status, "an empty checklist proves nothing")
}

func severity(s readiness.Status) int {
	return map[readiness.Status]int{readiness.Pass: 0, readiness.Warn: 1, readiness.Unknown: 2, readiness.Fail: 3}[s]
}

// anyAudit draws a system, and what people have said, in any state.
func anyAudit(t *rapid.T) (audit.Options, *readiness.Report) {
	o, r := inOrder(), reported()
	o.Roles = o.Roles[:2] // few, so that each is often in order
	o.Contacts = o.Contacts[:2]
	for _, c := range r.Checks() {
		if rapid.IntRange(0, 9).Draw(t, "state of "+c.Subject) == 0 {
			setting(r, c.Subject, c.Name, rapid.SampledFrom(readiness.Statuses()).Draw(t, c.Name))
		}
	}
	days := func(least, most int, label string) time.Duration {
		return time.Duration(rapid.IntRange(least, most).Draw(t, label)) * day
	}
	for _, about := range slices.Sorted(maps.Keys(o.Attestations.Newest)) {
		switch rapid.IntRange(0, 9).Draw(t, about) {
		case 0:
			delete(o.Attestations.Newest, about)
		case 1:
			a := said(about, day, 0)
			a.Withdrawn = true
			o.Attestations.Newest[about] = a
		default:
			o.Attestations.Newest[about] = said(about, days(0, 200, "said"), days(-10, 200, "left"))
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "ledger") == 0 {
		o.Attestations.Unknown = errGone
		o.Attestations.AsOf = now.Add(-days(0, 2, "as of"))
	}
	o.Files["failover.md"] = audit.File{Changed: now.Add(-days(-1, 100, "changed"))}
	return o, r
}

// The promise of a checklist: it is never better than what it rests on, and nothing
// that is not known is ready.
func TestEvaluate_NeverBetterThanItsWorstRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, r := anyAudit(t)
		result := audit.Evaluate(o, r, now)
		worst := readiness.Pass
		for _, i := range result.Items {
			require.NotEmpty(t, i.Rests)
			for k, rest := range i.Rests {
				require.LessOrEqual(t, severity(rest.Status), severity(i.Status), told(i))
				require.False(t, rest.Status == readiness.Unknown && i.Status.Ready(), told(i))
				require.NotEmpty(t, rest.Evidence)
				require.Equal(t, rest.Status != readiness.Pass, rest.Remedy != "", told(i))
				if k > 0 {
					require.LessOrEqual(t, severity(rest.Status), severity(i.Rests[k-1].Status), "worst first")
				}
			}
			if i.Phase == audit.Before && severity(i.Status) > severity(worst) {
				worst = i.Status
			}
		}
		require.Equal(t, worst, result.Status)
		require.False(t, result.Ready(true) && !result.Ready(false))
	})
}

// Nobody has to say anything for an item to become worse, and it never becomes
// better by itself.
func TestEvaluate_TimeOnlyMakesItWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, r := anyAudit(t)
		o.Files["failover.md"] = audit.File{Changed: now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "changed")) * day)}
		hours := func(label string) time.Duration {
			return time.Duration(rapid.IntRange(0, 24*100).Draw(t, label)) * time.Hour
		}
		sooner := now.Add(hours("sooner"))
		later := sooner.Add(hours("later"))
		was, is := audit.Evaluate(o, r, sooner), audit.Evaluate(o, r, later)
		for k := range was.Items {
			require.False(t, is.Items[k].Status.Ready() && !was.Items[k].Status.Ready(), "%s\nlater\n%s", told(was.Items[k]), told(is.Items[k]))
			require.False(t, is.Items[k].Status == readiness.Pass && was.Items[k].Status != readiness.Pass, told(is.Items[k]))
		}
	})
}

// That nobody can read what was attested never makes anything better.
func TestEvaluate_WithoutTheLedgerNothingIsBetter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, r := anyAudit(t)
		o.Attestations.Unknown = nil
		o.Attestations.AsOf = now
		with := audit.Evaluate(o, r, now)
		o.Attestations.Unknown = errGone
		if rapid.Bool().Draw(t, "never read") {
			o.Attestations.AsOf, o.Attestations.Newest = time.Time{}, nil
		}
		without := audit.Evaluate(o, r, now)
		for k := range with.Items {
			require.False(t, without.Items[k].Status.Ready() && severity(without.Items[k].Status) < severity(with.Items[k].Status), told(without.Items[k]))
		}
	})
}
