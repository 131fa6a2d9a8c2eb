package postgres

import (
	"context"
	"errors"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/postgres/postgrestest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Whatever is in a state is in the tables, and comes out as the same snapshot,
// byte for byte, with either kind of server and any number of streams.
func testRestoreIsTheState(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	spools := texts(t, conn, "SHOW wal_level")[0] != "minimal"
	for i, n := range []int{0, 1, 300, 4000} {
		want := catalogtest.RandomTables(uint64(n), n)
		result := mustRestore(t, server, want, Config{Streams: 1 + i%2})
		same(t, conn, defaultSchema, want)
		onlyCurrent(t, conn, defaultSchema)
		if result.Spooled != spools || result.Generation != i+1 || len(result.Kept) != 0 {
			t.Errorf("%d blobs: result %+v", n, result)
		}
		verified(t, server, want)
		tip, rows := served(t, OpenConfig{DSN: server.DSN()})
		if tip.Bound != result.Bound || tip.Blobs != result.Totals.Certified || tip.Bytes != result.Totals.Bytes() {
			t.Errorf("%d blobs: tip %+v, restored %+v", n, tip, result.Summary)
		}
		if !slices.Equal(certified(t, want), rows) {
			t.Errorf("%d blobs: others are certified", n)
		}
	}
}

// A snapshot that is laid over another is restored as the state that they are.
func testIncremental(t *testing.T, server *postgrestest.Server) {
	dir := t.TempDir()
	base, next := catalogtest.RandomTables(1, 900), catalogtest.RandomTables(2, 700)
	next.Head.Position++
	base.Write(t, filepath.Join(dir, "full"))
	full := openSnapshot(t, filepath.Join(dir, "full"))
	if _, err := snapshot.WriteIncremental(t.Context(), filepath.Join(dir, "incr"), full, next, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	incremental := openSnapshot(t, filepath.Join(dir, "incr"))
	over, err := snapshot.Over(full, incremental)
	if err != nil {
		t.Fatal(err)
	}
	mustRestore(t, server, over, Config{})
	same(t, server.Connect(t), defaultSchema, next)
	if _, err := Restore(t.Context(), server.DSN(), incremental, Config{}); !errors.Is(err, snapshot.ErrKind) {
		t.Errorf("an incremental alone was restored: %v", err)
	}
}

// A schema may have any name, and schemas do not know each other.
func testSchemas(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	for i, name := range []string{`a "b" %d 'c' é`, "UPPER", "public", "a.b"} {
		state := catalogtest.RandomTables(uint64(i), 40)
		mustRestore(t, server, state, Config{Schema: name})
		mustRestore(t, server, state, Config{Schema: name})
		same(t, conn, schema(name), state)
		if _, rows := served(t, OpenConfig{DSN: server.DSN(), Schema: name}); !slices.Equal(certified(t, state), rows) {
			t.Errorf("%q: others are certified", name)
		}
	}
}

// liar is a state that says it comes to something else.
type liar struct {
	*catalogtest.Tables
	sum snapshot.Summary
}

func (l liar) Bound() recovery.Bound   { return l.sum.Bound }
func (l liar) Totals() snapshot.Totals { return l.sum.Totals }

// broken is a state whose registrations end with an error.
type broken struct {
	liar
	err error
}

func (b broken) Registrations() snapshot.Cursor[snapshot.Registration] {
	return &breaking{b.liar.Registrations(), 150, b.err}
}

type breaking struct {
	snapshot.Cursor[snapshot.Registration]
	left int
	err  error
}

func (b *breaking) Next() (*snapshot.Registration, error) {
	if b.left--; b.left < 0 {
		return nil, b.err
	}
	return b.Cursor.Next()
}

// What was loaded is compared with what was to be restored before anything is
// switched, and a state that cannot be read ends the restore; what was there
// stays, and the next restore finds nothing in its way.
func testRefused(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	old, next := catalogtest.RandomTables(1, 100), catalogtest.RandomTables(2, 200)
	mustRestore(t, server, old, Config{})
	sum, err := snapshot.SumUp(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	otherDigest, otherCount := sum, sum
	otherDigest.Bound.Digest[7]++
	otherCount.Totals.Rows.Pooled++
	cancelled, cancel := context.WithCancelCause(t.Context())
	for name, c := range map[string]struct {
		ctx   context.Context
		state snapshot.State
		step  func(string)
		want  error
	}{
		"digest":    {t.Context(), liar{next, otherDigest}, nil, ErrVerify},
		"count":     {t.Context(), liar{next, otherCount}, nil, ErrVerify},
		"unread":    {t.Context(), broken{liar{next, sum}, io.ErrUnexpectedEOF}, nil, io.ErrUnexpectedEOF},
		"cancelled": {cancelled, next, at(stepLoaded, func() { cancel(errTest) }), errTest},
	} {
		_, err := Restore(c.ctx, server.DSN(), c.state, Config{step: c.step})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), "recoverd") {
			t.Errorf("%s: %v", name, err)
		}
		same(t, conn, defaultSchema, old)
	}
	mustRestore(t, server, next, Config{})
	same(t, conn, defaultSchema, next)
	onlyCurrent(t, conn, defaultSchema)
}

// backwards is a state whose registrations come in no order.
type backwards struct{ liar }

func (b backwards) Registrations() snapshot.Cursor[snapshot.Registration] {
	rows := slices.Clone(b.OwnRows)
	slices.Reverse(rows)
	return &inMemory[snapshot.Registration]{rows}
}

// Rows that do not lie in the order of their keys are read back by the index.
func testUnordered(t *testing.T, server *postgrestest.Server) {
	state := catalogtest.RandomTables(1, 500)
	sum, err := snapshot.SumUp(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	mustRestore(t, server, backwards{liar{state, sum}}, Config{})
	same(t, server.Connect(t), defaultSchema, state)
}

// Two restores into one schema at once: the second says so, and touches nothing.
func testTheLock(t *testing.T, server *postgrestest.Server) {
	state, other := catalogtest.RandomTables(1, 300), catalogtest.RandomTables(2, 10)
	tried := 0
	mustRestore(t, server, state, Config{step: at(stepLoaded, func() {
		tried++
		if _, err := Restore(t.Context(), server.DSN(), other, Config{}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "recoverd") {
			t.Errorf("a second restore: %v", err)
		}
		mustRestore(t, server, other, Config{Schema: "another"})
	})})
	if tried != 1 {
		t.Error("no second restore was tried")
	}
	same(t, server.Connect(t), defaultSchema, state)
	same(t, server.Connect(t), "another", other)
}

// A session that lost the lock cannot switch: another restore may have begun, and
// has taken its generation for a leftover.
func testLostLock(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	first, second := catalogtest.RandomTables(1, 300), catalogtest.RandomTables(2, 200)
	_, err := Restore(t.Context(), server.DSN(), first, Config{step: at(stepVerified, func() {
		exec(t, conn, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
		mustRestore(t, server, second, Config{})
	})})
	if err == nil {
		t.Error("a restore that had lost its lock succeeded")
	}
	same(t, conn, defaultSchema, second)
	mustRestore(t, server, second, Config{})
	onlyCurrent(t, conn, defaultSchema)
}

func TestOutOfRange(t *testing.T) {
	state := catalogtest.RandomTables(1, 10)
	state.Head.Position = math.MaxInt64 + 1
	// Nobody listens there: it is refused before.
	if _, err := Restore(t.Context(), "host=/nowhere", state, Config{}); !errors.Is(err, ErrRange) || !strings.Contains(err.Error(), "9223372036854775808") {
		t.Errorf("a position above 2^63: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"streams": {Streams: 3}, "memory": {IndexMemory: -1}, "negative": {Streams: -1}, "long": {Schema: strings.Repeat("x", 64)},
		"reserved": {Schema: "pg_catalog"}, "zero byte": {Schema: "a\x00b"},
	} {
		if _, err := Restore(t.Context(), "", catalogtest.RandomTables(1, 1), c); err == nil || !strings.HasPrefix(err.Error(), "postgres: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]OpenConfig{
		"interval": {PollInterval: -1}, "connections": {Connections: -1}, "schema": {Schema: "pg_x"},
	} {
		if _, err := Open(c); err == nil || !strings.HasPrefix(err.Error(), "postgres: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A full disk: a clear error, what was there goes on, and so does the restore
// when there is room. Hazard 51.
func TestServersPostgresAFullDisk(t *testing.T) {
	patient(t)
	server := postgrestest.Start(t, levels()["replica"])
	conn := server.Connect(t)
	dir, resize := server.MountSmall(t, "16m")
	exec(t, conn, "CREATE TABLESPACE small LOCATION '"+dir+"'", "CREATE DATABASE small TABLESPACE small")
	dsn := server.In("small").DSN()
	old, next := catalogtest.RandomTables(1, 100), catalogtest.RandomTables(2, 40_000)
	if _, err := Restore(t.Context(), dsn, old, Config{}); err != nil {
		t.Fatal(err)
	}
	_, err := Restore(t.Context(), dsn, next, Config{})
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "53100" || !strings.Contains(err.Error(), "small") {
		t.Errorf("a full disk: %v", err)
	}
	c := open(t, OpenConfig{DSN: dsn})
	pin(t, c)
	if !slices.Equal(certified(t, old), listed(t, c)) {
		t.Error("the old state is another")
	}
	resize("200m")
	result, err := Restore(t.Context(), dsn, next, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if tip := pin(t, c); tip.Bound != result.Bound || !slices.Equal(certified(t, next), listed(t, c)) {
		t.Errorf("with room again, the state is %v", tip.Bound)
	}
}
