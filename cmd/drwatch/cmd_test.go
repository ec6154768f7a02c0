package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/readiness"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestMain lets the test binary be drwatch itself, to be signalled and killed.
func TestMain(m *testing.M) {
	if os.Getenv("DRWATCH_TEST_RUN") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command runs one command line in this process.
func command(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{in: strings.NewReader(""), out: &o, err: &e})
	return code, o.String(), e.String()
}

// process starts drwatch as a process of its own.
func process(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), "DRWATCH_TEST_RUN=1")
	var output bytes.Buffer
	c.Stdout, c.Stderr = &output, &output
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c, &output
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, 15*time.Second, 20*time.Millisecond, what)
}

// nobody is a configuration whose only copy does not exist: port 1 refuses.
func nobody(t *testing.T, system string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "drwatch.yaml")
	writeNobody(t, file, system)
	return file
}

func writeNobody(t *testing.T, file, system string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `system: %s
instance: { name: test, region: central }
regions: { primary: west, standby: central }
schedule: "@every 1s"
timeout: 500ms
datastores:
  - name: cache
    copies:
      - { name: primary, kind: primary, region: west, redis: { url: "redis://127.0.0.1:1" } }
`, system), 0o600))
}

// The text that people read first; a diff here is a diff of the product.
func TestGolden_Help(t *testing.T) {
	var b strings.Builder
	for _, args := range [][]string{{}, {"serve"}, {"check"}, {"config"}, {"config", "check"}, {"config", "sql"}, {"lab"}, {"lab", "up"}, {"lab", "break"}} {
		code, out, _ := command(t, append(args, "--help")...)
		require.Equal(t, exitOK, code)
		fmt.Fprintf(&b, "$ drwatch %s\n%s\n", strings.Join(append(args, "--help"), " "), out)
	}
	text := strings.ReplaceAll(b.String(), os.TempDir(), "/tmp")
	if *update {
		require.NoError(t, os.WriteFile("testdata/help.golden", []byte(text), 0o644))
	}
	golden, err := os.ReadFile("testdata/help.golden")
	require.NoError(t, err)
	require.Equal(t, string(golden), text, "after an intended change: ./dev generate")
}

func TestExitCodes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("system: x\nsistem: y\n"), 0o600))
	for name, row := range map[string]struct {
		args []string
		code int
		errs string
	}{
		"nobody there is not ready":  {[]string{"check", "--config.file", nobody(t, "test")}, exitNotReady, ""},
		"no file":                    {[]string{"check", "--config.file", "/nowhere.yaml"}, exitFailed, "no such file"},
		"bad file":                   {[]string{"check", "--config.file", bad}, exitFailed, `did you mean "system"`},
		"bad file, config check":     {[]string{"config", "check", "--config.file", bad}, exitFailed, "bad.yaml:2:1"},
		"good file, config check":    {[]string{"config", "check", "--config.file", nobody(t, "test")}, exitOK, ""},
		"unknown command":            {[]string{"chekc"}, exitFailed, "check"},
		"unknown flag":               {[]string{"check", "--nope"}, exitFailed, "unknown flag"},
		"unknown output":             {[]string{"check", "--output", "xml"}, exitFailed, "table or json"},
		"unknown scenario":           {[]string{"check", "--scenario", "fire"}, exitFailed, "region-failure"},
		"no lab":                     {[]string{"lab", "break", "idle", "--dir", t.TempDir()}, exitFailed, "drwatch lab up"},
		"bad log level":              {[]string{"serve", "--log.level", "loud"}, exitFailed, "--log.level"},
		"address taken or forbidden": {[]string{"serve", "--config.file", nobody(t, "test"), "--web.listen-address", "192.0.2.1:1"}, exitFailed, "--web.listen-address"},
		"bad web configuration":      {[]string{"serve", "--config.file", nobody(t, "test"), "--web.config.file", bad}, exitFailed, "web configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := command(t, row.args...)
			require.Equal(t, row.code, code, out+errs)
			require.Contains(t, errs, row.errs)
		})
	}
}

func TestCheck_JSONIsTheReport(t *testing.T) {
	code, out, _ := command(t, "check", "--config.file", nobody(t, "test"), "--output", "json")
	require.Equal(t, exitNotReady, code)
	var r readiness.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, readiness.Refused, r.Datastores[0].Copies[0].Probe.Class)
}

func TestConfig_WhatItPrintsIsUsable(t *testing.T) {
	_, example, _ := command(t, "config", "example")
	file := filepath.Join(t.TempDir(), "drwatch.yaml")
	require.NoError(t, os.WriteFile(file, []byte(example), 0o600))
	code, _, errs := command(t, "config", "check", "--strict", "--config.file", file)
	require.Equal(t, exitOK, code, errs)

	_, schema, _ := command(t, "config", "schema")
	require.True(t, json.Valid([]byte(schema)))
	published, err := os.ReadFile("../../docs/drwatch.schema.json")
	require.NoError(t, err)
	require.Equal(t, string(published), schema)

	_, sql, _ := command(t, "config", "sql", "--heartbeat.user", "writer")
	require.Contains(t, sql, `"writer"`)
	code, completion, _ := command(t, "completion", "bash")
	require.Equal(t, exitOK, code)
	require.Contains(t, completion, "drwatch")
}

// Kubernetes kills what does not stop in time, with whatever it was doing.
func TestServe_StopsInTimeAtSIGTERM(t *testing.T) {
	address := freeAddress(t)
	c, output := process(t, "serve", "--config.file", nobody(t, "test"), "--web.listen-address", address)
	eventually(t, "it serves", func() bool { code, _ := get("http://" + address + "/-/ready"); return code == http.StatusOK })
	before := time.Now()
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait(), output.String())
	require.Less(t, time.Since(before), 5*time.Second)
}

// A typing error in the file must not end the watching.
func TestServe_ReloadKeepsTheOldWhenTheNewIsBad(t *testing.T) {
	address, file := freeAddress(t), nobody(t, "before")
	c, output := process(t, "serve", "--config.file", file, "--web.listen-address", address, "--web.enable-lifecycle")
	url := "http://" + address
	eventually(t, "it serves", func() bool { code, _ := get(url + "/-/ready"); return code == http.StatusOK })
	system := func() string {
		_, body := get(url + "/api/v1/report")
		var r readiness.Report
		_ = json.Unmarshal([]byte(body), &r)
		return r.System
	}
	looks := func() uint64 {
		_, body := get(url + "/api/v1/report")
		var r readiness.Report
		_ = json.Unmarshal([]byte(body), &r)
		return r.Datastores[0].Copies[0].Probe.Looks
	}
	metrics := func(line string) bool { _, body := get(url + "/metrics"); return strings.Contains(body, line) }
	require.True(t, metrics("drwatch_config_last_reload_successful 1"))

	require.NoError(t, os.WriteFile(file, []byte("sistem: x\n"), 0o600))
	require.NoError(t, c.Process.Signal(syscall.SIGHUP))
	eventually(t, "the refusal is told", func() bool { return metrics("drwatch_config_last_reload_successful 0") })
	require.Equal(t, "before", system())
	response, err := http.Post(url+"/-/reload", "", nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusInternalServerError, response.StatusCode)

	seen := looks()
	writeNobody(t, file, "after")
	require.NoError(t, c.Process.Signal(syscall.SIGHUP))
	eventually(t, "the new one is in force", func() bool { return system() == "after" })
	require.GreaterOrEqual(t, looks(), seen, "what did not change keeps what was seen of it")
	require.True(t, metrics("drwatch_config_last_reload_successful 1"))
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait(), output.String())
}

func TestServe_BasicAuth(t *testing.T) {
	web := filepath.Join(t.TempDir(), "web.yml")
	// The hash of some password: nobody gets in here.
	require.NoError(t, os.WriteFile(web, []byte("basic_auth_users:\n  prometheus: $2y$04$2bXQhA8JBDxrbsYsuJfu0.ei5Rff9oVCvFy7V3yMSk3BlNeC5SNHW\n"), 0o600))
	address := freeAddress(t)
	process(t, "serve", "--config.file", nobody(t, "test"), "--web.listen-address", address, "--web.config.file", web)
	eventually(t, "it asks who we are", func() bool { code, _ := get("http://" + address + "/metrics"); return code == http.StatusUnauthorized })
}

// After a kill -9 and a restart, nothing is remembered, and so nothing may look
// better than before: no series is born as a zero, and with the primary gone the
// exposure is the same or worse.
func TestServe_KilledAndRestartedIsNeverBetter(t *testing.T) {
	f := startFestivals(t)
	require.NoError(t, f.Break(t.Context(), "primary-killed"))
	defer func() { _ = f.Heal(context.Background(), "primary-killed") }()
	before := f.eventually(t, told, "the primary is lost", func(p page) error {
		if p.state("festivals-db/primary", "look") != "unknown" {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	address := freeAddress(t)
	c, _ := process(t, "serve", "--config.file", f.file, "--web.listen-address", address)
	f.url = "http://" + address
	eventually(t, "it serves", func() bool { code, _ := get(f.url + "/-/ready"); return code == http.StatusOK })
	require.NoError(t, c.Process.Kill())
	_ = c.Wait()

	process(t, "serve", "--config.file", f.file, "--web.listen-address", address)
	eventually(t, "it serves again", func() bool { code, _ := get(f.url + "/-/healthy"); return code == http.StatusOK })
	for range 50 { // from its first moment on
		p := f.scrape(t)
		got := p.value(exposure("festivals-db"))
		least := before.value(exposure("festivals-db")) + p.at.Sub(before.at).Seconds()
		// Within the accuracy to which the clock of the primary was known.
		require.GreaterOrEqual(t, got, least-0.5, "exposure after the restart")
		if point := p.value(recoveryPoint("festivals-db")); point == point { // not NaN, which is absent
			require.LessOrEqual(t, point, before.value(recoveryPoint("festivals-db"))+0.5)
		}
	}
	f.eventually(t, told, "it has looked", func(p page) error {
		if p.state("festivals-db/replica", "look") != "pass" {
			return fmt.Errorf("not yet")
		}
		return nil
	})
}
