package lab

import (
	"bufio"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// serve runs a server that handles each connection, until the test ends.
func serve(t *testing.T, handle func(net.Conn)) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

// requireNoGoroutineLeft looks after all that the test registers later has been cleaned up.
func requireNoGoroutineLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// roundTrip sends one line and waits for it to come back.
func roundTrip(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	begin := time.Now()
	_, err := conn.Write([]byte("hello\n"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)
	return time.Since(begin)
}

// Without this a cut link would let something through, or never come back.
func TestLink_CutAndMended(t *testing.T) {
	requireNoGoroutineLeft(t)
	l, err := newLink(t.Context(), "test", serve(t, echo))
	require.NoError(t, err)
	defer l.close()
	conn, err := net.Dial("tcp", l.address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	roundTrip(t, conn)

	l.cut(LinkCut)
	l.cut(Partition)
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	_, err = net.Dial("tcp", l.address)
	require.Error(t, err)
	require.NoError(t, l.mend(t.Context(), Partition))
	_, err = net.Dial("tcp", l.address)
	require.Error(t, err, "the other fault still cuts it")
	require.NoError(t, l.mend(t.Context(), LinkCut))
	require.NoError(t, l.mend(t.Context(), LinkCut), "mending what is whole changes nothing")
	again, err := net.Dial("tcp", l.address)
	require.NoError(t, err)
	defer func() { _ = again.Close() }()
	roundTrip(t, again)
}

// Without this a slow link would be a fast one, or stay slow when healed.
func TestLink_SlowBothWaysUntilHealed(t *testing.T) {
	l, err := newLink(t.Context(), "test", serve(t, echo))
	require.NoError(t, err)
	defer l.close()
	conn, err := net.Dial("tcp", l.address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	l.slow(100 * time.Millisecond)
	require.GreaterOrEqual(t, roundTrip(t, conn), 200*time.Millisecond)
	l.slow(time.Hour)
	_, err = conn.Write([]byte("hello\n"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	l.slow(0)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = io.ReadFull(conn, make([]byte, len("hello\n")))
	require.NoError(t, err, "what was under way arrives at once")
}

// Without this each end that goes away while the other sends would leave goroutines behind, as it does in toxiproxy.
func TestLink_EndGoesAwayWhileTheOtherSends(t *testing.T) {
	requireNoGoroutineLeft(t)
	sender := func(conn net.Conn) {
		block := make([]byte, 8<<10)
		for {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}
	l, err := newLink(t.Context(), "test", serve(t, sender))
	require.NoError(t, err)
	for i := range 20 {
		if i == 10 {
			l.slow(time.Hour)
		}
		conn, err := net.Dial("tcp", l.address)
		require.NoError(t, err)
		if i < 10 {
			_, err = io.ReadFull(conn, make([]byte, 100_000))
			require.NoError(t, err)
		}
		require.NoError(t, conn.Close())
	}
	l.close()
}
