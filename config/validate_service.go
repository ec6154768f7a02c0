package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

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
		v.validateSides(at, s)
		v.validateParts(at, s)
	}
}

// validateSides checks where the name leads: a url, a port or the name itself is
// never what a record or an address is held against.
func (v *validator) validateSides(at []string, s Service) {
	host, first := bare(v.config.reached(s).Host), make(map[string]string)
	for _, side := range []struct {
		key    string
		places []string
	}{{"primary", s.Primary}, {"standby", s.Standby}} {
		for i, place := range side.places {
			at := path(at, side.key, i)
			switch other, taken := first[bare(place)]; {
			case v.isWrong(at):
			case !leadsTo(place):
				v.errorAt(at, fmt.Sprintf("%q is neither the name of a host, nor an IP address, nor a prefix: write it without scheme, port and path", place))
			case bare(place) == host:
				v.errorAt(at, fmt.Sprintf("%s is the name of the service itself: write what it leads to on this side, such as the load balancer", place))
			case taken && other != side.key:
				v.errorAt(at, fmt.Sprintf("%s is on the other side, too: the two could not be told apart", place))
			default:
				first[bare(place)] = side.key
			}
		}
	}
}

// bare is the name in the form in which names are compared.
func bare(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$`)
	numbers  = regexp.MustCompile(`^[0-9.]+$`)
)

// leadsTo reports whether a name can lead there: to a host, an address or a prefix.
func leadsTo(place string) bool {
	if _, err := netip.ParseAddr(place); err == nil {
		return true
	}
	if _, err := netip.ParsePrefix(place); err == nil {
		return true
	}
	return hostName.MatchString(place) && !numbers.MatchString(place)
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
		v.errorAt(at, fmt.Sprintf("what %s looks at is in a region: add region", part.Probe))
	case placed && p.Side == "" && !v.isWrong(path(at, "side")):
		v.errorAt(at, "it is on one side of the failover: add side, primary or standby")
	}
	switch regions := v.config.Regions; {
	case p.Region == "":
	case p.Side == readiness.StandbySide && p.Region == regions.Primary:
		v.warnAt(path(at, "region"), fmt.Sprintf("it is on the side of the standby and in the primary region: when %s is lost, so is it", p.Region))
	case p.Side == readiness.PrimarySide && p.Region == regions.Standby:
		v.warnAt(path(at, "side"), fmt.Sprintf("it is on the side of the primary and in the standby region %s: nothing that is wrong with it would stand in the way of a move", p.Region))
	}
	v.validateOf(at, v.validateProbe(at, p.kinds(probes.Target{Service: v.config.reached(s), Part: part})))
}
