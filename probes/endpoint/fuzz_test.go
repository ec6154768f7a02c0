package endpoint

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Whatever is sent is read within bounds, and told in words that can be shown.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 503 \xff\r\n\r\n\x00",
		"HTTP/1.1 301 Moved\r\nLocation: /\x7f\r\n\r\n", "HTTP/1.1 101 S\r\n\r\n", "SSH-2.0", "\x15\x03\x01", "\x00\x00\x00\x04", "",
	} {
		f.Add([]byte(text), true, uint16(100))
	}
	f.Fuzz(func(t *testing.T, text []byte, head bool, most uint16) {
		config := Config{URL: "http://api.festivals.test", Body: "ok", MaxBody: int64(most)}
		if head {
			config.Method, config.Body = "HEAD", ""
		}
		probe, err := New(config, probes.Target{}, NewFleet())
		require.NoError(t, err)
		l := &look{Probe: probe}
		r := l.fleet.readers.get(bytes.NewReader(text))
		defer l.fleet.readers.put(r)
		a, err := r.answer(probe.config.Method, probe.config.MaxBody, probe.config.MaxBody)
		var s sight
		if a.status == 0 {
			require.Error(t, err)
			s.add(l.noAnswer(r, err))
		} else {
			require.GreaterOrEqual(t, a.status, 200)
			require.LessOrEqual(t, int64(r.body.Len()), probe.config.MaxBody)
			require.Equal(t, a.ended, err == nil && !a.large)
			s.answer = &a
			s.add(l.judgeStatus(a))
			if err != nil {
				s.add(l.lost(stepBody, err, a.size))
			} else {
				s.add(l.judgeBody(a, r.body.Bytes()))
			}
		}
		require.LessOrEqual(t, r.read, int64(2*largestHead)+2*probe.config.MaxBody)
		reading := probe.reading(s)
		for _, check := range reading.Checks {
			require.Equal(t, probes.Presentable(check.Evidence, 400), check.Evidence)
			if check.Name == CheckUp && check.Status == readiness.Pass {
				require.True(t, a.status/100 == 2 && err == nil && (head || bytes.Contains(text, []byte("o"))))
			}
		}
	})
}
