package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Failure classes the error of a call and says what to do about it. action is
// the IAM action that the call needs, such as rds:DescribeDBInstances; an error
// that is classed already, and nil, stay as they are.
func (s *Session) Failure(err error, action string) error {
	var classed *readiness.Failure
	if err == nil || errors.As(err, &classed) {
		return err
	}
	class, advice := s.judge(err)
	var identity *identityError
	if errors.As(err, &identity) {
		action = "the credentials"
		if s.access.RoleARN != "" {
			action = "sts:AssumeRole"
		}
	}
	where := s.access.Region
	if s.access.Endpoint != "" {
		where += " at " + s.access.Endpoint
	}
	told := fmt.Sprintf("ask AWS (%s in %s): %s", action, where, strings.ReplaceAll(advice, "{action}", action))
	return &readiness.Failure{Class: class, Err: &toldError{probes.Presentable(told+": "+cause(err), longestTold), err}}
}

// judge gives the class of an error, and what to say of it.
func (s *Session) judge(err error) (readiness.Class, string) {
	var (
		identity *identityError
		settings *configError
		api      smithy.APIError
		dns      *net.DNSError
		body     *smithy.DeserializationError
		response *smithyhttp.ResponseError
	)
	status, code, message := 0, "", ""
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	if errors.As(err, &api) {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	ours := errors.As(err, &identity) && s.access.RoleARN == ""
	switch refusal, known := refusals()[code]; {
	case Throttled(err):
		return readiness.Throttled, "asked too often"
	case errors.As(err, &settings):
		return readiness.Denied, "see the profile and the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name"
	case errors.As(err, &identity) && noneFound(identity.err):
		return readiness.Denied, "there are none to begin with: set them in the environment, in a profile, or by a role of this machine"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return readiness.Timeout, "no answer in time"
	case errors.As(err, &dns):
		return readiness.Unreachable, dns.Name + " has no address: is there such a region, and does this machine resolve names?"
	case identity != nil && !ours && strings.HasPrefix(code, "AccessDenied"):
		return readiness.Denied, "the role cannot be assumed: see its trust policy, the external id, and {action} of who assumes it"
	case strings.HasPrefix(message, "Signature expired"), strings.HasPrefix(message, "Signature not yet current"):
		return readiness.Denied, skewed
	case known:
		return refusal.class, refusal.advice
	case errors.Is(err, errTooLong), strangeBody(body, err), code == "UnknownError", malformedHTTP(err):
		return readiness.Malformed, "what answered is not AWS: see the endpoint and the proxies on the way"
	case code != "" && status == http.StatusNotFound:
		return readiness.NotFound, "there is no such thing"
	case code != "" && status == http.StatusForbidden:
		return readiness.Denied, "it is not allowed: the action is {action}"
	case status >= http.StatusInternalServerError && !ofAWS(response.Response.Header):
		return readiness.Malformed, "what answered is not AWS: see the endpoint and the proxies on the way"
	case status >= http.StatusInternalServerError:
		return readiness.Unreachable, "AWS answered with a fault of its own"
	default:
		return classify(err), "it failed"
	}
}

// skewed is said when a signature is too old or too young to count.
const skewed = "the clocks of this machine and of AWS are too far apart for the request to count: see NTP"

// classify is that of all probes, and what is left is not a fault of ours but of
// the answer, or of what carries it: nothing else is in the SDK's hands.
func classify(err error) readiness.Class {
	if class := probes.Classify(err); class != readiness.Internal {
		return class
	}
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		return readiness.Unreachable
	}
	return readiness.Internal
}

// noneFound reports whether the chain of credentials came to its end: none is
// there, up to the metadata of the machine.
func noneFound(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	service := ""
	for operation := (*smithy.OperationError)(nil); errors.As(err, &operation); err = operation.Err {
		service = operation.ServiceID // of the innermost: a role is asked for with what the chain has found
	}
	return service == "" || service == "ec2imds"
}

// strangeBody reports whether a body came whole and was not in the language of
// the service. One that broke off is another matter.
func strangeBody(body *smithy.DeserializationError, err error) bool {
	var broken *net.OpError
	return errors.As(err, &body) && !errors.As(err, &broken) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF)
}

// malformedHTTP reports whether what answered does not speak HTTP. net/http has
// no type for it.
func malformedHTTP(err error) bool {
	var send *url.Error
	if !errors.As(err, &send) {
		return false
	}
	text := send.Err.Error()
	return strings.Contains(text, "malformed") || strings.Contains(text, talksUnasked) || strings.Contains(text, "server response headers exceeded") ||
		strings.Contains(text, "server gave HTTP response to HTTPS client")
}

// talksUnasked is in the error of net/http when a server answers before it was
// asked.
const talksUnasked = "readLoopPeekFailLocked"

// longestTold leaves room, in a line of a page, for what a probe says before it.
const longestTold = 240

// toldError is what people read of an error whose own text is for developers.
type toldError struct {
	text string
	err  error
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.err }

// cause is the part of an error of the SDK that says something: what AWS
// answered, or what the network did.
func cause(err error) string {
	var (
		api  smithy.APIError
		send *url.Error
		body *smithy.DeserializationError
	)
	switch {
	case errors.As(err, &api) && api.ErrorCode() != "UnknownError":
		return api.ErrorCode() + ": " + api.ErrorMessage()
	case errors.As(err, &send) && strings.Contains(send.Err.Error(), talksUnasked):
		return "it answers before it is asked"
	case errors.As(err, &send):
		return send.Err.Error()
	case errors.As(err, &body) && body.Err != nil:
		return body.Err.Error()
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return fmt.Sprintf("status %d: %s", response.HTTPStatusCode(), response.Err)
	}
	return err.Error()
}

// configError says that the settings of the SDK could not be read.
type configError struct {
	profile string
	err     error
}

func (e *configError) Error() string {
	return fmt.Sprintf("read the shared AWS configuration (profile %q): %s", e.profile, e.err)
}
func (e *configError) Unwrap() error { return e.err }

// refusal is an error code of AWS, in our words.
type refusal struct {
	class  readiness.Class
	advice string
}

// refusals are the codes that every service may answer with, as the API
// references list them under "Common Errors", and those of the services that we
// ask for things which may not be there.
func refusals() map[string]refusal {
	const (
		grant   = "the credentials do not allow it: grant {action} to them (docs/iam-policy.json)"
		expired = "the session of the credentials has ended: renew them"
		unknown = "AWS does not know the credentials: see the access key, and whether the region is enabled for the account"
	)
	denied, missing := readiness.Denied, readiness.NotFound
	return map[string]refusal{
		"AccessDenied": {denied, grant}, "AccessDeniedException": {denied, grant}, "UnauthorizedOperation": {denied, grant},
		"NotAuthorized": {denied, grant}, "AccessDeniedByPolicy": {denied, grant}, "AllAccessDisabled": {denied, grant},
		"ExpiredToken": {denied, expired}, "ExpiredTokenException": {denied, expired},
		"InvalidClientTokenId": {denied, unknown}, "UnrecognizedClientException": {denied, unknown}, "InvalidAccessKeyId": {denied, unknown},
		"MissingAuthenticationToken": {denied, unknown}, "SignatureDoesNotMatch": {denied, unknown}, "InvalidSignatureException": {denied, unknown},
		"AuthFailure": {denied, unknown}, "InvalidToken": {denied, unknown}, "OptInRequired": {denied, unknown},
		"RequestExpired": {denied, skewed}, "RequestTimeTooSkewed": {denied, skewed}, "RequestInTheFuture": {denied, skewed},
		"KMS.AccessDenied":          {denied, "the key of the object may not be used: grant kms:Decrypt on it"},
		"DBInstanceNotFound":        {missing, "there is no such DB instance"},
		"DBClusterNotFoundFault":    {missing, "there is no such DB cluster"},
		"NoSuchBucket":              {missing, "there is no such bucket"},
		"NoSuchKey":                 {missing, "there is no such object"},
		"PermanentRedirect":         {missing, "the bucket is in another region: name that in aws.region"},
		"ResourceNotFoundException": {missing, "there is no such thing"},
	}
}

// identityError says that the credentials themselves could not be had.
type identityError struct{ err error }

func (e *identityError) Error() string { return "get credentials: " + e.err.Error() }
func (e *identityError) Unwrap() error { return e.err }

// identity marks the errors of a provider as its own.
type identity struct{ aws.CredentialsProvider }

func (i identity) Retrieve(ctx context.Context) (aws.Credentials, error) {
	credentials, err := i.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &identityError{err}
	}
	return credentials, nil
}
