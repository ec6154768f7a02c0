package aws_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

const dumpKeyARN = "arn:aws:kms:eu-west-1:111122223333:key/dumps"

// bucketOfDumps has a day in each of ten objects, the last of which is locked.
func bucketOfDumps(t *testing.T, now time.Time) *labaws.Cloud {
	t.Helper()
	cloud := start(t, labaws.Options{})
	s := cloud.S3()
	s.CreateBucket(labaws.Bucket{Name: "dumps", Region: region, ObjectLock: true, LockMode: "COMPLIANCE", LockFor: 24 * time.Hour, KMSKey: dumpKeyARN,
		ReplicatesTo: "elsewhere", ReplicatedPrefix: "pg/"})
	s.CreateBucket(labaws.Bucket{Name: "plain", Region: region})
	for day := range 10 {
		require.NoError(t, s.Put(labaws.Object{
			Bucket: "dumps", Key: now.AddDate(0, 0, -day).Format("pg/2006/01/02/") + "a b+c.dump", Body: []byte(strings.Repeat("0123456789", 10)),
			Modified: now.AddDate(0, 0, -day), Metadata: map[string]string{"begun": "x"}, ReplicationStatus: "COMPLETED",
		}))
	}
	return cloud
}

// Were it to fail, what holds against the stand-in would not hold against S3.
func TestS3_AsTheModelSays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	cloud := bucketOfDumps(t, now)
	ask := func(operation string, params map[string]any) map[string]any {
		return validated(t, cloud.URL(), region, "s3", operation, params)
	}
	of := map[string]any{"Bucket": "dumps"}
	newest := map[string]any{"Bucket": "dumps", "Key": "pg/2026/11/24/a b+c.dump"}

	require.Equal(t, "Enabled", ask("GetBucketVersioning", of)["Status"])
	require.NotContains(t, ask("GetBucketVersioning", map[string]any{"Bucket": "plain"}), "Status")
	require.Contains(t, ask("GetObjectLockConfiguration", of), "ObjectLockConfiguration")
	require.Equal(t, "ObjectLockConfigurationNotFoundError", code(ask("GetObjectLockConfiguration", map[string]any{"Bucket": "plain"})))
	require.Contains(t, ask("GetBucketReplication", of), "ReplicationConfiguration")
	require.Equal(t, "ReplicationConfigurationNotFoundError", code(ask("GetBucketReplication", map[string]any{"Bucket": "plain"})))
	require.Contains(t, ask("GetBucketEncryption", of), "ServerSideEncryptionConfiguration")
	require.Equal(t, region, ask("GetBucketLocation", of)["LocationConstraint"])
	require.Equal(t, "COMPLIANCE", ask("GetObjectRetention", newest)["Retention"].(map[string]any)["Mode"])
	require.Equal(t, "NoSuchObjectLockConfiguration", code(ask("GetObjectLegalHold", newest)))
	require.Equal(t, "NoSuchBucket", code(ask("ListObjectsV2", map[string]any{"Bucket": "gone"})))
	require.Equal(t, "NoSuchKey", code(ask("GetObject", map[string]any{"Bucket": "dumps", "Key": "gone"})))
	require.Equal(t, "404", code(ask("HeadObject", map[string]any{"Bucket": "dumps", "Key": "gone"})))

	head := ask("HeadObject", newest)
	require.EqualValues(t, 100, head["ContentLength"])
	require.Equal(t, "2026-11-24T02:00:00Z", head["LastModified"])
	require.Equal(t, "aws:kms", head["ServerSideEncryption"])
	require.Equal(t, dumpKeyARN, head["SSEKMSKeyId"])
	require.Equal(t, "COMPLETED", head["ReplicationStatus"])
	require.Equal(t, "COMPLIANCE", head["ObjectLockMode"])
	require.Equal(t, "2026-11-25T02:00:00Z", head["ObjectLockRetainUntilDate"])
	require.Equal(t, map[string]any{"begun": "x"}, head["Metadata"])

	with := func(key string, value any) map[string]any {
		return map[string]any{"Bucket": "dumps", "Key": newest["Key"], key: value}
	}
	part := ask("GetObject", with("Range", "bytes=90-200"))
	require.Equal(t, "bytes 90-99/100", part["ContentRange"])
	require.Equal(t, "10 bytes", part["Body"])
	require.Equal(t, "7 bytes", ask("GetObject", with("Range", "bytes=-7"))["Body"])
	require.Equal(t, "InvalidRange", code(ask("GetObject", with("Range", "bytes=100-"))))
	require.Equal(t, "100 bytes", ask("GetObject", with("IfMatch", head["ETag"]))["Body"])
	require.Equal(t, "PreconditionFailed", code(ask("GetObject", with("IfMatch", `"other"`))))
}

// Were it to fail, a listing would end too soon, or begin too early, and nobody
// would see it: pages, where to begin, and folders.
func TestS3_Listing(t *testing.T) {
	t.Parallel()
	cloud := bucketOfDumps(t, time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC))
	keys := cloud.S3().Keys("dumps")
	list := func(params map[string]any) map[string]any {
		params["Bucket"] = "dumps"
		return validated(t, cloud.URL(), region, "s3", "ListObjectsV2", params)
	}
	var got []string
	params := map[string]any{"MaxKeys": 4, "Prefix": "pg/", "StartAfter": keys[0]}
	for pages := 1; ; pages++ {
		page := list(params)
		got = append(got, all(page["Contents"], "Key")...)
		if page["IsTruncated"] == false {
			require.Equal(t, 3, pages)
			require.NotContains(t, page, "NextContinuationToken")
			break
		}
		params = map[string]any{"MaxKeys": 4, "Prefix": "pg/", "ContinuationToken": page["NextContinuationToken"]}
	}
	require.Equal(t, keys[1:], got)
	require.Empty(t, list(map[string]any{"StartAfter": keys[9]})["Contents"])
	require.Len(t, list(map[string]any{"StartAfter": "pg/2026/11/20"})["Contents"], 5, "a key that is not there")
	require.Len(t, list(map[string]any{"Prefix": "pg/2026/11/2"})["Contents"], 5)
	folders := list(map[string]any{"Prefix": "pg/2026/11/", "Delimiter": "/", "MaxKeys": 3})
	require.Equal(t, []string{"pg/2026/11/15/", "pg/2026/11/16/", "pg/2026/11/17/"}, all(folders["CommonPrefixes"], "Prefix"))
	folders = list(map[string]any{"Prefix": "pg/2026/11/", "Delimiter": "/", "ContinuationToken": folders["NextContinuationToken"]})
	require.Equal(t, "pg/2026/11/18/", all(folders["CommonPrefixes"], "Prefix")[0], "a folder is told once")

	for n := range 3 {
		cloud.S3().BeginUpload("dumps", "pg/hanging", time.Date(2026, 11, 20+n, 0, 0, 0, 0, time.UTC))
	}
	uploads := func(params map[string]any) map[string]any {
		params["Bucket"] = "dumps"
		return validated(t, cloud.URL(), region, "s3", "ListMultipartUploads", params)
	}
	first := uploads(map[string]any{"MaxUploads": 2, "Prefix": "pg/"})
	require.Equal(t, []string{"2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"}, all(first["Uploads"], "Initiated"))
	rest := uploads(map[string]any{"KeyMarker": first["NextKeyMarker"], "UploadIdMarker": first["NextUploadIdMarker"]})
	require.Equal(t, []string{"2026-11-22T00:00:00Z"}, all(rest["Uploads"], "Initiated"))
	require.Empty(t, validated(t, cloud.URL(), region, "s3", "ListMultipartUploads", map[string]any{"Bucket": "plain"})["Uploads"], "none is no error")
}

// Were it to fail, keys, regions and locks would not stand in the way as they do.
func TestS3_Refusals(t *testing.T) {
	t.Parallel()
	cloud := bucketOfDumps(t, time.Now())
	key := cloud.S3().Keys("dumps")[9]
	ask := func(operation string, params map[string]any) map[string]any {
		params["Bucket"] = "dumps"
		return validated(t, cloud.URL(), region, "s3", operation, params)
	}
	restore := cloud.S3().BreakKey(dumpKeyARN, labaws.KeyDenied(dumpKeyARN))
	require.Equal(t, "AccessDenied", code(ask("GetObject", map[string]any{"Key": key})))
	require.Contains(t, ask("HeadObject", map[string]any{"Key": key}), "ETag", "what stands beside the content needs no key")
	restore()
	version := ask("GetObject", map[string]any{"Key": key})["VersionId"]
	require.NotEmpty(t, version)
	require.Equal(t, "AccessDenied", code(ask("DeleteObject", map[string]any{"Key": key, "VersionId": version})), "it is locked")

	elsewhere := validated(t, cloud.URL(), "eu-central-1", "s3", "ListObjectsV2", map[string]any{"Bucket": "plain"})
	require.NotContains(t, elsewhere, "Contents")
}

// The AWS command line, as people use it: it stores, finds and fetches, and
// finds the region of a bucket by itself.
func TestS3_CommandLine(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/bin/aws"); err != nil {
		t.Skip("needs the AWS command line: apt-get install -y --no-install-recommends awscli")
	}
	cloud := bucketOfDumps(t, time.Now())
	cloud.S3().CreateBucket(labaws.Bucket{Name: "far", Region: "eu-central-1"})
	dir := t.TempDir()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // more than one part
	require.NoError(t, os.WriteFile(filepath.Join(dir, "large"), large, 0o600))
	run := func(args ...string) string {
		command := exec.CommandContext(t.Context(), "/usr/bin/aws", append(args, "--endpoint-url", cloud.URL())...)
		command.Dir = dir
		command.Env = []string{"AWS_ACCESS_KEY_ID=AKIALAB", "AWS_SECRET_ACCESS_KEY=lab", "AWS_DEFAULT_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true", "HOME=" + dir, "PATH=/usr/bin:/bin"}
		text, err := command.CombinedOutput()
		require.NoError(t, err, "aws %s: %s", strings.Join(args, " "), text)
		return string(text)
	}
	run("s3", "cp", "large", "s3://far/x/large", "--metadata", "begun=2026-11-24T02:00:00Z")
	require.Contains(t, run("s3", "ls", "s3://far/x/"), "16777216 large")
	run("s3", "cp", "s3://far/x/large", "back")
	back, err := os.ReadFile(filepath.Join(dir, "back"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(large, back))
	require.Contains(t, run("s3api", "head-object", "--bucket", "far", "--key", "x/large", "--region", "eu-central-1"), `"begun": "2026-11-24T02:00:00Z"`)
	require.NotContains(t, run("s3api", "list-multipart-uploads", "--bucket", "far", "--region", "eu-central-1"), "UploadId")
	require.Equal(t, 10, strings.Count(run("s3", "ls", "s3://dumps", "--recursive"), "a b+c.dump"))
	run("s3", "rm", "s3://far/x/large")
	require.Empty(t, cloud.S3().Keys("far"))
}

// The SDK for Go stores in chunks with a check sum behind them.
func TestS3_SDKStores(t *testing.T) {
	t.Parallel()
	cloud := bucketOfDumps(t, time.Now())
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region), config.WithBaseEndpoint(cloud.URL()),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIALAB", "lab", "")))
	require.NoError(t, err)
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: awssdk.String("plain"), Key: awssdk.String("x"), Body: strings.NewReader("hello"), Metadata: map[string]string{"a": "1"}})
	require.NoError(t, err)
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: awssdk.String("plain"), Key: awssdk.String("x"), Body: strings.NewReader("hello again")})
	require.NoError(t, err)
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: awssdk.String("plain"), Key: awssdk.String("x")})
	require.NoError(t, err)
	var text bytes.Buffer
	_, err = text.ReadFrom(out.Body)
	require.NoError(t, err)
	require.NoError(t, out.Body.Close())
	require.Equal(t, "hello again", text.String())
	require.Empty(t, out.Metadata, "what is replaced leaves nothing behind")
	require.Equal(t, "AES256", string(out.ServerSideEncryption))
}
