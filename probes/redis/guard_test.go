package redis

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire is a connection on which everything has been said already.
type wire struct {
	net.Conn
	io.Reader
}

func (w wire) Read(p []byte) (int, error)  { return w.Reader.Read(p) }
func (w wire) Write(p []byte) (int, error) { return len(p), nil }
func (w wire) Close() error                { return nil }

func guarded(said string) *guard {
	client, server := net.Pipe()
	_ = server.Close()
	return &guard{Conn: wire{client, strings.NewReader(said)}, release: func() bool { return true }}
}

// One line of a mad server must not make the client take gigabytes.
func TestGuard_Claims(t *testing.T) {
	const tooLong = "its answer claims to be longer than any that we ask for"
	for said, want := range map[string]string{
		"+OK\r\n$5\r\nhello\r\n":         "",
		"*2\r\n$1\r\na\r\n:12345678\r\n": "",
		"$-1\r\n*-1\r\n":                 "",
		"$1048576\r\n":                   "",
		"# Server\r\nredis_version:7.0.15\r\nused_memory:99999999999\r\n": "",
		"$2000000000\r\n":                         tooLong,
		"$+2000000000\r\n":                        tooLong,
		"$9223372036854775807\r\n":                tooLong,
		"*1000000000\r\n":                         tooLong,
		"%1000000000\r\n":                         tooLong,
		"~9999\r\n":                               tooLong,
		">9999\r\n":                               tooLong,
		"+OK\r\n*4000\r\n*97\r\n":                 tooLong,
		strings.Repeat("*1\r\n", mostItems+1):     tooLong,
		strings.Repeat("x", largestAnswer) + "yz": "its answer does not end",
	} {
		for _, buffer := range []int{1, 7, 8192} { // a claim may come in pieces
			g := guarded(said)
			_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{g}, make([]byte, buffer))
			if want == "" {
				require.NoError(t, err, "%.40q", said)
				continue
			}
			require.EqualError(t, err, want, "%.40q by %d", said, buffer)
			require.Equal(t, err, g.failed)
		}
	}
}

// Whatever is said, the client neither panics nor takes more memory than what is
// said could fill, and what it makes of it is read without a fault.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n$3\r\nabc\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "$2000000000\r\n", "*1000000000\r\n", "%1\r\n+a\r\n:1\r\n", "-ERR no\r\n+OK\r\n", "*16\r\n*16\r\n",
		"-DENIED go away\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := server{addr: "127.0.0.1:6379", what: "Redis"}
		conn := guarded(string(said))
		session := &session{server: s, conn: conn, client: newClient(conn)}
		answers, _, err := session.ask(t.Context(), command{"INFO"}, command{"SENTINEL", "MASTER", "m"})
		session.close()
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 300)
		}
		for _, answer := range answers {
			_, _ = parseMaster(answer)
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20+400*len(said)))
	})
}
