package dns_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	labdns "github.com/drwatch/drwatch/lab/dns"
	"github.com/drwatch/drwatch/probes"
	probe "github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// What the suite plays are servers of TCP, over which DNS goes where an answer is too
// long. UDP has its own cases below.
func TestConformance_OverTCP(t *testing.T) {
	s := newStage(t)
	resolver := s.resolver(labdns.ResolverOptions{})
	probetest.Run(t, probetest.Harness{
		New: func(t testing.TB, addr string) probetest.Prober {
			p, err := probe.New(probe.Config{Resolvers: []string{addr}, Port: s.server.Port()}, s.target())
			require.NoError(t, err)
			return p.OverTCP()
		},
		Opening: []byte{0, 200, 1, 2, 0x81, 0x80, 0, 1},
		Garbage: map[string][]byte{
			"the longest message": bytes.Repeat([]byte{0xff}, 65537),
			"an empty message":    {0, 0},
			"a header alone":      {0, 12, 0, 0, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0},
			"names that go round": {0, 18, 0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0x0c, 0, 1, 0, 1},
		},
		Server: resolver.Address(),
	})
}

// overUDP answers each question with some packets.
func overUDP(t *testing.T, answer func(question []byte) [][]byte) string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	var group sync.WaitGroup
	group.Go(func() {
		buffer := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			for _, packet := range answer(bytes.Clone(buffer[:n])) {
				_, _ = conn.WriteTo(packet, from)
			}
		}
	})
	t.Cleanup(func() { require.NoError(t, conn.Close()); group.Wait() })
	return conn.LocalAddr().String()
}

// answered packs an answer to a question, changed at will.
func answered(t *testing.T, question []byte, change func(*dns.Msg)) []byte {
	asked := new(dns.Msg)
	require.NoError(t, asked.Unpack(question))
	m := new(dns.Msg).SetReply(asked)
	m.RecursionAvailable = true
	if q := asked.Question[0]; q.Qtype == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(primaryIP)}}
	}
	change(m)
	packed, err := m.Pack()
	require.NoError(t, err)
	return packed
}

// Were it to fail, anybody who can send a packet could say where a name leads, or one
// bad packet would hide the answer behind it.
func TestLook_OverUDP(t *testing.T) {
	foreign := func(m *dns.Msg) {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "api.festivals.app.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(strangerIP)}}
	}
	bad := map[string]func(question []byte) []byte{
		"another id": func(q []byte) []byte { return answered(t, q, func(m *dns.Msg) { foreign(m); m.Id++ }) },
		"another question": func(q []byte) []byte {
			return answered(t, q, func(m *dns.Msg) { foreign(m); m.Question[0].Name = "evil.test." })
		},
		"another type": func(q []byte) []byte {
			return answered(t, q, func(m *dns.Msg) { foreign(m); m.Question[0].Qtype = dns.TypeTXT })
		},
		"no question":        func(q []byte) []byte { return answered(t, q, func(m *dns.Msg) { foreign(m); m.Question = nil }) },
		"the question":       bytes.Clone,
		"the question twice": func(q []byte) []byte { return append(q, q...) },
		"a page":             func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n<html>") },
		"nothing":            func([]byte) []byte { return nil },
		"an update": func(q []byte) []byte {
			return answered(t, q, func(m *dns.Msg) { foreign(m); m.Opcode = dns.OpcodeUpdate })
		},
	}
	for name, packet := range bad {
		t.Run(name+"/before the answer", func(t *testing.T) {
			addr := overUDP(t, func(q []byte) [][]byte {
				return [][]byte{packet(q), answered(t, q, func(*dns.Msg) {})}
			})
			reading, err := lookAt(t, addr, 4*time.Second)
			require.NoError(t, err)
			require.Equal(t, "1.00 0.00 0.00 0.00", shares(reading))
		})
		t.Run(name+"/alone", func(t *testing.T) {
			addr := overUDP(t, func(q []byte) [][]byte { return [][]byte{packet(q)} })
			_, err := lookAt(t, addr, 400*time.Millisecond)
			failure := probes.AsFailure(err)
			require.NotNil(t, failure)
			require.Equal(t, readiness.Malformed, failure.Class, failure)
			require.ErrorContains(t, err, addr)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func lookAt(t *testing.T, addr string, within time.Duration) (readiness.Reading, error) {
	t.Helper()
	p, err := probe.New(probe.Config{Resolvers: []string{addr}, Name: host}, probes.Target{Service: probes.Service{Primary: []string{primaryIP}, Standby: []string{standbyIP}}})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return p.Look(ctx)
}

// Were it to fail, a name could be led astray by whoever answers for another one.
func TestLook_BelievesNoForeignRecords(t *testing.T) {
	record := func(text string) dns.RR {
		rr, err := dns.NewRR(text)
		require.NoError(t, err)
		return rr
	}
	addr := overUDP(t, func(q []byte) [][]byte {
		return [][]byte{answered(t, q, func(m *dns.Msg) {
			if m.Question[0].Qtype == dns.TypeA {
				m.Answer = []dns.RR{
					record("other.festivals.app. 1 IN A " + standbyIP), record("api.festivals.app. 1 IN CNAME lb.test."), record("api.festivals.app. 1 IN A " + standbyIP),
					record("LB.test. 1 IN A " + primaryIP), record("lb.test. 1 IN AAAA 2001:db8::1"),
				}
				m.Extra = []dns.RR{record("lb.test. 1 IN A " + standbyIP)}
			}
		})}
	})
	reading, err := lookAt(t, addr, 4*time.Second)
	require.NoError(t, err)
	require.Equal(t, "1.00 0.00 0.00 0.00", shares(reading))
}

// Were it to fail, old servers and lost packets would be told as dead resolvers.
func TestLook_AsksOnceMore(t *testing.T) {
	seen := make(map[string]int)
	for name, first := range map[string]func(question []byte) []byte{
		"lost": func([]byte) []byte { return nil },
		"without EDNS": func(q []byte) []byte {
			return answered(t, q, func(m *dns.Msg) { m.Rcode, m.Answer = dns.RcodeFormatError, nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := overUDP(t, func(q []byte) [][]byte {
				asked := new(dns.Msg)
				require.NoError(t, asked.Unpack(q))
				id := name + asked.Question[0].String()
				if seen[id]++; seen[id] == 1 {
					if packet := first(q); packet != nil {
						return [][]byte{packet}
					}
					return nil
				}
				require.Equal(t, name == "without EDNS", asked.IsEdns0() == nil)
				return [][]byte{answered(t, q, func(*dns.Msg) {})}
			})
			reading, err := lookAt(t, addr, 2*time.Second)
			require.NoError(t, err)
			require.Equal(t, "1.00 0.00 0.00 0.00", shares(reading))
		})
	}
}

// Were it to fail, a look would go on after drwatch was stopped, or end in a verdict
// on what nobody had time to answer.
func TestLook_Cancelled(t *testing.T) {
	s := newStage(t)
	s.resolver(labdns.ResolverOptions{})
	s.look()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.probe.Look(ctx)
	require.ErrorContains(t, err, "cancelled")
	require.Equal(t, readiness.Timeout, probes.AsFailure(err).Class)
}

// Were it to fail, a machine without a network would count as one that saw the name
// lead nowhere.
func TestLook_NobodyAnswers(t *testing.T) {
	s := newStage(t)
	silent := s.silent()
	begun := time.Now()
	_, err := s.tryLook(time.Second)
	require.Equal(t, readiness.Timeout, probes.AsFailure(err).Class)
	require.ErrorContains(t, err, silent)
	require.Less(t, time.Since(begun), time.Second)
}
