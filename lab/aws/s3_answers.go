package aws

import (
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// answers are the questions that are answered here rather than by the store.
func (s *S3) answers() map[string]func(*call, *Bucket) (any, error) {
	return map[string]func(*call, *Bucket) (any, error){
		"ListObjectsV2":              s.listObjects,
		"ListMultipartUploads":       s.listUploads,
		"GetBucketVersioning":        versioning,
		"GetObjectLockConfiguration": lockConfiguration,
		"GetBucketEncryption":        encryption,
		"GetBucketReplication":       replication,
		"GetBucketLocation":          location,
		"GetObjectRetention":         s.retention,
		"GetObjectLegalHold":         s.legalHold,
	}
}

type s3Content struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type s3Prefix struct{ Prefix string }

type s3List struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	StartAfter            string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	Delimiter             string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	Contents              []s3Content
	CommonPrefixes        []s3Prefix
}

// listObjects is a page of a listing. The store behind repeats common prefixes
// on the next page, and gives a token after the last.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
func (s *S3) listObjects(c *call, b *Bucket) (any, error) {
	q := c.Request.URL.Query()
	page := s3List{
		Name: b.Name, Prefix: q.Get("prefix"), StartAfter: q.Get("start-after"), Delimiter: q.Get("delimiter"),
		ContinuationToken: q.Get("continuation-token"), EncodingType: q.Get("encoding-type"), MaxKeys: 1000,
	}
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		page.MaxKeys = min(max(n, 0), 1000)
	}
	after := page.StartAfter
	if page.ContinuationToken != "" {
		token, err := base64.StdEncoding.DecodeString(page.ContinuationToken)
		if err != nil {
			return nil, Error{http.StatusBadRequest, "InvalidArgument", "The continuation token provided is incorrect"}
		}
		after = string(token)
	}
	all, err := s.store.ListBucket(b.Name, nil, gofakes3.ListBucketPage{})
	if err != nil {
		return nil, err
	}
	page.fill(all.Contents, after)
	page.KeyCount = len(page.Contents) + len(page.CommonPrefixes)
	page.encode()
	return page, nil
}

// fill puts what follows into the page until it is full. The contents come in
// the order of their keys, which is that of their bytes.
func (page *s3List) fill(contents []*gofakes3.Content, after string) {
	last, i := "", sortedAfter(contents, page.Prefix, after)
	for ; i < len(contents); i++ {
		o := contents[i]
		if !strings.HasPrefix(o.Key, page.Prefix) {
			break
		}
		group := ""
		if before, _, found := strings.Cut(o.Key[len(page.Prefix):], page.Delimiter); page.Delimiter != "" && found {
			group = page.Prefix + before + page.Delimiter
		}
		if group != "" && (group == last || strings.HasPrefix(after, group)) {
			continue // the whole of it is on this page, or was on one before
		}
		if len(page.Contents)+len(page.CommonPrefixes) == page.MaxKeys {
			page.IsTruncated = page.MaxKeys > 0
			break
		}
		last = cmp.Or(group, o.Key)
		if group != "" {
			page.CommonPrefixes = append(page.CommonPrefixes, s3Prefix{group})
			continue
		}
		page.Contents = append(page.Contents, s3Content{Key: o.Key, LastModified: s3Time(o.LastModified.Time), ETag: o.ETag, Size: o.Size, StorageClass: "STANDARD"})
	}
	if page.IsTruncated {
		page.NextContinuationToken = base64.StdEncoding.EncodeToString([]byte(last))
	}
}

// sortedAfter finds the first key with the prefix that comes after another one.
func sortedAfter(contents []*gofakes3.Content, prefix, after string) int {
	i, found := slices.BinarySearchFunc(contents, max(prefix, after), func(c *gofakes3.Content, key string) int { return strings.Compare(c.Key, key) })
	if found && after >= prefix {
		i++
	}
	return i
}

// encode writes keys so that any byte fits into XML, for whoever asks for it.
func (page *s3List) encode() {
	if page.EncodingType != "url" {
		return
	}
	encoded := func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "%2F", "/") }
	page.Prefix, page.StartAfter, page.Delimiter = encoded(page.Prefix), encoded(page.StartAfter), encoded(page.Delimiter)
	for i := range page.Contents {
		page.Contents[i].Key = encoded(page.Contents[i].Key)
	}
	for i := range page.CommonPrefixes {
		page.CommonPrefixes[i].Prefix = encoded(page.CommonPrefixes[i].Prefix)
	}
}

// s3Time is how S3 writes moments in XML: LastModified has whole seconds.
func s3Time(t time.Time) string {
	return t.UTC().Truncate(time.Second).Format("2006-01-02T15:04:05.000Z")
}

// listUploads is a page of the uploads that have not ended.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
func (s *S3) listUploads(c *call, b *Bucket) (any, error) {
	type upload struct {
		Key          string
		UploadID     string `xml:"UploadId"`
		Initiated    string
		StorageClass string
	}
	type result struct {
		XMLName            xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
		Bucket             string
		Prefix             string `xml:",omitempty"`
		KeyMarker          string
		UploadIDMarker     string `xml:"UploadIdMarker"`
		NextKeyMarker      string `xml:",omitempty"`
		NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
		MaxUploads         int
		IsTruncated        bool
		Upload             []upload
	}
	q := c.Request.URL.Query()
	page := result{Bucket: b.Name, Prefix: q.Get("prefix"), KeyMarker: q.Get("key-marker"), UploadIDMarker: q.Get("upload-id-marker"), MaxUploads: 1000}
	if n, err := strconv.Atoi(q.Get("max-uploads")); err == nil {
		page.MaxUploads = min(max(n, 1), 1000)
	}
	passed := page.KeyMarker == ""
	for _, u := range s.uploadsOf(b.Name) {
		if !passed { // up to the marker, or without one of an upload to the end of its key
			passed = u.Key > page.KeyMarker
			if u.Key == page.KeyMarker && u.ID == page.UploadIDMarker {
				passed = true
				continue
			}
		}
		if !passed || !strings.HasPrefix(u.Key, page.Prefix) {
			continue
		}
		if len(page.Upload) == page.MaxUploads {
			last := page.Upload[len(page.Upload)-1]
			page.IsTruncated, page.NextKeyMarker, page.NextUploadIDMarker = true, last.Key, last.UploadID
			break
		}
		page.Upload = append(page.Upload, upload{u.Key, u.ID, s3Time(u.Initiated), "STANDARD"})
	}
	return page, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html
func versioning(_ *call, b *Bucket) (any, error) {
	return struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ VersioningConfiguration"`
		Status  string   `xml:",omitempty"`
	}{Status: b.Versioning}, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLockConfiguration.html
func lockConfiguration(_ *call, b *Bucket) (any, error) {
	if !b.ObjectLock {
		return nil, Error{http.StatusNotFound, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"}
	}
	type retention struct {
		Mode string
		Days int
	}
	type rule struct{ DefaultRetention retention }
	var its *rule
	if b.LockMode != "" {
		its = &rule{retention{b.LockMode, int(b.LockFor / (24 * time.Hour))}}
	}
	return struct {
		XMLName           xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ObjectLockConfiguration"`
		ObjectLockEnabled string
		Rule              *rule
	}{ObjectLockEnabled: "Enabled", Rule: its}, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketEncryption.html
func encryption(_ *call, b *Bucket) (any, error) {
	type byDefault struct {
		SSEAlgorithm   string
		KMSMasterKeyID string `xml:",omitempty"`
	}
	type rule struct {
		Default byDefault `xml:"ApplyServerSideEncryptionByDefault"`
	}
	its := byDefault{SSEAlgorithm: "AES256"}
	if b.KMSKey != "" {
		its = byDefault{"aws:kms", b.KMSKey}
	}
	return struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ServerSideEncryptionConfiguration"`
		Rule    rule
	}{Rule: rule{its}}, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketReplication.html
func replication(_ *call, b *Bucket) (any, error) {
	if b.ReplicatesTo == "" {
		return nil, Error{http.StatusNotFound, "ReplicationConfigurationNotFoundError", "The replication configuration was not found"}
	}
	type filter struct{ Prefix string }
	type destination struct{ Bucket string }
	type rule struct {
		ID          string
		Priority    int
		Status      string
		Filter      filter
		Destination destination
	}
	return struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ReplicationConfiguration"`
		Role    string
		Rule    rule
	}{
		Role: "arn:aws:iam::" + Account + ":role/replication",
		Rule: rule{"all", 1, "Enabled", filter{b.ReplicatedPrefix}, destination{"arn:aws:s3:::" + b.ReplicatesTo}},
	}, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
func location(_ *call, b *Bucket) (any, error) {
	region := b.Region
	if region == "us-east-1" {
		region = ""
	}
	return struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
		Region  string   `xml:",chardata"`
	}{Region: region}, nil
}

// locked gives the headers of an object in a bucket that can lock.
func (s *S3) locked(c *call, b *Bucket) (map[string]string, error) {
	_, key := s3Path(c.Request)
	meta := s.metadata(b.Name, key)
	switch {
	case meta == nil:
		return nil, Error{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
	case !b.ObjectLock:
		return nil, Error{http.StatusBadRequest, "InvalidRequest", "Bucket is missing Object Lock Configuration"}
	}
	return meta, nil
}

var errNoLock = Error{http.StatusNotFound, "NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration"}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectRetention.html
func (s *S3) retention(c *call, b *Bucket) (any, error) {
	meta, err := s.locked(c, b)
	if err != nil {
		return nil, err
	}
	if meta[headerLockMode] == "" {
		return nil, errNoLock
	}
	return struct {
		XMLName         xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Retention"`
		Mode            string
		RetainUntilDate string
	}{Mode: meta[headerLockMode], RetainUntilDate: meta[headerRetainUntil]}, nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLegalHold.html
func (s *S3) legalHold(c *call, b *Bucket) (any, error) {
	meta, err := s.locked(c, b)
	if err != nil {
		return nil, err
	}
	if meta[headerLegalHold] == "" {
		return nil, errNoLock
	}
	return struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LegalHold"`
		Status  string
	}{Status: meta[headerLegalHold]}, nil
}
