package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/ledgertest"
)

// hurtful knows how to hurt the ledgers that it has made.
type hurtful struct {
	*cluster
	*proxy
	options map[ledger.Store]Options
}

// What a failover rests on holds for a ledger in PostgreSQL as for any other.
func TestStore_PassesTheSuite(t *testing.T) {
	c := shared(t)
	h := hurtful{cluster: c, proxy: newProxy(t, c.address()), options: map[ledger.Store]Options{}}
	harness := ledgertest.Harness{
		Open: func(t testing.TB) ledger.Store {
			s, err := h.open(t, h.empty(t))
			require.NoError(t, err)
			return s
		},
		Reopen:  func(t testing.TB, s ledger.Store) (ledger.Store, error) { return h.open(t, h.options[s]) },
		Rewrite: h.rewrite,
		Move: func(t testing.TB, s ledger.Store, by time.Duration) { // the leases, against a clock that goes on
			h.exec(t, fmt.Sprintf("UPDATE %s.leases SET until = until - %d WHERE until > 0", identifier(h.options[s].Schema), by.Microseconds()))
		},
		Command: func(t testing.TB, s ledger.Store) *exec.Cmd {
			return writer(h.options[s], writerEnv)
		},
		ReadOnly: h.readOnly,
		Damage:   h.damage,
		Restart: func(t testing.TB, _ ledger.Store) {
			require.NoError(t, h.kill())
			require.NoError(t, h.start())
		},
		Cut:    func(testing.TB, ledger.Store) func() { h.cut(); return h.mend },
		Deafen: func(testing.TB, ledger.Store) func() { h.deafen(); return h.mend },
	}
	if os.Getuid() == 0 {
		harness.Fill = h.fill
	}
	ledgertest.Run(t, harness)
}

// open opens a ledger over the network that can be cut.
func (h hurtful) open(t testing.TB, o Options) (ledger.Store, error) {
	over := o
	over.DSN = strings.ReplaceAll(o.DSN, h.cluster.address(), h.proxy.address())
	s, err := Open(t.Context(), over)
	if err != nil {
		return nil, err
	}
	h.options[s] = o
	return s, nil
}

func (h hurtful) rewrite(t testing.TB, s ledger.Store, events []ledger.Event) {
	schema := identifier(h.options[s].Schema)
	conn, err := pgx.Connect(t.Context(), h.dsn("postgres"))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "ALTER TABLE "+schema+".events DISABLE TRIGGER USER; DELETE FROM "+schema+".events")
	require.NoError(t, err)
	for _, e := range events {
		_, err := conn.Exec(t.Context(), "INSERT INTO "+schema+".events VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
			e.Position, e.Stream, e.Sequence, e.ID, e.Time.UnixMicro(), e.Kind, e.Actor, e.Body, e.Previous[:], e.Hash[:])
		require.NoError(t, err)
	}
	_, err = conn.Exec(t.Context(), "ALTER TABLE "+schema+".events ENABLE TRIGGER USER")
	require.NoError(t, err)
}

// readOnly opens it as a role that may do no more than read.
func (h hurtful) readOnly(t testing.TB, s ledger.Store) ledger.Store {
	o := h.options[s]
	h.exec(t, "DROP ROLE IF EXISTS auditor", "CREATE ROLE auditor LOGIN",
		"GRANT USAGE ON SCHEMA "+identifier(o.Schema)+" TO auditor", "GRANT SELECT ON ALL TABLES IN SCHEMA "+identifier(o.Schema)+" TO auditor")
	t.Cleanup(func() { h.exec(t, "DROP OWNED BY auditor", "DROP ROLE auditor") })
	o.DSN = h.dsn("auditor")
	other, err := h.open(t, o)
	require.NoError(t, err)
	return other
}

// damage writes zeros into a page of the log while the server is down.
func (h hurtful) damage(t testing.TB, s ledger.Store) {
	file := filepath.Join(h.dir, query[string](t, h.cluster, "SELECT pg_relation_filepath($1)", identifier(h.options[s].Schema)+".events"))
	require.NoError(t, h.stop())
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, 512), 2*8192+6000)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, h.start())
}

// fill moves the log to a disk on which there is no room.
func (h hurtful) fill(t testing.TB, s ledger.Store) (room func()) {
	schema := identifier(h.options[s].Schema)
	disk := filepath.Join(filepath.Dir(h.dir), "small")
	require.NoError(t, os.MkdirAll(disk, 0o755))
	require.NoError(t, unix.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=16m,uid=%d,gid=%d,mode=700", h.account.Uid, h.account.Gid)))
	h.exec(t, "CREATE TABLESPACE small LOCATION '"+disk+"'", "ALTER TABLE "+schema+".events SET TABLESPACE small")
	t.Cleanup(func() {
		h.exec(t, "ALTER TABLE "+schema+".events SET TABLESPACE pg_default", "CHECKPOINT", "DROP TABLESPACE small")
		require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH))
	})
	f, err := os.Create(filepath.Join(disk, "filler"))
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(f.Name())) }
}
