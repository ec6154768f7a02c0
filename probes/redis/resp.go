package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The bounds of an answer. INFO is 5 KB; the slots of a cluster of 1,000 nodes
// are 200 KB. What exceeds them is no answer to what we ask.
const (
	largestAnswer = 1 << 20 // bytes, all replies to one look at one server
	largestLine   = 4 << 10 // bytes
	mostItems     = 1 << 16 // in arrays, all of them together
	deepest       = 6       // arrays within arrays
)

// notRedis is an answer that is not of this protocol.
type notRedis string

func (e notRedis) Error() string { return string(e) }

// refusal is an error that the server answered with: a code and a text.
type refusal string

func (e refusal) Error() string { return string(e) }

// code is the first word, by which Redis tells its errors apart.
func (e refusal) code() string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}

// codeLetters are what codes are made of.
const codeLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"

// reply is one answer in the protocol of Redis (RESP 2): a text, a number in
// its digits, or a list. An error is kept apart, by [refusal].
type reply struct {
	kind  byte // '+', '$' or ':', '*' for a list, 0 for nil
	text  string
	items []reply
}

// command is a question in words.
type command []string

// encode puts commands on the wire, all of them in one piece.
func encode(commands []command) []byte {
	var b []byte
	for _, words := range commands {
		b = fmt.Appendf(b, "*%d\r\n", len(words))
		for _, word := range words {
			b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(word), word)
		}
	}
	return b
}

// decoder reads replies and bounds what they may take of our memory, whatever
// lengths they claim. That is why it is not the reader of go-redis, which makes
// room for a claimed length before it has seen a byte of it.
type decoder struct {
	limited io.LimitedReader
	lines   *bufio.Reader
	items   int
}

func newDecoder(r io.Reader) *decoder {
	d := &decoder{limited: io.LimitedReader{R: r, N: largestAnswer}}
	d.lines = bufio.NewReaderSize(&d.limited, largestLine)
	return d
}

// next reads one reply. The error is a [refusal] when the server answered with
// one, [notRedis] when it answered something else, or of the connection.
func (d *decoder) next() (reply, error) {
	r, err := d.read(0)
	if errors.Is(err, io.EOF) && d.limited.N == 0 {
		return reply{}, notRedis("its answer does not end")
	}
	return r, err
}

func (d *decoder) read(depth int) (reply, error) {
	line, err := d.line()
	if err != nil {
		return reply{}, err
	}
	switch kind, rest := line[0], line[1:]; kind {
	case '+':
		return reply{kind: kind, text: rest}, nil
	case ':':
		if _, err := strconv.ParseInt(rest, 10, 64); err != nil {
			return reply{}, notRedis("its answer holds a number that is none")
		}
		return reply{kind: kind, text: rest}, nil
	case '-':
		no := refusal(rest)
		if code := no.code(); code == "" || strings.Trim(code, codeLetters) != "" {
			return reply{}, notRedis(whatElse(line))
		}
		return reply{}, no
	case '$':
		return d.bulk(rest)
	case '*':
		return d.list(rest, depth)
	default:
		return reply{}, notRedis(whatElse(line))
	}
}

// line reads up to the end of a line, which is never long where we ask.
func (d *decoder) line() (string, error) {
	text, err := d.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), errors.Is(err, io.EOF) && len(text) > 0:
		return "", notRedis(whatElse(string(text)))
	case err != nil:
		return "", err
	case len(text) < 3 || text[len(text)-2] != '\r':
		return "", notRedis(whatElse(string(text)))
	}
	return string(text[:len(text)-2]), nil
}

func (d *decoder) bulk(length string) (reply, error) {
	n, err := parseLength(length, largestAnswer)
	if err != nil || n < 0 {
		return reply{}, err
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(d.lines, text); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return reply{}, notRedis("its answer breaks off")
		}
		return reply{}, err
	}
	if text[n] != '\r' || text[n+1] != '\n' {
		return reply{}, notRedis("its answer is longer than it says")
	}
	return reply{kind: '$', text: string(text[:n])}, nil
}

func (d *decoder) list(length string, depth int) (reply, error) {
	n, err := parseLength(length, mostItems)
	if err != nil || n < 0 {
		return reply{}, err
	}
	if d.items += n; d.items > mostItems || depth == deepest {
		return reply{}, notRedis("its answer does not end")
	}
	list := reply{kind: '*'}
	for range n {
		item, err := d.read(depth + 1)
		if err != nil {
			return reply{}, err
		}
		list.items = append(list.items, item)
	}
	return list, nil
}

// parseLength reads a claimed length; -1 stands for nil.
func parseLength(text string, limit int) (int, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < -1:
		return 0, notRedis("its answer holds a length that is none")
	case n > limit:
		return 0, notRedis("its answer claims to be longer than any that we ask for")
	}
	return n, nil
}

// whatElse guesses who answers, for the person who wrote the address.
func whatElse(line string) string {
	switch {
	case strings.HasPrefix(line, "HTTP/"):
		return "it speaks HTTP"
	case strings.HasPrefix(line, "SSH-"):
		return "it speaks SSH"
	default:
		return "its answer is not of the Redis protocol"
	}
}
