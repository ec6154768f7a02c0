package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// changeOf tells a configuration from the one before it.
func changeOf(before *Configured, e ledger.Event, now Loaded) Change {
	c := Change{Position: e.Position, At: e.Time, By: e.Actor, Fingerprint: now.Fingerprint, First: before == nil}
	if before == nil {
		return c
	}
	c.What = slices.Concat(
		differences("RPO of ", promises(before.RPO), promises(now.RPO), readiness.Seconds.String),
		differences("RTO in a ", named(before.RTO), named(now.RTO), readiness.Seconds.String),
		differences("copies of the kind ", named(before.Copies), named(now.Copies), func(n int) string { return fmt.Sprint(n) }),
		services(before.Services, now.Services),
	)
	if more := len(c.What) - mostShown; more > 0 {
		c.What = append(c.What[:mostShown], fmt.Sprintf("and %d more", more))
	}
	return c
}

// promises gives each RPO the name of its datastore and its scenario.
func promises(rpo map[string]map[readiness.Scenario]readiness.Seconds) map[string]readiness.Seconds {
	all := make(map[string]readiness.Seconds)
	for datastore, by := range rpo {
		for scenario, seconds := range by {
			all[datastore+" in a "+string(scenario)] = seconds
		}
	}
	return all
}

func named[K ~string, V any](of map[K]V) map[string]V {
	all := make(map[string]V, len(of))
	for name, v := range of {
		all[string(name)] = v
	}
	return all
}

// differences tells what is another, new or gone, in the order of the names.
func differences[V comparable](of string, before, now map[string]V, words func(V) string) (all []string) {
	both := maps.Clone(before)
	maps.Copy(both, now)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		was, had := before[name]
		is, has := now[name]
		switch {
		case !had:
			all = append(all, fmt.Sprintf("%s%s: %s, new", of, name, words(is)))
		case !has:
			all = append(all, fmt.Sprintf("%s%s: gone, was %s", of, name, words(was)))
		case was != is:
			all = append(all, fmt.Sprintf("%s%s: %s, was %s", of, name, words(is), words(was)))
		}
	}
	return all
}

func services(before, now []string) (all []string) {
	for _, name := range now {
		if !slices.Contains(before, name) {
			all = append(all, "service "+name+": new")
		}
	}
	for _, name := range before {
		if !slices.Contains(now, name) {
			all = append(all, "service "+name+": gone")
		}
	}
	return all
}

// factsOf lists what is told under other names, in their order.
func factsOf(told map[string]json.RawMessage) (facts []Fact) {
	for _, name := range slices.Sorted(maps.Keys(told)) {
		if len(facts) == mostFacts {
			return append(facts, Fact{"…", fmt.Sprintf("%d more are in the ledger", len(told)-mostFacts)})
		}
		value := strings.TrimSpace(string(told[name]))
		var text string
		if json.Unmarshal(told[name], &text) == nil {
			value = text
		}
		facts = append(facts, Fact{cut(name, mostShort), cut(value, mostShort)})
	}
	return facts
}
