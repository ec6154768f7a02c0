package postgres

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

var update = flag.Bool("update", false, "write the golden files anew")

const goodDSN = "postgres://drwatch@db/festivals"

// A user would learn of a mistake in the file in the night of the disaster.
func TestConfig_Validate(t *testing.T) {
	logical := readiness.Copy{Name: "copy", Kind: readiness.Replica, Logical: true}
	late := readiness.Copy{Name: "copy", Kind: readiness.Replica, Logical: true, Delay: time.Hour}
	for name, c := range map[string]struct {
		of   readiness.Copy
		yaml string
		want []string
	}{
		"primary":          {primaryCopy(), "dsn: " + goodDSN + "\npassword_file: /f", nil},
		"replica":          {replicaCopy(), "dsn: " + goodDSN + "\npassword_env: P\nheartbeat: true", nil},
		"logical":          {logical, "dsn: " + goodDSN + "\nsubscription: s\nheartbeat: true\nheartbeat_table: my.beat", nil},
		"heartbeat":        {primaryCopy(), "dsn: " + goodDSN + "\nheartbeat: true\nheartbeat_user: beater\nheartbeat_password_env: P", nil},
		"nothing":          {primaryCopy(), "{}", []string{"dsn: host is missing: it is given here, nothing is taken from the environment"}},
		"kind":             {readiness.Copy{Kind: readiness.Backup}, "dsn: " + goodDSN, []string{": a postgres probe looks at a primary or a replica, and this copy is a backup"}},
		"two passwords":    {primaryCopy(), "dsn: " + goodDSN + "\npassword_file: /f\npassword_env: P", []string{"password_env: give password_file or password_env, not both"}},
		"no subscription":  {logical, "dsn: " + goodDSN, []string{"subscription: missing: name the subscription by which this logical replica follows its publisher"}},
		"subscription":     {replicaCopy(), "dsn: " + goodDSN + "\nsubscription: s", []string{"subscription: only logical replicas have one: say logical: true of this copy, or take it away"}},
		"logical delay":    {late, "dsn: " + goodDSN + "\nsubscription: s", []string{": a logical replica cannot be delayed: PostgreSQL has no such setting for a subscription, so take delay away"}},
		"heartbeat off":    {primaryCopy(), "dsn: " + goodDSN + "\nheartbeat_user: beater", []string{"heartbeat: not on: set heartbeat: true, or take the other heartbeat keys away"}},
		"heartbeat nobody": {primaryCopy(), "dsn: " + goodDSN + "\nheartbeat: true", []string{"heartbeat_user: missing: name the role that writes the heartbeat, which must not be the one that looks"}},
		"heartbeat same":   {primaryCopy(), "dsn: " + goodDSN + "\nheartbeat: true\nheartbeat_user: drwatch", []string{"heartbeat_user: the same as the role that looks, which must not be able to write: make another"}},
		"heartbeat replica": {replicaCopy(), "dsn: " + goodDSN + "\nheartbeat: true\nheartbeat_user: beater",
			[]string{"heartbeat_user: the heartbeat is written on the primary only: on a replica heartbeat: true is enough"}},
		"heartbeat table": {replicaCopy(), "dsn: " + goodDSN + "\nheartbeat: true\nheartbeat_table: beat; DROP TABLE x",
			[]string{"heartbeat_table: to be written schema.table, in lower case letters, digits and _"}},
		"several": {primaryCopy(), "dsn: " + goodDSN + "?sslmod=on\nheartbeat: true\nheartbeat_user: b\nheartbeat_password_file: /f\nheartbeat_password_env: P",
			[]string{`dsn: "sslmod" is no parameter; did you mean sslmode?`, "heartbeat_password_env: give heartbeat_password_file or heartbeat_password_env, not both"}},
	} {
		t.Run(name, func(t *testing.T) {
			var config Config
			decoder := yaml.NewDecoder(bytes.NewBufferString(c.yaml))
			decoder.KnownFields(true)
			require.NoError(t, decoder.Decode(&config))
			var got []string
			for _, problem := range config.Validate(c.of) {
				got = append(got, problem.Path+": "+problem.Message)
			}
			require.Equal(t, c.want, got)
			_, err := New(config, probes.Target{Copy: c.of})
			require.Equal(t, c.want != nil, err != nil)
		})
	}
}

// A user would see checks that are never answered, or never see an answer.
func TestChecks_OfEachKindOfCopy(t *testing.T) {
	delayed := replicaCopy()
	delayed.Delay = time.Hour
	for _, c := range []struct {
		config Config
		of     readiness.Copy
		want   []string
	}{
		{Config{}, primaryCopy(), []string{"role", "distinct-server", "slots", "clock"}},
		{Config{Heartbeat: true}, primaryCopy(), []string{"role", "distinct-server", "slots", "heartbeat", "clock"}},
		{Config{}, replicaCopy(), []string{"role", "same-system", "distinct-server", "receiver", "replay", "delay", "slots", "clock"}},
		{Config{Heartbeat: true}, delayed, []string{"role", "same-system", "distinct-server", "receiver", "replay", "delay", "slots", "heartbeat", "clock"}},
		{Config{}, readiness.Copy{Kind: readiness.Replica, Logical: true}, []string{"role", "distinct-server", "subscription", "clock"}},
	} {
		require.Equal(t, c.want, Checks(c.config, c.of))
	}
}

// A user's editor would not complete the keys, or explain them.
func TestConfig_Schema(t *testing.T) {
	schema := new(jsonschema.Reflector).Reflect(Config{}).Definitions["Config"]
	for pair := schema.Properties.Oldest(); pair != nil; pair = pair.Next() {
		require.NotEmpty(t, pair.Value.Description, pair.Key)
	}
	require.Equal(t, []string{"dsn"}, schema.Required)
	dsn, _ := schema.Properties.Get("dsn")
	require.Equal(t, []any{"postgres://drwatch@db.example.com:5432/festivals?sslmode=verify-full&sslrootcert=/etc/drwatch/ca.pem"}, dsn.Examples)
	text, err := json.Marshal(Config{DSN: goodDSN})
	require.NoError(t, err)
	require.JSONEq(t, `{"dsn": "`+goodDSN+`"}`, string(text), "what is optional is left out")
}

// An administrator runs this script as superuser: every change to it is to be seen.
func TestSetupSQL_Golden(t *testing.T) {
	for file, options := range map[string]SetupOptions{
		"testdata/setup.golden.sql":           {},
		"testdata/setup_heartbeat.golden.sql": {User: `the "watcher"`, HeartbeatUser: "o'beater", HeartbeatTable: "ops.pulse"},
	} {
		got := SetupSQL(options)
		require.NotContains(t, got, "{")
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), got)
	}
}

// What is sent must be all of look.sql, without the words for its readers.
func TestScript_OneMessage(t *testing.T) {
	p := newProbe(t, Config{DSN: goodDSN, Heartbeat: true, Subscription: "s"}, readiness.Copy{Kind: readiness.Replica, Logical: true})
	script := p.script(t.Context())
	require.NotContains(t, script, "--")
	require.NotContains(t, script, "\n")
	require.Regexp(t, `^BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = 3240000; `+
		`SET LOCAL lock_timeout = 1620000; SELECT row_to_json\(look\) .* look ; SELECT .* s ; SELECT .*"drwatch"."heartbeat".* h; COMMIT$`, script)
	require.Less(t, len(script), 4096)
}
