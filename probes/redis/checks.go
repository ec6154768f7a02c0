package redis

import (
	"fmt"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// checkLink tells of the replication, from the side that was asked.
func (i info) checkLink(kind readiness.CopyKind, maxSilence time.Duration) readiness.Check {
	switch {
	case i.role == "master" && kind == readiness.Replica:
		return probes.Failing(CheckLink, "it is a primary and follows nobody",
			"see the check role: it was promoted, or the address is another server's")
	case i.role == "master":
		return i.checkReplicas()
	case i.loading:
		return probes.Failing(CheckLink, "it holds nothing that counts while it loads "+i.progress(), "wait until it is loaded; the log of the server tells how far it is")
	case i.syncing:
		return probes.Failing(CheckLink, "a full copy is on its way from "+i.sourceName()+i.bytesLeft()+", and what it holds is about to go",
			"wait; if it begins again and again, raise repl-backlog-size and the client-output-buffer-limit for replicas on the primary")
	case !i.linkUp:
		return probes.Upstream(probes.Failing(CheckLink, "the link to "+i.sourceName()+" is down"+i.since(),
			"see the log of the replica: network, masteruser and masterauth, TLS, or a primary that is gone"))
	case !i.held().IsKnown():
		return probes.Failing(CheckLink, "it follows "+i.sourceName()+" without PSYNC, so nobody can tell how far",
			"let the user of the replication run PSYNC and REPLCONF (ACL SETUSER ... +psync +replconf +ping), and restart the replica")
	case !i.connected(maxSilence):
		return probes.Upstream(probes.Failing(CheckLink, fmt.Sprintf("the link to %s is said to be up, and silent for %s", i.sourceName(), i.silence()),
			"see whether the primary hangs or the network drops packets; if it pings less often on purpose (repl-ping-replica-period), raise max_silence"))
	}
	return probes.Passing(CheckLink, fmt.Sprintf("up to %s, heard from it %s ago", i.sourceName(), i.silence()))
}

// checkReplicas tells of the replication of a primary.
func (i info) checkReplicas() readiness.Check {
	switch {
	case i.attached == 0:
		return probes.Warning(CheckLink, "no replica is attached", "see the replicas: whatever the primary writes now is nowhere else")
	case i.online < i.attached:
		return probes.Warning(CheckLink, fmt.Sprintf("%d of %d replicas follow, the others are getting a full copy", i.online, i.attached), "wait until they have it")
	}
	return probes.Passing(CheckLink, fmt.Sprintf("%d of %d replicas follow", i.online, i.attached))
}

func (i info) sourceName() string { return presentable(i.source) }

func (i info) progress() string {
	if i.loadPercent == "" {
		return "its data"
	}
	return "its data (" + presentable(i.loadPercent) + " %)"
}

func (i info) bytesLeft() string {
	if left, ok := i.syncLeft.Get(); ok && left > 0 {
		return fmt.Sprintf(" (%d bytes left)", left)
	}
	return ""
}

func (i info) since() string {
	if ago, ok := i.downFor.Get(); ok {
		return " since " + told(ago)
	}
	return ", and was never up"
}

func (i info) silence() string {
	if ago, ok := i.lastHeard.Get(); ok {
		return told(ago)
	}
	return "an unknown time"
}

// young is how long after its start an empty primary is worth a word.
const young = time.Hour

// checkPersistence tells whether the data would outlive a restart, and whether
// the server takes writes as far as that depends on its disk.
func (i info) checkPersistence() readiness.Check {
	saved, hasSaved := i.snapshot()
	uptime, _ := i.uptime.Get()
	switch {
	case i.loading:
		return probes.Failing(CheckPersistence, "it is loading "+i.progress()+" and answers nobody yet", "wait until it is loaded; the log of the server tells how far it is")
	case i.saveStatus == "err":
		return probes.Failing(CheckPersistence, "the last RDB save failed",
			"see the log and the disk of the server: a primary refuses writes until a save succeeds, and so does a replica once promoted (stop-writes-on-bgsave-error)")
	case i.aofWriteStatus == "err":
		return probes.Failing(CheckPersistence, "the last write to the AOF failed",
			"see the disk of the server: a primary refuses writes until one succeeds, and so does a replica once promoted")
	case i.saveStatus == "":
		return readiness.Check{Name: CheckPersistence, Evidence: "the server does not tell whether it persists"}
	case i.role == "master" && !i.keys && uptime < young:
		return probes.Warning(CheckPersistence, fmt.Sprintf("it is empty, and started %s ago", told(uptime)),
			"a primary that restarts without its data empties its replicas too: if there was data, stop the replicas and restore from the newest backup")
	case i.rewriteStatus == "err":
		return probes.Warning(CheckPersistence, "the last rewrite of the AOF failed", "see the log and the disk of the server: the AOF grows until one succeeds")
	case !i.aof && !hasSaved:
		return probes.Warning(CheckPersistence, fmt.Sprintf("no AOF, and no RDB file was made since it started %s ago", told(uptime)),
			"set appendonly or save; without them a restart comes back empty, and that of a primary empties its replicas too")
	}
	return probes.Passing(CheckPersistence, i.persists(saved, hasSaved))
}

func (i info) persists(saved time.Time, hasSaved bool) string {
	aof, rdb := "AOF off", "no RDB file was made since it started"
	if i.aof {
		aof = "AOF on"
	}
	if now, ok := i.time.Get(); hasSaved && ok {
		rdb = "last RDB file made " + told(now.Sub(saved)) + " ago"
	} else if hasSaved {
		rdb = "an RDB file was made since it started"
	}
	return aof + ", " + rdb
}

// clockUntold answers the check of the clock for Redis before 6.2. No recovery
// point of Redis depends on the clock of the server.
func clockUntold() readiness.Check {
	return probes.Warning(readiness.CheckClock, "the server does not tell its time (Redis 6.2 does)", "see NTP on the machine of the server, or upgrade Redis")
}

// told is a length of time for people.
func told(d time.Duration) string { return readiness.InSeconds(d).String() }
