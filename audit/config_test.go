package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

func parse(t testing.TB, text string) (c audit.Config) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&c))
	return c
}

const file = `
items:
  - name: dns-failover
    observed: []
    attested: 8760h
    remedy: ask the network team
  - name: backups
    attested: never
  - name: templates
    title: Templates ready, in three languages
    attested: 720h
  - name: payment-provider
    title: Payment provider told of the standby
    observed: [{ of: [api], checks: [up] }]
    attested: 4320h
  - { name: cloud-called, title: Cloud provider called, phase: during, attested: 24h }
roles: [incident-commander, press-officer]
runbooks:
  - { name: failover, file: runbooks/failover.md, touches: [db/replica, api], within: 720h }
  - { name: failback, file: /srv/failback.md }
contacts:
  - { role: incident-commander, name: Ada Lovelace, means: ["phone:+49 30 901820", "chat:#incidents"], within: 720h }
  - { role: press-officer, name: Charles Babbage, means: ["mail:press@festivals.app"] }
`

// What the file says takes the place of a default, and nothing else does.
func TestConfig_Options(t *testing.T) {
	c := parse(t, file)
	require.Empty(t, c.Validate(audit.Exists{Of: []string{"db", "api"}, Checks: []string{"up"}}))
	o := c.Options()
	want := audit.Defaults()
	at := make(map[string]*audit.Item)
	for i := range want {
		at[want[i].Name] = &want[i]
	}
	at["dns-failover"].Observed, at["dns-failover"].Attested, at["dns-failover"].Remedy = []audit.Selector{}, 365*day, "ask the network team"
	at["backups"].Attested = 0
	at["templates"].Title, at["templates"].Attested = "Templates ready, in three languages", 30*day
	want = append(want,
		audit.Item{Name: "payment-provider", Phase: audit.Before, Title: "Payment provider told of the standby", Observed: []audit.Selector{{Of: []string{"api"}, Checks: []string{"up"}}}, Attested: 180 * day},
		audit.Item{Name: "cloud-called", Phase: audit.During, Title: "Cloud provider called", Attested: day},
	)
	require.Equal(t, want, o.Items)
	require.Equal(t, []string{"incident-commander", "press-officer"}, o.Roles)
	require.Equal(t, []time.Duration{30 * day, 90 * day}, []time.Duration{o.Runbooks[0].Within, o.Runbooks[1].Within})
	require.Equal(t, []time.Duration{30 * day, 90 * day}, []time.Duration{o.Contacts[0].Within, o.Contacts[1].Within})
	require.Zero(t, c.Runbooks[1].Within, "the configuration stays as it is")
	require.NotContains(t, o.Attestable(), "backups")
	require.Subset(t, o.Attestable(), []string{"dns-failover", "payment-provider", "runbook:failback", "contact:press-officer"})

	empty := audit.Config{}
	require.Empty(t, empty.Validate(audit.Exists{}))
	require.Equal(t, audit.Defaults(), empty.Options().Items)
	require.Equal(t, audit.Roles(), empty.Options().Roles)
}

// A mistake that is not told would be found in the night of the disaster.
func TestConfig_Mistakes(t *testing.T) {
	for text, want := range map[string]string{
		`items: [{ name: Backups, title: x, attested: 1h }]`:                                          `items[0].name: "Backups" is not a name: up to 63 small letters and digits, with dashes between them`,
		`items: [{ name: "contact:x", title: x, attested: 1h }]`:                                      `items[0].name: "contact:x" is not a name: up to 63 small letters and digits, with dashes between them`,
		`items: [{ name: backups, title: x }, { name: backups, title: y }]`:                           `items[1].name: "backups" is there already`,
		`items: [{ name: backup, attested: 1h }]`:                                                     `items[0].title: is missing: there is no item "backup" yet, and a new one needs a title: did you mean "backups"?`,
		`items: [{ name: x, title: x, phase: after, attested: 1h }]`:                                  `items[0].phase: "after" is not known: write one of pre-disaster, during or post-disaster`,
		`items: [{ name: training, attested: 90d }]`:                                                  `items[0].attested: "90d" is neither a duration, such as 2160h, nor never`,
		`items: [{ name: training, attested: 0s }]`:                                                   `items[0].attested: must be longer than zero; write never where nobody has to attest it`,
		`items: [{ name: training, attested: 9000h }]`:                                                `items[0].attested: 9000h is longer than a year: what nobody looks at for so long is worth nothing`,
		`items: [{ name: training, attested: never }]`:                                                `items[0]: "training" rests on nothing: add observed, attested, or both`,
		`items: [{ name: replication, observed: [] }]`:                                                `items[0]: "replication" rests on nothing: add observed, attested, or both`,
		`items: [{ name: x, title: x }]`:                                                              `items[0]: "x" rests on nothing: add observed, attested, or both`,
		`items: [{ name: x, title: x, observed: [{}] }]`:                                              `items[0].observed[0]: would pick every check that there is: say copy_kinds, part_kinds, sides, of or checks`,
		`items: [{ name: x, title: x, observed: [{ copy_kinds: [replika] }] }]`:                       `items[0].observed[0].copy_kinds: "replika" is not known: did you mean "replica"?`,
		`items: [{ name: x, title: x, observed: [{ part_kinds: [zone] }] }]`:                          `items[0].observed[0].part_kinds: "zone" is not known: known are record, resolution, endpoint, balancer`,
		`items: [{ name: x, title: x, observed: [{ sides: [stand-by] }] }]`:                           `items[0].observed[0].sides: "stand-by" is not known: did you mean "standby"?`,
		`items: [{ name: x, title: x, observed: [{ of: [dbb] }] }]`:                                   `items[0].observed[0].of: "dbb" is not known: did you mean "db"?`,
		`items: [{ name: x, title: x, observed: [{ checks: [upp] }] }]`:                               `items[0].observed[0].checks: "upp" is not known: did you mean "up"?`,
		`items: [{ name: x, title: x, observed: [{ copy_kinds: [replica], part_kinds: [record] }] }]`: `items[0].observed[0].part_kinds: nothing is a copy and a part: make two items of the list of it`,
		`items: [{ name: x, title: x, observed: [{ checks: [up], each: true }] }]`:                    `items[0].observed[0].each: say of what there has to be one: copy_kinds, part_kinds or of`,
		`roles: [Boss]`:                                                                     `roles[0]: "Boss" is not a name: up to 63 small letters and digits, with dashes between them`,
		`roles: [boss, boss]`:                                                               `roles[1]: "boss" is there already`,
		`runbooks: [{ name: a b, file: x }]`:                                                `runbooks[0].name: "a b" is not a name: up to 63 letters and digits, with dots, dashes and underscores between them`,
		`runbooks: [{ name: a, file: x }, { name: a, file: y }]`:                            `runbooks[1].name: "a" is there already`,
		`runbooks: [{ name: a }]`:                                                           `runbooks[0].file: is empty: say where the runbook is`,
		`runbooks: [{ name: a, file: x, touches: [""] }]`:                                   `runbooks[0].touches[0]: is empty: write datastore, service, datastore/copy or service/part`,
		`runbooks: [{ name: a, file: x, within: -1h }]`:                                     `runbooks[0].within: -1h is not between zero and a year`,
		`contacts: [{ role: security-led, name: Ada, means: ["chat:#a"] }]`:                 `contacts[0].role: "security-led" is none of the roles: did you mean "security-lead"?`,
		`contacts: [{ role: security-lead, name: " ", means: ["chat:#a"] }]`:                `contacts[0].name: is not filled in: say who has the role`,
		`contacts: [{ role: security-lead, name: Ada }]`:                                    `contacts[0].means: is missing: give at least one of the means phone, mail, pager or chat`,
		`contacts: [{ role: security-lead, name: Ada, means: ["chat:#a", "fax:1"] }]`:       `contacts[0].means[1]: begins with none of phone:, mail:, pager: or chat:`,
		`contacts: [{ role: security-lead, name: Ada, means: ["chat:#a"], within: 9000h }]`: `contacts[0].within: 9000h is not between zero and a year`,
	} {
		found := parse(t, text).Validate(audit.Exists{Of: []string{"db", "api"}, Checks: []string{"up", "look"}})
		require.Len(t, found, 1, text)
		require.Equal(t, want, found[0].Path+": "+found[0].Message, text)
	}
	require.Empty(t, parse(t, `items: [{ name: x, title: x, observed: [{ of: [later], checks: [later] }] }]`).Validate(audit.Exists{}), "what is not known is not held against it")
}

// A means that reaches nobody is found out before the night of the disaster.
func TestParseMeans(t *testing.T) {
	for text, want := range map[string]string{
		"phone:+49 30 901820":         "phone:+4930901820",
		"phone: +1 (212) 555-0100":    "phone:+12125550100",
		"mail:ada@festivals.app":      "mail:ada@festivals.app",
		"pager:festivals-on-call":     "pager:festivals-on-call",
		"chat:#incidents":             "chat:#incidents",
		"chat:https://chat.app/a?b=1": "chat:https://chat.app/a?b=1",
	} {
		m, err := audit.ParseMeans(text)
		require.NoError(t, err, text)
		require.Equal(t, want, m.String())
	}
	for text, want := range map[string]string{
		"":                                 "begins with none of phone:, mail:, pager: or chat:",
		"+49 30 901820":                    "begins with none of phone:, mail:, pager: or chat:",
		"Phone:+49 30 901820":              "begins with none of phone:, mail:, pager: or chat:",
		"phone:":                           "phone: is empty",
		"phone:+49 ...":                    "phone: is not filled in",
		"phone:030 901820":                 "phone: begins with + and the country, so that it can be called from anywhere",
		"phone:+0 30 901820":               "phone: is no number: + and 7 to 15 digits, with spaces between them as you like",
		"phone:+49 30 90ab":                "phone: is no number: + and 7 to 15 digits, with spaces between them as you like",
		"phone:+1234567890123456":          "phone: is no number: + and 7 to 15 digits, with spaces between them as you like",
		"mail:ada":                         "mail: is no address: write ada@festivals.app",
		"mail:Ada <ada@a.app>":             "mail: is no address: write ada@festivals.app",
		"mail:ada@example.com":             "mail: is in a domain that is for examples and that nobody reads (RFC 2606)",
		"mail:ada@mx.example.org":          "mail: is in a domain that is for examples and that nobody reads (RFC 2606)",
		"mail:ada@corp.TEST":               "mail: is in a domain that is for examples and that nobody reads (RFC 2606)",
		"pager:TODO":                       "pager: is not filled in",
		"pager:<service>":                  "pager: is not filled in",
		"chat:#a\nb":                       "chat: is to be one line, of 255 bytes at the most",
		"chat:" + strings.Repeat("a", 256): "chat: is to be one line, of 255 bytes at the most",
	} {
		_, err := audit.ParseMeans(text)
		require.EqualError(t, err, want, text)
	}
}

// A runbook that cannot be opened is none, whatever the file system lists.
func TestReadFiles(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.NoError(t, os.Chtimes(path, now, now))
		return path
	}
	write("a.md", "call Ada")
	whole := write("b.md", "call Bob")
	write("empty.md", "")
	require.NoError(t, os.Mkdir(filepath.Join(folder, "c.md"), 0o700))
	var runbooks []audit.Runbook
	for _, name := range []string{"a.md", whole, "empty.md", "c.md", "gone.md", "a\x00.md"} {
		runbooks = append(runbooks, audit.Runbook{File: name})
	}
	files := audit.ReadFiles(folder, runbooks)
	require.Len(t, files, 6)
	for _, name := range []string{"a.md", whole} {
		require.NoError(t, files[name].Err)
		require.True(t, now.Equal(files[name].Changed))
	}
	require.ErrorContains(t, files["empty.md"].Err, "is empty")
	require.ErrorContains(t, files["c.md"].Err, "is no file")
	require.ErrorIs(t, files["gone.md"].Err, os.ErrNotExist)
	require.Error(t, files["a\x00.md"].Err)
}

// FuzzParseMeans reads what people write where a number should be. What is taken can
// be shown on one line, and is read again as what it is.
func FuzzParseMeans(f *testing.F) {
	for _, text := range []string{"phone:+49 30 901820", "mail:ada@festivals.app", "mail:\"a b\"@x.app", "pager:p", "chat:#a", "phone:+", "mail:@", ":", "chat:...", "mail:a@[::1]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := audit.ParseMeans(text)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.Contains(t, audit.MeansKinds(), m.Kind)
		require.NotEmpty(t, m.To)
		require.NotContains(t, m.To, "\n")
		again, err := audit.ParseMeans(m.String())
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

// FuzzConfig reads what may be no configuration at all. Where no mistake is told,
// each item says something, is due at some time, and rests on something; and with
// nothing known nothing is ready.
func FuzzConfig(f *testing.F) {
	f.Add(file)
	f.Add("items: [{ name: training, attested: never, observed: [{ copy_kinds: [backup], each: true }] }]")
	f.Add("contacts: [{ role: a, name: b, means: [c] }]\nroles: [a]")
	f.Add("runbooks: [{ name: a, file: b, touches: [c], within: 1h }]")
	f.Fuzz(func(t *testing.T, text string) {
		var c audit.Config
		if yaml.Unmarshal([]byte(text), &c) != nil {
			return
		}
		found := c.Validate(audit.Exists{Of: []string{"db", "api"}, Checks: []string{"up"}})
		for _, p := range found {
			require.NotEmpty(t, p.Message)
		}
		o := c.Options()
		r := audit.Evaluate(o, reported(), now)
		require.Len(t, r.Items, len(o.Items))
		if len(found) > 0 {
			return
		}
		names := make(map[string]bool)
		for _, i := range audit.Evaluate(o, nil, now).Items {
			require.False(t, names[i.Item], i.Item)
			names[i.Item] = true
			require.NotEmpty(t, i.Title)
			require.Contains(t, audit.Phases(), i.Phase)
			require.False(t, i.Status.Ready(), told(i))
			require.NotContains(t, fmt.Sprint(i.Rests), "it rests on nothing")
		}
		require.NotEqual(t, readiness.Pass, r.Status)
	})
}
