package config_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

var update = flag.Bool("update", false, "write the golden files and what is generated from the schema")

// golden holds text against a file, or writes the file.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "go test ./config -update writes it")
	require.Equal(t, string(want), text, "go test ./config -update accepts the change")
}

// environment looks variables up in pairs of name and value.
func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// parse loads a file that has to load.
func parse(t *testing.T, text string, env ...string) *config.Config {
	t.Helper()
	c, _, err := config.Parse("drwatch.yaml", []byte(text), environment(env...))
	require.NoError(t, err)
	return c
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(data)
}

// files lists the YAML files of a folder.
func files(t *testing.T, folder string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

// Who mistypes a file learns what is wrong, where, and what to write. Each file
// in testdata/broken is named after its mistake; what is told of it is in
// testdata/broken.golden, to be read.
func TestParse_BrokenFiles(t *testing.T) {
	var told strings.Builder
	for _, file := range files(t, "broken") {
		_, _, err := config.Parse(filepath.Base(file), []byte(read(t, file)), environment())
		var errs config.Errors
		require.ErrorAs(t, err, &errs, file)
		require.NotEmpty(t, errs)
		for _, e := range errs {
			require.Positive(t, e.Line, file)
			require.Positive(t, e.Column, file)
		}
		fmt.Fprintf(&told, "%s\n\n", err)
	}
	require.NotContains(t, told.String(), "hunter2", "an error repeats a secret")
	golden(t, "testdata/broken.golden", told.String())
}

// What loads and is likely a mistake all the same is told, too.
func TestParse_WarnedFiles(t *testing.T) {
	var told strings.Builder
	for _, file := range files(t, "warned") {
		c, warnings, err := config.Parse(filepath.Base(file), []byte(read(t, file)), environment())
		require.NoError(t, err, file)
		require.NotNil(t, c)
		require.NotEmpty(t, warnings, file)
		fmt.Fprintf(&told, "%s\n\n", warnings)
	}
	golden(t, "testdata/warned.golden", told.String())
}

// A file that is right loads, and nothing is said about it.
func TestParse_GoodFiles(t *testing.T) {
	for _, file := range files(t, "good") {
		c, warnings, err := config.Parse(file, []byte(read(t, file)), environment())
		require.NoError(t, err, file)
		require.Empty(t, warnings, file)
		require.NotEmpty(t, c.Targets(), file)
		require.NotEmpty(t, c.Instance.Name, file)
	}
}

// `drwatch config example` prints what works.
func TestExample_Loads(t *testing.T) {
	_, warnings, err := config.Parse("example.yaml", config.Example(), environment())
	require.NoError(t, err)
	require.Empty(t, warnings)
}

// The example is not given away: who changes the slice changes a copy.
func TestExample_IsACopy(t *testing.T) {
	config.Example()[0] = 'X'
	require.NotEqual(t, byte('X'), config.Example()[0])
}

const festivals = "../examples/festivals/drwatch.yaml"

// The shipped system loads as it is, and is the one of the procedure.
func TestFestivals_Loads(t *testing.T) {
	c, warnings, err := config.Load(festivals)
	require.NoError(t, err)
	require.Empty(t, warnings)
	system := c.System()
	require.Equal(t, "festivals", system.Name)
	require.Equal(t, []readiness.ScenarioObjective{
		{Scenario: readiness.ServiceFailure, Objective: readiness.Objective{RTO: 15 * time.Minute}},
		{Scenario: readiness.DatabaseFailure, Objective: readiness.Objective{RPO: time.Hour, RTO: time.Hour}},
		{Scenario: readiness.RegionFailure, Objective: readiness.Objective{RPO: time.Hour, RTO: 4 * time.Hour}},
		{Scenario: readiness.DataCorruption, Objective: readiness.Objective{RPO: time.Hour, RTO: 4 * time.Hour}},
		{Scenario: readiness.SecurityBreach, Objective: readiness.Objective{RPO: time.Hour, RTO: 24 * time.Hour}},
	}, system.Scenarios)
	require.Len(t, c.Targets(), 11+5)
	require.Len(t, system.Services, 1)
	api := system.Services[0]
	require.Equal(t, "api.festivals.app", api.Name)
	require.Equal(t, []readiness.Scenario{readiness.RegionFailure}, api.Scenarios)
	require.Equal(t, []readiness.PartKind{readiness.Record, readiness.Resolution, readiness.Endpoint, readiness.Endpoint, readiness.Balancer}, kindsOf(api))
	for i, part := range api.Parts {
		require.Equal(t, "eu-central-1", part.Vantage)
		target := c.Targets()[11+i]
		require.Equal(t, readiness.ID{Of: api.Name, Name: part.Name}, target.ID)
		require.Equal(t, part, target.Part)
		require.Equal(t, probes.Service{
			Host: "api.festivals.app", RTO: 4 * time.Hour,
			Primary: []string{"festivals-api-0a1b2c3d4e5f6a7b.eu-west-1.elb.amazonaws.com"},
			Standby: []string{"festivals-api-dr-9f8e7d6c5b4a3f2e.eu-central-1.elb.amazonaws.com"},
		}, target.Service)
	}
}

func kindsOf(s readiness.Service) (kinds []readiness.PartKind) {
	for _, part := range s.Parts {
		kinds = append(kinds, part.Kind)
	}
	return kinds
}

// A service that has to move in several disasters has to be back in the shortest of
// the times that are promised for them; what was seen of a part does not count any
// more when it is looked at elsewhere, or the service leads elsewhere.
func TestParse_Service(t *testing.T) {
	const file = `
system: shop
instance: { region: central }
regions: { primary: west, standby: central }
schedule: "@every 30s"
datastores: [{ name: db, copies: [{ name: primary, kind: primary, region: west, redis: { url: "redis://a.example" } }] }]
services:
  - name: shop
    host: shop.example.com.
    scenarios: [service-failure, region-failure]
    standby: [%s]
    parts:
      - { name: standby, region: central, side: standby, timeout: 3s, endpoint: { url: "https://shop.example.com/", address: "%s:443" } }
`
	parse := func(standby, address string) config.Target {
		c, _, err := config.Parse("drwatch.yaml", fmt.Appendf(nil, file, standby, address), environment())
		require.NoError(t, err)
		return c.Targets()[1]
	}
	one := parse("lb.example.com", "lb.example.com")
	require.Equal(t, "shop.example.com", one.Service.Host)
	require.Equal(t, 15*time.Minute, one.Service.RTO)
	require.Equal(t, 63*time.Second, one.Part.StaleAfter)
	require.Equal(t, one.Fingerprint, parse("lb.example.com", "lb.example.com").Fingerprint)
	require.NotEqual(t, one.Fingerprint, parse("lb.example.com", "lb2.example.com").Fingerprint)
	require.NotEqual(t, one.Fingerprint, parse("lb2.example.com", "lb.example.com").Fingerprint)
}

// The environment alone points the shipped system at a lab.
func TestFestivals_PointedElsewhere(t *testing.T) {
	t.Setenv("FESTIVALS_POSTGRES_PRIMARY", "postgres://drwatch@127.0.0.1:5432/festivals")
	t.Setenv("FESTIVALS_REDIS_REPLICA", "redis://drwatch@127.0.0.1:6379")
	c, _, err := config.Load(festivals)
	require.NoError(t, err)
	targets := c.Targets()
	require.Equal(t, "postgres://drwatch@127.0.0.1:5432/festivals", targets[0].Probe.Postgres.DSN)
	require.Equal(t, "redis://drwatch@127.0.0.1:6379", targets[9].Probe.Redis.URL)
	require.Contains(t, targets[1].Probe.Postgres.DSN, "rds.amazonaws.com")
}

// A file that is not there is told as such, and not as a broken one.
func TestLoad_NoFile(t *testing.T) {
	_, _, err := config.Load(filepath.Join(t.TempDir(), "drwatch.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	var errs config.Errors
	require.NotErrorAs(t, err, &errs)
	require.ErrorContains(t, err, "read the configuration")
}

// Shared blocks are worth nothing if the copy that uses one gets other values.
func TestParse_SharedBlocks(t *testing.T) {
	targets := parse(t, read(t, "testdata/good/shared-blocks.yaml")).Targets()
	replica := targets[1]
	require.Equal(t, readiness.Replica, replica.Copy.Kind)
	require.Equal(t, "eu-central-1", replica.Copy.Region)
	require.Equal(t, 3*time.Second, replica.Timeout)
	require.Equal(t, "/run/secrets/orders", replica.Probe.Postgres.PasswordFile)
	require.Contains(t, replica.Probe.Postgres.DSN, "eu-central-1")
	require.Contains(t, targets[0].Probe.Postgres.DSN, "eu-west-1")
}

// A mistake in a shared block is told once, where the block is.
func TestParse_MistakeInASharedBlock(t *testing.T) {
	text := strings.Replace(read(t, "testdata/good/shared-blocks.yaml"), "timeout: 3s", "timeout: 3", 1)
	_, _, err := config.Parse("drwatch.yaml", []byte(text), environment())
	var errs config.Errors
	require.ErrorAs(t, err, &errs)
	require.Len(t, errs, 1)
	require.Equal(t, 12, errs[0].Line)
}

// What a variable holds is text, a number or a truth value as its key wants it.
func TestParse_Variables(t *testing.T) {
	text := read(t, "testdata/good/variables.yaml")

	c := parse(t, text)
	require.Equal(t, 8, c.Concurrency)
	require.Equal(t, "drwatch-1", c.Instance.Name)
	require.Equal(t, "012345678901", c.Datastores[0].Copies[0].Account)
	require.True(t, c.Datastores[0].Copies[1].Postgres.Heartbeat)
	require.Contains(t, c.Datastores[0].Copies[0].Postgres.DSN, "=a$b")

	c = parse(t, text, "SYSTEM", "1234", "CONCURRENCY", "16", "TIMEOUT", "", "HEARTBEAT", "false")
	require.Equal(t, "1234", c.Name)
	require.Equal(t, 16, c.Concurrency)
	require.Equal(t, 3*time.Second, c.Timeout, "an empty variable has the default")
	require.False(t, c.Datastores[0].Copies[1].Postgres.Heartbeat)
}

// What a variable holds can never add keys to the file.
func TestParse_VariableThatLooksLikeYAML(t *testing.T) {
	text := read(t, "testdata/good/variables.yaml")
	_, _, err := config.Parse("drwatch.yaml", []byte(text), environment("SYSTEM", "x\nconcurrency: 1"))
	require.ErrorContains(t, err, `system: "${SYSTEM:-shop}" (with its variables replaced) is not a name`)
}

// A variable that was written in the wrong place may hold a secret, and errors
// end up in logs.
func TestParse_ErrorsDoNotShowVariables(t *testing.T) {
	for _, key := range []string{"system", "schedule", "timeout", "concurrency", "objectives", "datastores"} {
		_, _, err := config.Parse("drwatch.yaml", []byte(key+": ${X}\n"), environment("X", "hunter2 \"quoted\""))
		require.ErrorContains(t, err, key+": ")
		require.NotContains(t, err.Error(), "hunter2", key)
	}
	for _, old := range []string{"kind: replica", "name: orders", "name: replica", "region: there\n        postgres", "b.example", "postgres://drwatch@b.example/orders"} {
		key, _, isPair := strings.Cut(old, ": ")
		replacement := "${X}"
		if isPair {
			replacement = key + ": ${X}"
		}
		text := strings.Replace(minimal, strings.Split(old, "\n")[0], replacement, 1)
		_, _, err := config.Parse("drwatch.yaml", []byte(text), environment("X", "hunter2 quoted:@/"))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "hunter2", text)
	}
}

// Several mistakes are told at once, in the order of the file: one round of
// corrections is enough.
func TestParse_AllMistakesInOrder(t *testing.T) {
	_, _, err := config.Parse("many.yaml", []byte(read(t, "testdata/broken/many-mistakes.yaml")), environment())
	var errs config.Errors
	require.ErrorAs(t, err, &errs)
	require.Greater(t, len(errs), 8)
	for i := 1; i < len(errs); i++ {
		require.LessOrEqual(t, errs[i-1].Line, errs[i].Line)
	}
}

// The objectives that are judged are those of the nearest word.
func TestConfig_ObjectivesOfTheNearestWord(t *testing.T) {
	c := parse(t, read(t, "testdata/good/everything.yaml"))
	system := c.System()
	require.Equal(t, []readiness.ScenarioObjective{
		{Scenario: readiness.ServiceFailure, Objective: readiness.Objective{RTO: 15 * time.Minute}},
		{Scenario: readiness.DatabaseFailure, Objective: readiness.Objective{RPO: 2 * time.Hour, RTO: 8 * time.Hour}},
		{Scenario: readiness.RegionFailure, Objective: readiness.Objective{RPO: 30 * time.Minute, RTO: 4 * time.Hour}},
		{Scenario: readiness.DataCorruption, Objective: readiness.Objective{RPO: 2 * time.Hour, RTO: 8 * time.Hour}},
		{Scenario: readiness.SecurityBreach},
	}, system.Scenarios)
	require.Equal(t, 90*time.Minute, system.MTTR)
	require.Equal(t, map[readiness.Scenario]time.Duration{
		readiness.ServiceFailure:  time.Hour, // written for this scenario itself
		readiness.DatabaseFailure: 10 * time.Minute,
		readiness.RegionFailure:   15 * time.Minute,
		readiness.SecurityBreach:  10 * time.Minute,
	}, system.Datastores[0].RPO)
	require.Equal(t, map[readiness.Scenario]time.Duration{
		readiness.DatabaseFailure: 2 * time.Hour,
		readiness.RegionFailure:   30 * time.Minute,
		readiness.DataCorruption:  2 * time.Hour,
	}, system.Datastores[1].RPO)
}

// What the file says of a copy is what is judged and what is looked at.
func TestConfig_Targets(t *testing.T) {
	c := parse(t, read(t, "testdata/good/everything.yaml"))
	targets := c.Targets()
	require.Len(t, targets, 9)
	delayed := targets[1]
	require.Equal(t, readiness.ID{Of: "orders", Name: "delayed"}, delayed.ID)
	require.Equal(t, "@every 1m", delayed.Spec)
	require.Equal(t, 10*time.Second, delayed.Timeout)
	require.Equal(t, "ORDERS_PASSWORD", delayed.Probe.Postgres.PasswordEnv)
	require.Equal(t, delayed.Copy, c.System().Datastores[0].Copies[1])
	checks := delayed.Copy.Checks
	delayed.Copy.Checks = nil
	require.NotEmpty(t, checks)
	require.Equal(t, readiness.Copy{
		Name: "delayed", Kind: readiness.Replica, Region: "eu-central-1", Account: "111122223333",
		Delay: time.Hour, Survives: map[readiness.Scenario]bool{readiness.DataCorruption: true, readiness.SecurityBreach: false},
		Watch: readiness.Watch{Probe: "postgres", StaleAfter: 2*time.Minute + 10*time.Second},
	}, delayed.Copy)
	require.True(t, targets[2].Copy.Logical)
	require.Equal(t, 11*time.Minute, targets[7].Copy.StaleAfter)
	var kinds []string
	for _, t := range targets[3:] {
		kinds = append(kinds, t.Copy.Probe)
	}
	require.Equal(t, []string{"postgres", "rds", "s3", "awsbackup", "redis", "redis"}, kinds)
	require.Contains(t, targets[3].Copy.Checks, "rds", "what looks beside postgres is told of, too")
	require.Equal(t, 30*time.Second, targets[6].Probe.AWSBackup.AWS.MaxAge, "what is merged counts")
}
