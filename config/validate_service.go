package config

import (
	"fmt"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

func (v *validator) validateServices() {
	datastores := make(map[string]int)
	for i, d := range v.config.Datastores {
		datastores[d.Name] = i
	}
	seen := make(map[string]int)
	for i, s := range v.config.Services {
		at := path("services", i)
		if first, taken := datastores[s.Name]; taken && s.Name != "" {
			v.errorAt(path(at, "name"), fmt.Sprintf("%q is the name of datastores[%d]: the two could not be told apart in metrics", s.Name, first))
		} else if first, taken := seen[s.Name]; taken && s.Name != "" {
			v.errorAt(path(at, "name"), fmt.Sprintf("%q is the name of services[%d] already", s.Name, first))
		} else {
			seen[s.Name] = i
		}
		v.validateParts(at, s)
	}
}

// validateParts checks the parts of a service. There is one record and one
// resolution at the most: metrics know them by the name of the service.
func (v *validator) validateParts(at []string, s Service) {
	names, single := make(map[string]int), make(map[readiness.PartKind]int)
	for i, p := range s.Parts {
		at := path(at, "parts", i)
		if first, taken := names[p.Name]; taken && p.Name != "" {
			v.errorAt(path(at, "name"), fmt.Sprintf("%q is the name of parts[%d] of this service already", p.Name, first))
		} else {
			names[p.Name] = i
		}
		v.validatePart(at, s, p)
		kind := v.config.declaredPart(s, p)
		if kind.Kind != readiness.Record && kind.Kind != readiness.Resolution {
			continue
		}
		if first, taken := single[kind.Kind]; taken {
			v.errorAt(path(at, kind.Probe), fmt.Sprintf("parts[%d] looks at the name of this service with %s already: a second name, or the same in another zone, is another service", first, kind.Probe))
		} else {
			single[kind.Kind] = i
		}
	}
}

func (v *validator) validatePart(at []string, s Service, p Part) {
	v.validateRegion(path(at, "region"), p.Region)
	v.validateOwnTiming(at, p.Timing)
	part := v.config.declaredPart(s, p)
	switch placed := part.Kind == readiness.Endpoint || part.Kind == readiness.Balancer; {
	case part.Kind == "": // said below
	case !placed && p.Region != "":
		v.errorAt(path(at, "region"), fmt.Sprintf("what %s looks at is in no region: leave it out", part.Probe))
	case !placed && p.Side != "":
		v.errorAt(path(at, "side"), fmt.Sprintf("what %s looks at is between the two sides: leave it out", part.Probe))
	case placed && p.Region == "" && !v.isWrong(path(at, "region")):
		v.errorAt(at, "it is somewhere: add region")
	case placed && p.Side == "" && !v.isWrong(path(at, "side")):
		v.errorAt(at, "it is on one side of the failover: add side, primary or standby")
	}
	v.validateOf(at, v.validateProbe(at, p.kinds(probes.Target{Service: v.config.reached(s), Part: part})))
}
