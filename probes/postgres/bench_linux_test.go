package postgres

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
)

// BenchmarkLook is the cost of one look, to us and to the server: over a
// connection of its own, as every look has it, and over one that is kept. For the
// latter the server keeps a process, whose memory is told.
func BenchmarkLook(b *testing.B) {
	l := labtest.Start(b, func(o *lab.Options) { o.Logger = slog.New(slog.DiscardHandler) })
	servers := l.Endpoints().Postgres
	for _, mode := range []string{"verify-full", "disable"} {
		dsn := strings.ReplaceAll(servers.Standby.URL, "sslmode=verify-full", "sslmode="+mode)
		p := newProbe(b, Config{DSN: dsn, PasswordFile: servers.PasswordFiles["drwatch"]}, replicaCopy())
		b.Run("sslmode="+mode+"/anew", func(b *testing.B) {
			cost(b, l, func() error { _, err := p.Look(b.Context()); return err })
		})
		b.Run("sslmode="+mode+"/kept", func(b *testing.B) {
			require.NoError(b, p.looker.within(b.Context(), func(ctx context.Context, s *session) error {
				cost(b, l, func() error { _, err := p.ask(ctx, s); return err })
				memory, err := process(b, int(s.conn.PID())).ProcSMapsRollup()
				b.ReportMetric(float64(memory.PrivateDirty+memory.PrivateClean)/1e6, "server-MB")
				return err
			}))
		})
	}
}

// cost reports the processor time that all processes of the server take
// for one look.
func cost(b *testing.B, l *lab.Lab, look func() error) {
	b.ReportAllocs()
	before := serverCPU(b, l)
	for b.Loop() {
		require.NoError(b, look())
	}
	b.ReportMetric((serverCPU(b, l)-before)*1e3/float64(b.N), "server-ms/op")
}

// serverCPU counts the processes that have ended, too.
func serverCPU(b *testing.B, l *lab.Lab) (seconds float64) {
	conn, err := l.ConnectPostgres(context.Background(), lab.Standby)
	require.NoError(b, err)
	defer func() { require.NoError(b, conn.Close(context.Background())) }()
	of := func(p procfs.Proc) procfs.ProcStat { stat, _ := p.Stat(); return stat } // it may have ended meanwhile
	postmaster := of(process(b, of(process(b, int(conn.PgConn().PID()))).PPID))
	seconds = postmaster.CPUTime() + float64(postmaster.CUTime+postmaster.CSTime)/100
	all, err := procfs.AllProcs()
	require.NoError(b, err)
	for _, p := range all {
		if stat := of(p); stat.PPID == postmaster.PID {
			seconds += stat.CPUTime()
		}
	}
	return seconds
}

func process(b *testing.B, pid int) procfs.Proc {
	p, err := procfs.NewProc(pid)
	require.NoError(b, err)
	return p
}
