package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"

	"github.com/drwatch/drwatch/lab/dns"
)

// upNames starts the name servers: one that stands for the rest of the world, and two of the zone of the API, which
// say what Route 53 does.
func (l *Lab) upNames(ctx context.Context) error {
	ours := []dns.NameServer{{Name: "ns1.festivals.app", Address: firstServer}, {Name: "ns2.festivals.app", Address: secondServer}}
	world := []dns.NameServer{{Name: "ns.nic.app", Address: parentServer}}
	hosts := []dns.NameServer{{Name: "ns.amazonaws.com", Address: parentServer}}
	var balancers []dns.Record
	for _, host := range []string{primaryBalancer, standbyBalancer, balancerOfOld} {
		balancers = append(balancers, dns.Record{Name: host, Type: "A", TTL: recordTTL, Value: addressOf(host)})
	}
	names, err := dns.Start(ctx, dns.Options{
		Addresses: []string{parentServer + ":0", firstServer + ":0", secondServer + ":0"},
		Zones: []dns.Zone{
			{Name: "app", NameServers: world, Delegations: []dns.Delegation{{Name: zoneName, NameServers: ours}}},
			{Name: "amazonaws.com", NameServers: hosts, Answer: dns.Static(balancers...)},
			{Name: zoneName, NameServers: ours, Answer: l.route53Answer, NegativeTTL: recordTTL},
		},
	})
	if err != nil {
		return err
	}
	l.traffic.names, l.traffic.dnsPort = names, names.Port()
	l.onClose("the name servers", func(context.Context) error { return names.Close() })
	return nil
}

// route53Answer is what Route 53 says to a question now.
func (l *Lab) route53Answer(name, typ string) (records []dns.Record, nxdomain bool) {
	answer := l.cloud.Route53().Answer(zoneID, name, typ, func(host string) []string {
		if known := addressOf(host); known != "" {
			return []string{known}
		}
		return nil
	})
	for _, r := range answer.Records {
		records = append(records, dns.Record(r))
	}
	return records, answer.NameError
}

// upResolver starts one of the resolvers that clients ask.
func (l *Lab) upResolver(ctx context.Context, i int) error {
	if err := os.Mkdir(l.resolverDir(i), 0o755); err != nil {
		return fmt.Errorf("make the folder of a resolver: %w", err)
	}
	if err := l.startResolver(ctx, i, ""); err != nil {
		return err
	}
	l.onClose(fmt.Sprintf("resolver %d", i), func(ctx context.Context) error { return l.traffic.resolvers[i].Load().Stop(ctx) })
	return nil
}

func (l *Lab) resolverDir(i int) string { return l.folder.path(fmt.Sprintf("resolver-%d", i)) }

func (l *Lab) startResolver(ctx context.Context, i int, address string) error {
	servers := l.traffic.names.Addresses()
	resolver, err := dns.StartResolver(ctx, dns.ResolverOptions{
		Dir: l.resolverDir(i), Address: address,
		Start: func(cmd *exec.Cmd) error {
			cmd.SysProcAttr = processAttributes(nil) // it ends with us, whatever becomes of us
			return l.spawner.start(cmd)
		},
		Zones: map[string][]string{"app": servers[:1], "amazonaws.com": servers[:1], zoneName: servers[1:]},
	})
	if err == nil {
		l.traffic.resolvers[i].Store(resolver)
	}
	return err
}

// forget makes the resolvers forget what they were told: nobody would wait for a day.
func (l *Lab) forget(ctx context.Context) error {
	for i := range l.traffic.resolvers {
		resolver := l.traffic.resolvers[i].Load()
		if err := resolver.Stop(ctx); err != nil {
			return err
		}
		if err := l.startResolver(ctx, i, resolver.Address()); err != nil {
			return err
		}
	}
	if slices.Contains(l.Broken(), ResolverSilent) {
		return l.traffic.resolvers[1].Load().Freeze()
	}
	return nil
}

// Resolver asks one of the two resolvers of the lab, which keep answers for as long as their TTL lets them.
func (l *Lab) Resolver(i int) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.traffic.resolvers[i].Load().Address())
	}}
}
