package lab_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	r53 "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/lab/labtest"
)

// A lab whose clients stay where they were would prove nothing about moving.
func TestTraffic_ClientsAreLedToTheStandbyAndBack(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, func(o *lab.Options) { o.AWS = true })
	served := func(by string) {
		t.Helper()
		for resolver := range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for {
				attempt, done := context.WithTimeout(ctx, time.Second)
				region, err := l.AskAPI(attempt, resolver)
				done()
				if region == by {
					break
				}
				require.NoError(t, ctx.Err(), "last seen by resolver %d: %q, %v", resolver, region, err)
			}
		}
	}
	served(lab.PrimaryRegion)
	require.NoError(t, l.Break(t.Context(), lab.PrimaryAPIDown))
	served(lab.StandbyRegion)
	require.NoError(t, l.Heal(t.Context(), lab.PrimaryAPIDown))
	served(lab.PrimaryRegion)

	// One fault that is healed heals no other.
	require.NoError(t, l.Break(t.Context(), lab.ResolverSilent))
	require.NoError(t, l.Break(t.Context(), lab.TTLDay))
	require.NoError(t, l.Heal(t.Context(), lab.TTLDay))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := l.Resolver(1).LookupHost(ctx, lab.APIHost)
	require.Error(t, err)
	require.NoError(t, l.Heal(t.Context(), lab.ResolverSilent))
	served(lab.PrimaryRegion)
}

// What a fault left behind would be taken for part of the next one.
func TestTraffic_WhatIsHealedIsAsBefore(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, func(o *lab.Options) { o.AWS = true })
	before, checks := members(t, l), healthChecks(t, l)
	require.Len(t, before, 2)
	for _, fault := range []lab.Fault{
		lab.SecondaryMissing, lab.SecondaryIsPrimary, lab.WrongTarget, lab.RecordMissing, lab.ZoneMissing, lab.TTLDay,
		lab.HealthCheckDisabled, lab.HealthCheckDeleted, lab.HealthCheckPath,
	} {
		require.NoError(t, l.Break(t.Context(), fault))
		require.NoError(t, l.Heal(t.Context(), fault))
		require.Equal(t, before, members(t, l), fault)
		require.Equal(t, checks, healthChecks(t, l), fault)
	}
}

func route53Client(l *lab.Lab) *r53.Client {
	return r53.New(r53.Options{
		Region: "us-east-1", BaseEndpoint: ptr(l.Cloud().URL()), RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("AKIALAB", "lab", ""),
	})
}

// members are the two of the record of the API, as Route 53 tells them.
func members(t *testing.T, l *lab.Lab) map[types.ResourceRecordSetFailover]types.ResourceRecordSet {
	t.Helper()
	page, err := route53Client(l).ListResourceRecordSets(t.Context(), &r53.ListResourceRecordSetsInput{HostedZoneId: ptr("Z0000FESTIVALSAPP")})
	require.NoError(t, err)
	found := make(map[types.ResourceRecordSetFailover]types.ResourceRecordSet)
	for _, set := range page.ResourceRecordSets {
		if *set.Name == lab.APIHost+"." {
			found[set.Failover] = set
		}
	}
	return found
}

// healthChecks are how they are set up, by id.
func healthChecks(t *testing.T, l *lab.Lab) map[string]types.HealthCheckConfig {
	t.Helper()
	page, err := route53Client(l).ListHealthChecks(t.Context(), &r53.ListHealthChecksInput{})
	require.NoError(t, err)
	found := make(map[string]types.HealthCheckConfig)
	for _, h := range page.HealthChecks {
		found[*h.Id] = *h.HealthCheckConfig
	}
	return found
}

// trafficTests look at what leads clients to a region, and at what answers there.
func trafficTests() []faultTest {
	const record, primary, standby = lab.APIHost, "127.0.53.11", "127.0.53.12"
	member := func(l *lab.Lab) (told aws.DNSAnswer) {
		return l.Cloud().Route53().Answer("Z0000FESTIVALSAPP", record, "CNAME", nil)
	}
	check := func(l *lab.Lab) (aws.HealthCheck, bool) {
		return l.Cloud().Route53().HealthCheck("0aa00000-0000-4000-8000-000000000001")
	}
	ask := func(t *testing.T, l *lab.Lab, host string, trust bool) (status int, body string, err error) {
		t.Helper()
		roots := x509.NewCertPool()
		pem, err := os.ReadFile(l.Endpoints().CAFile)
		require.NoError(t, err)
		require.True(t, roots.AppendCertsFromPEM(pem))
		client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: record, InsecureSkipVerify: !trust},
		}}
		response, err := client.Get(fmt.Sprintf("https://%s:%d/health", host, l.Endpoints().API.Port))
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return response.StatusCode, string(text), err
	}
	refused := func(host string) func(*testing.T, *lab.Lab) {
		return func(t *testing.T, l *lab.Lab) {
			_, _, err := ask(t, l, host, true)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		}
	}
	nameserver := func(t *testing.T, l *lab.Lab, host string) (addresses []string, err error) {
		t.Helper()
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("%s:%d", host, l.Endpoints().API.DNSPort))
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return resolver.LookupHost(ctx, record)
	}
	route53 := func(code string) func(*testing.T, *lab.Lab) {
		return func(t *testing.T, l *lab.Lab) {
			_, err := route53Client(l).ListHostedZones(t.Context(), &r53.ListHostedZonesInput{})
			require.ErrorContains(t, err, code)
		}
	}
	return []faultTest{
		{lab.PrimaryAPIDown, refused(primary)},
		{lab.StandbyAPIDown, refused(standby)},
		{lab.PrimaryAPIHangs, func(t *testing.T, l *lab.Lab) {
			_, _, err := ask(t, l, primary, true)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}},
		{lab.StandbyAPILies, func(t *testing.T, l *lab.Lab) {
			status, body, err := ask(t, l, standby, true)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status)
			require.NotContains(t, body, `"ok"`)
		}},
		{lab.CertExpired, func(t *testing.T, l *lab.Lab) {
			_, _, err := ask(t, l, standby, true)
			require.ErrorContains(t, err, "expired")
			status, _, err := ask(t, l, standby, false)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status)
		}},
		{lab.HealthCheckDisabled, func(t *testing.T, l *lab.Lab) {
			h, there := check(l)
			require.True(t, there && h.Disabled)
		}},
		{lab.HealthCheckDeleted, func(t *testing.T, l *lab.Lab) {
			_, there := check(l)
			require.False(t, there)
		}},
		{lab.HealthCheckPath, func(t *testing.T, l *lab.Lab) {
			h, _ := check(l)
			require.Equal(t, "/", h.Path)
		}},
		{lab.SecondaryMissing, func(t *testing.T, l *lab.Lab) {
			require.Len(t, member(l).Records, 1)
			require.NotContains(t, members(t, l), types.ResourceRecordSetFailoverSecondary)
		}},
		{lab.SecondaryIsPrimary, func(t *testing.T, l *lab.Lab) {
			require.Len(t, member(l).Records, 1)
			both := members(t, l)
			require.Equal(t, both[types.ResourceRecordSetFailoverPrimary].ResourceRecords, both[types.ResourceRecordSetFailoverSecondary].ResourceRecords)
		}},
		{lab.WrongTarget, func(t *testing.T, l *lab.Lab) {
			require.Len(t, member(l).Records, 1)
			require.Contains(t, *members(t, l)[types.ResourceRecordSetFailoverSecondary].ResourceRecords[0].Value, "festivals-api-2019-")
		}},
		{lab.RecordMissing, func(t *testing.T, l *lab.Lab) { require.True(t, member(l).NameError) }},
		{lab.ZoneMissing, func(t *testing.T, l *lab.Lab) { require.False(t, member(l).Known) }},
		{lab.TTLDay, func(t *testing.T, l *lab.Lab) { require.EqualValues(t, 86400, member(l).Records[0].TTL) }},
		{lab.NameserverDown, func(t *testing.T, l *lab.Lab) {
			_, err := nameserver(t, l, "127.0.53.3")
			require.ErrorContains(t, err, "refused")
		}},
		{lab.NameserversDisagree, func(t *testing.T, l *lab.Lab) {
			addresses, err := nameserver(t, l, "127.0.53.3")
			require.False(t, err == nil && slices.Equal(addresses, []string{primary}))
		}},
		{lab.ZoneServfail, func(t *testing.T, l *lab.Lab) {
			_, err := nameserver(t, l, "127.0.53.2")
			require.ErrorContains(t, err, "server misbehaving")
		}},
		{lab.ResolverSilent, func(t *testing.T, l *lab.Lab) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := l.Resolver(1).LookupHost(ctx, record)
			require.Error(t, err)
			_, err = l.Resolver(0).LookupHost(t.Context(), record)
			require.NoError(t, err)
		}},
		{lab.Route53Throttled, route53("Rate exceeded")},
		{lab.Route53Denied, route53("not authorized")},
	}
}

func ptr[T any](v T) *T { return &v }
