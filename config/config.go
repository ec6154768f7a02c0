// Package config reads drwatch.yaml: which copies of the data exist, what is
// promised about them, and how each of them is looked at.
//
// The file is checked in three steps, and each tells all of its mistakes at
// once, with line, column and what to write instead. The YAML is read into a
// tree that knows where everything stands, with aliases, merge keys and
// environment variables resolved. The tree is held against a JSON Schema, which
// is generated from the types of this package and published for editors, so
// that an editor and drwatch say the same. What a schema cannot say, such as
// that a region must be declared, is checked last.
//
// Nothing here opens a connection, logs, or keeps state.
package config

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

// What holds where the file says nothing.
const (
	DefaultSchedule    = "@every 15s"
	DefaultTimeout     = 5 * time.Second
	DefaultConcurrency = 64
)

// Config is drwatch.yaml. What [Load] and [Parse] return is valid, has its
// defaults filled in, and is not to be changed.
type Config struct {
	// Name is the key system; [Config.System] is the whole of it.
	Name        string        `yaml:"system" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63,example=festivals" jsonschema_description:"Name of the system that is to be recovered, as metrics and pages show it."`
	Instance    Instance      `yaml:"instance" jsonschema_description:"Which drwatch this is, and where it runs."`
	Regions     Regions       `yaml:"regions" jsonschema_description:"The regions that the system lives in; every region named in the file is declared here."`
	Objectives  Objectives    `yaml:"objectives,omitempty" jsonschema_description:"What is promised about a disaster."`
	Schedule    string        `yaml:"schedule,omitempty" jsonschema:"default=@every 15s,example=@every 1m,example=*/5 * * * *,example=CRON_TZ=Europe/Berlin 0 6 * * *" jsonschema_description:"When copies are looked at: @every with a whole number of seconds, @hourly, @daily and the like, or five cron fields, which are in UTC unless CRON_TZ= stands before them."`
	Timeout     time.Duration `yaml:"timeout,omitempty" jsonschema:"default=5s" jsonschema_description:"How long one look may take; shorter than the shortest time between two looks."`
	Concurrency int           `yaml:"concurrency,omitempty" jsonschema:"default=64,minimum=1,maximum=10000" jsonschema_description:"How many copies are looked at, at most, at the same time."`
	Datastores  []Datastore   `yaml:"datastores" jsonschema:"minItems=1" jsonschema_description:"The databases, caches and buckets: each is data with one history."`
	Ledger      *Ledger       `yaml:"ledger,omitempty" jsonschema_description:"Where what must outlive the process is kept. Without it there are no attestations and no history."`
	Audit       audit.Config  `yaml:"audit,omitempty" jsonschema_description:"The checklists, and what they rest on beside checks: runbooks, contacts, and the word of people."`
	Services    []Service     `yaml:"services,omitempty" jsonschema_description:"What clients reach by a name, and what has to move to the standby region with it."`

	system      readiness.System
	targets     []Target
	path        string
	fingerprint string
}

// Instance is one running drwatch.
type Instance struct {
	Name   string `yaml:"name,omitempty" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63" jsonschema_description:"Name of this drwatch; the name of the host where it is left out."`
	Region string `yaml:"region" jsonschema:"example=eu-central-1" jsonschema_description:"Region in which this drwatch runs: not the primary one, or it burns with what it watches."`
}

// Regions are the regions of the system.
type Regions struct {
	Primary string   `yaml:"primary" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63,example=eu-west-1" jsonschema_description:"Region that serves; region-failure is its loss."`
	Standby string   `yaml:"standby,omitempty" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63,example=eu-central-1" jsonschema_description:"Region that takes over."`
	Others  []string `yaml:"others,omitempty" jsonschema:"uniqueItems=true,pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63" jsonschema_description:"Further regions that hold copies, or in which a drwatch runs."`
}

// Datastore is data with one history.
type Datastore struct {
	Name       string         `yaml:"name" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63,example=festivals-db" jsonschema_description:"Name of the datastore, no other has it."`
	Objectives DataObjectives `yaml:"objectives,omitempty" jsonschema_description:"What is promised about this datastore in particular; there is no rto here, because the outage is of the system."`
	Copies     []Copy         `yaml:"copies" jsonschema:"minItems=1" jsonschema_description:"Everything that the datastore could be recovered from, the primary included."`
}

// Copy is one place from which a datastore could be recovered.
type Copy struct {
	Name      string                      `yaml:"name" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63,example=replica" jsonschema_description:"Name of the copy, no other of the datastore has it; a role or a place rather than an address, so that it outlives a failover."`
	Kind      readiness.CopyKind          `yaml:"kind" jsonschema_description:"What the copy is, which decides what it survives."`
	Region    string                      `yaml:"region" jsonschema_description:"Region in which the copy is."`
	Account   string                      `yaml:"account,omitempty" jsonschema:"example=111122223333" jsonschema_description:"Who owns the copy, where that is not the owner of the primary; in quotes, when it is a number."`
	Delay     time.Duration               `yaml:"delay,omitempty" jsonschema:"example=1h" jsonschema_description:"By how much a replica trails its source on purpose; such a replica survives data-corruption."`
	Logical   bool                        `yaml:"logical,omitempty" jsonschema_description:"The replica applies changes to a database of its own, and is itself writable."`
	Immutable bool                        `yaml:"immutable,omitempty" jsonschema_description:"Nobody can rewrite or delete the copy before its time; such a copy survives security-breach."`
	Survives  map[readiness.Scenario]bool `yaml:"survives,omitempty" jsonschema_description:"Overrides, scenario by scenario, what is derived from kind, region, account, delay and immutable."`
	Timing    `yaml:",inline"`
	Probe     `yaml:",inline"`
}

// Timing is when something is looked at, where it has a timing of its own.
type Timing struct {
	Schedule string        `yaml:"schedule,omitempty" jsonschema_description:"When it is looked at, instead of the schedule of all."`
	Timeout  time.Duration `yaml:"timeout,omitempty" jsonschema_description:"How long a look at it may take, instead of the timeout of all."`
}

// Service is what clients reach by one name.
type Service struct {
	Name      string               `yaml:"name" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63,example=api.festivals.app" jsonschema_description:"Name of the service, no other and no datastore has it."`
	Host      string               `yaml:"host,omitempty" jsonschema_description:"The DNS name under which clients reach it, where that is not the name of the service."`
	Scenarios []readiness.Scenario `yaml:"scenarios,omitempty" jsonschema:"minItems=1,uniqueItems=true" jsonschema_description:"The disasters in which the service has to move; region-failure where nothing is said."`
	Primary   []string             `yaml:"primary,omitempty" jsonschema:"example=festivals-api-0a1b2c3d4e5f6a7b.eu-west-1.elb.amazonaws.com" jsonschema_description:"Where the name leads while the primary region serves: names of load balancers or other hosts, IP addresses, or prefixes of them."`
	Standby   []string             `yaml:"standby,omitempty" jsonschema:"example=festivals-api-dr-9f8e7d6c5b4a3f2e.eu-central-1.elb.amazonaws.com" jsonschema_description:"Where it has to lead once the service has moved."`
	Parts     []Part               `yaml:"parts" jsonschema:"minItems=1" jsonschema_description:"What the service needs in order to move, and the ways to see it."`
}

// Part is one thing that a service needs in order to move, or one way to see it.
type Part struct {
	Name      string         `yaml:"name" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63,example=record" jsonschema_description:"Name of the part, no other of the service has it."`
	Region    string         `yaml:"region,omitempty" jsonschema_description:"Region in which it is; a record, and what resolvers say, is in none."`
	Side      readiness.Side `yaml:"side,omitempty" jsonschema_description:"The end of the failover that it belongs to. What is on the side of the primary is not asked for a move: that it is gone is what the move is for."`
	Timing    `yaml:",inline"`
	PartProbe `yaml:",inline"`
}

// Load reads the file at path. Mistakes in it are returned as [Errors].
func Load(path string) (*Config, Warnings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse reads a file that is in memory. The name is the one that errors show,
// env looks up environment variables.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, Warnings, error) {
	doc, err := parseDocument(name, data)
	if err != nil {
		return nil, nil, err
	}
	grammar, err := newGrammar()
	if err != nil {
		return nil, nil, err
	}
	f := newFindings(doc)
	if !doc.resolve(f) {
		return nil, nil, f.errors.sorted()
	}
	doc.expand(f, env)
	grammar.check(f)

	c := &Config{Schedule: DefaultSchedule, Timeout: DefaultTimeout, Concurrency: DefaultConcurrency}
	if err := doc.root.Decode(c); err != nil && len(f.errors) == 0 {
		// The schema lets nothing through that does not decode.
		return nil, nil, fmt.Errorf("decode %s: %w: this is a fault of drwatch, please report it", name, err)
	}
	if c.Instance.Name == "" {
		// Where even the host has no name, its region still tells which one it is.
		c.Instance.Name, _ = os.Hostname()
	}
	schedules := make(schedules)
	validate(c, schedules, f)
	if len(f.errors) > 0 {
		return nil, nil, f.errors.sorted()
	}
	c.build(schedules)
	sum := sha256.Sum256(data)
	c.path, c.fingerprint = name, hex.EncodeToString(sum[:])
	return c, Warnings(Errors(f.warnings).sorted()), nil
}

//go:embed example.yaml
var example []byte

// Example is an annotated drwatch.yaml to begin with.
func Example() []byte { return append([]byte(nil), example...) }
