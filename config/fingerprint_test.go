package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A reload keeps what was seen of a copy exactly as long as it is the same copy
// in the same place: keep too much, and the past of one server is shown for
// another; keep too little, and every reload is a gap.
func TestTarget_Fingerprint(t *testing.T) {
	before := parse(t, minimal).Targets()
	for name, test := range map[string]struct {
		old, new string
		changes  bool
	}{
		"nothing":               {"x", "x", false},
		"comment":               {"system: shop", "system: shop # the shop", false},
		"system":                {"system: shop", "system: store", false},
		"objectives":            {"datastores:", "objectives: { rpo: 5m }\ndatastores:", false},
		"schedule":              {"datastores:", "schedule: \"@every 30s\"\ndatastores:", false},
		"timeout":               {"datastores:", "timeout: 4s\ndatastores:", false},
		"concurrency":           {"datastores:", "concurrency: 1\ndatastores:", false},
		"name of the instance":  {"{ region: there }", "{ region: there, name: other }", false},
		"region":                {"region: there\n        postgres", "region: here\n        postgres", false},
		"account":               {"kind: replica", "kind: replica\n        account: other", false},
		"survives":              {"kind: replica", "kind: replica\n        survives: { data-corruption: true }", false},
		"own schedule":          {"kind: replica", "kind: replica\n        schedule: \"@every 1m\"", false},
		"another copy":          {"      - name: replica", "      - { name: third, kind: replica, region: here, postgres: { dsn: \"postgres://drwatch@c.example/orders\" } }\n      - name: replica", false},
		"name":                  {"name: replica", "name: standby", true},
		"name of the datastore": {"name: orders", "name: sales", true},
		"kind":                  {"kind: replica", "kind: primary", true},
		"delay":                 {"kind: replica", "kind: replica\n        delay: 1h", true},
		"address":               {"b.example", "c.example", true},
		"database":              {"b.example/orders", "b.example/sales", true},
		"password":              {"b.example/orders\"", "b.example/orders\", password_env: X", true},
		"heartbeat":             {"b.example/orders\"", "b.example/orders\", heartbeat: true", true},
		"logical":               {"kind: replica\n        region: there\n        postgres: { ", "kind: replica\n        logical: true\n        region: there\n        postgres: { subscription: s, ", true},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(minimal, test.old, test.new, 1)
			if name == "kind" { // there can be one primary only
				text = strings.Replace(text, "kind: primary", "kind: replica", 1)
			}
			after := parse(t, text).Targets()
			now := after[len(after)-1].Fingerprint
			require.Len(t, now, 64)
			if test.changes {
				require.NotEqual(t, before[1].Fingerprint, now)
			} else {
				require.Equal(t, before[1].Fingerprint, now)
			}
		})
	}
	require.NotEqual(t, before[0].Fingerprint, before[1].Fingerprint)
}

// Where a cloud is asked by the region of the copy, another region is another
// place; and what is immutable is looked at more closely.
func TestTarget_Fingerprint_InACloud(t *testing.T) {
	fingerprint := func(more string) string {
		return parse(t, `
system: shop
instance: { region: eu-west-1 }
regions: { primary: eu-west-1, standby: eu-central-1 }
datastores:
  - name: orders
    copies: [ { name: dumps, kind: backup, `+more+` } ]
`).Targets()[0].Fingerprint
	}
	before := fingerprint(`region: eu-west-1, s3: { bucket: orders }`)
	require.Equal(t, before, fingerprint(`region: eu-west-1, schedule: "@hourly", s3: { bucket: orders }`))
	for _, other := range []string{
		`region: eu-central-1, s3: { bucket: orders }`,
		`region: eu-west-1, immutable: true, s3: { bucket: orders }`,
		`region: eu-west-1, account: "444455556666", s3: { bucket: orders }`,
		`region: eu-west-1, s3: { bucket: orders, aws: { role_arn: "arn:aws:iam::444455556666:role/drwatch" } }`,
	} {
		require.NotEqual(t, before, fingerprint(other), other)
	}
}
