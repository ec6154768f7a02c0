package redis

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

const (
	allSlots = 16384
	// atOnce is how many nodes are asked at the same time.
	atOnce = 16
	// catchUp is how long replicas get, within one look, to reach the point at
	// which their primaries stood at its beginning.
	catchUp = time.Second
)

// shard is a part of the slots and the nodes that hold it.
type shard struct {
	id       string   // of its primary
	first    int      // of its slots
	ranges   []string // 0-5460, for people
	slots    int
	primary  string
	replicas []string
}

func (s shard) String() string {
	if len(s.ranges) > 3 {
		return fmt.Sprintf("slots %s and %d more ranges", s.ranges[0], len(s.ranges)-1)
	}
	return "slots " + strings.Join(s.ranges, ", ")
}

// topology is what one node says about the cluster.
type topology struct {
	healthy bool
	epoch   int64
	shards  []shard // in the order of their slots
}

// node is one server that was asked, and what it said.
type node struct {
	addr string
	info info
	when exchange
	err  error
}

// lookAtCluster looks at all primaries of a cluster, or at the replicas that
// make up a copy. A cluster is as good as its worst shard, so one that cannot
// be seen fails the look.
func (p *Probe) lookAtCluster(ctx context.Context) (readiness.Reading, error) {
	begun := time.Now()
	login, err := p.credentials().read(ctx)
	if err != nil {
		return readiness.Reading{}, fmt.Errorf("ask the cluster at %s: %w", strings.Join(p.config.Cluster.Addresses, ","), err)
	}
	cluster, err := p.topology(ctx, login)
	if err != nil {
		return readiness.Reading{}, err
	}
	if p.copy.Kind == readiness.Primary {
		return p.readPrimaries(cluster, askPrimaries(ctx, login, cluster))
	}
	part, cancel := context.WithTimeout(ctx, half(ctx)) // one that hangs must not take the time of the replicas
	defer cancel()
	primaries := askPrimaries(part, login, cluster)
	members := askNodes(cluster.shards, func(s shard) node {
		return p.bestMember(ctx, login, s, primaries[slices.IndexFunc(cluster.shards, s.is)])
	})
	return p.readReplicas(cluster, primaries, members, begun)
}

func (s shard) is(other shard) bool { return s.primary == other.primary }

// topology asks the nodes that the file names. One in a minority that was cut
// off says so; of the others the newest view counts.
func (p *Probe) topology(ctx context.Context, l login) (topology, error) {
	seeds := slices.Concat(p.config.Cluster.Addresses, p.config.Cluster.Replicas)
	slices.Sort(seeds)
	views, err := askAll(ctx, slices.Compact(seeds), func(ctx context.Context, addr string) (topology, error) {
		return server{login: l, addr: addr, what: "Redis"}.topology(ctx)
	})
	if err != nil {
		return topology{}, err
	}
	best := views[0]
	for _, v := range views[1:] {
		if v.healthy && !best.healthy || v.healthy == best.healthy && v.epoch > best.epoch {
			best = v
		}
	}
	return best, nil
}

func (s server) topology(ctx context.Context) (topology, error) {
	session, err := s.open(ctx)
	if err != nil {
		return topology{}, err
	}
	defer session.close()
	texts, _, err := session.texts(ctx, command{"CLUSTER", "INFO"}, command{"CLUSTER", "NODES"})
	if err != nil {
		return topology{}, err
	}
	host, _, _ := net.SplitHostPort(s.addr)
	t, err := parseTopology(texts[0], texts[1], host)
	if err == nil && len(t.shards) == 0 {
		return topology{}, probes.Fail(readiness.NotFound, "ask %s: it knows of no slots that are served: correct cluster.addresses, or make a cluster of the nodes (redis-cli --cluster create)", s)
	}
	if err != nil {
		return topology{}, s.failure(ctx, err)
	}
	return t, nil
}

const errTopology = notRedis("its answer about the cluster makes no sense")

// parseTopology reads CLUSTER INFO and CLUSTER NODES. CLUSTER SLOTS would be
// shorter, but leaves out replicas of which no offset has been heard lately.
func parseTopology(clusterInfo, clusterNodes, askedHost string) (topology, error) {
	state, epoch := "", int64(0)
	for line := range strings.Lines(clusterInfo) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":"); key {
		case "cluster_state":
			state = value
		case "cluster_current_epoch":
			epoch, _ = strconv.ParseInt(value, 10, 64) // 0 only loses a tie
		}
	}
	if state == "" {
		return topology{}, errTopology
	}
	t := topology{healthy: state == "ok", epoch: epoch}
	replicas := map[string][]string{} // by the id of their primary
	for line := range strings.Lines(clusterNodes) {
		n, err := parseNode(line, askedHost)
		switch {
		case err != nil:
			return topology{}, err
		case n.primary != "":
			replicas[n.primary] = append(replicas[n.primary], n.addr)
		case n.shard.slots > 0:
			t.shards = append(t.shards, n.shard)
		}
	}
	for i, s := range t.shards {
		t.shards[i].replicas = replicas[s.id]
	}
	slices.SortFunc(t.shards, func(a, b shard) int { return a.first - b.first })
	return t, nil
}

// member is one line of CLUSTER NODES:
//
//	id host:port@busport,hostname flags primary ping pong epoch link slot slot...
type member struct {
	addr    string
	primary string // its id, for a replica
	shard   shard  // what it serves, for a primary
}

func parseNode(line, askedHost string) (member, error) {
	fields := strings.Fields(line)
	if len(fields) < 8 {
		return member{}, errTopology
	}
	flags := strings.Split(fields[2], ",")
	if slices.Contains(flags, "noaddr") || slices.Contains(flags, "handshake") {
		return member{}, nil // known by name only
	}
	addr, _, _ := strings.Cut(fields[1], "@")
	colon := strings.LastIndexByte(addr, ':')
	if colon < 0 {
		return member{}, errTopology
	}
	host := cmp.Or(addr[:colon], askedHost) // a node alone does not know its own
	if port, err := strconv.ParseUint(addr[colon+1:], 10, 16); err != nil || port == 0 || presentable(host) != host {
		return member{}, errTopology
	}
	m := member{addr: net.JoinHostPort(host, addr[colon+1:])}
	if !slices.Contains(flags, "master") {
		m.primary = fields[3]
		return m, nil
	}
	m.shard = shard{id: fields[0], primary: m.addr}
	for _, r := range fields[8:] {
		if err := m.shard.add(r); err != nil {
			return member{}, err
		}
	}
	return m, nil
}

// add takes in a range of slots, 0-5460, or a single one. In brackets are those
// that are being moved; they are in a range too.
func (s *shard) add(slots string) error {
	if strings.HasPrefix(slots, "[") {
		return nil
	}
	from, to, isRange := strings.Cut(slots, "-")
	if !isRange {
		to = from
	}
	first, errFirst := strconv.Atoi(from)
	last, errLast := strconv.Atoi(to)
	if errFirst != nil || errLast != nil || first < 0 || last < first || last >= allSlots {
		return errTopology
	}
	if len(s.ranges) == 0 {
		s.first = first
	}
	s.slots += last - first + 1
	s.ranges = append(s.ranges, slots)
	return nil
}

func askPrimaries(ctx context.Context, l login, cluster topology) []node {
	return askNodes(cluster.shards, func(s shard) node { return ask(ctx, l, s.primary) })
}

// askNodes asks one node of each shard, some at the same time.
func askNodes(shards []shard, ask func(shard) node) []node {
	nodes := make([]node, len(shards))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i, s := range shards {
		all.Go(func() error {
			nodes[i] = ask(s)
			return nil
		})
	}
	_ = all.Wait() // each node keeps its own error
	return nodes
}

func ask(ctx context.Context, l login, addr string) node {
	n := node{addr: addr}
	session, err := server{login: l, addr: addr, what: "Redis"}.open(ctx)
	if err != nil {
		n.err = err
		return n
	}
	defer session.close()
	n.info, n.when, n.err = session.info(ctx, sections()...)
	return n
}

// bestMember asks the nodes of the copy that hold a shard. Any of them would do
// to recover from, so the first that has caught up is taken.
func (p *Probe) bestMember(ctx context.Context, l login, s shard, primary node) node {
	var best node
	for _, addr := range p.config.Cluster.Replicas {
		if addr != s.primary && !slices.Contains(s.replicas, addr) {
			continue
		}
		n := primary
		if addr != s.primary {
			n = askUntilCaughtUp(ctx, l, addr, primary)
		}
		if n.covers(primary) {
			return n
		}
		if best.addr == "" || best.err != nil && n.err == nil {
			best = n
		}
	}
	return best // without an address where there is none
}

// covers reports whether the node holds all that the primary had written.
func (n node) covers(primary node) bool {
	if n.err != nil || primary.err != nil || primary.info.role != "master" {
		return false
	}
	if n.addr == primary.addr {
		return !n.info.loading
	}
	written, okWritten := primary.info.written().Get()
	held, okHeld := n.info.held().Get()
	return okWritten && okHeld && n.info.role == "slave" && n.info.history == primary.info.history && held >= written
}

// askUntilCaughtUp asks a replica again while it is behind, for as long as a
// replica over a long line may be.
func askUntilCaughtUp(ctx context.Context, l login, addr string, primary node) node {
	n := node{addr: addr}
	session, err := server{login: l, addr: addr, what: "Redis"}.open(ctx)
	if err != nil {
		n.err = err
		return n
	}
	defer session.close()
	part, cancel := context.WithTimeout(ctx, min(catchUp, half(ctx)))
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		n.info, n.when, n.err = session.info(ctx, sections()...)
		if n.err != nil || n.covers(primary) || primary.err != nil || n.info.history != primary.info.history {
			return n
		}
		select {
		case <-part.Done():
			return n
		case <-time.After(pause):
		}
	}
}

func (p *Probe) readPrimaries(cluster topology, primaries []node) (readiness.Reading, error) {
	for _, n := range primaries {
		if n.err != nil {
			return readiness.Reading{}, n.err
		}
	}
	r := p.merge(primaries)
	r.Written = readiness.Maybe[readiness.Position]{} // one position does not hold several
	check := probes.Passing(CheckShards, fmt.Sprintf("%d shards serve all slots", len(cluster.shards)))
	for i, n := range primaries {
		if n.info.role != "master" {
			r.Role = readiness.RoleUnknown
			check = probes.Failing(CheckShards, fmt.Sprintf("%s is not the primary of %s any more", n.addr, cluster.shards[i]), "see whether a failover is under way")
		}
	}
	switch missing := cluster.missing(); {
	case missing > 0:
		r.Role = readiness.RoleUnknown
		check = slotsMissing(missing)
	case !cluster.healthy:
		check = probes.Failing(CheckShards, "the cluster says that it is down", seeCluster)
	}
	r.Checks = append(r.Checks, check)
	return r, nil
}

const seeCluster = "see CLUSTER INFO and CLUSTER NODES on any node"

func slotsMissing(missing int) readiness.Check {
	return probes.Failing(CheckShards, fmt.Sprintf("%d of %d slots have no primary", missing, allSlots), seeCluster)
}

// missing counts the slots that nobody serves.
func (t topology) missing() int {
	served := 0
	for _, s := range t.shards {
		served += s.slots
	}
	return allSlots - served
}

func (p *Probe) readReplicas(cluster topology, primaries, members []node, begun time.Time) (readiness.Reading, error) {
	covered := cluster.missing() == 0 && len(members) > 0
	var present []node
	var unheld []string
	promoted := ""
	for i, n := range members {
		switch {
		case n.addr == "":
			unheld = append(unheld, cluster.shards[i].String())
		case n.err != nil:
			return readiness.Reading{}, n.err
		default:
			present = append(present, n)
			if n.info.role == "master" {
				promoted = n.addr
			}
		}
		covered = covered && n.covers(primaries[i])
	}
	if len(present) == 0 {
		return readiness.Reading{}, probes.Fail(readiness.NotFound,
			"ask the cluster: none of %s is among its nodes: correct cluster.replicas, as CLUSTER NODES tells them", strings.Join(p.config.Cluster.Replicas, ", "))
	}
	r := p.merge(present)
	r.Received, r.Replayed = readiness.Maybe[readiness.Position]{}, readiness.Maybe[readiness.Position]{} // one position does not hold several
	if covered {
		r.Points = []readiness.Point{{At: begun, Basis: readiness.BasisPosition}}
	}
	r.Checks = append(r.Checks, checkShards(cluster, unheld, promoted))
	return r, nil
}

func checkShards(cluster topology, unheld []string, promoted string) readiness.Check {
	missing := cluster.missing()
	switch {
	case len(unheld) > 0:
		return probes.Failing(CheckShards, "no node of this copy holds "+strings.Join(unheld[:min(3, len(unheld))], "; "),
			"add a replica of that shard to the copy, or its address to cluster.replicas")
	case missing > 0:
		return slotsMissing(missing)
	case promoted != "":
		return probes.Warning(CheckShards, promoted+" of this copy is the primary of its shard now", "fail the shard back when the other region is well (CLUSTER FAILOVER)")
	}
	return probes.Passing(CheckShards, fmt.Sprintf("the copy follows all %d shards", len(cluster.shards)))
}
