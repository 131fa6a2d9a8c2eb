package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/postgres/postgrestest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// levels are the servers that a restore treats differently: those whose WAL is
// read by others, and those where it is not. Tests of many restores do without
// the disk: what a kill of a process can lose does not depend on it.
func levels() map[string]postgrestest.Config {
	return map[string]postgrestest.Config{
		"replica": {Settings: []string{"wal_level = replica", "fsync = off"}},
		"minimal": {Settings: []string{"wal_level = minimal", "max_wal_senders = 0", "fsync = off"}},
	}
}

func mustRestore(t testing.TB, s *postgrestest.Server, state snapshot.State, c Config) Result {
	t.Helper()
	result, err := Restore(context.Background(), s.DSN(), state, c)
	if err != nil {
		t.Errorf("restore: %v", err) // perhaps not the test's goroutine: no Fatal
	}
	return result
}

func open(t testing.TB, c OpenConfig) *Catalog {
	t.Helper()
	catalog, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := catalog.Close(); err != nil {
			t.Error(err)
		}
	})
	return catalog
}

func pin(t testing.TB, c *Catalog) recovery.Tip {
	t.Helper()
	tip, err := c.Pin(t.Context())
	if err != nil {
		t.Fatalf("pin: %v", err)
	}
	return tip
}

// served opens a catalog, reads all of it and closes it.
func served(t testing.TB, c OpenConfig) (recovery.Tip, []recovery.Row) {
	t.Helper()
	from, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	return pin(t, from), listed(t, from)
}

// verified proves a catalog, and that its state makes the snapshot that want
// makes.
func verified(t testing.TB, s *postgrestest.Server, want snapshot.State) {
	t.Helper()
	c, err := Open(OpenConfig{DSN: s.DSN()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pin(t, c)
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	state, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(asSnapshot(t, want), asSnapshot(t, state)) {
		t.Error("the catalog's state is another")
	}
}

// listed reads all of a catalog.
func listed(t testing.TB, c *Catalog) (rows []recovery.Row) {
	t.Helper()
	for row, err := range catalog.Rows(t.Context(), c, recovery.Mark{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// certified lists what a state certifies, by way of a snapshot of it.
func certified(t testing.TB, s snapshot.State) (rows []recovery.Row) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.rsnap")
	if _, err := snapshot.Write(t.Context(), path, s, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := catalog.NewFile(catalog.FileConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for row, err := range catalog.Rows(t.Context(), f, recovery.Mark{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// asSnapshot returns the bytes of a state's snapshot, by which states are equal
// or not.
func asSnapshot(t testing.TB, s snapshot.State) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.rsnap")
	if _, err := snapshot.Write(t.Context(), path, s, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// tablesOf reads the current generation out of a schema, row by row.
func tablesOf(t testing.TB, conn *pgx.Conn, s schema) *catalogtest.Tables {
	t.Helper()
	d, err := current(t.Context(), conn, s)
	if err != nil {
		t.Fatal(err)
	}
	all := &catalogtest.Tables{Head: d.header}
	err = inSnapshot(t.Context(), conn, func(tx pgx.Tx) (err error) {
		q := queryIn(t.Context(), tx)
		if all.BlobRows, err = drain(newKeyset[snapshot.Blob](q, s, d.generation, 97, blobCodec())); err != nil {
			return err
		}
		if all.OwnRows, err = drain(newKeyset[snapshot.Registration](q, s, d.generation, 97, registrationCodec())); err != nil {
			return err
		}
		if all.PooledRows, err = drain(newKeyset[snapshot.Pooled](q, s, d.generation, 97, pooledCodec())); err != nil {
			return err
		}
		all.PoolRows, err = poolsOf(t.Context(), tx, s, d.generation)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func drain[R any](c snapshot.Cursor[R]) (rows []R, err error) {
	for {
		row, err := c.Next()
		if row == nil || err != nil {
			return rows, err
		}
		rows = append(rows, *row)
	}
}

// same reports a schema that does not hold exactly the state.
func same(t testing.TB, conn *pgx.Conn, s schema, want snapshot.State) {
	t.Helper()
	if !bytes.Equal(asSnapshot(t, want), asSnapshot(t, tablesOf(t, conn, s))) {
		t.Errorf("schema %q holds another state than %+v", s, want.Header())
	}
}

// exec runs statements that must succeed.
func exec(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// texts returns the first column of a query, sorted.
func texts(t testing.TB, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	slices.Sort(found)
	return found
}

// onlyCurrent reports what lies in a schema besides the current generation.
func onlyCurrent(t testing.TB, conn *pgx.Conn, s schema) {
	t.Helper()
	d, err := current(t.Context(), conn, s)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{generationsName}
	for k := snapshot.Blobs; k <= snapshot.Pools; k++ {
		want = append(want, tableName(k, d.generation))
	}
	slices.Sort(want)
	found := texts(t, conn, "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'", s.quoted())
	if !slices.Equal(want, found) {
		t.Errorf("schema %q holds %q, want %q", s, found, want)
	}
	if n := texts(t, conn, "SELECT generation::text FROM "+s.generations()); len(n) != 1 {
		t.Errorf("the list has generations %q, want one", n)
	}
}

// until waits for something that another process or backend is about to do.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// at returns a step function that calls fn the first time that a step is met.
func at(step string, fn func()) func(string) {
	done := false
	return func(met string) {
		if met == step && !done {
			done = true
			fn()
		}
	}
}

// fixture writes a state to a file that another process can restore.
func fixture(t testing.TB, s *catalogtest.Tables) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.rsnap", s.Head.Position))
	s.Write(t, path)
	return path
}

func openSnapshot(t testing.TB, path string) *snapshot.Reader {
	t.Helper()
	r, err := snapshot.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

var errTest = errors.New("the test's error")
