package awsapi_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/backup"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	region = "eu-west-1"
	role   = "arn:aws:iam::444455556666:role/drwatch"
)

// recorder counts the calls by service/operation.
type recorder struct {
	mu                  sync.Mutex
	requests, throttles map[string]int
}

func (r *recorder) CloudRequest(_, service, operation string) {
	r.count(&r.requests, service, operation)
}
func (r *recorder) CloudThrottle(_, service, operation string) {
	r.count(&r.throttles, service, operation)
}

func (r *recorder) count(in *map[string]int, service, operation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *in == nil {
		*in = make(map[string]int)
	}
	(*in)[service+"/"+operation]++
}

func (r *recorder) of(in *map[string]int, what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return (*in)[what]
}

// cloud is AWS, and an environment in which the SDK finds credentials for it and
// nothing of the machine that it runs on.
func cloud(t *testing.T, o labaws.Options) *labaws.Cloud {
	t.Helper()
	c, err := labaws.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	nothing := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIALAB", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_CONFIG_FILE": nothing, "AWS_SHARED_CREDENTIALS_FILE": nothing, "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "",
	} {
		t.Setenv(name, value)
	}
	return c
}

func session(t *testing.T, a awsapi.Access, o awsapi.Options) *awsapi.Session {
	t.Helper()
	pool := awsapi.NewPool(o)
	t.Cleanup(pool.Close)
	require.Empty(t, a.In(region).Validate())
	return pool.Session(a.In(region))
}

// whoami asks AWS who is asking.
func whoami(ctx context.Context, s *awsapi.Session) (string, error) {
	cfg, err := s.Config(ctx)
	if err != nil {
		return "", s.Failure(err, "sts:GetCallerIdentity")
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", s.Failure(err, "sts:GetCallerIdentity")
	}
	return aws.ToString(who.Arn), nil
}

func vault(ctx context.Context, s *awsapi.Session) error {
	cfg, err := s.Config(ctx)
	if err == nil {
		_, err = backup.NewFromConfig(cfg).DescribeBackupVault(ctx, &backup.DescribeBackupVaultInput{BackupVaultName: aws.String("festivals")})
	}
	return s.Failure(err, "backup:DescribeBackupVault")
}

func failed(t *testing.T, err error) *readiness.Failure {
	t.Helper()
	require.Error(t, err)
	failure := probes.AsFailure(err)
	require.LessOrEqual(t, len([]rune(failure.Error())), 300, "it must fit a page")
	require.NotContains(t, failure.Error(), "\n")
	return failure
}

// Were it to fail, real AWS would need more than credentials in the environment.
func TestSession_CredentialsOfTheEnvironment(t *testing.T) {
	c := cloud(t, labaws.Options{})
	who, err := whoami(t.Context(), session(t, awsapi.Access{Endpoint: c.URL()}, awsapi.Options{}))
	require.NoError(t, err)
	require.Equal(t, "arn:aws:iam::111122223333:user/lab", who)
	require.Equal(t, 1, c.Calls()[labaws.Asked{Service: "sts", Operation: "GetCallerIdentity", Region: region}])
}

// Were it to fail, lab and compatible services could only be had by changing the file.
func TestSession_EndpointOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"} {
		t.Run(name, func(t *testing.T) {
			c := cloud(t, labaws.Options{})
			t.Setenv(name, c.URL())
			_, err := whoami(t.Context(), session(t, awsapi.Access{}, awsapi.Options{}))
			require.NoError(t, err)
		})
	}
}

// Were it to fail, the endpoint of one service would take the calls of another.
func TestSession_EndpointOfOneService(t *testing.T) {
	c, other := cloud(t, labaws.Options{}), cloud(t, labaws.Options{})
	t.Setenv("AWS_ENDPOINT_URL", c.URL())
	t.Setenv("AWS_ENDPOINT_URL_BACKUP", other.URL())
	s := session(t, awsapi.Access{}, awsapi.Options{})
	_, err := whoami(t.Context(), s)
	require.NoError(t, err)
	require.Error(t, vault(t.Context(), s))
	require.Len(t, c.Calls(), 1)
	require.Equal(t, map[labaws.Asked]int{{Service: "backup", Operation: "DescribeBackupVault", Region: region}: 1}, other.Calls())
}

// Were it to fail, accounts that are kept apart by profiles could not be watched.
func TestSession_Profile(t *testing.T) {
	c := cloud(t, labaws.Options{})
	c.STS().Put(labaws.Role{ARN: role})
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	write(t, "AWS_CONFIG_FILE", "[profile standby]\nrole_arn = "+role+"\nsource_profile = base\nrole_session_name = by-profile\n")
	write(t, "AWS_SHARED_CREDENTIALS_FILE", "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = base\n")
	who, err := whoami(t.Context(), session(t, awsapi.Access{Profile: "standby", Endpoint: c.URL()}, awsapi.Options{}))
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sts::444455556666:assumed-role/drwatch/by-profile", who)
}

// Were it to fail, the one who has to mend it would not learn which profile, or
// would be told of a fault of drwatch.
func TestSession_ProfileMissing(t *testing.T) {
	c := cloud(t, labaws.Options{})
	_, err := whoami(t.Context(), session(t, awsapi.Access{Profile: "nowhere", Endpoint: c.URL()}, awsapi.Options{}))
	failure := failed(t, err)
	require.Equal(t, readiness.Denied, failure.Class)
	require.Contains(t, failure.Error(), "nowhere")
	require.Empty(t, c.Calls())
}

// Were it to fail, a machine without credentials would look like a slow AWS.
func TestSession_NoCredentials(t *testing.T) {
	c := cloud(t, labaws.Options{})
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err := whoami(t.Context(), session(t, awsapi.Access{Endpoint: c.URL()}, awsapi.Options{}))
	failure := failed(t, err)
	require.Equal(t, readiness.Denied, failure.Class)
	require.Contains(t, failure.Error(), "there are none to begin with: set them")
	require.NotContains(t, failure.Error(), "AssumeRole", "no role is to be assumed")

	_, err = whoami(t.Context(), session(t, awsapi.Access{Endpoint: c.URL(), RoleARN: "arn:aws:iam::444455556666:role/drwatch"}, awsapi.Options{}))
	failure = failed(t, err)
	require.Equal(t, readiness.Denied, failure.Class, "nothing to assume a role with is no fault of ours: %s", failure.Error())
	require.Contains(t, failure.Error(), "there are none to begin with")
}

// Were it to fail, copies in other accounts could not be watched, or would be
// asked as somebody else.
func TestSession_Role(t *testing.T) {
	c := cloud(t, labaws.Options{})
	c.STS().Put(labaws.Role{ARN: role, ExternalID: "festivals"})
	who, err := whoami(t.Context(), session(t, awsapi.Access{RoleARN: role, ExternalID: "festivals", Endpoint: c.URL()}, awsapi.Options{}))
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sts::444455556666:assumed-role/drwatch/drwatch", who)
}

// Were it to fail, nobody would know where to look for a role that is refused.
func TestSession_RoleRefused(t *testing.T) {
	c := cloud(t, labaws.Options{})
	c.STS().Put(labaws.Role{ARN: role, ExternalID: "festivals"})
	for name, access := range map[string]awsapi.Access{
		"another external id": {RoleARN: role, ExternalID: "other", Endpoint: c.URL()},
		"no external id":      {RoleARN: role, Endpoint: c.URL()},
		"no such role":        {RoleARN: role + "-not", ExternalID: "festivals", Endpoint: c.URL()},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := whoami(t.Context(), session(t, access, awsapi.Options{}))
			failure := failed(t, err)
			require.Equal(t, readiness.Denied, failure.Class)
			require.Contains(t, failure.Error(), "sts:AssumeRole")
			require.Contains(t, failure.Error(), "external id")
		})
	}
}

// Were it to fail, a role whose session was ended early would blind drwatch for
// up to an hour after it is good again.
func TestSession_RoleExpired(t *testing.T) {
	c := cloud(t, labaws.Options{})
	c.STS().Put(labaws.Role{ARN: role})
	s := session(t, awsapi.Access{RoleARN: role, Endpoint: c.URL()}, awsapi.Options{})
	c.Backup().PutVault(labaws.Vault{VaultID: labaws.VaultID{Account: "444455556666", Region: region, Name: "festivals"}, Created: time.Now()})
	require.NoError(t, vault(t.Context(), s))
	for _, call := range []func() error{
		func() error { return vault(t.Context(), s) },
		func() error { _, err := whoami(t.Context(), s); return err },
	} { // one speaks JSON, the other XML
		c.STS().Expire(role)
		failure := failed(t, call())
		require.Equal(t, readiness.Denied, failure.Class)
		require.Contains(t, failure.Error(), "the session of the credentials has ended")
		require.NoError(t, call(), "a new session is fetched")
	}
}

// Were it to fail, each of a thousand copies would have connections, credentials
// and calls of its own.
func TestPool_OneSessionForEqualAccess(t *testing.T) {
	pool := awsapi.NewPool(awsapi.Options{})
	defer pool.Close()
	a := awsapi.Access{Profile: "a"}
	one := pool.Session(a.In(region))
	require.Same(t, one, pool.Session(a.In(region)))
	require.NotSame(t, one, pool.Session(a.In("eu-central-1")))
}

func TestAccess_Mistakes(t *testing.T) {
	for _, c := range []struct {
		access awsapi.Access
		path   string
	}{
		{awsapi.Access{Region: "frankfurt"}, "aws.region"},
		{awsapi.Access{Region: region, RoleARN: "drwatch"}, "aws.role_arn"},
		{awsapi.Access{Region: region, ExternalID: "x"}, "aws.external_id"},
		{awsapi.Access{Region: region, Endpoint: "localhost:4566"}, "aws.endpoint"},
	} {
		found := c.access.Validate()
		require.Len(t, found, 1, "%+v", c.access)
		require.Equal(t, c.path, found[0].Path)
	}
	for _, good := range []string{"us-gov-west-1", "cn-north-1", "ap-southeast-4", "eu-isoe-west-1"} {
		require.Empty(t, awsapi.Access{Region: good}.Validate())
	}
}

// Were it to fail, what is wrong would have to be guessed in the night of the
// disaster; or a thing that is not AWS would be believed.
func TestFailure_ToldApart(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault labaws.Fault
		class readiness.Class
		says  string
	}{
		{"denied", labaws.Fault{Error: labaws.Denied}, readiness.Denied, "grant backup:DescribeBackupVault"},
		{"expired", labaws.Fault{Error: labaws.Expired}, readiness.Denied, "has ended: renew them"},
		{"unknown key", labaws.Fault{Error: labaws.Error{Status: 403, Code: "UnrecognizedClientException", Message: "The security token included in the request is invalid."}},
			readiness.Denied, "AWS does not know the credentials"},
		{"skewed", labaws.Fault{Error: labaws.Error{Status: 403, Code: "InvalidSignatureException",
			Message: "Signature expired: 20261124T100000Z is now earlier than 20261124T110000Z"}}, readiness.Denied, "see NTP"},
		{"not found", labaws.Fault{Error: labaws.Error{Status: 404, Code: "ResourceNotFoundException", Message: "no"}}, readiness.NotFound, "there is no such thing"},
		{"throttled", labaws.Fault{Error: labaws.Throttled}, readiness.Throttled, "asked too often"},
		{"page of a proxy, 502", labaws.Fault{Body: "<html>Bad Gateway</html>"}, readiness.Malformed, "not AWS"},
		{"page of a proxy, 404", labaws.Fault{Body: "<html>Not Found</html>", Error: labaws.Error{Status: 404}}, readiness.Malformed, "not AWS"},
		{"page of a proxy, 200", labaws.Fault{Body: "<html>Sign in</html>", Error: labaws.Error{Status: 200}}, readiness.Malformed, "not AWS"},
		{"fault of AWS", labaws.Fault{Error: labaws.Error{Status: 500, Code: "InternalFailure", Message: "sorry"}}, readiness.Unreachable, "a fault of its own"},
		{"connection dropped", labaws.Fault{Drop: true}, readiness.Unreachable, "EOF"},
		{"hangs", labaws.Fault{Delay: time.Minute}, readiness.Timeout, "no answer in time"},
		{"colours in a message", labaws.Fault{Error: labaws.Error{Status: 403, Code: "AccessDenied", Message: "\x1b[31mred\nline"}}, readiness.Denied, "red"},
	} {
		t.Run(c.name, func(t *testing.T) {
			aws := cloud(t, labaws.Options{})
			r := &recorder{}
			s := session(t, awsapi.Access{Endpoint: aws.URL()}, awsapi.Options{Recorder: r, AttemptTimeout: 300 * time.Millisecond})
			aws.Break(c.fault)
			failure := failed(t, vault(t.Context(), s))
			require.Equal(t, c.class, failure.Class, failure.Error())
			require.Contains(t, failure.Error(), c.says)
			require.Contains(t, failure.Error(), "backup:DescribeBackupVault")
			require.Contains(t, failure.Error(), aws.URL())
			calls := aws.Calls()[labaws.Asked{Service: "backup", Operation: "DescribeBackupVault", Region: region}]
			require.Equal(t, calls, r.of(&r.requests, "Backup/DescribeBackupVault"), "every attempt is counted")
			require.LessOrEqual(t, calls, 3)
			if c.class == readiness.Throttled {
				require.Equal(t, calls, r.of(&r.throttles, "Backup/DescribeBackupVault"))
			} else {
				require.Zero(t, r.of(&r.throttles, "Backup/DescribeBackupVault"))
			}
		})
	}
}

// Were it to fail, a misspelt region would look like an outage of AWS.
func TestFailure_NoSuchRegion(t *testing.T) {
	cloud(t, labaws.Options{})
	s := session(t, awsapi.Access{Region: "eu-nowhere-9"}, awsapi.Options{Attempts: 1})
	failure := failed(t, vault(t.Context(), s))
	require.Equal(t, readiness.Unreachable, failure.Class, failure.Error())
	require.Contains(t, failure.Error(), "eu-nowhere-9")
	require.Contains(t, failure.Error(), "is there such a region")
}

// Were it to fail, something mad in the place of AWS would eat our memory.
func TestFailure_EndlessAnswer(t *testing.T) {
	cloud(t, labaws.Options{})
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		chunk := make([]byte, 64<<10)
		for i := range chunk {
			chunk[i] = ' '
		}
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	s := session(t, awsapi.Access{Endpoint: endless}, awsapi.Options{Attempts: 1})
	failure := failed(t, vault(t.Context(), s))
	require.Equal(t, readiness.Malformed, failure.Class, failure.Error())
}

// Were it to fail, the points of a skewed AWS would be on no clock that we know.
func TestClock_Skewed(t *testing.T) {
	for _, ahead := range []time.Duration{0, 3 * time.Second, -3 * time.Second, time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			c := cloud(t, labaws.Options{Now: func() time.Time { return time.Now().Add(ahead) }})
			s := session(t, awsapi.Access{Endpoint: c.URL()}, awsapi.Options{})
			_, _, err := s.Clock()
			require.ErrorIs(t, err, awsapi.ErrNoClock)
			_, err = whoami(t.Context(), s)
			require.NoError(t, err)
			offset, wrong, err := s.Clock()
			require.NoError(t, err)
			require.LessOrEqual(t, (offset - ahead).Abs(), wrong, "the truth is within the error")
			require.Less(t, wrong, 2*time.Second)

			theirs := time.Now().Add(ahead) // a moment on the clock of AWS, whose truth we know
			truth := theirs.Add(-ahead)
			if offset.Abs() <= wrong {
				require.Equal(t, theirs, s.Ours(theirs), "nobody can tell the two clocks apart")
			} else {
				require.False(t, s.Ours(theirs).After(truth), "never later than the truth")
				require.Less(t, truth.Sub(s.Ours(theirs)), 2*wrong+time.Millisecond)
			}
		})
	}
}

// Were it to fail, the clock of a proxy would be taken for that of AWS.
func TestClock_NotOfAProxy(t *testing.T) {
	cloud(t, labaws.Options{})
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) })
	s := session(t, awsapi.Access{Endpoint: proxy}, awsapi.Options{Attempts: 1})
	require.Error(t, vault(t.Context(), s))
	_, _, err := s.Clock()
	require.ErrorIs(t, err, awsapi.ErrNoClock)
}

func write(t *testing.T, variable, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	t.Setenv(variable, path)
}
