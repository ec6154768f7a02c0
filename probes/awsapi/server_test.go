package awsapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// serve gives the URL of something that is not AWS.
func serve(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}
