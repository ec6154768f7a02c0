// Package awsapi reaches AWS for the probes that look there: as whom, how
// patiently, and how cheaply.
//
// Probes of equal access share one session, and with it the connections, the
// credentials and the answers: what one call tells of a hundred copies is asked
// once ([Shared]), and the metrics of all of them are read in batches
// ([Metrics]). Every call is counted, and the clock of AWS is held against ours
// at each of them.
package awsapi

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/drwatch/drwatch/probes"
)

// Access is as whom AWS is asked, and where. It is part of the configuration of
// every probe that asks AWS; where it is left out, the default chain of the SDK
// holds: environment, shared files, web identity, container, instance.
type Access struct {
	Region     string `yaml:"region,omitempty" json:"region,omitempty" jsonschema:"example=eu-central-1" jsonschema_description:"The AWS region that is asked, where its name is not that of the copy's region."`
	Profile    string `yaml:"profile,omitempty" json:"profile,omitempty" jsonschema_description:"The profile of the shared AWS files to begin with."`
	RoleARN    string `yaml:"role_arn,omitempty" json:"role_arn,omitempty" jsonschema:"example=arn:aws:iam::111122223333:role/drwatch" jsonschema_description:"The role to assume, such as the one in another account."`
	ExternalID string `yaml:"external_id,omitempty" json:"external_id,omitempty" jsonschema_description:"The external id that the role asks for. It is no secret."`
	Endpoint   string `yaml:"endpoint,omitempty" json:"endpoint,omitempty" jsonschema:"example=http://localhost:4566" jsonschema_description:"Where AWS is asked instead of its own address. AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE> do the same for all copies."`

	MaxAge time.Duration `yaml:"max_age,omitempty" json:"max_age,omitempty" jsonschema_description:"How old an answer of AWS may be that serves another look, too. Without it the answers that cost most are asked for least: samples and states once a minute, snapshots every five; the settings of buckets are asked for every fifteen in any case." jsonschema:"example=30s"`
}

var (
	regionPattern = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d+$`)
	rolePattern   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/.+$`)
)

// In fills in the region of the copy where the access names none.
func (a Access) In(region string) Access {
	a.Region = cmp.Or(a.Region, region)
	return a
}

// Validate finds the mistakes in an access whose region is filled in. Paths are
// those below the key aws.
func (a Access) Validate() []probes.Problem {
	p := probes.Problems{}
	if !regionPattern.MatchString(a.Region) {
		p.Add("aws.region", "%q is not the name of an AWS region: write one such as eu-central-1 here, where the region of the copy has another name", a.Region)
	}
	if a.RoleARN != "" && !rolePattern.MatchString(a.RoleARN) {
		p.Add("aws.role_arn", "%q is not a role: write arn:aws:iam::<account>:role/<name>", a.RoleARN)
	}
	if a.MaxAge < 0 {
		p.Add("aws.max_age", "a time cannot be negative")
	}
	if a.ExternalID != "" && a.RoleARN == "" {
		p.Add("aws.external_id", "goes with role_arn, which is missing")
	}
	if u, err := url.Parse(a.Endpoint); a.Endpoint != "" && (err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http")) {
		p.Add("aws.endpoint", "is not a URL: write http://host:port or https://host")
	}
	return p
}

// Recorder counts the calls. It is called from many goroutines.
type Recorder interface {
	// CloudRequest is told of every attempt that went over the wire.
	CloudRequest(provider, service, operation string)
	// CloudThrottle is told of those that were turned away for coming too often.
	CloudThrottle(provider, service, operation string)
}

// Options are what a Pool is made of.
type Options struct {
	Recorder Recorder         // may be nil
	Now      func() time.Time // default: time.Now
	// AttemptTimeout ends one attempt of one call; 0 means 5 s.
	AttemptTimeout time.Duration
	// Attempts is how often a call is tried, the first time included; 0 means 3.
	Attempts int
}

// Pool holds one session for each access.
type Pool struct {
	options Options

	mu       sync.Mutex
	sessions map[Access]*Session
}

// NewPool makes a pool that has asked nothing yet.
func NewPool(o Options) *Pool {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Recorder == nil {
		o.Recorder = nobody{}
	}
	o.AttemptTimeout = cmp.Or(o.AttemptTimeout, 5*time.Second)
	o.Attempts = cmp.Or(o.Attempts, 3)
	return &Pool{options: o, sessions: make(map[Access]*Session)}
}

type nobody struct{}

func (nobody) CloudRequest(string, string, string)  {}
func (nobody) CloudThrottle(string, string, string) {}

// Session gives the one session of an access, whose region is filled in.
func (p *Pool) Session(a Access) *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessions[a]
	if s == nil {
		s = &Session{access: a, options: p.options}
		s.loaded = NewShared(Freshness{Fresh: forever}, p.options.Now, s.load)
		s.metrics = newMetrics(s)
		p.sessions[a] = s
	}
	return s
}

// forever is for what does not change while the configuration stands.
const forever = 100 * 365 * 24 * time.Hour

// Close lets go of the idle connections. The pool may be used no more.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions {
		s.closeIdle()
	}
}

// Session is AWS as one principal in one region.
type Session struct {
	access  Access
	options Options
	loaded  *Shared[aws.Config]
	clock   clock
	metrics *metrics

	mu          sync.Mutex
	client      *client
	credentials []*aws.CredentialsCache // which are let go of when AWS says that they have expired
}

// Access is what the session was made of.
func (s *Session) Access() Access { return s.access }

// Now is the clock of this process.
func (s *Session) Now() time.Time { return s.options.Now() }

// Config gives what the clients of the services are made of. The shared files
// are read at the first call; credentials are fetched, and renewed, by the calls
// themselves.
func (s *Session) Config(ctx context.Context) (aws.Config, error) {
	answer, err := s.loaded.Get(ctx)
	if err != nil {
		return aws.Config{}, err
	}
	return answer.Value, nil
}

func (s *Session) load(ctx context.Context) (aws.Config, error) {
	load := []func(*config.LoadOptions) error{
		config.WithRegion(s.access.Region),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(s.options.AttemptTimeout)),
		config.WithRetryer(s.retryer),
		config.WithAPIOptions([]func(*middleware.Stack) error{s.watch}),
		config.WithAppID("drwatch"),
		config.WithLogger(logging.Nop{}), // what matters of it is in the errors
	}
	if s.access.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(s.access.Profile))
	}
	if s.access.Endpoint != "" {
		load = append(load, config.WithBaseEndpoint(s.access.Endpoint), config.WithAssumeRoleCredentialOptions(s.roleOfProfile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return aws.Config{}, &configError{cmp.Or(s.access.Profile, os.Getenv("AWS_PROFILE"), "default"), err}
	}
	connections := newClient(cfg.HTTPClient, s.options.AttemptTimeout)
	cfg.HTTPClient = connections
	caches := appendCache(nil, cfg.Credentials)
	if s.access.RoleARN != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), s.access.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "drwatch"
			if s.access.ExternalID != "" {
				o.ExternalID = aws.String(s.access.ExternalID)
			}
		})
		// Renewed well before they end, so that a slow moment of STS costs no look.
		cfg.Credentials = aws.NewCredentialsCache(role, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute })
	}
	caches = appendCache(caches, cfg.Credentials)
	cfg.Credentials = identity{cfg.Credentials}
	s.mu.Lock()
	s.client, s.credentials = connections, caches
	s.mu.Unlock()
	return cfg, nil
}

// roleOfProfile leads the call for a role that a profile names to the endpoint,
// too: the SDK makes that client before it knows of the endpoint.
func (s *Session) roleOfProfile(o *stscreds.AssumeRoleOptions) {
	if client, ok := o.Client.(*sts.Client); ok {
		o.Client = sts.New(client.Options(), func(o *sts.Options) { o.BaseEndpoint = aws.String(s.access.Endpoint) })
	}
}

func appendCache(caches []*aws.CredentialsCache, p aws.CredentialsProvider) []*aws.CredentialsCache {
	if cache, ok := p.(*aws.CredentialsCache); ok && !slices.Contains(caches, cache) {
		caches = append(caches, cache)
	}
	return caches
}

// forget lets go of credentials that AWS has refused, so that the next call
// fetches new ones: a session may end before its time.
func (s *Session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cache := range s.credentials {
		cache.Invalidate()
	}
}

func (s *Session) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		s.client.closeIdle()
	}
}

// NewClient makes the client of one service, when it is first wanted. There is
// to be one for each session: it is what slows calls down while AWS throttles.
func NewClient[T any](s *Session, from func(aws.Config) T) *Shared[T] {
	return NewShared(Freshness{Fresh: forever}, s.Now, func(ctx context.Context) (T, error) {
		cfg, err := s.Config(ctx)
		return from(cfg), err
	})
}
