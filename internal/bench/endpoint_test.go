//go:build linux

package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
)

const (
	manyEndpoints = 5_000
	endpointEvery = 15 * time.Second
	// endpointHosts are the addresses on loopback at which they are: one address has
	// too few ports for the connections of a minute.
	endpointHosts = 50
	// scrapesAtOnce is how many connections the scraper keeps to what it scrapes.
	scrapesAtOnce = 100
)

// BenchmarkEndpoints lets drwatch and Debian's prometheus-blackbox-exporter ask 5,000
// endpoints every 15 s, both at the same time, of HTTP and then of HTTPS: the same
// question, the same pattern for the body, a new connection each time. drwatch asks by
// itself and is scraped once in 15 s; blackbox_exporter is scraped for each probe, as
// Prometheus does it. The endpoints and the scraper are in the process of the benchmark,
// whose CPU is nobody's.
//
//	go test -run '^$' -bench Endpoints -benchtime 1x ./internal/bench          # four minutes
//	go test -run '^$' -bench Endpoints -benchtime 1x -short ./internal/bench   # one, not to be quoted
func BenchmarkEndpoints(b *testing.B) {
	exporter, drwatch := installed(b, "prometheus-blackbox-exporter"), buildDrwatch(b)
	for b.Loop() {
		var rows []table.Row
		for _, scheme := range []string{"http", "https"} {
			s := newFront(b, scheme)
			both := []*asker{s.drwatch(b, drwatch), s.blackbox(b, exporter)}
			s.race(b, both)
			rows = append(rows, measured(scheme, both)...)
			for i, unit := range []string{"drwatch", "blackbox"} {
				b.ReportMetric(both[i].cpu.Seconds()/both[i].probes*1e3, scheme+"-"+unit+"-ms/probe")
				b.ReportMetric(both[i].memory.peak/1e6, scheme+"-"+unit+"-MB-peak")
			}
			s.close()
		}
		show(fmt.Sprintf("BenchmarkEndpoints: %d endpoints, each asked once in %s by each of the two:", manyEndpoints, endpointEvery),
			table.Row{"", "", "drwatch", "blackbox_exporter", "ratio"}, rows)
	}
}

// measured makes the rows of one scheme.
func measured(scheme string, both []*asker) (rows []table.Row) {
	for _, what := range []struct {
		name  string
		value func(*asker) float64
		show  string
	}{
		{"probes a second", func(a *asker) float64 { return a.probes / a.took.Seconds() }, "%.0f"},
		{"probes that failed", func(a *asker) float64 { return float64(a.failed.Load()) }, "%.0f"},
		{"CPU for one probe, its share of the scrapes included, ms", func(a *asker) float64 { return a.cpu.Seconds() / a.probes * 1e3 }, "%.3f"},
		{"CPU, % of one core", func(a *asker) float64 { return 100 * a.cpu.Seconds() / a.took.Seconds() }, "%.1f"},
		{"allocated for one probe, likewise, kB", func(a *asker) float64 { return a.allocated / a.probes / 1e3 }, "%.0f"},
		{"resident memory, MB", func(a *asker) float64 { return a.memory.now / 1e6 }, "%.1f"},
		{"its peak, MB", func(a *asker) float64 { return a.memory.peak / 1e6 }, "%.1f"},
		{"of it not the program's file, MB", func(a *asker) float64 { return a.memory.own / 1e6 }, "%.1f"},
		{"the peak for one endpoint, kB", func(a *asker) float64 { return a.memory.peak / 1e3 / manyEndpoints }, "%.1f"},
		{"goroutines, the most that were seen", func(a *asker) float64 { return a.goroutines }, "%.0f"},
		{"sockets, the most that were seen", func(a *asker) float64 { return a.sockets }, "%.0f"},
		{"connections to endpoints for one probe", func(a *asker) float64 { return a.opened / a.probes }, "%.2f"},
		{"connections to endpoints open, on average", func(a *asker) float64 { return a.held / a.took.Seconds() }, "%.2f"},
	} {
		ours, theirs := what.value(both[0]), what.value(both[1])
		rows = append(rows, table.Row{scheme, what.name, fmt.Sprintf(what.show, ours), fmt.Sprintf(what.show, theirs), ratio(theirs, ours)})
	}
	return rows
}

func ratio(theirs, ours float64) string {
	if ours == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", theirs/ours)
}

// front is endpoints, a set of their own for each asker.
type front struct {
	scheme string
	ca     string // the file with the authority
	tls    *tls.Config
	ends   []func()
}

// newFront makes the certificate of the endpoints.
func newFront(b *testing.B, scheme string) *front {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "bench"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for i := range endpointHosts {
		leaf.IPAddresses = append(leaf.IPAddresses, net.ParseIP(endpointHost(i)))
	}
	root, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	require.NoError(b, err)
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	require.NoError(b, err)
	s := &front{scheme: scheme, ca: filepath.Join(b.TempDir(), "ca.pem"), tls: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"http/1.1"},
	}}
	require.NoError(b, os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}), 0o600))
	return s
}

func endpointHost(i int) string { return fmt.Sprintf("127.0.1.%d", 1+i%endpointHosts) }

func (s *front) close() {
	for _, end := range s.ends {
		end()
	}
}

// asker is one of the two, what it asks, and what that took.
type asker struct {
	*program
	urls   []string // of the endpoints
	pages  []string // to scrape in each interval, spread over it
	passed func(page string) (probes int)

	seen                 tally
	took                 time.Duration
	cpu                  time.Duration
	memory               memory
	probes, opened, held float64
	allocated            float64 // bytes
	sockets              float64
	mu                   sync.Mutex
	goroutines           float64
	scraped, failed      atomic.Int64 // failed are endpoints that were told to be down, or not told
}

// tally counts connections at the endpoints.
type tally struct {
	opened atomic.Int64
	nanos  atomic.Int64 // for which those that have ended were open
}

type talliedListener struct {
	net.Listener
	tally *tally
}

func (l talliedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.tally.opened.Add(1)
		conn = &talliedConn{Conn: conn, tally: l.tally, since: time.Now()}
	}
	return conn, err
}

type talliedConn struct {
	net.Conn
	tally *tally
	since time.Time
	once  sync.Once
}

func (c *talliedConn) Close() error {
	c.once.Do(func() { c.tally.nanos.Add(int64(time.Since(c.since))) })
	return c.Conn.Close()
}

// serve opens the endpoints of an asker.
func (s *front) serve(b *testing.B, a *asker) {
	b.Helper()
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"status":"ok","region":"`+lab.StandbyRegion+`"}`)
		}),
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	var serving sync.WaitGroup
	var ports []string
	for i := range endpointHosts {
		listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", endpointHost(i)+":0")
		require.NoError(b, err)
		ports = append(ports, listener.Addr().String())
		listener = talliedListener{listener, &a.seen}
		if s.scheme == "https" {
			listener = tls.NewListener(listener, s.tls)
		}
		serving.Go(func() { _ = server.Serve(listener) })
	}
	s.ends = append(s.ends, func() { _ = server.Close(); serving.Wait() })
	for i := range manyEndpoints {
		a.urls = append(a.urls, fmt.Sprintf("%s://%s/health?n=%d", s.scheme, ports[i%endpointHosts], i))
	}
}

const wellBody = `"status":"ok"`

// drwatch watches the endpoints as parts of a hundred services.
func (s *front) drwatch(b *testing.B, path string) *asker {
	b.Helper()
	a := &asker{pages: []string{"/metrics"}, passed: func(page string) int { return int(sum(page, "dr_endpoint_up")) }}
	s.serve(b, a)
	var text strings.Builder
	fmt.Fprintf(&text, "system: bench\ninstance: { region: %s }\nregions: { primary: %s, standby: %s }\nschedule: \"@every %s\"\ntimeout: 5s\n",
		lab.StandbyRegion, lab.PrimaryRegion, lab.StandbyRegion, endpointEvery)
	fmt.Fprintf(&text, "datastores:\n  - name: none\n    copies:\n      - { name: primary, kind: primary, region: %s, schedule: \"@every 24h\", redis: { url: \"redis://127.0.0.1:1\" } }\nservices:\n", lab.PrimaryRegion)
	const each = manyEndpoints / 100
	trust := ""
	if s.scheme == "https" {
		trust = fmt.Sprintf(", ca_file: %q", s.ca)
	}
	for i, target := range a.urls {
		if i%each == 0 {
			fmt.Fprintf(&text, "  - name: api-%d.bench.test\n    primary: [192.0.2.1]\n    standby: [127.0.1.0/24]\n    parts:\n", i/each)
		}
		fmt.Fprintf(&text, "      - { name: e%d, region: %s, side: standby, endpoint: { url: %q, body: '%s'%s } }\n", i, lab.StandbyRegion, target, wellBody, trust)
	}
	file := filepath.Join(b.TempDir(), "drwatch.yaml")
	require.NoError(b, os.WriteFile(file, []byte(text.String()), 0o600))
	a.program = launch{
		path:   path,
		args:   []string{"serve", "--config.file", file, "--web.listen-address", "ADDRESS", "--log.level", "error"},
		health: "/-/healthy",
	}.start(b)
	s.ends = append(s.ends, a.stop)
	return a
}

// blackbox is scraped for each endpoint.
func (s *front) blackbox(b *testing.B, path string) *asker {
	b.Helper()
	success := regexp.MustCompile(`(?m)^probe_success 1$`)
	a := &asker{passed: func(page string) int { return len(success.FindAllString(page, -1)) }}
	s.serve(b, a)
	for _, target := range a.urls {
		a.pages = append(a.pages, "/probe?module=well&target="+url.QueryEscape(target))
	}
	file := filepath.Join(b.TempDir(), "blackbox.yml")
	require.NoError(b, os.WriteFile(file, []byte(fmt.Sprintf(`modules:
  well:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      follow_redirects: false
      fail_if_body_not_matches_regexp: ['%s']
      tls_config: { ca_file: %q }
`, wellBody, s.ca)), 0o600))
	a.program = launch{
		path: path, args: []string{"--config.file=" + file, "--web.listen-address=ADDRESS", "--log.level=error"}, health: "/-/healthy",
	}.start(b)
	s.ends = append(s.ends, a.stop)
	return a
}

// race lets both ask, to warm up and then to be measured, for as long as the other.
func (s *front) race(b *testing.B, both []*asker) {
	b.Helper()
	run := func(rounds int) {
		var all sync.WaitGroup
		for _, a := range both {
			all.Go(func() { a.scrape(b.Context(), rounds) })
		}
		watched, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			for ticks := time.Tick(100 * time.Millisecond); ; {
				select {
				case <-done:
					return
				case <-ticks:
					for _, a := range both {
						a.watch()
					}
				}
			}
		}()
		all.Wait()
		close(done)
		<-watched
	}
	run(either(2, 1))
	var before []counts
	began := time.Now()
	for _, a := range both {
		a.goroutines, a.sockets = 0, 0
		a.scraped.Store(0)
		a.failed.Store(0)
		before = append(before, a.count(b))
	}
	run(either(6, 2))
	for i, a := range both {
		grown := a.count(b).minus(before[i])
		a.took, a.memory = time.Since(began), a.program.memory(b)
		a.cpu, a.probes, a.opened, a.held = time.Duration(grown.cpu*float64(time.Second)), grown.looks, grown.connections, grown.held
		a.allocated = grown.bytes
		require.Less(b, float64(a.failed.Load()), 0.01*a.probes, "probes that failed: the machine is too busy with other things")
		require.InDelta(b, a.opened, a.probes, 0.02*a.probes, "a connection for each probe")
	}
}

// count reads the counters as they are now.
func (a *asker) count(b *testing.B) (now counts) {
	b.Helper()
	now.cpu = a.program.cpu(b).Seconds()
	now.connections, now.held = float64(a.seen.opened.Load()), float64(a.seen.nanos.Load())/1e9
	page := a.page(b)
	now.bytes = sum(page, "go_memstats_alloc_bytes_total")
	if now.looks = float64(a.scraped.Load()); len(a.pages) == 1 { // it asks by itself
		now.looks = sum(page, "dr_probe_duration_seconds_count")
	}
	return now
}

// watch notes how many sockets the process has, where that is the most so far.
func (a *asker) watch() {
	open, err := a.proc.FileDescriptorTargets()
	if err != nil {
		return
	}
	sockets := 0.0
	for _, target := range open {
		if strings.HasPrefix(target, "socket:") {
			sockets++
		}
	}
	a.sockets = max(a.sockets, sockets)
}

// note notes how many goroutines it has. Its page is asked for no more often than it
// would be otherwise: that of drwatch is large.
func (a *asker) note(page string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.goroutines = max(a.goroutines, sum(page, "go_goroutines"))
}

// scrape asks for all pages in each interval, evenly, as Prometheus does: packed, over
// connections that are kept.
func (a *asker) scrape(ctx context.Context, rounds int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: scrapesAtOnce, MaxConnsPerHost: scrapesAtOnce}}
	defer client.CloseIdleConnections()
	var asked sync.WaitGroup
	defer asked.Wait()
	began := time.Now()
	gap := endpointEvery / time.Duration(len(a.pages))
	for n := range rounds * len(a.pages) {
		time.Sleep(time.Until(began.Add(time.Duration(n) * gap))) // the pace of the scraper
		asked.Go(func() {
			a.scraped.Add(1)
			page, err := fetch(ctx, client, a.url+a.pages[n%len(a.pages)])
			if len(a.pages) == 1 {
				a.note(page)
			} else if n%len(a.pages) == len(a.pages)/2 {
				own, _ := fetch(ctx, client, a.url+"/metrics")
				a.note(own)
			}
			if want := manyEndpoints / len(a.pages); err != nil {
				a.failed.Add(int64(want))
			} else if want == 1 || n > 0 { // the first page may come before the first looks
				a.failed.Add(int64(want - a.passed(page)))
			}
		})
	}
	time.Sleep(time.Until(began.Add(time.Duration(rounds) * endpointEvery)))
}

func fetch(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request) // which asks for gzip by itself
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
