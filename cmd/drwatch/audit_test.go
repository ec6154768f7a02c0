package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/readiness"
)

// command runs one command on the lab's file and gives its exit code and all that it printed.
func (f *festivalsLab) command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := run(t.Context(), append(args, "--config.file", f.file), streams{out: &out, err: &out})
	return code, out.String()
}

// audit gives the state of each item before the disaster.
func (f *festivalsLab) audit(t *testing.T, flags ...string) (int, map[string]readiness.Status) {
	t.Helper()
	code, out := f.command(t, append([]string{"audit", "--output", "json"}, flags...)...)
	var result audit.Result
	require.NoError(t, json.Unmarshal([]byte(out), &result), out)
	states := make(map[string]readiness.Status, len(result.Items))
	for _, item := range result.Items {
		require.Equal(t, audit.Before, item.Phase)
		states[item.Item] = item.Status
	}
	return code, states
}

// An auditor would be shown a checklist that is green while the standby is not, or
// evidence that nobody can hold against anything.
func TestAudit_OnTheLab(t *testing.T) {
	f := startLab(t)
	code, out := f.command(t, "ledger", "migrate")
	require.Equal(t, exitOK, code, out)
	code, states := f.audit(t)
	require.Equal(t, exitNotReady, code, "nobody has attested anything")
	require.Equal(t, map[string]readiness.Status{
		"backups": readiness.Unknown, "dr-region": readiness.Pass, "replication": readiness.Pass, "dns-failover": readiness.Pass,
		"runbooks": readiness.Pass, "training": readiness.Unknown, "contacts": readiness.Unknown, "templates": readiness.Unknown,
	}, states)
	for _, item := range []string{
		"backups", "training", "templates", "contact:incident-commander", "contact:database-lead", "contact:infrastructure-lead",
		"contact:communications-lead", "contact:security-lead",
	} {
		code, out := f.command(t, "attest", item, "--by", "jane@festivals.app", "--evidence", "https://wiki.festivals.app/"+item, "--valid-for", "2000h")
		require.Equal(t, exitOK, code, out)
	}
	code, states = f.audit(t, "--record", "--by", "jane@festivals.app")
	require.Equal(t, exitOK, code, "%v", states)
	code, states = f.audit(t, "--strict")
	require.Equal(t, states["backups"] == readiness.Pass, code == exitOK, "a warning fails then, and nothing else: %v", states)

	for _, row := range []struct {
		fault lab.Fault
		item  string
	}{
		{"link-cut", "replication"}, {"standby-down", "replication"}, {"dump-truncated", "backups"}, {"bucket-gone", "backups"},
		{"secondary-missing", "dns-failover"}, {"nameservers-disagree", "dns-failover"}, {"standby-api-down", "dr-region"},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			require.NoError(t, f.Break(t.Context(), row.fault))
			code, states := f.audit(t)
			require.Equal(t, exitNotReady, code)
			require.False(t, states[row.item].Ready(), "%v", states)
			require.Equal(t, readiness.Pass, states["training"], "what people have attested stands")
			require.NoError(t, f.Heal(t.Context(), row.fault))
		})
	}

	t.Run("mistakes", func(t *testing.T) {
		for _, row := range []struct{ says, item, by, valid string }{
			{"did you mean", "trainings", "jane", "1h"}, {"by is empty", "training", "", "1h"}, {"is past", "training", "jane", "-1h"},
		} {
			code, out := f.command(t, "attest", row.item, "--by", row.by, "--evidence", "https://wiki.festivals.app", "--valid-for", row.valid)
			require.Equal(t, exitFailed, code)
			require.Contains(t, strings.ReplaceAll(out, "by:", "by"), row.says)
		}
	})

	t.Run("outputs", func(t *testing.T) {
		for output, begins := range map[string]string{"table": "festivals, 20", "markdown": "# festivals, 20", "html": "<!DOCTYPE html>", "junit": "<?xml"} {
			code, out := f.command(t, "audit", "--output", output)
			require.Equal(t, exitOK, code, out)
			require.True(t, strings.HasPrefix(out, begins), out)
			require.Contains(t, out, "DNS failover configured")
		}
	})

	t.Run("report", func(t *testing.T) {
		page := filepath.Join(t.TempDir(), "report.html")
		code, out := f.command(t, "audit", "report", "--output", page, "--by", "jane@festivals.app")
		require.Equal(t, exitOK, code, out)
		code, out = f.command(t, "audit", "verify", page)
		require.Equal(t, exitOK, code, out)
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		require.Contains(t, string(text), "https://wiki.festivals.app/training")
		require.NoError(t, os.WriteFile(page, bytes.Replace(text, []byte("8 of 8"), []byte("9 of 9"), 1), 0o600))
		code, out = f.command(t, "audit", "verify", page)
		require.Equal(t, exitNotReady, code, "somebody has changed a number on the page: %s", out)
	})

	t.Run("ledger", func(t *testing.T) {
		code, out := f.command(t, "ledger", "verify")
		require.Equal(t, exitOK, code, out)
		_, head, _ := strings.Cut(strings.TrimSpace(out), "head: ")
		export := filepath.Join(t.TempDir(), "export.jsonl")
		code, out = f.command(t, "ledger", "export", "--output", export)
		require.Equal(t, exitOK, code, out)
		code, out = f.command(t, "ledger", "backup", filepath.Join(t.TempDir(), "backup.db"))
		require.Equal(t, exitOK, code, out)

		t.Setenv("FESTIVALS_LEDGER", filepath.Join(t.TempDir(), "another.db"))
		code, out = f.command(t, "ledger", "verify")
		require.Equal(t, exitFailed, code, "a path that is wrong is no new ledger: %s", out)
		code, out = f.command(t, "ledger", "import", export)
		require.Equal(t, exitOK, code, out)
		code, out = f.command(t, "ledger", "verify", "--head", head)
		require.Equal(t, exitOK, code, out)
		require.Contains(t, out, head)
		code, out = f.command(t, "ledger", "verify", "--head", strings.Repeat("0", 64))
		require.Equal(t, exitNotReady, code, out)
		code, out = f.command(t, "ledger", "prune", "--older-than", "1ns")
		require.Equal(t, exitOK, code, out)
		require.Contains(t, out, "export them first")
		code, out = f.command(t, "ledger", "prune", "--older-than", "1ns", "--yes")
		require.Equal(t, exitOK, code, out)
		code, out = f.command(t, "ledger", "verify")
		require.Equal(t, exitOK, code, out)
	})
}
