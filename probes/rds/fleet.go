package rds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"golang.org/x/sync/errgroup"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Fleet is what AWS tells of everything that the probes of a pool look at. It is
// asked for all of them at once. The zero value is of no use: see [NewFleet].
type Fleet struct {
	pool *awsapi.Pool

	mu      sync.Mutex
	regions map[*awsapi.Session]*region
}

// NewFleet makes a fleet that has asked nothing yet.
func NewFleet(pool *awsapi.Pool) *Fleet {
	return &Fleet{pool: pool, regions: make(map[*awsapi.Session]*region)}
}

const (
	// namesPerCall is how many DB instances are asked for in one call, which is also
	// the most that one page tells.
	namesPerCall = 100
	// callsAtOnce keeps a thousand instances from taking ten round trips one after
	// the other.
	callsAtOnce = 4
	// peerTime is how long the region of the primary may take to answer: it may be the one
	// that burns.
	peerTime = 2 * time.Second
	// peerRest is for how long it is left alone after it did not.
	peerRest = time.Minute
)

// region is RDS as one principal in one region.
type region struct {
	session          *awsapi.Session
	instances        *listing[types.DBInstance]
	clusters         *listing[types.DBCluster]
	globals          *listing[types.GlobalCluster]
	backups          *listing[types.DBInstanceAutomatedBackup]
	snapshots        map[Kind]*listing[types.DBSnapshot]
	clusterSnapshots map[Kind]*listing[types.DBClusterSnapshot]

	mu      sync.Mutex
	trouble error     // of the newest question about peers
	since   time.Time // when it was asked
}

// region gives the one of an access, whose region is filled in.
func (f *Fleet) region(a awsapi.Access) *region {
	session := f.pool.Session(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.regions[session]
	if r == nil {
		r = newRegion(session)
		f.regions[session] = r
	}
	return r
}

// newRegion says how often what is asked: states every minute, what changes seldom
// every five.
func newRegion(s *awsapi.Session) *region {
	client := awsapi.NewClient(s, func(cfg aws.Config) *rds.Client { return rds.NewFromConfig(cfg) })
	minute, slow := s.Every(time.Minute), s.Every(5*time.Minute)
	r := &region{
		session:          s,
		instances:        newListing(s, client, "rds:DescribeDBInstances", minute, askInstances, instanceID),
		clusters:         newListing(s, client, "rds:DescribeDBClusters", minute, askClusters, func(c types.DBCluster) *string { return c.DBClusterIdentifier }),
		globals:          newListing(s, client, "rds:DescribeGlobalClusters", minute, askGlobals, func(g types.GlobalCluster) *string { return g.GlobalClusterIdentifier }),
		backups:          newListing(s, client, "rds:DescribeDBInstanceAutomatedBackups", minute, askBackups, func(b types.DBInstanceAutomatedBackup) *string { return b.DBInstanceIdentifier }),
		snapshots:        make(map[Kind]*listing[types.DBSnapshot]),
		clusterSnapshots: make(map[Kind]*listing[types.DBClusterSnapshot]),
	}
	for _, kind := range []Kind{AnyKind, Manual, Automated, Shared, AWSBackup} {
		r.snapshots[kind] = newListing(s, client, "rds:DescribeDBSnapshots", slow, askSnapshots(kind), func(s types.DBSnapshot) *string { return s.DBInstanceIdentifier })
		r.clusterSnapshots[kind] = newListing(s, client, "rds:DescribeDBClusterSnapshots", slow, askClusterSnapshots(kind), func(s types.DBClusterSnapshot) *string { return s.DBClusterIdentifier })
	}
	return r
}

func instanceID(i types.DBInstance) *string { return i.DBInstanceIdentifier }

// listing is one question about things by name, asked for all names together.
type listing[T any] struct {
	session *awsapi.Session
	action  string
	shared  *awsapi.Shared[map[string][]T]

	mu     sync.Mutex
	wanted []string
	known  map[string]bool
}

// ask asks for the things of some names, in as many pages as there are.
type ask[T any] func(ctx context.Context, client *rds.Client, names []string) ([]T, error)

func newListing[T any](s *awsapi.Session, client *awsapi.Shared[*rds.Client], action string, f awsapi.Freshness, ask ask[T], name func(T) *string) *listing[T] {
	l := &listing[T]{session: s, action: action, known: make(map[string]bool)}
	l.shared = awsapi.NewShared(f, s.Now, func(ctx context.Context) (map[string][]T, error) {
		c, err := client.Get(ctx)
		if err != nil {
			return nil, err
		}
		return l.all(ctx, c.Value, ask, name)
	})
	return l
}

// want joins a name to those that are asked for. It holds from the next question on.
func (l *listing[T]) want(name string) {
	name = strings.ToLower(name) // identifiers are stored so
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known[name] {
		l.known[name] = true
		l.wanted = append(l.wanted, name)
	}
}

// all asks for every name that is wanted. Each of them is in the answer, with
// nothing where there is no such thing.
func (l *listing[T]) all(ctx context.Context, client *rds.Client, ask ask[T], name func(T) *string) (map[string][]T, error) {
	l.mu.Lock()
	wanted := slices.Clone(l.wanted)
	l.mu.Unlock()
	found := make(map[string][]T, len(wanted))
	for _, n := range wanted {
		found[n] = nil
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(callsAtOnce)
	for names := range slices.Chunk(wanted, namesPerCall) {
		group.Go(func() (err error) {
			defer probes.Recovered(&err)
			things, err := ask(ctx, client, names)
			mu.Lock()
			defer mu.Unlock()
			for _, t := range things {
				n := strings.ToLower(aws.ToString(name(t)))
				found[n] = append(found[n], t)
			}
			return err
		})
	}
	return found, group.Wait()
}

// errNotAsked says that a name came after the last question.
var errNotAsked = errors.New("not asked yet")

// get gives what is known of a name, and when AWS was asked.
func (l *listing[T]) get(ctx context.Context, name string) ([]T, time.Time, error) {
	answer, err := l.shared.Get(ctx)
	if err != nil {
		return nil, time.Time{}, l.session.Failure(err, l.action)
	}
	things, asked := answer.Value[strings.ToLower(name)]
	if !asked {
		return nil, answer.At, errNotAsked
	}
	return things, answer.At, nil
}

// peer gives the primary of a replica elsewhere. It takes little time, and where
// that was not enough, the region is left alone for a while.
func (r *region) peer(ctx context.Context, name string) (types.DBInstance, error) {
	r.mu.Lock()
	trouble := r.trouble
	if r.session.Now().Sub(r.since) >= r.session.Every(peerRest).Fresh {
		trouble = nil
	}
	r.mu.Unlock()
	if trouble != nil {
		return types.DBInstance{}, trouble
	}
	patience := peerTime
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2) // the look itself must not end with it
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, _, err := r.instances.get(ctx, name)
	var failure *readiness.Failure
	if errors.As(err, &failure) {
		r.mu.Lock()
		r.trouble, r.since = err, r.session.Now()
		r.mu.Unlock()
	}
	if err != nil {
		return types.DBInstance{}, err
	}
	if len(found) == 0 {
		return types.DBInstance{}, fmt.Errorf("there is no DB instance %s in %s any more", name, r.session.Access().Region)
	}
	return found[0], nil
}

func filter(name string, values []string) []types.Filter {
	return []types.Filter{{Name: aws.String(name), Values: values}}
}

// pages is what the SDK makes of an operation that answers in pages.
type pages[O any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*rds.Options)) (*O, error)
}

func collect[O, T any](ctx context.Context, p pages[O], of func(*O) []T) ([]T, error) {
	var all []T
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, of(page)...)
	}
	return all, nil
}

func askInstances(ctx context.Context, client *rds.Client, names []string) ([]types.DBInstance, error) {
	p := rds.NewDescribeDBInstancesPaginator(client, &rds.DescribeDBInstancesInput{Filters: filter("db-instance-id", names)})
	return collect(ctx, p, func(o *rds.DescribeDBInstancesOutput) []types.DBInstance { return o.DBInstances })
}

func askClusters(ctx context.Context, client *rds.Client, names []string) ([]types.DBCluster, error) {
	p := rds.NewDescribeDBClustersPaginator(client, &rds.DescribeDBClustersInput{Filters: filter("db-cluster-id", names)})
	return collect(ctx, p, func(o *rds.DescribeDBClustersOutput) []types.DBCluster { return o.DBClusters })
}

// askGlobals asks for all: there is no filter by name.
func askGlobals(ctx context.Context, client *rds.Client, _ []string) ([]types.GlobalCluster, error) {
	p := rds.NewDescribeGlobalClustersPaginator(client, &rds.DescribeGlobalClustersInput{})
	return collect(ctx, p, func(o *rds.DescribeGlobalClustersOutput) []types.GlobalCluster { return o.GlobalClusters })
}

func askBackups(ctx context.Context, client *rds.Client, names []string) ([]types.DBInstanceAutomatedBackup, error) {
	p := rds.NewDescribeDBInstanceAutomatedBackupsPaginator(client, &rds.DescribeDBInstanceAutomatedBackupsInput{Filters: filter("db-instance-id", names)})
	return collect(ctx, p, func(o *rds.DescribeDBInstanceAutomatedBackupsOutput) []types.DBInstanceAutomatedBackup {
		return o.DBInstanceAutomatedBackups
	})
}

// snapshotType is what the API calls a kind; nil is manual and automated ones.
func (k Kind) snapshotType() *string {
	if k == AnyKind {
		return nil
	}
	return aws.String(string(k))
}

func askSnapshots(kind Kind) ask[types.DBSnapshot] {
	return func(ctx context.Context, client *rds.Client, names []string) ([]types.DBSnapshot, error) {
		p := rds.NewDescribeDBSnapshotsPaginator(client, &rds.DescribeDBSnapshotsInput{Filters: filter("db-instance-id", names), SnapshotType: kind.snapshotType()})
		return collect(ctx, p, func(o *rds.DescribeDBSnapshotsOutput) []types.DBSnapshot { return o.DBSnapshots })
	}
}

func askClusterSnapshots(kind Kind) ask[types.DBClusterSnapshot] {
	return func(ctx context.Context, client *rds.Client, names []string) ([]types.DBClusterSnapshot, error) {
		p := rds.NewDescribeDBClusterSnapshotsPaginator(client, &rds.DescribeDBClusterSnapshotsInput{Filters: filter("db-cluster-id", names), SnapshotType: kind.snapshotType()})
		return collect(ctx, p, func(o *rds.DescribeDBClusterSnapshotsOutput) []types.DBClusterSnapshot { return o.DBClusterSnapshots })
	}
}
