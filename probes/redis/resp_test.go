package redis

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecoder_Replies(t *testing.T) {
	tests := []struct {
		wire string
		want reply
		err  string
	}{
		{"+OK\r\n", reply{kind: '+', text: "OK"}, ""},
		{":42\r\n", reply{kind: ':', text: "42"}, ""},
		{"$5\r\nhello\r\n", reply{kind: '$', text: "hello"}, ""},
		{"$0\r\n\r\n", reply{kind: '$'}, ""},
		{"$-1\r\n", reply{}, ""},
		{"*-1\r\n", reply{}, ""},
		{"*2\r\n:1\r\n*1\r\n$1\r\na\r\n", reply{kind: '*', items: []reply{{kind: ':', text: "1"}, {kind: '*', items: []reply{{kind: '$', text: "a"}}}}}, ""},
		{"-NOAUTH Authentication required.\r\n", reply{}, "NOAUTH Authentication required."},
		{"HTTP/1.1 400 Bad Request\r\n", reply{}, "it speaks HTTP"},
		{"SSH-2.0-OpenSSH_9.2\r\n", reply{}, "it speaks SSH"},
		{"$5\r\nhello!\r\n", reply{}, "its answer is longer than it says"},
		{"$5\r\nhel", reply{}, "its answer breaks off"},
		{"+OK\n", reply{}, "its answer is not of the Redis protocol"},
		{"-\x1bx\r\n", reply{}, "its answer is not of the Redis protocol"},
		{":4x\r\n", reply{}, "its answer holds a number that is none"},
		{"$2000000000\r\n", reply{}, "its answer claims to be longer than any that we ask for"},
		{"$x\r\n", reply{}, "its answer holds a length that is none"},
		{"+" + strings.Repeat("x", 5000) + "\r\n", reply{}, "its answer is not of the Redis protocol"},
		{strings.Repeat("*1\r\n", 10), reply{}, "its answer does not end"},
		{"", reply{}, "EOF"},
	}
	for _, tt := range tests {
		got, err := newDecoder(strings.NewReader(tt.wire)).next()
		if tt.err != "" {
			require.EqualError(t, err, tt.err, "%.40q", tt.wire)
			continue
		}
		require.NoError(t, err, "%.40q", tt.wire)
		require.Equal(t, tt.want, got, "%.40q", tt.wire)
	}
}

// Whatever is sent, nothing panics, and the memory that it takes is bounded by
// what was sent and not by what it claims.
func FuzzDecoder(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n$3\r\nabc\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "$2000000000\r\n", "*1000000000\r\n", "$9223372036854775807\r\n",
		"*16\r\n*16\r\n", "-ERR no\r\n", "%1\r\n", "$-2\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d := newDecoder(bytes.NewReader(wire))
		for {
			r, err := d.next()
			if err != nil {
				break
			}
			_, _ = parseMaster(r)
			_, _ = parseTopology(r.text, r.text, "127.0.0.1")
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4*largestAnswer+200*len(wire)))
	})
}

// Were it to fail, a command could be smuggled in by a name in the file.
func TestEncode_Lengths(t *testing.T) {
	require.Equal(t, "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n*3\r\n$8\r\nSENTINEL\r\n$6\r\nMASTER\r\n$3\r\na\r\n\r\n",
		string(encode([]command{{"INFO", "server"}, {"SENTINEL", "MASTER", "a\r\n"}})))
}
