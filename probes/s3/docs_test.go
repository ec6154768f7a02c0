package s3_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

const docs = "../../docs/probes/s3.md"

// Who copies from the page gets what is accepted.
func TestDocs_ExamplesAreValid(t *testing.T) {
	examples := probetest.Examples[struct {
		Copies []struct {
			Name, Region string
			Kind         readiness.CopyKind
			Immutable    bool
			S3           s3.Config
		}
	}](t, mustRead(t, docs))
	require.Len(t, examples, 1)
	require.Len(t, examples[0].Copies, 2)
	for _, c := range examples[0].Copies {
		require.Empty(t, c.S3.Validate(readiness.Copy{Name: c.Name, Kind: c.Kind, Region: c.Region, Immutable: c.Immutable}))
	}
}

// Were it to fail, a check would be made that nobody can look up, or a key be
// there that nobody explains.
func TestDocs_TellEveryCheckAndKey(t *testing.T) {
	page := string(mustRead(t, docs))
	for _, check := range s3.Checks(s3.Config{Every: 1, Replication: true}, readiness.Copy{Immutable: true}) {
		require.Contains(t, page, "| `"+check+"`")
	}
	for key := range keys(t) {
		require.Contains(t, page, "| `"+key+"`")
	}
}

// keys are those of a configuration that has them all, but for the access.
func keys(t *testing.T) map[string]any {
	t.Helper()
	full := s3.Config{
		Bucket: name, Prefix: "a/", Pattern: "*", Every: time.Hour, Takes: time.Hour, Format: "any", AtLeast: 0.4, UploadFor: time.Hour,
		Timezone: "UTC", MetadataKey: "begun", ImmutableFor: time.Hour, Replication: true,
	}
	a, b := probetest.Encoded(t, full)
	require.Len(t, a, len(b), "the file and its schema call keys by the same names")
	for key := range b {
		require.Contains(t, a, key)
	}
	return a
}

// Were it to fail, the documented rights would be too few, or more than needed, or
// an error would not say which is missing.
func TestDocs_RightsAreEnoughAndNeeded(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/drwatch"
	policy := string(mustRead(t, "../../docs/iam-policy.json"))
	s := newStage(t)
	s.cloud.S3().CreateBucket(aws.Bucket{Name: name, Region: region, ObjectLock: true, ReplicatesTo: "elsewhere"})
	s.put(s.begin, func(o *aws.Object) { o.ReplicationStatus = "" })
	s.cloud.STS().Put(aws.Role{ARN: role})
	look := func(policy string) (string, *readiness.Failure) {
		s.cloud.IAM().Detach(role)
		require.NoError(t, s.cloud.IAM().Attach(role, "policy", policy))
		cfg := config()
		cfg.AWS.RoleARN, cfg.Replication = role, true
		s.newPool()
		s.watch(cfg, func(c *readiness.Copy) { c.Immutable = true })
		_, failure := s.look()
		if failure != nil {
			return "", failure
		}
		var all strings.Builder
		for _, check := range s.copy.Checks {
			all.WriteString(s.check(check).Evidence + "\n")
		}
		return all.String(), nil
	}
	evidence, failure := look(policy)
	require.Nil(t, failure, "%v", failure)
	require.NotContains(t, evidence, "grant ")
	for _, action := range regexp.MustCompile(`"s3:\w+"`).FindAllString(policy, -1) {
		missing := "grant " + strings.Trim(action, `"`)
		evidence, failure := look(strings.ReplaceAll(policy, action, `"s3:Nothing"`))
		if failure != nil {
			evidence = failure.Error()
		}
		if action == `"s3:GetBucketObjectLockConfiguration"` {
			require.NotContains(t, evidence, "the bucket has object lock", "it is what the check says of the bucket")
			continue
		}
		require.Contains(t, evidence, missing)
	}
}
