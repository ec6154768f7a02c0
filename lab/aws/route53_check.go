package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How long a checker waits. These are no settings: an endpoint that takes longer is
// unhealthy.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
const (
	connectsHTTP = 4 * time.Second
	connectsTCP  = 10 * time.Second
	responds     = 2 * time.Second // from the connection to the status, and from that to the body
	searched     = 5120            // bytes of the body
)

// checker is one of those that look at an endpoint: there is one in each region.
type checker struct {
	check, region string
	generation    int64 // of the health check
}

// Check runs the checkers of all health checks that monitor an endpoint and are
// not disabled, until ctx ends, and returns when they have ended. What is put,
// changed or removed meanwhile is picked up at once. Checkers of different regions
// do not look at the same time.
func (r *Route53) Check(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	stops := make(map[checker]context.CancelFunc)
	for ctx.Err() == nil {
		due, changed := r.due()
		for c, stop := range stops {
			if !slices.Contains(due, c) {
				stop()
				delete(stops, c)
			}
		}
		for _, c := range due {
			if stops[c] != nil {
				continue
			}
			each, stop := context.WithCancel(ctx)
			stops[c] = stop
			running.Go(func() {
				defer stop()
				r.checkFrom(each, c)
			})
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// due gives the checkers that there should be, and a channel that is closed when
// that has changed.
func (r *Route53) due() ([]checker, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []checker
	for id, h := range r.checks {
		if !h.monitorsEndpoint() || h.Disabled {
			continue
		}
		for _, region := range h.checkerRegions() {
			all = append(all, checker{id, region, h.generation})
		}
	}
	return all, r.changed
}

// checkFrom looks from one region, again and again.
func (r *Route53) checkFrom(ctx context.Context, c checker) {
	h, exists := r.HealthCheck(c.check)
	if !exists {
		return
	}
	interval := time.Duration(h.Interval) * time.Second
	regions := h.checkerRegions()
	wait := time.NewTimer(interval * time.Duration(slices.Index(regions, c.region)) / time.Duration(len(regions)))
	defer wait.Stop()
	inRow := row{threshold: h.Threshold}
	for {
		select {
		case <-wait.C:
		case <-ctx.Done():
			return
		}
		wait.Reset(interval)
		healthy, reason := r.look(ctx, h)
		if ctx.Err() != nil {
			return // it says nothing about the endpoint
		}
		r.note(c, inRow.add(healthy), healthy, reason)
	}
}

// row counts looks with the same result.
type row struct {
	threshold, n int
	healthy      bool
}

// add reports whether there are enough of them to judge by.
func (o *row) add(healthy bool) bool {
	if o.healthy != healthy {
		o.n = 0
	}
	o.healthy = healthy
	o.n++
	return o.n >= o.threshold
}

// note takes down what a checker saw, unless the health check is another by now.
func (r *Route53) note(c checker, settled, healthy bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.checks[c.check]
	if h == nil || h.generation != c.generation {
		return
	}
	now := r.cloud.options.Now()
	if settled {
		h.reports[c.region] = h.reports[c.region].said(healthy, reason, now)
	} else {
		h.reports[c.region] = h.reports[c.region].saw(healthy, reason, now)
	}
}

// look is one request to an endpoint.
func (r *Route53) look(ctx context.Context, h HealthCheck) (healthy bool, reason string) {
	limit := connectsHTTP
	if h.Type == "TCP" {
		limit = connectsTCP
	}
	conn, err := r.connect(ctx, h.address(), limit)
	if err != nil {
		return false, unreachable(err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // not to take leave of the endpoint
	if h.Type == "TCP" {
		return true, "Connection established"
	}
	return request(ctx, conn, h)
}

func (r *Route53) connect(ctx context.Context, address string, limit time.Duration) (net.Conn, error) {
	r.mu.Lock()
	dial := r.dial
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return dial(ctx, "tcp", address)
}

func (h *HealthCheck) address() string {
	host := h.IP
	if host == "" {
		host = h.FQDN
	}
	return net.JoinHostPort(host, strconv.Itoa(h.Port))
}

// host is the Host header, which has the port in it where that is not the usual one.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (FullyQualifiedDomainName)
func (h *HealthCheck) host() string {
	host := h.FQDN
	if host == "" {
		host = h.IP
	}
	usual := h.Port == 80 && !h.secure() || h.Port == 443 && h.secure()
	if !usual {
		return net.JoinHostPort(host, strconv.Itoa(h.Port))
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func (h *HealthCheck) secure() bool { return strings.HasPrefix(h.Type, "HTTPS") }

// request asks over a connection that is there. It follows no redirection, for 3xx
// is healthy, and does not verify a certificate: one that has expired is healthy.
// It knows TLS from 1.0 to 1.2.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
func request(ctx context.Context, conn net.Conn, h HealthCheck) (healthy bool, reason string) {
	handed := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{
		DialContext: handed, DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{ServerName: h.FQDN, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12},
	}
	scheme := map[bool]string{true: "https", false: "http"}[h.secure()]
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+h.host()+"/"+strings.TrimPrefix(h.Path, "/"), nil)
	if err != nil {
		return false, "The request cannot be made: " + err.Error()
	}
	r.Header.Set("User-Agent", "Amazon-Route53-Health-Check-Service (ref "+h.ID+")")
	_ = conn.SetDeadline(time.Now().Add(responds))
	response, err := transport.RoundTrip(r)
	if err != nil {
		return false, unanswered(err)
	}
	defer func() { _ = response.Body.Close() }()
	status := fmt.Sprintf("HTTP Status Code %d, %s", response.StatusCode, http.StatusText(response.StatusCode))
	switch {
	case response.StatusCode < 200 || response.StatusCode >= 400:
		return false, status
	case !strings.HasSuffix(h.Type, "_STR_MATCH"):
		return true, status
	}
	_ = conn.SetDeadline(time.Now().Add(responds))
	body, err := io.ReadAll(io.LimitReader(response.Body, searched))
	if strings.Contains(string(body), h.Search) {
		return true, status + ". The search string was found"
	}
	if err != nil {
		return false, status + ". The response body was not received within the timeout limit"
	}
	return false, status + ". The search string was not found in the first 5120 bytes of the response body"
}

// unreachable and unanswered say what went wrong in the words of Route 53.
// https://repost.aws/knowledge-center/route-53-fix-unhealthy-health-checks
func unreachable(err error) string {
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && !name.IsTimeout:
		return "DNS resolution failed: " + err.Error()
	case timeout(err):
		return "The health checker could not establish a connection within the timeout limit"
	}
	return "The health checker could not connect to the endpoint: " + err.Error()
}

func unanswered(err error) string {
	var remote *net.OpError
	switch {
	case errors.As(err, &remote) && remote.Op == "remote error": // which is how crypto/tls tells of an alert
		return "SSL alert: " + remote.Err.Error()
	case timeout(err):
		return "The endpoint did not respond within the timeout limit"
	}
	return "The endpoint did not respond with HTTP: " + err.Error()
}

func timeout(err error) bool {
	var slow net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()
}
