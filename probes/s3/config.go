package s3

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Config is the part of the file that says where the dumps of one copy are.
type Config struct {
	Bucket  string `yaml:"bucket" json:"bucket" jsonschema:"example=festivals-backups" jsonschema_description:"The bucket that holds the dumps."`
	Prefix  string `yaml:"prefix,omitempty" json:"prefix,omitempty" jsonschema:"example=postgres/{yyyy}/{mm}/{dd}/" jsonschema_description:"What the keys of the dumps begin with. {yyyy}, {mm}, {dd}, {hh}, {mi}, {ss} and {unix} stand for the time in it: the year first, and the listing stays small."`
	Pattern string `yaml:"pattern,omitempty" json:"pattern,omitempty" jsonschema:"default=*,example=festivals-{hh}{mi}{ss}.dump" jsonschema_description:"What follows the prefix: * is anything but a slash, ** anything, ? one character, and the placeholders of prefix."`

	Every     time.Duration `yaml:"every,omitempty" json:"every,omitempty" jsonschema:"example=24h" jsonschema_description:"At which interval a dump is due."`
	Takes     time.Duration `yaml:"takes,omitempty" json:"takes,omitempty" jsonschema:"example=2h" jsonschema_description:"The longest that a dump takes, from its begin until it is in the bucket. Where nothing tells when a dump was begun, it is taken to have been that long before it was stored."`
	Format    string        `yaml:"format,omitempty" json:"format,omitempty" jsonschema:"enum=auto,enum=pg_dump,enum=rdb,enum=any,default=auto" jsonschema_description:"What the dumps are. auto takes what pg_dump, pg_dumpall and Redis write; any does not look inside."`
	AtLeast   float64       `yaml:"at_least,omitempty" json:"at_least,omitempty" jsonschema:"default=0.5" jsonschema_description:"The least size of a dump, as a part of the median of those before it."`
	UploadFor time.Duration `yaml:"upload_for,omitempty" json:"upload_for,omitempty" jsonschema:"default=24h" jsonschema_description:"How long an upload may be under way before it counts as hanging."`

	Timezone    string `yaml:"timezone,omitempty" json:"timezone,omitempty" jsonschema:"example=Europe/Berlin" jsonschema_description:"The time zone of the machine that makes the dumps: pg_dump and the times in keys tell its local time and not the zone. Without it they are taken for UTC, with a warning."`
	MetadataKey string `yaml:"metadata_key,omitempty" json:"metadata_key,omitempty" jsonschema:"example=begun" jsonschema_description:"The user metadata (without x-amz-meta-) that holds when the dump was begun, as RFC 3339."`

	ImmutableFor time.Duration `yaml:"immutable_for,omitempty" json:"immutable_for,omitempty" jsonschema:"example=720h" jsonschema_description:"How long the object lock must hold a dump from the time it is stored. Without it, an immutable copy must be locked until the dump after the next is due."`
	Replication  bool          `yaml:"replication,omitempty" json:"replication,omitempty" jsonschema_description:"Whether the bucket is replicated elsewhere, and so each dump must be."`

	AWS awsapi.Access `yaml:"aws,omitempty" json:"aws,omitempty" jsonschema_description:"As whom AWS is asked, and where."`
}

// The formats that a dump may have.
const (
	formatAuto   = "auto"
	formatPgDump = "pg_dump"
	formatRDB    = "rdb"
	formatAny    = "any"
)

const (
	defaultAtLeast   = 0.5
	defaultUploadFor = 24 * time.Hour
	// longestDump is how long before it was stored a dump may say it was begun,
	// where takes does not say it.
	longestDump = 12 * time.Hour
)

// bucketPattern is what a name of a bucket may be.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (c Config) withDefaults() Config {
	c.Pattern = cmp.Or(c.Pattern, "*")
	c.Format = cmp.Or(c.Format, formatAuto)
	c.AtLeast = cmp.Or(c.AtLeast, defaultAtLeast)
	c.UploadFor = cmp.Or(c.UploadFor, defaultUploadFor)
	return c
}

// Validate finds the mistakes in the configuration. It asks nothing.
func (c Config) Validate(target readiness.Copy) []probes.Problem {
	p := probes.Problems{}
	if target.Kind != readiness.Backup {
		p.Add("", "an s3 probe looks at dumps: the kind of this copy must be %s, and is %s", readiness.Backup, target.Kind)
	}
	switch {
	case c.Bucket == "":
		p.Add("bucket", "missing: the name of the bucket that holds the dumps")
	case !bucketPattern.MatchString(c.Bucket):
		p.Add("bucket", "%q is no name of a bucket: write the name alone, without s3:// and without a key", c.Bucket)
	}
	if strings.HasPrefix(c.Prefix, "/") {
		p.Add("prefix", "keys do not begin with a slash: write %s", strings.TrimLeft(c.Prefix, "/"))
	}
	zone, err := time.LoadLocation(cmp.Or(c.Timezone, "UTC"))
	if err != nil || c.Timezone == "Local" {
		p.Add("timezone", "%q is no time zone: write one such as UTC or Europe/Berlin", c.Timezone)
		zone = time.UTC
	}
	if _, err := newLayout(c.Prefix, c.withDefaults().Pattern, zone); err != nil {
		path, message, _ := strings.Cut(err.Error(), ": ")
		p.Add(path, "%s", message)
	}
	c.validateRest(&p, target)
	return append(p, c.AWS.In(target.Region).Validate()...)
}

func (c Config) validateRest(p *probes.Problems, target readiness.Copy) {
	if !slices.Contains([]string{"", formatAuto, formatPgDump, formatRDB, formatAny}, c.Format) {
		p.Add("format", "%q is none: there are auto, pg_dump, rdb and any", c.Format)
	}
	if c.AtLeast < 0 || c.AtLeast > 1 {
		p.Add("at_least", "a part of the usual size is between 0 and 1, such as 0.5")
	}
	for _, d := range []struct {
		path  string
		value time.Duration
	}{{"every", c.Every}, {"takes", c.Takes}, {"upload_for", c.UploadFor}, {"immutable_for", c.ImmutableFor}} {
		if d.value < 0 {
			p.Add(d.path, "a time cannot be negative")
		}
	}
	if c.ImmutableFor > 0 && !target.Immutable {
		p.Add("immutable_for", "goes with immutable: true of the copy, which is missing")
	}
	if strings.HasPrefix(strings.ToLower(c.MetadataKey), "x-amz-meta-") {
		p.Add("metadata_key", "write it without x-amz-meta-")
	}
}

// The checks of this probe.
const (
	CheckDump        = "dump"        // the newest object is a dump, and all there
	CheckBegun       = "begun"       // it is known when the dump was begun
	CheckSchedule    = "schedule"    // no dump is overdue
	CheckSize        = "size"        // it is as large as dumps usually are
	CheckUploads     = "uploads"     // no upload hangs
	CheckEncryption  = "encryption"  // it is encrypted, with a key that can be used
	CheckVersioning  = "versioning"  // what is overwritten or deleted is kept
	CheckImmutable   = "immutable"   // nobody can delete it before its time
	CheckReplication = "replication" // it is replicated where it should be
)

// Checks lists the checks that are made on the copy, in the order in which
// people should read them.
func Checks(c Config, target readiness.Copy) []string {
	names := []string{CheckDump, CheckBegun}
	if c.Every > 0 {
		names = append(names, CheckSchedule)
	}
	names = append(names, CheckSize, CheckUploads, CheckEncryption, CheckVersioning)
	if target.Immutable {
		names = append(names, CheckImmutable)
	}
	if c.Replication {
		names = append(names, CheckReplication)
	}
	return append(names, readiness.CheckClock)
}
