package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drwatch/drwatch/lab/aws"
)

// A Fault names something that can be broken.
type Fault string

// The faults, as the command line names them.
const (
	StandbyDown           Fault = "standby-down"
	StandbyRestartedAlone Fault = "standby-restarted-alone"
	ReplayPaused          Fault = "replay-paused"
	LinkCut               Fault = "link-cut"
	LinkSlow              Fault = "link-slow"
	LinkSilent            Fault = "link-silent"
	ReceiverFrozen        Fault = "receiver-frozen"
	PrimaryKilled         Fault = "primary-killed"
	PrimaryFrozen         Fault = "primary-frozen"
	PrimaryUnseen         Fault = "primary-unseen"
	Partition             Fault = "partition"
	PartitionSilent       Fault = "partition-silent"
	RedisLinkCut          Fault = "redis-link-cut"
	RedisLinkSlow         Fault = "redis-link-slow"
	RedisReplicaDown      Fault = "redis-replica-down"
	RedisPrimaryKilled    Fault = "redis-primary-killed"
	RedisPrimaryFrozen    Fault = "redis-primary-frozen"
	Idle                  Fault = "idle"
	AWSThrottled          Fault = "aws-throttled"
	AWSDenied             Fault = "aws-denied"
	AWSProxied            Fault = "aws-proxied"
	MetricsSilent         Fault = "metrics-silent"
	BackupsStopped        Fault = "backups-stopped"
	DumpTruncated         Fault = "dump-truncated"
	DumpEmpty             Fault = "dump-empty"
	BucketGone            Fault = "bucket-gone"
)

// How late a slow link delivers, in each direction. Redis gives up on a handshake after repl-timeout, so its link
// stays below half of that.
const (
	postgresDelay = 3 * time.Second
	redisDelay    = 2 * time.Second
)

// silence is how late a silent link delivers: nobody waits for it.
const silence = 24 * time.Hour

// FaultInfo describes a fault to people.
type FaultInfo struct {
	Name        Fault  `json:"name"`
	Description string `json:"description"`
}

// Faults lists all faults, in the order in which to show them.
func Faults() []FaultInfo {
	faults := (*Lab)(nil).allFaults() // only its functions need a lab
	infos := make([]FaultInfo, 0, len(faults))
	for _, f := range faults {
		infos = append(infos, f.FaultInfo)
	}
	return infos
}

// fault is one row of the table of what can be broken.
type fault struct {
	FaultInfo
	// takes are the servers that the fault has a hold on. Two faults never hold the same one.
	takes []string
	// stores are those whose replication the fault touches.
	stores []Store
	// halts tells that their replication cannot run while the fault lasts.
	halts bool
	// severs tells that their standby and replica notice at once, since their connections end.
	severs bool
	// needsAWS tells that it is a fault of AWS.
	needsAWS bool
	// strike brings the fault about; undo ends it, and does nothing where the fault is not there.
	strike, undo func(context.Context) error
}

func (l *Lab) allFaults() []fault {
	pg, rd, both := []Store{Postgres}, []Store{Redis}, []Store{Postgres, Redis}
	return append([]fault{
		{
			FaultInfo: FaultInfo{StandbyDown, "the PostgreSQL standby is stopped"},
			takes:     []string{postgresStandby}, stores: pg, halts: true,
			strike: func(ctx context.Context) error { return l.postgres[Standby].stop(ctx, unix.SIGQUIT) },
			undo:   func(ctx context.Context) error { return l.postgres[Standby].start(ctx) },
		},
		{
			FaultInfo: FaultInfo{StandbyRestartedAlone, "the PostgreSQL primary is killed, then the standby restarts and finds nobody"},
			takes:     []string{postgresPrimary, postgresStandby}, stores: pg, halts: true, severs: true,
			strike: l.restartStandbyAlone,
			undo:   l.startBothPostgres,
		},
		{
			FaultInfo: FaultInfo{ReplayPaused, "the PostgreSQL standby receives but does not replay"},
			takes:     []string{postgresStandby}, stores: pg,
			strike: l.pauseReplay,
			undo:   l.resumeReplay,
		},
		l.linkCut(LinkCut, "PostgreSQL replication between the regions is cut", pg, postgresReplication),
		l.linkSlow(LinkSlow, "PostgreSQL replication between the regions takes 3 s each way", pg, postgresReplication, postgresDelay),
		l.linkSilent(LinkSilent, "PostgreSQL replication between the regions falls silent, with its connections open", pg, postgresReplication),
		{
			FaultInfo: FaultInfo{ReceiverFrozen, "the standby's WAL receiver stands still, with its connection open"},
			takes:     []string{postgresStandby}, stores: pg, halts: true,
			strike: l.freezeReceiver,
			undo:   func(context.Context) error { return l.postgres[Standby].thaw() },
		},
		l.killed(PrimaryKilled, "the PostgreSQL primary is killed, as by a power cut", postgresPrimary, pg),
		l.frozen(PrimaryFrozen, "the PostgreSQL primary stands still, with its connections open", postgresPrimary, pg),
		l.linkCut(PrimaryUnseen, "the PostgreSQL primary cannot be seen from the standby region, though replication goes on", nil, postgresView),
		l.withAPI(l.linkCut(Partition, "nothing passes between the regions", both,
			l.betweenRegions()...), aws.Fault{Drop: true}),
		l.withAPI(l.linkSilent(PartitionSilent, "what is sent between the regions vanishes, with the connections open", both,
			l.betweenRegions()...), aws.Fault{Delay: silence}),
		l.linkCut(RedisLinkCut, "Redis replication between the regions is cut", rd, redisReplication),
		l.linkSlow(RedisLinkSlow, "Redis replication between the regions takes 2 s each way", rd, redisReplication, redisDelay),
		{
			FaultInfo: FaultInfo{RedisReplicaDown, "the Redis replica is stopped"},
			takes:     []string{redisReplica}, stores: rd, halts: true,
			strike: func(ctx context.Context) error { return l.redis[Standby].stop(ctx, unix.SIGTERM) },
			undo:   func(ctx context.Context) error { return l.redis[Standby].start(ctx) },
		},
		l.killed(RedisPrimaryKilled, "the Redis primary is killed, as by a power cut", redisPrimary, rd),
		l.frozen(RedisPrimaryFrozen, "the Redis primary stands still, with its connections open", redisPrimary, rd),
		{
			FaultInfo: FaultInfo{Idle, "nobody writes anything"},
			strike:    func(context.Context) error { l.workload.pause(true); return nil },
			undo:      func(context.Context) error { l.workload.pause(false); return nil },
		},
	}, append(l.awsFaults(), l.trafficFaults()...)...)
}

// What a fault can have a hold on.
const (
	postgresPrimary = "the PostgreSQL primary"
	postgresStandby = "the PostgreSQL standby"
	redisPrimary    = "the Redis primary"
	redisReplica    = "the Redis replica"
)

// betweenRegions are all the links that there are.
func (l *Lab) betweenRegions() []string {
	links := []string{postgresReplication, postgresView, redisReplication, redisView}
	if l != nil && l.options.AWS {
		links = append(links, apiView)
	}
	return links
}

func (l *Lab) killed(name Fault, description, takes string, stores []Store) fault {
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     []string{takes}, stores: stores, halts: true, severs: true,
		strike: func(ctx context.Context) error { return l.server(stores[0], Primary).kill(ctx) },
		undo:   func(ctx context.Context) error { return l.server(stores[0], Primary).start(ctx) },
	}
}

func (l *Lab) frozen(name Fault, description, takes string, stores []Store) fault {
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     []string{takes}, stores: stores, halts: true,
		strike: func(ctx context.Context) error { return l.server(stores[0], Primary).freeze(ctx) },
		undo:   func(context.Context) error { return l.server(stores[0], Primary).thaw() },
	}
}

func (l *Lab) linkCut(name Fault, description string, stores []Store, links ...string) fault {
	return fault{
		FaultInfo: FaultInfo{name, description},
		stores:    stores, halts: true, severs: true,
		strike: func(context.Context) error {
			for _, link := range links {
				l.link(link).cut(name)
			}
			return nil
		},
		undo: func(ctx context.Context) error {
			var errs []error
			for _, link := range links {
				errs = append(errs, l.link(link).mend(ctx, name))
			}
			return errors.Join(errs...)
		},
	}
}

func (l *Lab) linkSlow(name Fault, description string, stores []Store, link string, delay time.Duration) fault {
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     []string{link}, stores: stores,
		strike: func(context.Context) error { l.link(link).slow(delay); return nil },
		undo:   func(context.Context) error { l.link(link).slow(0); return nil },
	}
}

// linkSilent is a link whose packets are dropped: nobody is told, connections stay open, and new ones hang. What was
// sent meanwhile arrives when it is healed, as TCP sends it again.
func (l *Lab) linkSilent(name Fault, description string, stores []Store, links ...string) fault {
	all := func(delay time.Duration) func(context.Context) error {
		return func(context.Context) error {
			for _, link := range links {
				l.link(link).slow(delay)
			}
			return nil
		}
	}
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     links, stores: stores, halts: true,
		strike: all(silence), undo: all(0),
	}
}

// undoTimeout bounds the attempt to take back a fault that could not be brought about wholly.
const undoTimeout = 10 * time.Second

// Break brings a fault about, and returns when it is in effect. It is an error when the fault is there already, or
// when another one has a hold on the same server. Faults that touch different things can last at the same time.
func (l *Lab) Break(ctx context.Context, name Fault) error {
	ctx, done, err := l.take(ctx)
	if err != nil {
		return fmt.Errorf("break %s: %w", name, err)
	}
	defer done()
	f, err := l.breakable(name)
	if err != nil {
		return err
	}
	if err := f.strike(ctx); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return fmt.Errorf("break %s: %w", name, errors.Join(err, f.undo(undo)))
	}
	others := l.halted() // by faults that last already: where one did, nothing is left to be noticed
	l.mu.Lock()
	l.broken = append(l.broken, name)
	l.mu.Unlock()
	l.options.Logger.Info("fault in effect", "fault", name)
	if !f.severs {
		return nil
	}
	for _, store := range f.stores {
		if slices.Contains(others, store) {
			continue
		}
		if err := l.cutOff(ctx, store); err != nil {
			return fmt.Errorf("break %s: it is in effect, but: %w", name, err)
		}
	}
	return nil
}

func (l *Lab) breakable(name Fault) (fault, error) {
	f, err := l.fault(name)
	if err != nil {
		return fault{}, err
	}
	if f.needsAWS && l.cloud == nil {
		return fault{}, fmt.Errorf("break %s: this lab has no AWS", name)
	}
	for _, other := range l.Broken() {
		if other == name {
			return fault{}, fmt.Errorf("break %s: %w; heal it first", name, ErrAlreadyBroken)
		}
		holder, _ := l.fault(other)
		for _, held := range holder.takes {
			if slices.Contains(f.takes, held) {
				return fault{}, fmt.Errorf("break %s: %w: %s has a hold on %s; heal %s first", name, ErrAlreadyBroken, other, held, other)
			}
		}
	}
	return f, nil
}

// Heal ends a fault, and returns when what it had stopped is back: the servers answer, the standby streams or the
// replica is linked, and has caught up. Where another fault still stands in the way of that, it does not wait for
// it. It is an error when the fault is not there. When the context ends first, the error says what did not come back.
func (l *Lab) Heal(ctx context.Context, name Fault) error {
	ctx, done, err := l.take(ctx)
	if err != nil {
		return fmt.Errorf("heal %s: %w", name, err)
	}
	defer done()
	f, err := l.fault(name)
	if err != nil {
		return err
	}
	if !slices.Contains(l.Broken(), name) {
		return fmt.Errorf("heal %s: %w; broken now: %s", name, ErrNotBroken, list(l.Broken()))
	}
	if err := f.undo(ctx); err != nil {
		return fmt.Errorf("heal %s: %w", name, err)
	}
	l.mu.Lock()
	l.broken = slices.DeleteFunc(l.broken, func(b Fault) bool { return b == name })
	l.mu.Unlock()
	l.options.Logger.Info("fault healed", "fault", name)
	if err := l.caughtUp(ctx, f.stores); err != nil {
		return fmt.Errorf("heal %s: it is healed, but not all came back: %w", name, err)
	}
	return nil
}

// Broken lists the faults in effect, oldest first.
func (l *Lab) Broken() []Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Fault{}, l.broken...)
}

// Errors of Break and Heal that callers tell apart.
var (
	ErrUnknownFault  = errors.New("no such fault")
	ErrAlreadyBroken = errors.New("broken already")
	ErrNotBroken     = errors.New("not broken")
)

func (l *Lab) fault(name Fault) (fault, error) {
	i := slices.IndexFunc(l.faults, func(f fault) bool { return f.Name == name })
	if i < 0 {
		return fault{}, fmt.Errorf("%w: %q; there are: %s", ErrUnknownFault, name, list(faultNames()))
	}
	return l.faults[i], nil
}

func faultNames() []Fault {
	var names []Fault
	for _, f := range Faults() {
		names = append(names, f.Name)
	}
	return names
}

func list(names []Fault) string {
	if len(names) == 0 {
		return "nothing"
	}
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return strings.Join(texts, ", ")
}

// take waits for its turn. The context that it returns ends early when the lab closes, and after a minute at the latest.
func (l *Lab) take(ctx context.Context) (context.Context, func(), error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	case <-l.closing:
		return nil, nil, ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ctx, expire := context.WithTimeout(ctx, patience)
	done := func() { expire(); cancel(nil); <-l.turn }
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closing: // which could not interrupt what had not begun
		done()
		return nil, nil, ErrClosed
	default:
		l.interrupt = cancel
		return ctx, done, nil
	}
}

// halted lists the stores whose replication a fault in effect holds up.
func (l *Lab) halted() []Store {
	var stores []Store
	for _, name := range l.Broken() {
		if f, err := l.fault(name); err == nil && f.halts {
			stores = append(stores, f.stores...)
		}
	}
	return stores
}

func (l *Lab) cutOff(ctx context.Context, store Store) error {
	if store == Redis {
		return l.redisCutOff(ctx)
	}
	return l.postgresCutOff(ctx)
}

// caughtUp waits for the replication of those of the stores that no fault holds up.
func (l *Lab) caughtUp(ctx context.Context, stores []Store) error {
	halted := l.halted()
	var errs []error
	for _, store := range stores {
		switch {
		case slices.Contains(halted, store):
		case store == Redis:
			errs = append(errs, l.redisCaughtUp(ctx))
		default:
			errs = append(errs, l.postgresCaughtUp(ctx, !slices.Contains(l.Broken(), ReplayPaused)))
		}
	}
	return errors.Join(errs...)
}
