package lab

import (
	"context"

	"github.com/drwatch/drwatch/lab/api"
	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/lab/dns"
)

// The faults of what leads clients to a region, and of what they find there.
const (
	PrimaryAPIDown      Fault = "primary-api-down"
	PrimaryAPIHangs     Fault = "primary-api-hangs"
	StandbyAPIDown      Fault = "standby-api-down"
	StandbyAPILies      Fault = "standby-api-lies"
	CertExpired         Fault = "cert-expired"
	HealthCheckDisabled Fault = "health-check-disabled"
	HealthCheckDeleted  Fault = "health-check-deleted"
	HealthCheckPath     Fault = "health-check-path"
	SecondaryMissing    Fault = "secondary-missing"
	SecondaryIsPrimary  Fault = "secondary-is-primary"
	WrongTarget         Fault = "wrong-target"
	RecordMissing       Fault = "record-missing"
	ZoneMissing         Fault = "zone-missing"
	TTLDay              Fault = "ttl-day"
	NameserverDown      Fault = "nameserver-down"
	NameserversDisagree Fault = "nameservers-disagree"
	ZoneServfail        Fault = "zone-servfail"
	ResolverSilent      Fault = "resolver-silent"
	Route53Throttled    Fault = "route53-throttled"
	Route53Denied       Fault = "route53-denied"
)

// What these can have a hold on.
const (
	theRecord     = "the record of the API"
	theCheck      = "the health check of the API"
	theNameserver = "the second name server"
	theResolver   = "the second resolver"
)

func theAPI(site Site) string { return "the API of " + regionOf(site) }

func (l *Lab) trafficFaults() []fault {
	return []fault{
		l.apiFault(PrimaryAPIDown, "the API of eu-west-1 is down: nobody listens", Primary, api.Down),
		l.apiFault(PrimaryAPIHangs, "the API of eu-west-1 takes connections and does not answer", Primary, api.Hang),
		l.apiFault(StandbyAPIDown, "the API of eu-central-1 is down: nobody listens", Standby, api.Down),
		l.apiFault(StandbyAPILies, "the API of eu-central-1 answers 200 and that it cannot serve", Standby, api.Lie),
		l.apiFault(CertExpired, "the certificate of the API of eu-central-1 has expired", Standby, api.Expired),
		l.checkFault(HealthCheckDisabled, "the health check of the primary is disabled, and so the primary counts as healthy", func(r *aws.Route53, check aws.HealthCheck) {
			check.Disabled = true
			r.PutHealthCheck(check)
		}),
		l.checkFault(HealthCheckDeleted, "the health check of the primary is deleted, while the record still names it", func(r *aws.Route53, check aws.HealthCheck) {
			r.RemoveHealthCheck(check.ID)
		}),
		l.checkFault(HealthCheckPath, "the health check of the primary asks for a page that is always well", func(r *aws.Route53, check aws.HealthCheck) {
			check.Path = "/"
			r.PutHealthCheck(check)
		}),
		l.recordFault(SecondaryMissing, "the SECONDARY record of the API is gone", func(r *aws.Route53, secondary aws.RecordSet) {
			r.RemoveRecord(secondary.Zone, secondary.Name, secondary.Type, secondary.SetIdentifier)
		}),
		l.recordFault(SecondaryIsPrimary, "the SECONDARY record of the API leads to the primary region, too", func(r *aws.Route53, secondary aws.RecordSet) {
			secondary.Values = []string{primaryBalancer + "."}
			r.PutRecord(secondary)
		}),
		l.recordFault(RecordMissing, "both records of the API are gone", func(r *aws.Route53, _ aws.RecordSet) {
			for _, record := range apiRecords() {
				r.RemoveRecord(record.Zone, record.Name, record.Type, record.SetIdentifier)
			}
		}),
		l.recordFault(ZoneMissing, "the hosted zone of the API is gone", func(r *aws.Route53, _ aws.RecordSet) { r.RemoveZone(zoneID) }),
		l.recordFault(TTLDay, "resolvers may keep where the API is for a day", func(r *aws.Route53, _ aws.RecordSet) {
			for _, record := range apiRecords() {
				record.TTL = ttlOfADay
				r.PutRecord(record)
			}
		}),
		l.recordFault(WrongTarget, "the SECONDARY record of the API leads to a load balancer of old, where nobody is", func(r *aws.Route53, secondary aws.RecordSet) {
			secondary.Values = []string{balancerOfOld + "."}
			r.PutRecord(secondary)
		}),
		l.nameserverFault(NameserverDown, "one of the two name servers of the zone is down", dns.Down, 1),
		l.nameserverFault(NameserversDisagree, "one of the two name servers of the zone leads clients to where nobody is", dns.Lying, 1),
		l.nameserverFault(ZoneServfail, "both name servers of the zone have lost it, and answer SERVFAIL", dns.ServFail, 2),
		{
			FaultInfo: FaultInfo{ResolverSilent, "one of the two resolvers takes questions and does not answer"},
			takes:     []string{theResolver}, needsAWS: true,
			strike: func(context.Context) error { return l.traffic.resolvers[1].Load().Freeze() },
			undo:   func(context.Context) error { return l.traffic.resolvers[1].Load().Thaw() },
		},
		l.inAWS(Route53Throttled, "Route 53 turns every call away for coming too often", aws.Fault{Asked: aws.Asked{Service: "route53"}, Error: aws.Throttled}),
		l.inAWS(Route53Denied, "the credentials may not ask Route 53 anything any more", aws.Fault{Asked: aws.Asked{Service: "route53"}, Error: aws.Denied}),
	}
}

// apiFault changes how the API of a region is. Whether health checkers notice is up to them; that they have forgiven
// is part of the healing.
func (l *Lab) apiFault(name Fault, description string, site Site, mode api.Mode) fault {
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     []string{theAPI(site)}, needsAWS: true,
		strike: func(context.Context) error { return l.traffic.apis[site].Set(mode) },
		undo: func(ctx context.Context) error {
			if err := l.traffic.apis[site].Set(api.Up); err != nil {
				return err
			}
			return l.healthyAgain(ctx, map[Site]string{Primary: primaryCheck, Standby: standbyCheck}[site])
		},
	}
}

// recordFault changes the record of the API.
func (l *Lab) recordFault(name Fault, description string, change func(r *aws.Route53, secondary aws.RecordSet)) fault {
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     []string{theRecord}, needsAWS: true,
		strike: func(context.Context) error { change(l.cloud.Route53(), apiRecords()[1]); return nil },
		undo:   func(ctx context.Context) error { l.fillZone(); return l.forget(ctx) },
	}
}

// checkFault changes the health check of the primary.
func (l *Lab) checkFault(name Fault, description string, change func(*aws.Route53, aws.HealthCheck)) fault {
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     []string{theCheck}, needsAWS: true,
		strike: func(context.Context) error {
			change(l.cloud.Route53(), l.healthCheck(primaryCheck, primaryBalancer))
			return nil
		},
		undo: func(context.Context) error {
			l.cloud.Route53().PutHealthCheck(l.healthCheck(primaryCheck, primaryBalancer))
			return nil
		},
	}
}

// nameserverFault makes so many of the name servers of the zone bad, from the last one on.
func (l *Lab) nameserverFault(name Fault, description string, condition dns.Condition, servers int) fault {
	set := func(ctx context.Context, c dns.Condition, lies ...dns.Record) error {
		addresses := l.traffic.names.Addresses()
		for _, address := range addresses[len(addresses)-servers:] {
			if err := l.traffic.names.Set(ctx, address, c, lies...); err != nil {
				return err
			}
		}
		return nil
	}
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     []string{theNameserver}, needsAWS: true,
		strike: func(ctx context.Context) error {
			return set(ctx, condition, dns.Record{Name: APIHost, Type: "CNAME", TTL: recordTTL, Value: balancerOfOld + "."})
		},
		undo: func(ctx context.Context) error {
			if err := set(ctx, dns.Well); err != nil {
				return err
			}
			return l.forget(ctx)
		},
	}
}
