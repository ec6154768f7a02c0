package audit

import (
	"time"

	"github.com/drwatch/drwatch/readiness"
)

const (
	day     = 24 * time.Hour
	quarter = 90 * day
	// MaxValidity is the longest time for which the word of a person counts: a year.
	MaxValidity = 366 * day
	// inDisaster is how long it counts that something was done during a disaster.
	inDisaster = day
	// afterwards is how long it counts that something was done after one.
	afterwards = 30 * day
)

// Defaults are the checklists of the procedure, where the file says nothing else:
// new ones each time, which the caller may change.
//
// The items of the phase before the disaster have to hold at all times. Those of
// the other phases are due in a disaster and after it, and stand there so that
// nobody has to think of them in the night.
func Defaults() []Item {
	return append(append(before(), during()...), after()...)
}

// Roles are those of the procedure, where the file says nothing else: somebody has
// to have each of them.
func Roles() []string {
	return []string{"incident-commander", "database-lead", "infrastructure-lead", "communications-lead", "security-lead"}
}

func before() []Item {
	return []Item{
		{
			Name: "backups", Phase: Before, Title: "Backups running and verified",
			Observed: backups(), Attested: quarter,
			Remedy: "restore a backup of each datastore somewhere else, compare what came back, and attest that",
		},
		{
			Name: "dr-region", Phase: Before, Title: "DR region infrastructure provisioned",
			Observed: []Selector{
				{PartKinds: []readiness.PartKind{readiness.Endpoint, readiness.Balancer}, Sides: standby(), Each: true},
				{CopyKinds: readiness.CopyKinds(), Sides: standby(), Checks: []string{readiness.CheckLook}},
			},
		},
		{Name: "replication", Phase: Before, Title: "Database replication active", Observed: replicas()},
		{
			Name: "dns-failover", Phase: Before, Title: "DNS failover configured",
			Observed: []Selector{
				{PartKinds: []readiness.PartKind{readiness.Record}, Each: true},
				{PartKinds: []readiness.PartKind{readiness.Resolution}, Each: true},
			},
		},
		{Name: "runbooks", Phase: Before, Title: "Runbooks up to date", Runbooks: true},
		{
			Name: "training", Phase: Before, Title: "Team trained on procedures", Attested: 2 * quarter,
			Remedy: "go through the procedure with everybody who is on call, and attest that with the list of who was there",
		},
		{Name: "contacts", Phase: Before, Title: "Contact list current", Contacts: true},
		{
			Name: "templates", Phase: Before, Title: "Communication templates ready", Attested: 2 * quarter,
			Remedy: "write what customers, management and authorities are told, have it approved, and attest where it lies",
		},
	}
}

func during() []Item {
	attested := func(name, title, remedy string) Item {
		return Item{Name: name, Phase: During, Title: title, Attested: inDisaster, Remedy: remedy}
	}
	return []Item{
		attested("incident-declared", "Incident declared", "declare it: what is down, since when, and how bad it is"),
		attested("outage-confirmed", "Primary confirmed down from outside", "look at the primary from another network and another region: what drwatch cannot see may be up"),
		attested("commander-named", "Incident commander named", "name who decides, and say so to all"),
		attested("stakeholders-informed", "Stakeholders informed", "send the first message, and say when the next one comes"),
		attested("data-loss-assessed", "Data loss assessed", "note how much would be lost by going to the standby now: drwatch check tells it"),
		attested("primary-fenced", "Old primary fenced", "make sure that the old primary takes no writes when it comes back"),
		attested("failed-over", "Failed over to the standby", "follow the runbook of the scenario"),
		attested("service-verified", "Service verified from outside", "use it as a customer does, from another network, and look at what was written last"),
	}
}

func after() []Item {
	attested := func(name, title, remedy string) Item {
		return Item{Name: name, Phase: After, Title: title, Attested: afterwards, Remedy: remedy}
	}
	replication := attested("replication-back", "Replication back", "build a new replica for what takes the writes now")
	replication.Observed = replicas()
	verified := attested("backups-verified", "Backups running and verified again", "restore a backup that was made since the disaster, and compare what came back")
	verified.Observed = backups()
	return []Item{
		attested("stakeholders-closed", "Stakeholders told that it is over", "send the last message: what happened, what was lost, what comes next"),
		attested("timeline-recorded", "Timeline recorded", "write down when it began, was noticed, was decided upon and was over, and how much was lost"),
		attested("root-cause", "Root cause found", "find out why it happened, and why nothing held it up"),
		replication,
		verified,
		attested("failback-planned", "Failback planned", "decide whether and when to go back, and what to do with the data of the old primary"),
		attested("runbooks-updated", "Runbooks updated", "change what was missing in the runbooks or not true"),
		attested("lessons-learned", "Lessons learned", "hold the review, and give each lesson an owner and a date"),
	}
}

// backups asks for all checks of what can be gone back to, of every datastore.
func backups() []Selector {
	return []Selector{{CopyKinds: []readiness.CopyKind{readiness.PITR, readiness.Snapshot, readiness.Backup}, Each: true}}
}

func replicas() []Selector {
	return []Selector{{CopyKinds: []readiness.CopyKind{readiness.Replica}, Each: true}}
}

func standby() []readiness.Side { return []readiness.Side{readiness.StandbySide} }
