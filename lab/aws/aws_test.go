package aws_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

const region = "eu-west-1"

// validated asks by a client that we did not write, and holds what comes back
// against the service model of that client. params are JSON, or are made JSON.
// An error of AWS is a good answer too: it is under "Error".
func validated(t testing.TB, url, region, service, operation string, params any) map[string]any {
	t.Helper()
	needBotocore(t)
	text, ok := params.(string)
	if !ok {
		encoded, err := json.Marshal(params)
		require.NoError(t, err)
		text = string(encoded)
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/validate.py", url, region, service, operation, text)
	command.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true")
	command.Stdout, command.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := command.Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		require.NoError(t, err, "%s\n%s", stderr.String(), stdout.String())
	}
	var answer map[string]any
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &answer))
	return answer
}

// needBotocore skips where the client is not installed, except in continuous
// integration, where a test that does not run must not pass.
func needBotocore(t testing.TB) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import botocore").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3-botocore is missing: apt-get install python3-botocore")
		}
		t.Skip("python3-botocore is missing: apt-get install python3-botocore")
	}
}

func start(t testing.TB, o labaws.Options) *labaws.Cloud {
	t.Helper()
	cloud, err := labaws.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	return cloud
}

// Were it to fail, nothing that is said to be validated would be.
func TestValidate_FindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	needBotocore(t)
	const query = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>%s</GetCallerIdentityResult></GetCallerIdentityResponse>`
	for _, c := range []struct{ name, service, operation, params, kind, body, says string }{
		{"unknown member", "sts", "GetCallerIdentity", `{}`, "text/xml", fmt.Sprintf(query, "<Name>x</Name>"), "Name: is not in the model"},
		{"another namespace", "sts", "GetCallerIdentity", `{}`, "text/xml", `<GetCallerIdentityResponse><GetCallerIdentityResult/></GetCallerIdentityResponse>`, "is not in the namespace"},
		{"another root", "sts", "GetCallerIdentity", `{}`, "text/xml", `<Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult/></Response>`, "is the outermost element"},
		{"twice", "sts", "GetCallerIdentity", `{}`, "text/xml", fmt.Sprintf(query, "<Arn>x</Arn><Arn>y</Arn>"), "more than once"},
		{"required", "iam", "SimulatePrincipalPolicy", `{"PolicySourceArn": "arn:aws:iam::111122223333:role/x", "ActionNames": ["a:b"]}`, "text/xml",
			`<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult><EvaluationResults><member><EvalActionName>a:b</EvalActionName></member></EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>`,
			"EvaluationResults[0].EvalDecision: is required, and missing"},
		{"XML boolean", "iam", "SimulatePrincipalPolicy", `{"PolicySourceArn": "arn:aws:iam::111122223333:role/x", "ActionNames": ["a:b"]}`, "text/xml",
			`<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult><IsTruncated>yes</IsTruncated></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>`,
			"IsTruncated: is 'yes', and a boolean"},
		{"enumeration", "backup", "ListRecoveryPointsByBackupVault", `{"BackupVaultName": "festivals"}`, "application/json", `{"RecoveryPoints": [{"Status": "DONE"}]}`, "RecoveryPoints[0].Status: 'DONE' is none of"},
		{"timestamp", "backup", "ListRecoveryPointsByBackupVault", `{"BackupVaultName": "festivals"}`, "application/json", `{"RecoveryPoints": [{"CreationDate": "2026-11-24T12:00:00Z"}]}`, "in the format unixTimestamp"},
		{"whole number", "backup", "DescribeBackupVault", `{"BackupVaultName": "festivals"}`, "application/json", `{"NumberOfRecoveryPoints": "7"}`, "and a whole number"},
		{"JSON boolean", "backup", "DescribeBackupVault", `{"BackupVaultName": "festivals"}`, "application/json", `{"Locked": "true"}`, "and a boolean"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			command := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/validate.py", server.URL, region, c.service, c.operation, c.params)
			said, err := command.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, string(said))
			require.Equal(t, 1, exit.ExitCode(), string(said))
			require.Contains(t, string(said), c.says)
		})
	}
}

// Were it to fail, a fault would not be the one that a test is about.
func TestBreak_EachFault(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	cloud := start(t, labaws.Options{Now: func() time.Time { return now }})
	type told struct {
		status int
		date   string
		body   string
	}
	ask := func() (told, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, cloud.URL(), strings.NewReader("Action=GetCallerIdentity&Version=2011-06-15"))
		require.NoError(t, err)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIALAB/20261124/eu-west-1/sts/aws4_request, SignedHeaders=host, Signature=x")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return told{}, err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		return told{response.StatusCode, response.Header.Get("Date"), string(body)}, err
	}
	answer, err := ask()
	require.NoError(t, err)
	require.Contains(t, answer.body, "<Account>111122223333</Account>")
	require.Equal(t, "Tue, 24 Nov 2026 12:00:00 GMT", answer.date, "its own clock")

	sts := labaws.Asked{Service: "sts", Operation: "GetCallerIdentity"}
	cloud.Break(labaws.Fault{Asked: labaws.Asked{Service: "backup"}, Drop: true})
	cloud.Break(labaws.Fault{Asked: labaws.Asked{Region: "eu-central-1"}, Drop: true})
	cloud.Break(labaws.Fault{Asked: sts, Error: labaws.Denied, Times: 2})
	for range 2 {
		answer, err = ask()
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, answer.status)
		require.Contains(t, answer.body, "<Code>AccessDenied</Code>")
	}
	answer, err = ask()
	require.NoError(t, err)
	require.Contains(t, answer.body, "<Account>", "twice, and no more; and faults of others are not met")

	heal := cloud.Break(labaws.Fault{Body: "<html>"})
	answer, err = ask()
	require.NoError(t, err)
	require.Equal(t, told{http.StatusBadGateway, "Tue, 24 Nov 2026 12:00:00 GMT", "<html>"}, answer)
	heal()
	heal() // once more is nothing
	heal = cloud.Break(labaws.Fault{Asked: sts, Drop: true})
	_, err = ask()
	require.Error(t, err)
	heal()
	_, err = ask()
	require.NoError(t, err)
	require.Equal(t, map[labaws.Asked]int{{Service: "sts", Operation: "GetCallerIdentity", Region: region}: 7}, cloud.Calls(), "each is counted")
}

// Were it to fail, what is no request of AWS at all would be answered like one.
func TestCloud_StrangeRequests(t *testing.T) {
	t.Parallel()
	cloud := start(t, labaws.Options{})
	for authorization, status := range map[string]int{
		"": http.StatusForbidden,
		"AWS4-HMAC-SHA256 Credential=A/20261124/eu-west-1/dynamodb/aws4_request": http.StatusNotFound,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cloud.URL(), nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", authorization)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, status, response.StatusCode)
	}
	require.Empty(t, cloud.Calls())
}

// Were it to fail, people could not look into the lab with the tool that they
// know: the AWS command line pages by itself.
func TestCLI_PagesRecoveryPoints(t *testing.T) {
	t.Parallel()
	needBotocore(t)
	if _, err := os.Stat("/usr/bin/aws"); err != nil {
		t.Skip("awscli is missing: apt-get install awscli")
	}
	cloud := start(t, labaws.Options{})
	id := labaws.VaultID{Region: region, Name: "festivals"}
	cloud.Backup().PutVault(labaws.Vault{VaultID: id, Created: time.Now()})
	for i := range 7 {
		at := time.Now().Add(-time.Hour)
		cloud.Backup().Put(id, labaws.RecoveryPoint{ARN: pointARN(i), Resource: database, ResourceType: "RDS", Created: at, Completed: at})
	}
	command := exec.CommandContext(t.Context(), "/usr/bin/aws", "--endpoint-url", cloud.URL(), "--output", "json", "backup", "list-recovery-points-by-backup-vault",
		"--backup-vault-name", "festivals", "--page-size", "3", "--query", "RecoveryPoints[].Status")
	command.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIALAB", "AWS_SECRET_ACCESS_KEY=lab", "AWS_DEFAULT_REGION="+region, "AWS_EC2_METADATA_DISABLED=true")
	said, err := command.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Equal(t, 7, strings.Count(string(said), `"COMPLETED"`), string(said))
	require.Equal(t, 3, cloud.Calls()[labaws.Asked{Service: "backup", Operation: "ListRecoveryPointsByBackupVault", Region: region}])
}
