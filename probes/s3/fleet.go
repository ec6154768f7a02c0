package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Fleet is what the probes of a pool have in common: one client for each
// session, and for each bucket what is so of all that is in it. It must be made
// by [NewFleet].
type Fleet struct {
	pool *awsapi.Pool

	mu      sync.Mutex
	clients map[*awsapi.Session]*awsapi.Shared[*s3.Client]
	buckets map[place]*bucket
}

type place struct {
	session     *awsapi.Session
	name, owner string
}

// NewFleet makes a fleet that has asked nothing yet.
func NewFleet(pool *awsapi.Pool) *Fleet {
	return &Fleet{pool: pool, clients: make(map[*awsapi.Session]*awsapi.Shared[*s3.Client]), buckets: make(map[place]*bucket)}
}

var accountPattern = regexp.MustCompile(`^\d{12}$`)

// bucket gives the one bucket of a name, as seen by a principal. S3 refuses what is
// asked of one that is not of the account that the file names, if it names one: that
// is what makes the dumps outlive a breach of the other account.
func (f *Fleet) bucket(a awsapi.Access, name, account string) *bucket {
	if !accountPattern.MatchString(account) {
		account = ""
	}
	session := f.pool.Session(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	client := f.clients[session]
	if client == nil {
		client = awsapi.NewClient(session, func(cfg aws.Config) *s3.Client { return s3.NewFromConfig(cfg, options) })
		f.clients[session] = client
	}
	b := f.buckets[place{session, name, account}]
	if b == nil {
		b = &bucket{name: name, session: session, client: client}
		if account != "" {
			b.owner = &account
		}
		b.facts = awsapi.NewShared(awsapi.Freshness{Fresh: factsEvery, Keep: 8 * factsEvery, Retry: session.Every(30 * time.Second).Fresh}, session.Now, b.askFacts)
		f.buckets[place{session, name, account}] = b
	}
	return b
}

func options(o *s3.Options) {
	o.UsePathStyle = o.BaseEndpoint != nil // names of buckets do not resolve below an endpoint of one's own
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	// Parts of objects are read, for which there are no check sums.
}

// factsEvery is how often a bucket is asked what it is like.
const factsEvery = 15 * time.Minute

// bucket is one that holds dumps.
type bucket struct {
	name    string
	owner   *string // the account that it must be of; nil is any
	session *awsapi.Session
	client  *awsapi.Shared[*s3.Client]
	facts   *awsapi.Shared[facts]

	mu     sync.Mutex
	wanted struct{ lock, replication bool } // by some probe
}

// want joins what a probe wants to know of the bucket to what is asked.
func (b *bucket) want(lock, replication bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted.lock, b.wanted.replication = b.wanted.lock || lock, b.wanted.replication || replication
}

// facts are what a bucket is like. Each is as good as its error.
type facts struct {
	versioning  answer[types.BucketVersioningStatus]
	lock        answer[*types.ObjectLockConfiguration]
	replication answer[[]types.ReplicationRule]
	uploads     answer[[]types.MultipartUpload]
}

// answer is what was asked for, or why it was not to be had.
type answer[T any] struct {
	value T
	err   error
}

// askFacts asks all that is wanted. What one question fails with is kept beside
// it; only where AWS turns us away, or time is up, is there no answer.
func (b *bucket) askFacts(ctx context.Context) (facts, error) {
	client, err := b.client.Get(ctx)
	if err != nil {
		return facts{}, err
	}
	b.mu.Lock()
	wanted := b.wanted
	b.mu.Unlock()
	var f facts
	for _, ask := range []func() error{
		func() error {
			f.versioning.value, f.versioning.err = b.askVersioning(ctx, client.Value)
			return f.versioning.err
		},
		func() error { f.uploads.value, f.uploads.err = b.askUploads(ctx, client.Value); return f.uploads.err },
		func() error {
			if wanted.lock {
				f.lock.value, f.lock.err = b.askLock(ctx, client.Value)
			}
			return f.lock.err
		},
		func() error {
			if wanted.replication {
				f.replication.value, f.replication.err = b.askReplication(ctx, client.Value)
			}
			return f.replication.err
		},
	} {
		if err := ask(); err != nil && (awsapi.Throttled(err) || ctx.Err() != nil) {
			return facts{}, err
		}
	}
	return f, nil
}

func (b *bucket) askVersioning(ctx context.Context, client *s3.Client) (types.BucketVersioningStatus, error) {
	out, err := client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.name, ExpectedBucketOwner: b.owner})
	if err != nil {
		return "", b.failure(err, "s3:GetBucketVersioning")
	}
	return out.Status, nil
}

// askLock asks how the bucket locks; nil where it does not.
func (b *bucket) askLock(ctx context.Context, client *s3.Client) (*types.ObjectLockConfiguration, error) {
	out, err := client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &b.name, ExpectedBucketOwner: b.owner})
	switch {
	case code(err) == "ObjectLockConfigurationNotFoundError":
		return nil, nil //nolint:nilnil // that there is none is what was asked
	case err != nil:
		return nil, b.failure(err, "s3:GetBucketObjectLockConfiguration")
	}
	return out.ObjectLockConfiguration, nil
}

func (b *bucket) askReplication(ctx context.Context, client *s3.Client) ([]types.ReplicationRule, error) {
	out, err := client.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: &b.name, ExpectedBucketOwner: b.owner})
	switch {
	case code(err) == "ReplicationConfigurationNotFoundError":
		return nil, nil
	case err != nil:
		return nil, b.failure(err, "s3:GetReplicationConfiguration")
	case out.ReplicationConfiguration == nil:
		return nil, nil
	}
	return out.ReplicationConfiguration.Rules, nil
}

// uploadPages is how many pages of 1,000 uploads are read: who has more has
// enough to clear up.
const uploadPages = 5

func (b *bucket) askUploads(ctx context.Context, client *s3.Client) ([]types.MultipartUpload, error) {
	var all []types.MultipartUpload
	pages := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{Bucket: &b.name, ExpectedBucketOwner: b.owner})
	for n := 0; n < uploadPages && pages.HasMorePages(); n++ {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.failure(err, "s3:ListBucketMultipartUploads")
		}
		if aws.ToString(page.Bucket) != b.name {
			return nil, b.strange("s3:ListBucketMultipartUploads")
		}
		all = append(all, page.Uploads...)
	}
	return all, nil
}

// listPage is one page of keys.
func (b *bucket) listPage(ctx context.Context, prefix, after string, token *string) (*s3.ListObjectsV2Output, error) {
	client, err := b.client.Get(ctx)
	if err != nil {
		return nil, b.failure(err, "s3:ListBucket")
	}
	in := &s3.ListObjectsV2Input{Bucket: &b.name, ExpectedBucketOwner: b.owner, ContinuationToken: token}
	if prefix != "" {
		in.Prefix = &prefix
	}
	if after != "" && token == nil {
		in.StartAfter = &after
	}
	out, err := client.Value.ListObjectsV2(ctx, in)
	switch {
	case err != nil:
		return nil, b.failure(err, "s3:ListBucket")
	case aws.ToString(out.Name) != b.name: // any XML passes for an empty list
		return nil, b.strange("s3:ListBucket")
	}
	return out, nil
}

// get reads a part of an object, as long as it is the one that was listed.
func (b *bucket) get(ctx context.Context, o object, offset, length int64) (*s3.GetObjectOutput, []byte, error) {
	client, err := b.client.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	length = min(length, o.size-offset)
	out, err := client.Value.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.name, ExpectedBucketOwner: b.owner, Key: &o.key, IfMatch: &o.etag, Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)),
	})
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = out.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(out.Body, length+1))
	if err == nil && int64(len(text)) != length {
		err = b.strange("s3:GetObject")
	}
	return out, text, err
}

func (b *bucket) head(ctx context.Context, o object) (*s3.HeadObjectOutput, error) {
	client, err := b.client.Get(ctx)
	if err != nil {
		return nil, err
	}
	return client.Value.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, ExpectedBucketOwner: b.owner, Key: &o.key, IfMatch: &o.etag})
}

// retention asks for the lock of an object, whose absence in another answer may
// only mean that we may not know.
func (b *bucket) retention(ctx context.Context, o object) (*types.ObjectLockRetention, error) {
	client, err := b.client.Get(ctx)
	if err != nil {
		return nil, err
	}
	out, err := client.Value.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: &b.name, ExpectedBucketOwner: b.owner, Key: &o.key})
	switch c := code(err); {
	case c == "NoSuchObjectLockConfiguration", c == "ObjectLockConfigurationNotFoundError", c == "InvalidRequest":
		return nil, nil //nolint:nilnil // that there is none is what was asked
	case err != nil:
		return nil, b.failure(err, "s3:GetObjectRetention")
	}
	return out.Retention, nil
}

// strange is the failure of an answer that did not come from S3.
func (b *bucket) strange(action string) error {
	return probes.Fail(readiness.Malformed, "ask AWS (%s in %s): what answered does not speak of the bucket %s: see the endpoint and the proxies on the way",
		action, b.where(), b.name)
}

func (b *bucket) where() string {
	if endpoint := b.session.Access().Endpoint; endpoint != "" {
		return b.session.Access().Region + " at " + endpoint
	}
	return b.session.Access().Region
}

// failure classes an error. Where the bucket is in another region, S3 says in
// which; and it gives each of its answers an id, and each refusal a code, so that
// a refusal without them is not its own.
func (b *bucket) failure(err error, action string) error {
	var classed *readiness.Failure
	var response *awshttp.ResponseError
	if errors.As(err, &classed) || !errors.As(err, &response) {
		return b.session.Failure(err, action)
	}
	if status := response.HTTPStatusCode(); (response.ServiceRequestID() == "" || code(err) == "") && status >= http.StatusMultipleChoices && status < http.StatusInternalServerError && !awsapi.Throttled(err) {
		return b.strange(action)
	}
	if code(err) == "PermanentRedirect" || code(err) == "AuthorizationHeaderMalformed" || response.HTTPStatusCode() == http.StatusMovedPermanently {
		if region := response.Response.Header.Get("X-Amz-Bucket-Region"); region != "" && region != b.session.Access().Region {
			return probes.Fail(readiness.NotFound, "ask AWS (%s in %s): the bucket %s is in %.30q: name that region in aws.region, or in the region of the copy",
				action, b.where(), b.name, region)
		}
	}
	if b.owner != nil && code(err) == "AccessDenied" {
		return probes.Fail(readiness.Denied, "ask for a bucket of account %s (or correct account in the file): %w", *b.owner, b.session.Failure(err, action))
	}
	return b.session.Failure(err, action)
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// keyTrouble tells what is the matter with the key of an object, if that is why
// it cannot be read.
func keyTrouble(err error) (string, bool) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return "", false
	}
	if strings.HasPrefix(api.ErrorCode(), "KMS.") || strings.HasPrefix(api.ErrorCode(), "AccessDenied") && strings.Contains(api.ErrorMessage(), "kms:") {
		return fmt.Sprintf("%s: %.200q", api.ErrorCode(), api.ErrorMessage()), true
	}
	return "", false
}
