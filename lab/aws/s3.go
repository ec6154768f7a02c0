package aws

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3 keeps objects with gofakes3, and puts right what that lacks for looking at
// backups: regions, pages, versions that are locked, keys, replication, uploads
// that hang.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html
type S3 struct {
	now   func() time.Time
	store *s3mem.Backend
	wire  http.Handler

	// mu is held for writing by what changes the clock of the store or the state
	// below, and for reading by requests that only read.
	mu      sync.RWMutex
	at      time.Time // the clock of the store; zero is now
	buckets map[string]*Bucket
	uploads map[string]map[string]Upload // by bucket and id
	broken  map[string]Error             // keys that cannot be used
	skew    time.Duration                // how far the clock of a caller may be off
}

// Bucket is what a bucket is like. Only Name and Region are needed.
type Bucket struct {
	Name, Region string
	// Account owns it; empty is the account of the lab.
	Account string
	// Versioning is Enabled, Suspended, or empty where it never was either.
	Versioning string
	// ObjectLock says that objects can be locked. LockMode and LockFor are the
	// retention that new objects get where they bring none of their own.
	ObjectLock bool
	LockMode   string
	LockFor    time.Duration
	// KMSKey encrypts what is put without a key of its own; empty is the key of S3.
	KMSKey string
	// ReplicatesTo names another bucket; ReplicatedPrefix what of this one goes there.
	ReplicatesTo, ReplicatedPrefix string
}

// Object is an object, as a test wants it to be.
type Object struct {
	Bucket, Key string
	Body        []byte
	// Modified is when it was put; zero is now.
	Modified time.Time
	Metadata map[string]string
	// KMSKey, LockMode and RetainUntil are those of the bucket where they are empty.
	KMSKey      string
	LockMode    string // GOVERNANCE or COMPLIANCE
	RetainUntil time.Time
	LegalHold   bool
	// ReplicationStatus is PENDING, COMPLETED, FAILED or REPLICA, or empty.
	ReplicationStatus string
}

// Upload is a multipart upload that has not ended.
type Upload struct {
	Key, ID   string
	Initiated time.Time
}

// The headers by which S3 tells what an object is like.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
const (
	headerEncryption  = "X-Amz-Server-Side-Encryption"
	headerKey         = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	headerLockMode    = "X-Amz-Object-Lock-Mode"
	headerRetainUntil = "X-Amz-Object-Lock-Retain-Until-Date"
	headerLegalHold   = "X-Amz-Object-Lock-Legal-Hold"
	headerReplication = "X-Amz-Replication-Status"
	headerMetadata    = "X-Amz-Meta-"
	lastModified      = "Last-Modified"
)

// S3 is the part of the cloud that keeps objects.
func (c *Cloud) S3() *S3 { return c.services["s3"].(*S3) }

func newS3(now func() time.Time) *S3 {
	s := &S3{
		now:     now,
		buckets: make(map[string]*Bucket),
		uploads: make(map[string]map[string]Upload),
		broken:  make(map[string]Error),
		skew:    skewAllowed,
	}
	clock := storeClock{s}
	s.store = s3mem.New(s3mem.WithTimeSource(clock), s3mem.WithVersionSeed(1))
	// Requests that come too early or late are turned away in here, not there.
	s.wire = gofakes3.New(s.store, gofakes3.WithTimeSource(clock), gofakes3.WithTimeSkewLimit(0)).Server()
	return s
}

// storeClock is the clock of the store, which can be set for one object.
type storeClock struct{ s3 *S3 }

func (c storeClock) Now() time.Time {
	if !c.s3.at.IsZero() {
		return c.s3.at
	}
	return c.s3.now()
}

func (c storeClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// AllowSkew sets how far the clock of a caller may be off, for tests that move
// the clock of AWS: the SDK signs by that of the machine.
func (s *S3) AllowSkew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

// CreateBucket makes a bucket, or changes what it is like.
func (s *S3) CreateBucket(b Bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.ObjectLock {
		b.Versioning = "Enabled" // https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html: it needs that
	}
	if s.buckets[b.Name] == nil {
		_ = s.store.CreateBucket(b.Name) // fails for one that is there
	}
	if b.Versioning != "" {
		_ = s.store.SetVersioningConfiguration(b.Name, gofakes3.VersioningConfiguration{Status: gofakes3.VersioningStatus(b.Versioning)})
	}
	s.buckets[b.Name] = &b
}

// DropBucket deletes a bucket with all that is in it.
func (s *S3) DropBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.store.ForceDeleteBucket(name) // fails for one that is not there
	delete(s.buckets, name)
	delete(s.uploads, name)
}

// Put puts an object.
func (s *S3) Put(o Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[o.Bucket]
	if b == nil {
		return fmt.Errorf("put %s: there is no bucket %s", o.Key, o.Bucket)
	}
	s.at = o.Modified
	defer func() { s.at = time.Time{} }()
	at := storeClock{s}.Now()
	meta := map[string]string{lastModified: at.UTC().Format(http.TimeFormat)}
	for key, value := range o.Metadata {
		meta[http.CanonicalHeaderKey(headerMetadata+key)] = value
	}
	set := func(header, value string) {
		if value != "" {
			meta[header] = value
		}
	}
	set(headerKey, o.KMSKey)
	set(headerLockMode, o.LockMode)
	set(headerReplication, o.ReplicationStatus)
	if !o.RetainUntil.IsZero() {
		set(headerRetainUntil, o.RetainUntil.UTC().Format(time.RFC3339))
	}
	if o.LegalHold {
		set(headerLegalHold, "ON")
	}
	b.defaults(meta, at)
	its := maps.Clone(meta)
	_, err := s.store.PutObject(o.Bucket, o.Key, meta, bytes.NewReader(o.Body), int64(len(o.Body)), nil)
	if err != nil {
		return fmt.Errorf("put %s into %s: %w", o.Key, o.Bucket, err)
	}
	clear(meta) // the store carries over what an older object of that key had
	maps.Copy(meta, its)
	return nil
}

// defaults fills in what an object gets from its bucket.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-bucket-encryption.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html#object-lock-bucket-config
func (b *Bucket) defaults(meta map[string]string, at time.Time) {
	if meta[headerKey] == "" && meta[headerEncryption] == "" && b.KMSKey != "" {
		meta[headerKey] = b.KMSKey
	}
	if meta[headerKey] != "" {
		meta[headerEncryption] = "aws:kms"
	} else if meta[headerEncryption] == "" {
		meta[headerEncryption] = "AES256"
	}
	if b.LockMode != "" && meta[headerLockMode] == "" {
		meta[headerLockMode] = b.LockMode
		meta[headerRetainUntil] = at.Add(b.LockFor).UTC().Format(time.RFC3339)
	}
}

// metadata is what the store keeps beside an object: its headers. Nil is no object.
func (s *S3) metadata(bucket, key string) map[string]string {
	object, err := s.store.HeadObject(bucket, key)
	if err != nil {
		return nil
	}
	return object.Metadata
}

// Set changes headers of an object, as AWS itself does over time: its
// replication gets done, its retention is extended.
func (s *S3) Set(bucket, key string, o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta := s.metadata(bucket, key)
	if meta == nil {
		return
	}
	if o.ReplicationStatus != "" {
		meta[headerReplication] = o.ReplicationStatus
	}
	if o.LockMode != "" {
		meta[headerLockMode] = o.LockMode
	}
	if !o.RetainUntil.IsZero() {
		meta[headerRetainUntil] = o.RetainUntil.UTC().Format(time.RFC3339)
	}
}

// Delete deletes an object, with all its versions.
func (s *S3) Delete(bucket, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	versions, err := s.store.ListBucketVersions(bucket, &gofakes3.Prefix{HasPrefix: true, Prefix: key}, nil)
	if err != nil || s.buckets[bucket].Versioning == "" {
		_, _ = s.store.DeleteObject(bucket, key)
		return
	}
	for _, v := range versions.Versions {
		if version, ok := v.(*gofakes3.Version); ok && version.Key == key {
			_, _ = s.store.DeleteObjectVersion(bucket, key, version.VersionID)
		}
	}
}

// Keys lists the keys in a bucket, in order.
func (s *S3) Keys(bucket string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list, err := s.store.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		return nil
	}
	keys := make([]string, 0, len(list.Contents))
	for _, c := range list.Contents {
		keys = append(keys, c.Key)
	}
	return keys
}

// BeginUpload begins a multipart upload that nobody will end.
func (s *S3) BeginUpload(bucket, key string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteUpload(bucket, Upload{Key: key, ID: fmt.Sprintf("hanging-%d", len(s.uploads[bucket])+1), Initiated: at})
}

func (s *S3) noteUpload(bucket string, u Upload) {
	if s.uploads[bucket] == nil {
		s.uploads[bucket] = make(map[string]Upload)
	}
	s.uploads[bucket][u.ID] = u
}

// uploadsOf lists the uploads of a bucket, by key and then by their begin.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
func (s *S3) uploadsOf(bucket string) []Upload {
	return slices.SortedFunc(maps.Values(s.uploads[bucket]), func(a, b Upload) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return a.Initiated.Compare(b.Initiated)
	})
}

// BreakKey lets the use of a key fail; restore mends it. [KeyDenied] and
// [KeyDisabled] are how keys fail.
func (s *S3) BreakKey(arn string, how Error) (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[arn] = how
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.broken, arn)
	}
}

// KeyDenied is what S3 says where the caller may not use the key of an object.
// https://repost.aws/knowledge-center/s3-troubleshoot-403
func KeyDenied(arn string) Error {
	return Error{http.StatusForbidden, "AccessDenied", "User: arn:aws:sts::" + Account + ":assumed-role/drwatch/drwatch is not authorized to perform: kms:Decrypt on resource: " +
		arn + " because no identity-based policy allows the kms:Decrypt action"}
}

// KeyDisabled is what S3 says where the key of an object was switched off.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
func KeyDisabled(arn string) Error {
	return Error{http.StatusBadRequest, "KMS.DisabledException", arn + " is disabled."}
}
