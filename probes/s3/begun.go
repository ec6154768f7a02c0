package s3

import (
	"fmt"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// begun is when a dump was begun, what that rests on, and how far it is to be
// trusted.
type begun struct {
	at    time.Time
	basis readiness.Basis
	check readiness.Check
}

// begun tells when a dump was begun: as the archive says, else as who stored it
// has noted, else as its key says, else that it was before it was stored. What
// says that it was after it was stored is wrong, and what it says does not count.
func (p *Probe) begun(d *dump) begun {
	stored := p.bucket.session.Ours(d.modified)
	var wrong []readiness.Check
	for _, try := range []func(*dump) (begun, bool){p.begunByArchive, p.begunByMetadata, p.begunByName} {
		b, told := try(d)
		switch {
		case !told && b.check.Evidence == "":
			continue
		case !told:
			wrong = append(wrong, b.check)
			continue
		case b.at.After(d.modified.Add(clockSlack)):
			wrong = append(wrong, probes.Failing(CheckBegun, fmt.Sprintf("%s, and it was stored at %s, before that", b.check.Evidence, clockTold(d.modified)),
				"set timezone to that of the machine that makes the dumps, and see its clock (NTP)"))
			continue
		}
		if b.at.After(stored) {
			b.at = stored
		}
		if len(wrong) > 0 {
			b.check = readiness.Check{Name: CheckBegun, Status: wrong[0].Status, Evidence: wrong[0].Evidence + "; so " + b.check.Evidence, Remedy: wrong[0].Remedy}
		} else {
			b.check = p.plausible(d, b)
		}
		return b
	}
	return p.begunBefore(d, stored, wrong)
}

// begunBefore is all that is left where nothing tells.
func (p *Probe) begunBefore(d *dump, stored time.Time, wrong []readiness.Check) begun {
	b := begun{at: stored.Add(-p.config.Takes), basis: readiness.BasisModified}
	evidence := fmt.Sprintf("nothing tells when it was begun, and it was stored at %s", clockTold(d.modified))
	if p.config.Takes > 0 {
		evidence += fmt.Sprintf(", begun up to %s before", readiness.InSeconds(p.config.Takes))
	}
	b.check = probes.Warning(CheckBegun, evidence,
		"use a format that tells (pg_dump -Fc), or store the begin of the dump as metadata and name it in metadata_key; until then say in takes how long a dump takes at most")
	if len(wrong) > 0 {
		b.check = readiness.Check{Name: CheckBegun, Status: wrong[0].Status, Evidence: wrong[0].Evidence + "; so " + evidence, Remedy: wrong[0].Remedy}
	}
	return b
}

// begunByArchive takes the word of the archive, whose clock may hang in a zone
// that it does not tell.
func (p *Probe) begunByArchive(d *dump) (begun, bool) {
	if !d.finding.Begun.Told() {
		return begun{}, false
	}
	at, err := d.finding.Begun.In(p.layout.zone)
	if err != nil {
		return begun{check: probes.Failing(CheckBegun, err.Error(), "set timezone to that of the machine that makes the dumps")}, false
	}
	b := begun{at: at, basis: readiness.BasisArchive}
	evidence := "the archive says that it was begun at " + clockTold(at)
	if d.finding.Begun.Local() && p.config.Timezone == "" {
		b.check = probes.Warning(CheckBegun, evidence+", if the clock of the machine that made it shows UTC",
			"the archive tells local time and not the zone: set timezone to that of the machine that makes the dumps, to UTC if so")
		return b, true
	}
	b.check = probes.Passing(CheckBegun, evidence)
	return b, true
}

func (p *Probe) begunByMetadata(d *dump) (begun, bool) {
	if p.config.MetadataKey == "" {
		return begun{}, false
	}
	text, there := valueOf(d.state.metadata, p.config.MetadataKey)
	if !there {
		return begun{check: probes.Warning(CheckBegun, "its metadata has no "+p.config.MetadataKey, "store it with the dump: --metadata "+p.config.MetadataKey+"=<begin of the dump as RFC 3339>")}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return begun{check: probes.Warning(CheckBegun, fmt.Sprintf("its metadata %s is %.40q, which is no time", p.config.MetadataKey, text), "write it as RFC 3339: 2026-11-24T02:00:00Z")}, false
	}
	return begun{at: at, basis: readiness.BasisMetadata, check: probes.Passing(CheckBegun, "its metadata says that it was begun at "+clockTold(at))}, true
}

func (p *Probe) begunByName(d *dump) (begun, bool) {
	if d.named.IsZero() {
		return begun{}, false
	}
	b := begun{at: d.named, basis: readiness.BasisName}
	evidence := "its key says that it was begun at " + clockTold(d.named) + ", or later"
	if p.config.Timezone == "" && !p.layout.has("unix") {
		b.check = probes.Warning(CheckBegun, evidence+", if the clock of the machine that made it shows UTC", "set timezone to that of the machine that makes the dumps, to UTC if so")
		return b, true
	}
	b.check = probes.Passing(CheckBegun, evidence)
	return b, true
}

// plausible doubts a begin that lies too long before the dump was stored.
func (p *Probe) plausible(d *dump, b begun) readiness.Check {
	longest := p.config.Takes
	if longest == 0 {
		longest = longestDump
	}
	took := d.modified.Sub(b.at)
	if b.basis != readiness.BasisName && took > longest+clockSlack {
		remedy := "if dumps take that long, say so in takes; else set timezone to that of the machine that makes the dumps, and see its clock (NTP)"
		return probes.Failing(CheckBegun, fmt.Sprintf("%s, and it was stored %s after that", b.check.Evidence, readiness.InSeconds(took)), remedy)
	}
	return b.check
}

// valueOf reads user metadata, whose names S3 gives in lower case.
func valueOf(metadata map[string]string, key string) (string, bool) {
	for k, value := range metadata {
		if strings.EqualFold(k, key) {
			return value, true
		}
	}
	return "", false
}
