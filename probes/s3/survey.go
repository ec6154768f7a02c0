package s3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/s3/archive"
	"github.com/drwatch/drwatch/readiness"
)

// survey is what lies in the bucket, as far as it matters.
type survey struct {
	gone     error       // there is no such bucket
	listed   int         // objects that match
	rejected []rejection // newer than the newest complete one, newest first
	complete *dump       // the newest complete one; nil when there is none
	more     bool        // there are older ones that were not looked into yet
	usual    int64       // the median of the sizes before it; 0 when there are none
	compared int         // how many sizes that is of
	oldest   time.Time   // when the oldest was stored; zero is unknown
	pending  []*dump     // those whose replication had not ended
}

// rejection is an object that is taken for no complete dump.
type rejection struct {
	object
	why string
}

const (
	// depth is how many objects are looked into anew in one survey.
	depth = 12
	// compared is how many sizes the usual size is the median of, at most.
	comparedMost = 14
	// pagesMost is how many pages of 1,000 keys are listed.
	pagesMost = 10
	// backMost is how far back dumps are searched for.
	backMost = 2 * 365 * 24 * time.Hour
)

// look lists the newest objects, and looks into them until one is complete.
func (p *Probe) look(ctx context.Context) (*survey, error) {
	objects, oldest, err := p.list(ctx)
	if code(err) == "NoSuchBucket" {
		return &survey{gone: err}, nil
	}
	if err != nil {
		return nil, err
	}
	p.keep(objects)
	slices.SortFunc(objects, newestFirst)
	s := &survey{listed: len(objects), oldest: oldest}
	if err := p.findComplete(ctx, s, objects); err != nil {
		return nil, err
	}
	if p.config.Replication {
		if s.pending, err = p.follow(ctx, objects); err != nil {
			return nil, err
		}
		if s.complete != nil {
			s.complete = p.seen(s.complete.object)
		}
	}
	return s, nil
}

// findComplete goes from the newest object to older ones. One that vanishes
// meanwhile is passed over: the next survey finds what is there then.
func (p *Probe) findComplete(ctx context.Context, s *survey, objects []object) error {
	left := depth
	for i, o := range objects {
		if left == 0 {
			s.more = true
			return nil
		}
		d, opened, err := p.inspect(ctx, o)
		if opened {
			left--
		}
		if err == nil {
			s.usual, s.compared = median(objects[i+1:])
			if why := p.reject(d, s.usual); why != "" {
				s.rejected = append(s.rejected, rejection{o, why})
				continue
			}
			d, err = p.renew(ctx, d)
		}
		var gone *goneError
		switch {
		case errors.As(err, &gone):
			continue
		case err != nil:
			return err
		}
		s.complete = d
		return nil
	}
	return nil
}

func newestFirst(a, b object) int {
	if c := b.order().Compare(a.order()); c != 0 {
		return c
	}
	if c := b.modified.Compare(a.modified); c != 0 {
		return c
	}
	return strings.Compare(b.key, a.key)
}

// reject tells why an object is no complete dump; empty when it is taken for one.
func (p *Probe) reject(d *dump, usual int64) string {
	f := d.finding
	switch {
	case d.size == 0:
		return "it is empty"
	case d.closed != "":
		return ""
	case p.config.Format != formatAny && f.Format == archive.None:
		return "it is no dump: " + f.Why
	case p.config.Format == formatPgDump && f.Format != archive.PgDump, p.config.Format == formatRDB && f.Format != archive.RDB:
		return fmt.Sprintf("it is %s, where the file says %s", f.Detail, p.config.Format)
	case f.Complete == archive.Cut:
		return "it is cut off: " + f.Why
	case f.Complete == archive.Untold && usual > 0 && float64(d.size) < p.config.AtLeast*float64(usual):
		return fmt.Sprintf("it has only %s, dumps before it had %s, and nothing tells that it is all there", bytesTold(d.size), bytesTold(usual))
	}
	return ""
}

// median gives the middle of the sizes of the next older objects. Empty ones are
// no dumps.
func median(older []object) (size int64, of int) {
	var sizes []int64
	for _, o := range older {
		if o.size > 0 && len(sizes) < comparedMost {
			sizes = append(sizes, o.size)
		}
	}
	if len(sizes) == 0 {
		return 0, 0
	}
	slices.Sort(sizes)
	return sizes[len(sizes)/2], len(sizes)
}

// follow asks again about the objects that were looked into and whose
// replication had not ended.
func (p *Probe) follow(ctx context.Context, objects []object) ([]*dump, error) {
	var pending []*dump
	for _, o := range objects {
		d := p.seen(o)
		if d == nil || d.state.replication != "PENDING" {
			continue
		}
		again, err := p.bucket.head(ctx, o)
		switch {
		case code(err) == "NotFound" || code(err) == "PreconditionFailed":
			continue
		case err != nil:
			return nil, p.bucket.failure(err, "s3:GetObject")
		}
		next := *d
		next.state.replication = again.ReplicationStatus
		p.note(&next)
		if next.state.replication == "PENDING" {
			pending = append(pending, &next)
		}
	}
	return pending, nil
}

// list gives the newest objects that match, and when the oldest was stored as
// far as that is known. Where the year is what varies first in the keys, it
// begins to list no earlier than it must.
func (p *Probe) list(ctx context.Context) ([]object, time.Time, error) {
	if !p.layout.ordered() {
		all, err := p.listFrom(ctx, "")
		var oldest time.Time
		for _, o := range all {
			if o.size > 0 && (oldest.IsZero() || o.modified.Before(oldest)) {
				oldest = o.modified
			}
		}
		return all, oldest, err
	}
	found, err := p.listNewest(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	oldest, err := p.first.Get(ctx)
	if err != nil {
		return found, time.Time{}, nil //nolint:nilerr // it is not known then, which is no reason not to tell the rest
	}
	return found, oldest.Value, nil
}

// listNewest lists from where the last listing found enough, or from some
// intervals ago, and further back as long as there is nothing.
func (p *Probe) listNewest(ctx context.Context) ([]object, error) {
	p.mu.Lock()
	start := p.start
	p.mu.Unlock()
	if start != "" {
		found, err := p.listFrom(ctx, start)
		if err != nil || len(found) > 0 {
			return p.startLater(found, start), err
		}
	}
	for back := max(8*p.config.Every, 48*time.Hour); ; back *= 4 {
		start = p.layout.from(p.bucket.session.Now().Add(-back))
		found, err := p.listFrom(ctx, start)
		if err != nil || len(found) > 0 || back > backMost {
			return p.startLater(found, start), err
		}
	}
}

// startLater lets the next listing begin after the key from which on there are
// enough objects to compare with.
func (p *Probe) startLater(found []object, start string) []object {
	const enough = 2 * comparedMost
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start = start
	if len(found) > enough {
		p.start = found[len(found)-enough-1].key
	}
	if len(found) == 0 {
		p.start = ""
	}
	return found
}

// listFrom lists the objects that match and come after a key, in the order of
// their keys. It reads no page beyond the keys of tomorrow.
func (p *Probe) listFrom(ctx context.Context, start string) ([]object, error) {
	end := ""
	if start != "" {
		end = p.layout.from(p.bucket.session.Now().Add(48 * time.Hour))
	}
	var found []object
	var token *string
	for range pagesMost {
		page, err := p.bucket.listPage(ctx, p.layout.fixed(), start, token)
		if err != nil {
			return nil, err
		}
		last := ""
		for _, o := range page.Contents {
			last = aws.ToString(o.Key)
			if named, ok := p.layout.read(last); ok {
				found = append(found, object{key: last, etag: aws.ToString(o.ETag), size: aws.ToInt64(o.Size), modified: aws.ToTime(o.LastModified), named: named})
			}
		}
		token = page.NextContinuationToken
		if !aws.ToBool(page.IsTruncated) || token == nil || end != "" && last > end && !strings.HasPrefix(last, end) {
			return found, nil
		}
	}
	return nil, probes.Fail(readiness.NotFound, "find the newest dump: there are more than %d keys to list at each look: put the date into prefix, the year first, such as postgres/{yyyy}/{mm}/{dd}/",
		pagesMost*1000)
}

// askOldest finds when the first object that matches was stored: keys that are
// in the order of their time begin with the oldest.
func (p *Probe) askOldest(ctx context.Context) (time.Time, error) {
	page, err := p.bucket.listPage(ctx, p.layout.fixed(), "", nil)
	if err != nil {
		return time.Time{}, err
	}
	for _, o := range page.Contents {
		if _, ok := p.layout.read(aws.ToString(o.Key)); ok && aws.ToInt64(o.Size) > 0 {
			return aws.ToTime(o.LastModified), nil
		}
	}
	return time.Time{}, nil
}
