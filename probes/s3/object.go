package s3

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/s3/archive"
)

// object is one that lies in the bucket, as a listing tells it.
type object struct {
	key, etag string
	size      int64
	modified  time.Time // on the clock of AWS; for a multipart upload, when that was begun
	named     time.Time // as the key tells; zero is that it does not
}

// identity tells an object from another one that came under the same key.
type identity struct{ key, etag string }

func (o object) identity() identity { return identity{o.key, o.etag} }

// clockSlack is how far the clock of the machine that dumps may be from that of
// AWS before the two contradict each other.
const clockSlack = 5 * time.Minute

// order is the time by which the newest object is told. A name that lies in the
// future of its own object does not count.
func (o object) order() time.Time {
	if !o.named.IsZero() && o.named.Before(o.modified.Add(clockSlack)) {
		return o.named
	}
	return o.modified
}

// dump is an object that was looked into.
type dump struct {
	object
	finding archive.Finding
	// closed says why its content cannot be read; empty when it was.
	closed string
	state  state
}

// state is what may change of an object that itself does not.
type state struct {
	asked       time.Time
	metadata    map[string]string
	encryption  types.ServerSideEncryption
	key         string // by which it is encrypted
	keyTrouble  string // why that cannot be used
	replication types.ReplicationStatus
	lock        types.ObjectLockMode
	until       time.Time
	hold        bool
	lockErr     error // why the lock is not known
}

func stateOfGet(out *s3.GetObjectOutput, now time.Time) state {
	return state{
		asked: now, metadata: out.Metadata, encryption: out.ServerSideEncryption, key: aws.ToString(out.SSEKMSKeyId), replication: out.ReplicationStatus,
		lock: out.ObjectLockMode, until: aws.ToTime(out.ObjectLockRetainUntilDate), hold: out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn,
	}
}

func stateOfHead(out *s3.HeadObjectOutput, now time.Time) state {
	return state{
		asked: now, metadata: out.Metadata, encryption: out.ServerSideEncryption, key: aws.ToString(out.SSEKMSKeyId), replication: out.ReplicationStatus,
		lock: out.ObjectLockMode, until: aws.ToTime(out.ObjectLockRetainUntilDate), hold: out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn,
	}
}

// stateEvery is how often what may change of an object is asked. A GET of what
// is encrypted with a key of one's own is also a use of that key, which costs
// more than the GET.
const stateEvery = time.Hour

// goneError says that an object was deleted or replaced since it was listed.
type goneError struct{ key string }

func (e *goneError) Error() string { return fmt.Sprintf("%s was deleted or replaced meanwhile", e.key) }

// inspect looks into an object, or tells what was found when it was looked into
// before, since what is in it cannot change. opened says that it was asked for.
func (p *Probe) inspect(ctx context.Context, o object) (d *dump, opened bool, err error) {
	if d = p.seen(o); d != nil && (d.closed == "" || p.isFresh(d)) {
		return d, false, nil
	}
	if d, err = p.open(ctx, o); err != nil {
		return nil, true, err
	}
	return d, true, p.finish(ctx, d)
}

// renew asks again what may have changed of an object, once it is time for that.
func (p *Probe) renew(ctx context.Context, d *dump) (*dump, error) {
	if p.isFresh(d) {
		return d, nil
	}
	d, err := p.refresh(ctx, *d)
	if err != nil {
		return nil, err
	}
	return d, p.finish(ctx, d)
}

func (p *Probe) isFresh(d *dump) bool { return p.bucket.session.Now().Sub(d.state.asked) < stateEvery }

// finish notes what was found, with the lock where that matters.
func (p *Probe) finish(ctx context.Context, d *dump) error {
	if p.copy.Immutable && d.size > 0 && d.state.lock == "" && !d.state.hold {
		d.state.askLock(ctx, p.bucket, d.object)
		if d.state.lockErr != nil && (ctx.Err() != nil || awsapi.Throttled(d.state.lockErr)) {
			return d.state.lockErr
		}
	}
	p.note(d)
	return nil
}

func (s *state) askLock(ctx context.Context, b *bucket, o object) {
	retention, err := b.retention(ctx, o)
	s.lockErr = err
	if err == nil && retention != nil {
		s.lock, s.until = types.ObjectLockMode(retention.Mode), aws.ToTime(retention.RetainUntilDate)
	}
}

func (p *Probe) seen(o object) *dump {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dumps[o.identity()]
}

func (p *Probe) note(d *dump) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dumps[d.identity()] = d
}

// keep forgets what was found of objects that are no longer listed.
func (p *Probe) keep(listed []object) {
	still := make(map[identity]bool, len(listed))
	for _, o := range listed {
		still[o.identity()] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.dumps, func(id identity, _ *dump) bool { return !still[id] })
}

// open looks into an object for the first time: one GET of its beginning, and
// one of its end where it is larger than that.
func (p *Probe) open(ctx context.Context, o object) (*dump, error) {
	d := &dump{object: o}
	if o.size == 0 {
		d.finding.Why, d.state.asked = "it is empty", p.bucket.session.Now()
		return d, nil
	}
	first := int64(archive.HeadSize)
	if p.config.Format == formatAny {
		first = 1 // for what is told beside the content
	}
	out, head, err := p.bucket.get(ctx, o, 0, first)
	if err != nil {
		return p.closed(ctx, d, err)
	}
	d.state = stateOfGet(out, p.bucket.session.Now())
	if p.config.Format == formatAny {
		d.finding = archive.Finding{Detail: "not looked into"}
		return d, nil
	}
	d.finding, err = archive.Examine(ctx, o.size, func(ctx context.Context, offset, length int64) ([]byte, error) {
		if offset == 0 && length <= int64(len(head)) {
			return head[:length], nil
		}
		_, text, err := p.bucket.get(ctx, o, offset, length)
		return text, err
	})
	if err != nil {
		return p.closed(ctx, d, err)
	}
	return d, nil
}

// refresh asks again what may change. It reads a byte, so that a key that can no
// longer be used is noticed.
func (p *Probe) refresh(ctx context.Context, d dump) (*dump, error) {
	out, _, err := p.bucket.get(ctx, d.object, 0, 1)
	if err != nil {
		return p.closed(ctx, &d, err)
	}
	d.state = stateOfGet(out, p.bucket.session.Now())
	return &d, nil
}

// closed tells of an object that cannot be read. Where that is for its key, or
// for where it is stored, what stands beside the content still counts.
func (p *Probe) closed(ctx context.Context, d *dump, err error) (*dump, error) {
	trouble, isKey := keyTrouble(err)
	switch code(err) {
	case "NoSuchKey", "PreconditionFailed":
		return nil, &goneError{d.key}
	case "InvalidObjectState":
		d.closed = "it is archived (storage class), and must be restored before it can be read"
	default:
		if !isKey {
			return nil, p.bucket.failure(err, "s3:GetObject")
		}
		if d.finding.Format == archive.None {
			d.closed = "its key cannot be used"
		}
	}
	out, err := p.bucket.head(ctx, d.object)
	if err != nil {
		return nil, p.bucket.failure(err, "s3:GetObject")
	}
	d.state = stateOfHead(out, p.bucket.session.Now())
	d.state.keyTrouble = trouble
	return d, nil
}
