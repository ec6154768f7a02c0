package s3_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a mistake in the file would be found in the night, or not at all.
func TestConfig_Mistakes(t *testing.T) {
	backup := readiness.Copy{Name: "dumps", Kind: readiness.Backup, Region: region}
	for name, row := range map[string]struct {
		change func(*s3.Config, *readiness.Copy)
		path   string
		told   string
	}{
		"well":                     {func(*s3.Config, *readiness.Copy) {}, "", ""},
		"a replica":                {func(_ *s3.Config, c *readiness.Copy) { c.Kind = readiness.Replica }, "", "must be backup, and is replica"},
		"no bucket":                {func(c *s3.Config, _ *readiness.Copy) { c.Bucket = "" }, "bucket", "missing"},
		"a URL":                    {func(c *s3.Config, _ *readiness.Copy) { c.Bucket = "s3://x/y" }, "bucket", "the name alone"},
		"slash":                    {func(c *s3.Config, _ *readiness.Copy) { c.Prefix = "/x" }, "prefix", "write x"},
		"placeholder":              {func(c *s3.Config, _ *readiness.Copy) { c.Prefix = "x/{YYYY}/" }, "prefix", `"{YYYY}" is no placeholder: there are {yyyy}`},
		"placeholder left open":    {func(c *s3.Config, _ *readiness.Copy) { c.Pattern = "x{yyyy" }, "pattern", "is no placeholder"},
		"star in prefix":           {func(c *s3.Config, _ *readiness.Copy) { c.Prefix = "*/" }, "prefix", "belongs into pattern"},
		"zone":                     {func(c *s3.Config, _ *readiness.Copy) { c.Timezone = "CEST" }, "timezone", "Europe/Berlin"},
		"zone of this machine":     {func(c *s3.Config, _ *readiness.Copy) { c.Timezone = "Local" }, "timezone", "is no time zone"},
		"format":                   {func(c *s3.Config, _ *readiness.Copy) { c.Format = "tar" }, "format", "auto, pg_dump, rdb and any"},
		"part":                     {func(c *s3.Config, _ *readiness.Copy) { c.AtLeast = 50 }, "at_least", "between 0 and 1"},
		"negative":                 {func(c *s3.Config, _ *readiness.Copy) { c.Every = -time.Hour }, "every", "cannot be negative"},
		"immutable for":            {func(c *s3.Config, _ *readiness.Copy) { c.ImmutableFor = time.Hour }, "immutable_for", "immutable: true"},
		"metadata":                 {func(c *s3.Config, _ *readiness.Copy) { c.MetadataKey = "x-amz-meta-begun" }, "metadata_key", "without"},
		"region that is none":      {func(_ *s3.Config, c *readiness.Copy) { c.Region = "frankfurt" }, "aws.region", "frankfurt"},
		"role without an account":  {func(c *s3.Config, _ *readiness.Copy) { c.AWS.RoleARN = "drwatch" }, "aws.role_arn", "is not a role"},
		"a time that cannot be":    {func(c *s3.Config, _ *readiness.Copy) { c.Takes = -1 }, "takes", "cannot be negative"},
		"uploads in the past":      {func(c *s3.Config, _ *readiness.Copy) { c.UploadFor = -1 }, "upload_for", "cannot be negative"},
		"two stars in the pattern": {func(c *s3.Config, _ *readiness.Copy) { c.Pattern = "**/x-?.dump" }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, target := config(), backup
			row.change(&cfg, &target)
			found := cfg.Validate(target)
			if row.told == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1, "%+v", found)
			require.Equal(t, row.path, found[0].Path)
			require.Contains(t, found[0].Message, row.told)
		})
	}
}

// Every check is asked for where it applies, and only there.
func TestChecks(t *testing.T) {
	all := s3.Checks(s3.Config{Every: 1, Replication: true}, readiness.Copy{Immutable: true})
	require.Equal(t, []string{"dump", "begun", "schedule", "size", "uploads", "encryption", "versioning", "immutable", "replication", "clock"}, all)
	require.Equal(t, []string{"dump", "begun", "size", "uploads", "encryption", "versioning", "clock"}, s3.Checks(s3.Config{}, readiness.Copy{}))
}
