package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/drwatch/drwatch/lab/api"
	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/lab/dns"
)

// APIHost is the name under which clients reach the API, in whichever region it is.
const APIHost = "api.festivals.app"

// How Route 53 leads clients to it: every ten seconds each health checker asks, two answers in a row decide, and
// resolvers keep what they were told for ten seconds. That is faster than most are in earnest, and a lab is watched.
const (
	checkInterval  = 10 // seconds: the shortest that Route 53 has
	checkThreshold = 2
	recordTTL      = 10 // seconds
	ttlOfADay      = 24 * 60 * 60
)

// Where everything is in Route 53.
const (
	zoneName = "festivals.app."
	zoneID   = "Z0000FESTIVALSAPP"

	primaryBalancer = "festivals-api-0a1b2c3d4e5f6a7b." + PrimaryRegion + ".elb.amazonaws.com"
	standbyBalancer = "festivals-api-dr-9f8e7d6c5b4a3f2e." + StandbyRegion + ".elb.amazonaws.com"
	balancerOfOld   = "festivals-api-2019-1c2d3e4f5a6b7c8d." + StandbyRegion + ".elb.amazonaws.com"

	primaryCheck = "0aa00000-0000-4000-8000-000000000001"
	standbyCheck = "0bb00000-0000-4000-8000-000000000002"
)

// The loopback addresses of what clients see. Name servers share one port, and so do the API servers, as those of the
// internet do.
const (
	parentServer = "127.0.53.1" // of the zone app.
	firstServer  = "127.0.53.2" // of the zone festivals.app.
	secondServer = "127.0.53.3"
	primaryAPI   = "127.0.53.11"
	standbyAPI   = "127.0.53.12"
	oldAPI       = "127.0.53.99" // where nothing listens
)

// apiView is the link over which the API of the primary region is seen from the standby region.
const apiView = "api-view"

// traffic is what leads clients to a region, and what answers them there.
type traffic struct {
	apis      map[Site]*api.Server
	apiPort   int
	dnsPort   int
	names     *dns.Server
	resolvers [2]atomic.Pointer[dns.Resolver] // a resolver that forgets is another one
}

// upTraffic brings up the API in both regions, Route 53 with its checkers, the name servers, and two resolvers.
func (l *Lab) upTraffic(ctx context.Context) error {
	t := &traffic{apis: make(map[Site]*api.Server)}
	l.traffic = t
	var err error
	if t.apiPort, err = sharedPort(ctx, primaryAPI, standbyAPI); err != nil {
		return err
	}
	for site, host := range map[Site]string{Primary: primaryAPI, Standby: standbyAPI} {
		server, err := api.Start(ctx, api.Options{
			Region: regionOf(site), Address: net.JoinHostPort(host, strconv.Itoa(t.apiPort)),
			Certificate: l.tls.api, Bad: map[api.Mode]tls.Certificate{api.Expired: l.tls.expired},
		})
		if err != nil {
			return fmt.Errorf("start the API of %s: %w", regionOf(site), err)
		}
		t.apis[site] = server
		l.onClose("the API of "+regionOf(site), func(context.Context) error { return server.Close() })
	}
	if err := l.openLinkTo(ctx, apiView, net.JoinHostPort(primaryAPI, strconv.Itoa(t.apiPort))); err != nil {
		return err
	}
	l.fillRoute53()
	l.fillELB()
	if err := l.upNames(ctx); err != nil {
		return err
	}
	checking, stop := context.WithCancel(context.WithoutCancel(ctx))
	checked := make(chan struct{})
	go func() { defer close(checked); l.cloud.Route53().Check(checking) }()
	l.onClose("the health checkers", func(context.Context) error { stop(); <-checked; return nil })
	for i := range t.resolvers {
		if err := l.upResolver(ctx, i); err != nil {
			return err
		}
	}
	if err := l.servedFrom(ctx, primaryAPI); err != nil {
		return err
	}
	l.say("https://%s:%d in both regions, led to %s by Route 53, name servers on port %d, resolvers on %s and %s",
		APIHost, t.apiPort, PrimaryRegion, t.dnsPort, t.resolvers[0].Load().Address(), t.resolvers[1].Load().Address())
	return nil
}

// sharedPort finds a port that is free on all of the addresses.
func sharedPort(ctx context.Context, hosts ...string) (port int, err error) {
	for range 20 {
		port = 0
		var open []net.Listener
		for _, host := range hosts {
			var l net.Listener
			if l, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
				break
			}
			open = append(open, l)
			port = l.Addr().(*net.TCPAddr).Port
		}
		for _, l := range open {
			_ = l.Close()
		}
		if err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a port that is free on %v: %w", hosts, err)
}

// fillRoute53 sets the name up: two failover records, each with a health check.
func (l *Lab) fillRoute53() {
	r := l.cloud.Route53()
	r.Dial(l.traffic.dial)
	r.PutHealthCheck(l.healthCheck(primaryCheck, primaryBalancer))
	r.PutHealthCheck(l.healthCheck(standbyCheck, standbyBalancer))
	l.fillZone()
}

// fillZone makes the zone what it ought to be.
func (l *Lab) fillZone() {
	r := l.cloud.Route53()
	r.PutZone(aws.Zone{ID: zoneID, Name: zoneName, NameServers: []string{"ns1.festivals.app.", "ns2.festivals.app."}})
	for _, record := range apiRecords() {
		r.PutRecord(record)
	}
}

func (l *Lab) healthCheck(id, host string) aws.HealthCheck {
	return aws.HealthCheck{
		ID: id, Type: "HTTPS", FQDN: host, Port: l.traffic.apiPort, Path: "/health",
		Interval: checkInterval, Threshold: checkThreshold, Regions: []string{"us-east-1", "eu-west-1", "ap-southeast-1"},
	}
}

// apiRecords are the two members of the record, as they ought to be.
func apiRecords() []aws.RecordSet {
	member := func(failover, target, check string) aws.RecordSet {
		return aws.RecordSet{
			Zone: zoneID, Name: APIHost + ".", Type: "CNAME", TTL: recordTTL, Values: []string{target + "."},
			SetIdentifier: failover, Failover: failover, HealthCheck: check,
		}
	}
	return []aws.RecordSet{member("PRIMARY", primaryBalancer, primaryCheck), member("SECONDARY", standbyBalancer, standbyCheck)}
}

// fillELB sets up the load balancers, whose targets are as well as the API of their region is.
func (l *Lab) fillELB() {
	for site, name := range map[Site]string{Primary: "festivals-api", Standby: "festivals-api-dr"} {
		region := regionOf(site)
		host := map[Site]string{Primary: primaryBalancer, Standby: standbyBalancer}[site]
		id := "50dc6c495c0c9188" + map[Site]string{Primary: "a", Standby: "b"}[site]
		group := aws.TargetGroup{
			ARN:  fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:targetgroup/%s/%s", region, aws.Account, name, id),
			Name: name, Port: l.traffic.apiPort, HealthPath: "/health", Interval: 10, UnhealthyThreshold: 2,
		}
		for i, zone := range []string{"a", "b", "c"} {
			group.Targets = append(group.Targets, aws.BalancedTarget{ID: fmt.Sprintf("10.%d.%d.10", map[Site]int{Primary: 1, Standby: 2}[site], i), Port: l.traffic.apiPort, Zone: region + zone, State: "healthy"})
		}
		balancer := aws.LoadBalancer{
			ARN:  fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:loadbalancer/app/%s/%s", region, aws.Account, name, id),
			Name: name, DNSName: host, HostedZoneID: "Z32O12XQLNTSW2", Region: region, Type: "application", State: "active",
			Zones: []string{region + "a", region + "b", region + "c"}, TargetGroups: []aws.TargetGroup{group},
		}
		l.cloud.ELB().Put(balancer)
		server := l.traffic.apis[site]
		l.cloud.ELB().Observe(balancer.ARN, func(aws.BalancedTarget) (state, reason, description string) { return targetHealth(server.Mode()) })
	}
}

// targetHealth is what a load balancer says of a server.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
func targetHealth(mode api.Mode) (state, reason, description string) {
	switch mode {
	case api.Down:
		return "unhealthy", "Target.FailedHealthChecks", "Health checks failed"
	case api.Bad:
		return "unhealthy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"
	case api.Hang:
		return "unhealthy", "Target.Timeout", "Request timed out"
	default:
		return "healthy", "", ""
	}
}

// addressOf is where the names of the lab lead; empty for any other.
func addressOf(host string) string {
	return map[string]string{primaryBalancer: primaryAPI, standbyBalancer: standbyAPI, balancerOfOld: oldAPI}[host]
}

// dial reaches the load balancers by their names, as the health checkers of Route 53 do.
func (t *traffic) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if known := addressOf(host); known != "" {
		host = known
	}
	return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
}

// servedFrom waits until both resolvers lead to the address, and something answers there.
func (l *Lab) servedFrom(ctx context.Context, address string) error {
	for i := range l.traffic.resolvers {
		err := poll(ctx, fmt.Sprintf("resolver %d to lead to %s", i, address), func(ctx context.Context) error {
			addresses, err := l.Resolver(i).LookupHost(ctx, APIHost)
			if err == nil && (len(addresses) != 1 || addresses[0] != address) {
				err = fmt.Errorf("it leads to %v", addresses)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// AskAPI asks the API as a client does that honours TTLs: by its name, by way of one of the resolvers, on a connection of
// its own. It tells the region that answered.
func (l *Lab) AskAPI(ctx context.Context, resolver int) (region string, err error) {
	addresses, err := l.Resolver(resolver).LookupHost(ctx, APIHost)
	if err != nil {
		return "", err
	}
	if len(addresses) == 0 {
		return "", errors.New("the name leads nowhere")
	}
	port := strconv.Itoa(l.traffic.apiPort)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: l.tls.roots(), MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(addresses[0], port))
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+net.JoinHostPort(APIHost, port)+"/health", http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var health struct{ Status, Region string }
	if err := json.NewDecoder(response.Body).Decode(&health); err != nil {
		return "", fmt.Errorf("read what the API says at %s: %w", addresses[0], err)
	}
	if response.StatusCode != http.StatusOK || health.Status != "ok" {
		return "", fmt.Errorf("the API at %s says %d, %q", addresses[0], response.StatusCode, health.Status)
	}
	return health.Region, nil
}

// healthyAgain waits until the checkers hold the primary to be healthy.
func (l *Lab) healthyAgain(ctx context.Context, check string) error {
	return poll(ctx, "the health checkers", func(context.Context) error {
		if !l.cloud.Route53().Healthy(check) {
			return errors.New("they do not hold it to be healthy")
		}
		return nil
	})
}

// roots is the authority of the lab.
func (c certificates) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.authority)
	return pool
}
