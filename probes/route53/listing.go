package route53

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go"
)

// stop is where a listing of records has come to.
type stop struct {
	names []string        // that it still has to find, in order
	from  *position       // where the page of the first of them begins; nil is with it
	had   map[string]bool // all that it looks for
	later map[string]bool // what the records found lead to, for the next round
	round int
}

// position is a record set in a listing.
type position struct{ name, kind, set string }

func stopAt(names []string, had map[string]bool, round int) stop {
	for _, name := range names {
		had[name] = true
	}
	return stop{names: inOrder(names), had: had, later: make(map[string]bool), round: round}
}

// lister makes the question for the wanted records of a zone, and for those of the
// zone that they lead to. A listing jumps from one name to the next: it takes no more
// calls than there are names, nor than the zone has pages.
func (a *account) lister(z zone) func(context.Context) (listing, error) {
	s := newSweep(a.session.Now, func(ctx context.Context, at stop) ([]record, stop, bool, error) {
		return a.pageOfRecords(ctx, z, at)
	})
	return func(ctx context.Context) (listing, error) {
		var all []zone
		if answer, err := a.zones.Get(ctx); err == nil { // else the zone is known by its id
			all = answer.Value
		}
		names := a.leadsOnTo(z)
		for _, name := range a.names(all)[z.id] {
			names = append(append(names, name), upTo(name, z.name)...) // any of them may be delegated
		}
		found, begun, err := s.all(ctx, stopAt(names, make(map[string]bool), 0))
		if err != nil {
			return listing{}, gone(z, err)
		}
		l := listing{records: make(records), begun: begun}
		var beyond []string
		for _, r := range found {
			if l.records.add(r) {
				beyond = append(beyond, r.beyond(z)...)
			}
		}
		a.remember(z, beyond)
		return l, nil
	}
}

// add adds a record that is not there yet.
func (r records) add(one record) bool {
	if slices.ContainsFunc(r[one.name], func(o record) bool { return o.kind == one.kind && o.set == one.set }) {
		return false
	}
	r[one.name] = append(r[one.name], one)
	return true
}

// leadsOnTo lists what the records of a zone led to when they were last listed, so that
// it is asked for together with them.
func (a *account) leadsOnTo(z zone) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.beyond[z.id])
}

func (a *account) remember(z zone, names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.beyond[z.id] = names
}

// pageOfRecords reads one page, and says where to go on.
func (a *account) pageOfRecords(ctx context.Context, z zone, at stop) ([]record, stop, bool, error) {
	if len(at.names) == 0 {
		return nil, at, false, nil
	}
	begin := position{name: at.names[0]}
	if at.from != nil {
		begin = *at.from
	}
	page, err := call(ctx, a, actionRecords, func(ctx context.Context, c *route53.Client) (*route53.ListResourceRecordSetsOutput, error) {
		return c.ListResourceRecordSets(ctx, begin.input(z))
	})
	if err != nil {
		return nil, at, false, err
	}
	if err := whole(page.MaxItems, page.IsTruncated, page.NextRecordName); err != nil {
		return nil, at, false, err
	}
	var found []record
	for _, set := range page.ResourceRecordSets {
		r := fromRecord(set)
		if !at.had[r.name] {
			continue
		}
		found = append(found, r)
		for _, name := range r.beyond(z) {
			if !at.had[name] {
				at.later[name] = true
			}
		}
	}
	next, err := at.next(page, begin, found)
	return found, next, len(next.names) > 0, err
}

func (p position) input(z zone) *route53.ListResourceRecordSetsInput {
	in := &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String(z.id), MaxItems: aws.Int32(pageSize), StartRecordName: aws.String(p.name + ".")}
	if p.kind != "" {
		in.StartRecordType = types.RRType(p.kind)
	}
	if p.set != "" {
		in.StartRecordIdentifier = aws.String(p.set)
	}
	return in
}

// next tells where to go on after a page: with the first name that it did not come to.
// Of names with other than the usual characters the order is not documented well
// enough to be sure that they were passed, so each of them is asked for.
func (at stop) next(page *route53.ListResourceRecordSetsOutput, begin position, found []record) (stop, error) {
	reached := position{name: canonical(aws.ToString(page.NextRecordName)), kind: string(page.NextRecordType), set: aws.ToString(page.NextRecordIdentifier)}
	if page.IsTruncated && reached == begin {
		return at, &smithy.DeserializationError{Err: fmt.Errorf("the pages go round at %s", text(begin.name))}
	}
	on := stop{had: at.had, later: at.later, round: at.round}
	for i, name := range at.names {
		seen := slices.ContainsFunc(found, func(r record) bool { return r.name == name })
		switch {
		case page.IsTruncated && name == reached.name:
			on.names = append(on.names, name)
		case i == 0, !plain(name) && seen:
		case !plain(name), page.IsTruncated && place(name) > place(reached.name):
			on.names = append(on.names, name)
		}
	}
	if page.IsTruncated && len(on.names) > 0 && on.names[0] == reached.name {
		on.from = &reached
	}
	if len(on.names) == 0 && len(at.later) > 0 && at.round < rounds {
		var names []string
		for name := range at.later {
			names = append(names, name)
		}
		return stopAt(names, at.had, at.round+1), nil
	}
	return on, nil
}

func fromRecord(set types.ResourceRecordSet) record {
	r := record{
		name: canonical(aws.ToString(set.Name)), kind: string(set.Type), set: aws.ToString(set.SetIdentifier), policy: policyOf(set),
		role: string(set.Failover), ttl: time.Duration(aws.ToInt64(set.TTL)) * time.Second, check: aws.ToString(set.HealthCheckId),
	}
	if t := set.AliasTarget; t != nil {
		r.alias = &alias{name: canonical(aws.ToString(t.DNSName)), zone: strings.TrimPrefix(aws.ToString(t.HostedZoneId), "/hostedzone/"), evaluates: t.EvaluateTargetHealth}
	}
	for _, v := range set.ResourceRecords {
		value := aws.ToString(v.Value)
		if r.kind == "CNAME" {
			value = canonical(value)
		}
		r.values = append(r.values, value)
	}
	return r
}

// policyOf tells the routing policy, which is said by what is set.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
func policyOf(set types.ResourceRecordSet) policy {
	switch {
	case set.Failover != "":
		return failover
	case set.Weight != nil:
		return "weighted"
	case set.Region != "":
		return "latency"
	case set.GeoLocation != nil:
		return "geolocation"
	case set.GeoProximityLocation != nil:
		return "geoproximity"
	case set.CidrRoutingConfig != nil:
		return "ip-based"
	case aws.ToBool(set.MultiValueAnswer):
		return "multivalue"
	}
	return simple
}
