//go:build linux

package bench

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
	"github.com/drwatch/drwatch/probes/postgres"
)

// startLab brings up a lab that has nothing to say.
func startLab(b *testing.B, setup ...string) *lab.Lab {
	b.Helper()
	return labtest.Start(b, func(o *lab.Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.SetupSQL = append([]string{postgres.SetupSQL(postgres.SetupOptions{})}, setup...)
	})
}

// datastore is a primary and a replica to be watched: two addresses.
type datastore struct{ primary, replica string }

// watched is what a drwatch.yaml is made of.
type watched struct {
	store      lab.Store
	cluster    lab.Cluster // whose users and passwords are used
	datastores []datastore
	every      time.Duration
	timeout    time.Duration
}

// serve is how "drwatch serve" is started on it, and on others besides.
func (w watched) serve(b *testing.B, drwatch string, others ...watched) launch {
	b.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "system: bench\ninstance: { region: %s }\nregions: { primary: %s, standby: %s }\nschedule: \"@every %s\"\ntimeout: %s\ndatastores:\n",
		lab.StandbyRegion, lab.PrimaryRegion, lab.StandbyRegion, w.every, w.timeout)
	for _, w := range append([]watched{w}, others...) {
		for i, d := range w.datastores {
			fmt.Fprintf(&text, "  - name: %s-%d\n    copies:\n", w.store, i)
			fmt.Fprintf(&text, "      - { name: primary, kind: primary, region: %s, %s }\n", lab.PrimaryRegion, w.probe(b, d.primary))
			fmt.Fprintf(&text, "      - { name: replica, kind: replica, region: %s, %s }\n", lab.StandbyRegion, w.probe(b, d.replica))
		}
	}
	file := filepath.Join(b.TempDir(), "drwatch.yaml")
	require.NoError(b, os.WriteFile(file, []byte(text.String()), 0o600))
	return launch{
		path:   drwatch,
		args:   []string{"serve", "--config.file", file, "--web.listen-address", "ADDRESS", "--log.level", "error"},
		health: "/-/healthy",
	}
}

// probe is the part of a copy that says where to look.
func (w watched) probe(b *testing.B, address string) string {
	b.Helper()
	key := "dsn"
	if w.store == lab.Redis {
		key = "url"
	}
	return fmt.Sprintf("%s: { %s: %q, password_file: %q }", w.store, key, at(b, w.cluster.Primary.URL, address), w.cluster.PasswordFiles["drwatch"])
}

// at is the URL with another address in it.
func at(b *testing.B, rawURL, address string) string {
	b.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(b, err)
	u.Host = address
	return u.String()
}

// redisInfo asks a server about itself, and gives a way to read the answer.
func redisInfo(b *testing.B, l *lab.Lab, site lab.Site) (value func(key string) float64) {
	b.Helper()
	client := l.RedisClient(site)
	defer func() { _ = client.Close() }()
	text, err := client.Info(b.Context(), "stats", "cpu").Result()
	require.NoError(b, err)
	return func(key string) float64 {
		_, rest, found := strings.Cut(text, "\n"+key+":")
		require.True(b, found, key)
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[:strings.IndexByte(rest, '\r')]), 64)
		require.NoError(b, err)
		return value
	}
}

// either is a shorter time for a trial.
func either[T any](usual, trial T) T {
	if testing.Short() {
		return trial
	}
	return usual
}
