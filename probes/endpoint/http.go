package endpoint

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/secret"
)

const (
	largestHead = 64 << 10 // bytes of status and headers, interim answers included
	mostInterim = 5        // answers of 1xx before the answer
	excerpt     = 512      // bytes that are kept of a body of which nothing is expected

	longestOpening = 8 // bytes by which to tell who answers
)

// write renders the request.
func (c Config) write(secrets map[string]secret.String) ([]byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), c.Method, c.URL, nil) // it is written, never sent by a client
	if err != nil {
		return nil, err
	}
	request.Close = true
	request.Header.Set("User-Agent", "drwatch")
	request.Header.Set("Accept-Encoding", "identity")
	for name, value := range c.Headers {
		request.Header.Set(name, value)
	}
	for name, value := range secrets {
		request.Header.Set(name, value.Reveal())
	}
	var text bytes.Buffer
	if err := request.Write(&text); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// answer is what came back over HTTP.
type answer struct {
	status   int
	location string // where it redirects to
	begin    string // of the body, where it is text
	size     int64  // bytes of the body, as far as it was read
	ended    bool   // it was read to its end
	large    bool   // there is more of it than is read
}

// ask puts the question, reads the answer and judges it.
func (l *look) ask(conn net.Conn, s *sight) {
	request := l.request
	if len(l.secrets) > 0 {
		var err error
		if request, err = l.config.write(l.secrets); err != nil {
			s.add(&fault{step: stepAnswer, class: readiness.Internal, what: "write the request: " + presentable(l.redact(err.Error())), ours: true})
			return
		}
	}
	if _, err := conn.Write(request); err != nil {
		s.add(l.lost(stepAnswer, err, 0))
		return
	}
	r := l.fleet.readers.get(conn)
	defer l.fleet.readers.put(r)
	keep := int64(excerpt)
	if l.config.expectsBody() {
		keep = l.config.MaxBody
	}
	a, err := r.answer(l.config.Method, keep, l.config.MaxBody)
	if a.status == 0 {
		s.add(l.noAnswer(r, err))
		return
	}
	a.location, a.begin = l.redact(a.location), l.redactCut(a.begin)
	s.answer = &a
	s.add(l.judgeStatus(a))
	if err != nil {
		f := l.lost(stepBody, err, r.read)
		f.what += fmt.Sprintf(", after %d bytes", a.size)
		s.add(f)
		return
	}
	s.took = readiness.Known(time.Since(l.begun))
	s.add(l.judgeBody(a, r.body.Bytes()))
}

// reader reads one answer, within bounds.
type reader struct {
	from    io.Reader
	left    int64 // bytes that it may still read
	read    int64
	over    bool                 // the other side has ended
	opening [longestOpening]byte // the first of them
	lines   *bufio.Reader
	body    bytes.Buffer
}

// readers are used again, for the memory that they hold and nothing else.
type readers struct{ idle sync.Pool }

// get gives one that reads from the begin.
func (all *readers) get(from io.Reader) *reader {
	r, used := all.idle.Get().(*reader)
	if !used {
		r = &reader{lines: bufio.NewReader(nil)}
	}
	r.from, r.left, r.read, r.over, r.opening = from, largestHead, 0, false, [longestOpening]byte{}
	r.lines.Reset(r)
	r.body.Reset()
	return r
}

func (all *readers) put(r *reader) {
	r.from = nil
	if r.body.Cap() <= 64<<10 {
		all.idle.Put(r)
	}
}

// errEndless is an answer that goes on beyond all bounds.
var errEndless = errors.New("it does not end")

// Read reads on, as far as it may.
func (r *reader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errEndless
	}
	n, err := r.from.Read(p[:min(int64(len(p)), r.left)])
	if r.read < int64(len(r.opening)) {
		copy(r.opening[r.read:], p[:n])
	}
	r.left, r.read, r.over = r.left-int64(n), r.read+int64(n), err == io.EOF
	return n, err
}

// answer reads an answer, keeping so much of its body and reading no more of it
// than most. The error is why it has no end; its status is 0 when it has no begin.
func (r *reader) answer(method string, keep, most int64) (a answer, err error) {
	request := &http.Request{Method: method}
	var response *http.Response
	for range mostInterim + 1 {
		response, err = http.ReadResponse(r.lines, request) //nolint:bodyclose // closing would read on to the end; the connection is closed instead
		if err != nil {
			return answer{}, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	if response.StatusCode < 200 || response.StatusCode > 999 || response.ProtoMajor != 1 {
		return answer{}, errors.New("its answer is no final one")
	}
	a.status = response.StatusCode
	if a.status/100 == 3 {
		a.location = response.Header.Get("Location")
	}
	r.left = most + most/2 + largestHead // chunks have heads of their own
	a.size, err = io.Copy(&r.body, io.LimitReader(response.Body, keep))
	if err == nil && a.size == keep {
		var more int64
		more, err = io.Copy(io.Discard, io.LimitReader(response.Body, most-keep+1))
		a.size += more
	}
	a.large = a.size > most || errors.Is(err, errEndless)
	a.ended = err == nil && !a.large
	a.begin = readable(r.body.Bytes())
	if a.large {
		err = nil
	}
	return a, err
}

// readable is the begin of a body, where that is text that people read.
func readable(body []byte) string {
	begin := string(body[:min(len(body), excerpt)])
	for len(begin) > 0 && !utf8.ValidString(begin[max(0, len(begin)-utf8.UTFMax):]) && len(body) > excerpt {
		begin = begin[:len(begin)-1] // a letter that was cut
	}
	if !utf8.ValidString(begin) || strings.ContainsFunc(begin, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }) {
		return ""
	}
	return strings.Join(strings.Fields(begin), " ")
}

// noAnswer tells what came instead of an answer.
func (l *look) noAnswer(r *reader, err error) *fault {
	opening := r.opening[:min(r.read, int64(len(r.opening)))]
	if r.over {
		err = io.EOF // what is wrong with the rest is that it did not come
	}
	network := probes.Classify(err) != readiness.Internal
	f := &fault{step: stepAnswer, class: readiness.Malformed, what: "it is no HTTP"}
	switch {
	case len(opening) > 1 && (opening[0] == 0x15 || opening[0] == 0x16) && opening[1] == 3:
		f.what, f.remedy = "it speaks TLS", "write https://"
	case bytes.HasPrefix(opening, []byte("SSH-")):
		f.what = "it speaks SSH"
	case len(opening) > 4 && opening[0] == 0 && opening[3] == 4:
		f.what, f.remedy = "it speaks HTTP/2 alone", "drwatch asks in HTTP/1.1: let the server speak it too, or watch it as grpc or tcp"
	case errors.Is(err, errEndless):
		f.what = fmt.Sprintf("no answer in the first %d bytes", r.read)
	case network && (len(opening) == 0 || bytes.HasPrefix([]byte("HTTP/1."), opening[:min(len(opening), 7)])):
		return l.lost(stepAnswer, err, r.read)
	case bytes.HasPrefix(opening, []byte("HTTP/")):
		f.what = "it is no whole and right HTTP"
	}
	return f
}

// judgeStatus tells what a wrong status says.
func (l *look) judgeStatus(a answer) *fault {
	right := a.status/100 == 2
	if len(l.config.Status) > 0 {
		right = false
		for _, status := range l.config.Status {
			right = right || status == a.status
		}
	}
	if right {
		return nil
	}
	f := &fault{step: stepStatus, class: readiness.Malformed, what: a.line()}
	if a.begin != "" {
		f.what += ": " + quoted(a.begin)
	}
	switch {
	case a.status/100 == 3:
		f.remedy = "drwatch follows no redirect: watch what it leads to, or name the status in the file if it is meant"
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		f.class, f.remedy = readiness.Denied, "see who may ask: what the request needs goes into headers or header_files"
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		f.class, f.remedy = readiness.NotFound, "see that what the url names is deployed there, or correct the url"
	case a.status == http.StatusTooManyRequests:
		f.class = readiness.Throttled
	case a.status == http.StatusBadGateway, a.status == http.StatusServiceUnavailable, a.status == http.StatusGatewayTimeout:
		f.remedy = "see the servers behind it, and whether there are any: what answers may be a load balancer alone"
	default:
		f.remedy = "see the log of the server; if the status is meant, name it in the file"
	}
	return f
}

// judgeBody looks for what the body has to say.
func (l *look) judgeBody(a answer, body []byte) *fault {
	switch c := l.config; {
	case !c.expectsBody():
		return nil
	case a.large:
		return &fault{
			step: stepBody, class: readiness.Malformed, what: fmt.Sprintf("it is larger than %d bytes, and was not looked through", c.MaxBody),
			remedy: "watch a smaller page, or raise max_body",
		}
	case l.matches != nil && l.matches.Match(body), l.matches == nil && bytes.Contains(body, []byte(c.Body)):
		return nil
	}
	f := &fault{
		step: stepBody, class: readiness.Malformed, what: "it does not " + l.config.expected() + ": ",
		remedy: "the server answers, and not with what it should: see its log, and what it depends on",
	}
	switch {
	case a.size == 0:
		f.what += "it is empty"
	case a.begin == "":
		f.what += fmt.Sprintf("%d bytes that are no text", a.size)
	default:
		f.what += quoted(a.begin)
	}
	return f
}

// line is the status for people.
func (a answer) line() string {
	line := strings.TrimSpace(fmt.Sprint(a.status, " ", http.StatusText(a.status)))
	switch {
	case a.location != "":
		line += " to " + probes.Presentable(a.location, longestTold)
	case a.status/100 == 3:
		line += " to nowhere"
	}
	return line
}

// expected is what the body has to do, for people.
func (c Config) expected() string {
	if c.BodyMatches != "" {
		return "match " + quoted(c.BodyMatches)
	}
	return "contain " + quoted(c.Body)
}

func quoted(text string) string { return "'" + probes.Presentable(text, 80) + "'" }
