package aws

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// s3Questions are what is asked of a bucket, or of an object in it, by a
// parameter without a value.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
type s3Question struct{ method, parameter, ofBucket, ofObject string }

func s3Questions() []s3Question {
	return []s3Question{
		{http.MethodGet, "versioning", "GetBucketVersioning", ""},
		{http.MethodPut, "versioning", "PutBucketVersioning", ""},
		{http.MethodGet, "versions", "ListObjectVersions", ""},
		{http.MethodGet, "object-lock", "GetObjectLockConfiguration", ""},
		{http.MethodGet, "encryption", "GetBucketEncryption", ""},
		{http.MethodGet, "replication", "GetBucketReplication", ""},
		{http.MethodGet, "location", "GetBucketLocation", ""},
		{http.MethodGet, "uploads", "ListMultipartUploads", ""},
		{http.MethodPost, "uploads", "", "CreateMultipartUpload"},
		{http.MethodPut, "uploadId", "", "UploadPart"},
		{http.MethodPost, "uploadId", "", "CompleteMultipartUpload"},
		{http.MethodDelete, "uploadId", "", "AbortMultipartUpload"},
		{http.MethodGet, "uploadId", "", "ListParts"},
		{http.MethodGet, "retention", "", "GetObjectRetention"},
		{http.MethodGet, "legal-hold", "", "GetObjectLegalHold"},
		{http.MethodPost, "delete", "DeleteObjects", ""},
		{http.MethodGet, "list-type", "ListObjectsV2", ""},
	}
}

// s3Plain are the operations that are asked by the method alone.
func s3Plain(method string, bucket, object bool) string {
	names := map[string][2]string{
		http.MethodGet: {"ListObjects", "GetObject"}, http.MethodHead: {"HeadBucket", "HeadObject"},
		http.MethodPut: {"CreateBucket", "PutObject"}, http.MethodDelete: {"DeleteBucket", "DeleteObject"},
	}
	switch {
	case object:
		return names[method][1]
	case bucket:
		return names[method][0]
	case method == http.MethodGet:
		return "ListBuckets"
	}
	return ""
}

func s3Path(r *http.Request) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return bucket, key
}

func (s *S3) operation(r *http.Request, _ []byte) string {
	bucket, key := s3Path(r)
	query := r.URL.Query()
	for _, q := range s3Questions() {
		name := q.ofBucket
		if key != "" {
			name = q.ofObject
		}
		if q.method == r.Method && query.Has(q.parameter) && name != "" {
			return name
		}
	}
	return s3Plain(r.Method, bucket != "", key != "")
}

// refuse answers with an error as S3 writes them, without an envelope.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func (s *S3) refuse(w http.ResponseWriter, c *call, e Error) {
	w.Header().Set("X-Amz-Request-Id", c.ID)
	if c.Request.Method == http.MethodHead {
		w.WriteHeader(e.Status) // a HEAD has no body, so nobody learns the code
		return
	}
	s3XML(w, e.Status, struct {
		XMLName                         xml.Name `xml:"Error"`
		Code, Message, Bucket, Endpoint string   `xml:",omitempty"`
		RequestID                       string   `xml:"RequestId"`
		HostID                          string   `xml:"HostId"`
	}{Code: e.Code, Message: e.Message, Bucket: bucketOf(c), Endpoint: endpointOf(w, e), RequestID: c.ID, HostID: c.ID})
}

func bucketOf(c *call) string {
	bucket, _ := s3Path(c.Request)
	return bucket
}

func endpointOf(w http.ResponseWriter, e Error) string {
	if e.Code != "PermanentRedirect" {
		return ""
	}
	return "s3." + w.Header().Get("X-Amz-Bucket-Region") + ".amazonaws.com"
}

func s3XML(w http.ResponseWriter, status int, body any) {
	text, err := xml.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, xml.Header)
	_, _ = w.Write(text)
}

// skewAllowed is how far the clocks of the caller and of S3 may be apart.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList (RequestTimeTooSkewed)
const skewAllowed = 15 * time.Minute

func (s *S3) serve(w http.ResponseWriter, c *call) {
	w.Header().Set("X-Amz-Request-Id", c.ID)
	if err := s.ours(w, c); err != nil {
		s.refuse(w, c, asError(err))
	}
}

// ours answers what the store behind cannot, or does otherwise than S3, and
// hands the rest on.
func (s *S3) ours(w http.ResponseWriter, c *call) error {
	if isRead := c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead; isRead {
		s.mu.RLock()
		defer s.mu.RUnlock()
	} else {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	if sent, err := time.Parse("20060102T150405Z", c.Request.Header.Get("X-Amz-Date")); err == nil && s.now().Sub(sent).Abs() > s.skew {
		return Error{http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."}
	}
	if c.Operation == "ListBuckets" {
		s.wire.ServeHTTP(w, c.Request)
		return nil
	}
	if c.Operation == "CreateBucket" {
		return s.createBucket(w, c)
	}
	b, err := s.bucket(w, c)
	if err != nil {
		return err
	}
	if answer := s.answers()[c.Operation]; answer != nil {
		body, err := answer(c, b)
		if err == nil {
			s3XML(w, http.StatusOK, body)
		}
		return err
	}
	return s.handOn(w, c, b)
}

// bucket finds a bucket, refuses those who expect another owner, and sends those
// elsewhere who ask in another region.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html#VirtualHostingBackwardsCompatibility
func (s *S3) bucket(w http.ResponseWriter, c *call) (*Bucket, error) {
	b := s.buckets[bucketOf(c)]
	if b == nil {
		return nil, Error{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist"}
	}
	if owner := c.Request.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != cmp.Or(b.Account, Account) {
		return nil, Error{http.StatusForbidden, "AccessDenied", "Access Denied"}
	}
	w.Header().Set("X-Amz-Bucket-Region", b.Region)
	if b.Region != c.Region {
		return nil, Error{http.StatusMovedPermanently, "PermanentRedirect",
			"The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint."}
	}
	return b, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
func (s *S3) createBucket(w http.ResponseWriter, c *call) error {
	var configuration struct {
		LocationConstraint string
	}
	_ = xml.Unmarshal(c.Body, &configuration) // there may be none
	region := configuration.LocationConstraint
	if region == "" {
		region = c.Region
	}
	name := bucketOf(c)
	if s.buckets[name] != nil {
		return Error{http.StatusConflict, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it."}
	}
	if err := s.store.CreateBucket(name); err != nil {
		return err
	}
	s.buckets[name] = &Bucket{Name: name, Region: region, ObjectLock: c.Request.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true"}
	w.Header().Set("Location", "/"+name)
	w.WriteHeader(http.StatusOK)
	return nil
}

// handOn lets the store answer, with what it does wrong put right around it.
func (s *S3) handOn(w http.ResponseWriter, c *call, b *Bucket) error {
	_, key := s3Path(c.Request)
	switch c.Operation {
	case "GetObject", "HeadObject":
		return s.read(&teller{ResponseWriter: w, unversioned: b.Versioning == ""}, c, key)
	case "PutObject":
		return s.put(w, c, b, key)
	case "CreateMultipartUpload", "CompleteMultipartUpload", "AbortMultipartUpload":
		s.upload(w, c, b, key)
		return nil
	case "UploadPart":
		if err := unchunk(c); err != nil {
			return err
		}
	case "DeleteObject":
		if err := s.mayDelete(b, key, c.Request.URL.Query().Get("versionId")); err != nil {
			return err
		}
	case "PutBucketVersioning":
		var v struct{ Status string }
		if err := xml.Unmarshal(c.Body, &v); err == nil {
			b.Versioning = v.Status
		}
	}
	s.wire.ServeHTTP(w, c.Request)
	return nil
}

// read checks what the store does not: conditions, and keys.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func (s *S3) read(w *teller, c *call, key string) error {
	bucket := bucketOf(c)
	object, err := s.store.HeadObject(bucket, key)
	if err != nil {
		return Error{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
	}
	if match := c.Request.Header.Get("If-Match"); match != "" && strings.Trim(match, `"`) != fmt.Sprintf("%x", object.Hash) {
		return Error{http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"}
	}
	if refusal, broken := s.broken[object.Metadata[headerKey]]; broken && c.Operation == "GetObject" { // a HEAD reads nothing that is encrypted
		return refusal
	}
	if c.Operation == "HeadObject" {
		w.Header().Set("Content-Length", strconv.FormatInt(object.Size, 10))
	}
	w.Header().Set("Content-Type", "binary/octet-stream")
	s.wire.ServeHTTP(w, c.Request)
	if c.Operation == "HeadObject" {
		_, _ = w.Write(nil) // the store writes nothing where there is no range
	}
	return nil
}

// teller writes the headers of an object as S3 does: names of user metadata in
// lower case, and a version only where there are versions.
type teller struct {
	http.ResponseWriter
	unversioned, told bool
}

// WriteHeader writes the headers, mended.
func (t *teller) WriteHeader(status int) {
	t.told = true
	h := t.Header()
	for name, values := range maps.Clone(h) {
		if strings.HasPrefix(name, headerMetadata) {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
	if t.unversioned {
		h.Del("X-Amz-Version-Id")
	}
	t.ResponseWriter.WriteHeader(status)
}

// Write writes the body, and the headers before it.
func (t *teller) Write(text []byte) (int, error) {
	if !t.told {
		t.WriteHeader(http.StatusOK)
	}
	return t.ResponseWriter.Write(text)
}

// put gives an object what it gets from its bucket, and takes from it what the
// store would keep of the request or of an older object.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
func (s *S3) put(w http.ResponseWriter, c *call, b *Bucket, key string) error {
	if err := unchunk(c); err != nil {
		return err
	}
	its := make(map[string]string)
	for header := range c.Request.Header {
		if strings.HasPrefix(header, headerMetadata) || strings.HasPrefix(header, headerEncryption) || strings.HasPrefix(header, headerLockMode[:len("X-Amz-Object-Lock-")]) ||
			header == "Content-Type" || header == "Content-Disposition" || header == "Content-Encoding" {
			its[header] = c.Request.Header.Get(header)
		}
	}
	if its[headerLockMode] != "" && !b.ObjectLock {
		return Error{http.StatusBadRequest, "InvalidRequest", "Bucket is missing Object Lock Configuration"}
	}
	b.defaults(its, s.now())
	s.wire.ServeHTTP(w, c.Request)
	if meta := s.metadata(b.Name, key); meta != nil {
		its[lastModified] = meta[lastModified]
		clear(meta)
		maps.Copy(meta, its)
	}
	return nil
}

// mayDelete says no to whoever wants to delete a version that is locked.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
func (s *S3) mayDelete(b *Bucket, key, version string) error {
	if version == "" {
		return nil // it gets a marker, and stays
	}
	meta := s.metadata(b.Name, key)
	until, err := time.Parse(time.RFC3339, meta[headerRetainUntil])
	if err == nil && until.After(s.now()) || meta[headerLegalHold] == "ON" {
		return Error{http.StatusForbidden, "AccessDenied", "Access Denied because object protected by object lock."}
	}
	return nil
}

// upload notes which uploads are under way: the store lists none where none
// ever was, and cannot page.
func (s *S3) upload(w http.ResponseWriter, c *call, b *Bucket, key string) {
	heard := &listener{header: w.Header(), status: http.StatusOK}
	s.wire.ServeHTTP(heard, c.Request)
	id := c.Request.URL.Query().Get("uploadId")
	switch {
	case heard.status >= http.StatusMultipleChoices:
	case c.Operation == "CreateMultipartUpload":
		var result struct {
			UploadID string `xml:"UploadId"`
		}
		if err := xml.Unmarshal(heard.body.Bytes(), &result); err == nil {
			s.noteUpload(b.Name, Upload{Key: key, ID: result.UploadID, Initiated: s.now()})
		}
	default:
		delete(s.uploads[b.Name], id)
		if meta := s.metadata(b.Name, key); meta != nil && c.Operation == "CompleteMultipartUpload" {
			b.defaults(meta, s.now())
		}
	}
	w.WriteHeader(heard.status)
	_, _ = w.Write(heard.body.Bytes())
}

// listener keeps an answer, to be read before it goes out.
type listener struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (l *listener) Header() http.Header            { return l.header }
func (l *listener) WriteHeader(status int)         { l.status = status }
func (l *listener) Write(text []byte) (int, error) { return l.body.Write(text) }

// unchunk takes a body out of the chunks in which the SDKs send it; the store
// knows only those of old, which are signed and have no trailer.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
func unchunk(c *call) error {
	h := c.Request.Header
	if !strings.HasPrefix(h.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return nil
	}
	bad := func(err error) error {
		return Error{http.StatusBadRequest, "IncompleteBody", "The request body terminated unexpectedly: " + err.Error()}
	}
	var body bytes.Buffer
	for r := bufio.NewReader(bytes.NewReader(c.Body)); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return bad(err)
		}
		length, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(length, 16, 64)
		if err != nil {
			return bad(err)
		}
		if n == 0 {
			break // what follows are check sums
		}
		if _, err := io.CopyN(&body, r, n); err != nil {
			return bad(err)
		}
		if _, err := r.Discard(len("\r\n")); err != nil {
			return bad(err)
		}
	}
	h.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Del("X-Amz-Decoded-Content-Length")
	if encoding := strings.Trim(strings.ReplaceAll(h.Get("Content-Encoding"), "aws-chunked", ""), ", "); encoding == "" {
		h.Del("Content-Encoding")
	} else {
		h.Set("Content-Encoding", encoding)
	}
	c.Request.ContentLength = int64(body.Len())
	c.Request.Body = io.NopCloser(&body)
	return nil
}
