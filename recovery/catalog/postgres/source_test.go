package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/postgres/postgrestest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// A neighbour's tables are never touched: in other schemas, in ours, with a name
// that ours might have, or bound to ours by a foreign key or a view. What such a
// bond keeps from being dropped is named, and in nobody's way. Hazard 60.
func testTruncateCascadeOverEverything(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	mustRestore(t, server, catalogtest.RandomTables(1, 50), Config{})
	g := currentOf(t, conn)
	ours := schema(defaultSchema).table(snapshot.Blobs, g)
	exec(t, conn,
		"CREATE TABLE public.blobs_1 AS SELECT * FROM generate_series(1, 10)",
		"CREATE TABLE recoverd.blobs_7 AS SELECT * FROM generate_series(1, 10)",
		"CREATE TABLE recoverd.pools_2_spool AS SELECT * FROM generate_series(1, 10)",
		"COMMENT ON TABLE recoverd.blobs_7 IS 'recoverd catalog, generation 8'",
		"CREATE TABLE recoverd.neighbour AS SELECT * FROM generate_series(1, 10)",
		"CREATE TABLE public.bound (id bytea REFERENCES "+ours+")",
		"INSERT INTO public.bound SELECT id FROM "+ours+" LIMIT 10",
		"CREATE VIEW public.seen AS SELECT * FROM "+schema(defaultSchema).table(snapshot.Pools, g),
	)
	neighbours := []string{"public.blobs_1", "recoverd.blobs_7", "recoverd.pools_2_spool", "recoverd.neighbour", "public.bound"}
	counted := func() (counts []string) {
		for _, name := range neighbours {
			counts = append(counts, texts(t, conn, "SELECT count(*)::text FROM "+name)...)
		}
		return append(counts, texts(t, conn, "SELECT count(*)::text FROM public.seen")...)
	}
	before := counted()
	next := catalogtest.RandomTables(2, 60)
	for range 3 {
		// Generation 2 stumbles over the neighbour's spool, and says so.
		result, err := Restore(t.Context(), server.DSN(), next, Config{})
		if err != nil {
			if !strings.Contains(err.Error(), "pools_2_spool") {
				t.Errorf("a table in its way: %v", err)
			}
			continue
		}
		if len(result.Kept) != 1 || !strings.Contains(result.Kept[0], "depends on") || !strings.Contains(result.Kept[0], "generation 1") {
			t.Errorf("kept %q", result.Kept)
		}
	}
	same(t, conn, defaultSchema, next)
	if after := counted(); !slices.Equal(before, after) {
		t.Errorf("the neighbours have %v rows, and had %v", after, before)
	}
	exec(t, conn, "DROP TABLE public.bound", "DROP VIEW public.seen", "DROP TABLE recoverd.blobs_7, recoverd.pools_2_spool, recoverd.neighbour")
	mustRestore(t, server, next, Config{})
	onlyCurrent(t, conn, defaultSchema)
}

// A state that is read is kept, however often it is replaced meanwhile, and
// dropped when nobody reads it any more.
func testKeptWhileRead(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	first := catalogtest.RandomTables(1, 500)
	mustRestore(t, server, first, Config{})
	c := open(t, OpenConfig{DSN: server.DSN()})
	bound := pin(t, c).Bound
	rows, after, seen := make([]recovery.Row, 30), recovery.Mark{}, []recovery.Row(nil)
	for end, n := false, uint64(2); !end; n++ {
		info, err := c.Page(t.Context(), after, rows)
		if err != nil || info.Stamp != bound.Stamp {
			t.Fatalf("page stamped %+v, error %v", info.Stamp, err)
		}
		if seen, end = append(seen, rows[:info.N]...), info.End; info.N > 0 {
			after = recovery.MarkAt(rows[info.N-1].ID)
		}
		if n < 5 {
			result := mustRestore(t, server, catalogtest.RandomTables(n, 100), Config{})
			if len(result.Kept) != 1 || !strings.Contains(result.Kept[0], "reads") {
				t.Errorf("restore %d kept %q", n, result.Kept)
			}
		}
	}
	if !slices.Equal(certified(t, first), seen) {
		t.Error("the pass saw other rows")
	}
	if tip := pin(t, c); tip.Bound == bound {
		t.Error("pinned the replaced state again")
	}
	mustRestore(t, server, first, Config{})
	pin(t, c)
	mustRestore(t, server, first, Config{})
	if n := texts(t, conn, "SELECT generation::text FROM recoverd.generations"); len(n) != 2 {
		t.Errorf("generations %v are there, and two are of use", n)
	}
}

// A state that is gone, because the lock that kept it was lost, is an error and
// never an absence; Pin goes on with the newer one. Hazards 2, 10, 80.
func testReadErrorMeansGone(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	state := catalogtest.RandomTables(1, 200)
	mustRestore(t, server, state, Config{})
	c := open(t, OpenConfig{DSN: server.DSN()})
	pin(t, c)
	id := certified(t, state)[0].ID
	exec(t, conn, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
	until(t, "the lock is gone", func() bool {
		return len(texts(t, conn, "SELECT 'x' FROM pg_locks WHERE locktype = 'advisory'")) == 0
	})
	result := mustRestore(t, server, state, Config{})
	if len(result.Kept) != 0 {
		t.Fatalf("kept %q", result.Kept)
	}
	if info, err := c.Page(t.Context(), recovery.Mark{}, make([]recovery.Row, 5)); !errors.Is(err, ErrGone) || info.End {
		t.Errorf("a page of a state that is gone: %+v, %v", info, err)
	}
	if _, rows, err := c.Lookup(t.Context(), []recovery.BlobID{id}); !errors.Is(err, ErrGone) || rows != nil {
		t.Errorf("a look-up in a state that is gone: %v, %v", rows, err)
	}
	if tip := pin(t, c); tip.Bound != result.Bound {
		t.Errorf("pinned %v, want %v", tip.Bound, result.Bound)
	}
	if !slices.Equal(certified(t, state), listed(t, c)) {
		t.Error("others are certified")
	}
}

// A server that is away is an error for as long as it is, and no longer.
func testAway(t *testing.T, server *postgrestest.Server) {
	state := catalogtest.RandomTables(1, 200)
	mustRestore(t, server, state, Config{})
	c := open(t, OpenConfig{DSN: server.DSN(), PollInterval: time.Millisecond})
	tip := pin(t, c)
	listed(t, c)
	server.Stop()
	page := func() error {
		info, err := c.Page(t.Context(), recovery.Mark{}, make([]recovery.Row, 5))
		if err == nil && info.N == 0 {
			t.Error("an empty page")
		}
		return err
	}
	_, _, lookup := c.Lookup(t.Context(), make([]recovery.BlobID, 3))
	_, pinned := c.Pin(t.Context())
	for what, err := range map[string]error{"page": page(), "look-up": lookup, "pin": pinned} {
		if err == nil || errors.Is(err, recovery.ErrMisconfigured) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Changed(waiting); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Changed while the server is away: %v", err)
	}
	server.Start(t)
	until(t, "pages can be read again", func() bool { return page() == nil })
	if again := pin(t, c); again.Bound != tip.Bound || !slices.Equal(certified(t, state), listed(t, c)) {
		t.Errorf("pinned %v, was %v", again.Bound, tip.Bound)
	}
}

// Between pages nothing is open that would hold dead rows back, on whatever
// table of the database. Hazard 35.
func testALongReadTransaction(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	mustRestore(t, server, catalogtest.RandomTables(1, 1000), Config{})
	c := open(t, OpenConfig{DSN: server.DSN()})
	pin(t, c)
	rows, after := make([]recovery.Row, 50), recovery.Mark{}
	for end, pages := false, 0; !end; pages++ {
		info, err := c.Page(t.Context(), after, rows)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Lookup(t.Context(), []recovery.BlobID{rows[0].ID}); err != nil {
			t.Fatal(err)
		}
		open := texts(t, conn, `SELECT state || ': ' || query FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND application_name = 'recoverd' AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR state <> 'idle')`)
		if len(open) != 0 {
			t.Fatalf("after page %d: %q", pages, open)
		}
		if end = info.End; info.N > 0 {
			after = recovery.MarkAt(rows[info.N-1].ID)
		}
	}
}

// Reading takes no more than the right to read.
func testReader(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	state := catalogtest.RandomTables(1, 100)
	mustRestore(t, server, state, Config{})
	exec(t, conn, "CREATE ROLE reader LOGIN")
	cfg := OpenConfig{DSN: server.DSNOf("reader", "")}
	c := open(t, cfg)
	if _, err := c.Pin(t.Context()); !errors.Is(err, recovery.ErrMisconfigured) || code(err) != codeNoPrivilege {
		t.Errorf("without rights: %v", err)
	}
	exec(t, conn, "GRANT USAGE ON SCHEMA recoverd TO reader", "GRANT SELECT ON ALL TABLES IN SCHEMA recoverd TO reader",
		"ALTER DEFAULT PRIVILEGES IN SCHEMA recoverd GRANT SELECT ON TABLES TO reader")
	for range 2 {
		pin(t, c)
		if !slices.Equal(certified(t, state), listed(t, c)) {
			t.Error("others are certified")
		}
		state = catalogtest.RandomTables(2, 100)
		mustRestore(t, server, state, Config{})
	}
	if _, err := Restore(t.Context(), cfg.DSN, state, Config{}); code(err) != codeNoPrivilege {
		t.Errorf("a reader restored: %v", err)
	}
	// Restoring takes a schema of one's own, and nothing beyond.
	exec(t, conn, "CREATE SCHEMA theirs AUTHORIZATION reader")
	if _, err := Restore(t.Context(), cfg.DSN, state, Config{Schema: "theirs"}); err != nil {
		t.Errorf("into a schema of one's own: %v", err)
	}
}

// What is not this package's is refused and left as it is.
func testForeign(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	state := catalogtest.RandomTables(1, 10)
	exec(t, conn, "CREATE SCHEMA other", "CREATE TABLE other.generations AS SELECT 1 AS generation")
	mustRestore(t, server, state, Config{Schema: "later"})
	exec(t, conn, "COMMENT ON TABLE later.generations IS 'recoverd catalog, layout 2'")
	for _, name := range []string{"other", "later"} {
		before := texts(t, conn, "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace", name)
		if _, err := Restore(t.Context(), server.DSN(), state, Config{Schema: name}); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: restored: %v", name, err)
		}
		if _, err := open(t, OpenConfig{DSN: server.DSN(), Schema: name}).Pin(t.Context()); !errors.Is(err, ErrForeign) || !errors.Is(err, recovery.ErrMisconfigured) {
			t.Errorf("%s: pinned: %v", name, err)
		}
		if after := texts(t, conn, "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace", name); !slices.Equal(before, after) {
			t.Errorf("%s holds %q, and held %q", name, after, before)
		}
	}
}

// A catalog may be opened before there is one.
func testComesLater(t *testing.T, server *postgrestest.Server) {
	c := open(t, OpenConfig{DSN: server.DSN(), PollInterval: time.Millisecond})
	if _, err := c.Pin(t.Context()); !errors.Is(err, ErrEmpty) || errors.Is(err, recovery.ErrMisconfigured) {
		t.Fatalf("pinned nothing: %v", err)
	}
	woken := make(chan error, 1)
	go func() { woken <- c.Changed(context.Background()) }()
	result := mustRestore(t, server, catalogtest.RandomTables(1, 10), Config{})
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	if tip := pin(t, c); tip.Bound != result.Bound || !tip.Static || !tip.AtTip || len(tip.Ancestors) != 2 {
		t.Errorf("pinned %+v, want %v", tip, result.Bound)
	}
	go func() { woken <- c.Changed(context.Background()) }()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, pinErr := c.Pin(t.Context())
	_, pageErr := c.Page(t.Context(), recovery.Mark{}, make([]recovery.Row, 1))
	_, _, lookErr := c.Lookup(t.Context(), nil)
	for what, err := range map[string]error{"Changed": <-woken, "Pin": pinErr, "Page": pageErr, "Lookup": lookErr} {
		if !errors.Is(err, catalog.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
}

// What the tables never held is damage, wherever it is met.
func testDamaged(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	s := schema(defaultSchema)
	for name, sql := range map[string]string{
		"short id":      "UPDATE %[1]s SET id = substr(id, 2)",
		"encoding":      "UPDATE %[1]s SET size = -5",
		"quiet":         "UPDATE %[1]s SET size = size + 1 WHERE id = (SELECT id FROM %[1]s WHERE size IS NOT NULL LIMIT 1)",
		"dangling":      "DELETE FROM %[1]s",
		"no such pool":  "DELETE FROM %[4]s",
		"epoch":         "UPDATE %[2]s SET end_epoch = 5000000000",
		"another state": "UPDATE " + s.generations() + " SET position = position - 1 WHERE status = 'current'",
	} {
		state := catalogtest.RandomTables(1, 100)
		mustRestore(t, server, state, Config{})
		c, err := Open(OpenConfig{DSN: server.DSN()})
		if err != nil {
			t.Fatal(err)
		}
		pin(t, c)
		g := currentOf(t, conn)
		for k := snapshot.Blobs; k <= snapshot.Pools; k++ {
			sql = strings.ReplaceAll(sql, fmt.Sprintf("%%[%d]s", k), s.table(k, g))
		}
		exec(t, conn, sql)
		var last error
		for _, err := range catalog.Rows(t.Context(), c, recovery.Mark{}) {
			last = err
		}
		c.Close()
		again, err := Open(OpenConfig{DSN: server.DSN()})
		if err != nil {
			t.Fatal(err)
		}
		_, repinned := again.Pin(t.Context())
		verified := again.Verify(t.Context())
		again.Close()
		bad := errors.Is(last, ErrDamaged) || errors.Is(last, snapshot.ErrOrphan) || errors.Is(repinned, ErrDamaged)
		if name == "quiet" {
			bad = true // only Verify can see it
		}
		if !bad || repinned == nil && !errors.Is(verified, ErrDamaged) {
			t.Errorf("%s: read %v, pinned %v, verified %v", name, last, repinned, verified)
		}
	}
}

// No error and no result says a password, whatever is wrong with the connection
// string or the server.
func TestServersPostgresPasswords(t *testing.T) {
	patient(t)
	const secret = "s3cr3t:p@ss/word?#"
	server := postgrestest.Start(t, postgrestest.Config{Settings: levels()["replica"].Settings, Password: secret})
	state := catalogtest.RandomTables(1, 10)
	mustRestore(t, server, state, Config{})
	served(t, OpenConfig{DSN: server.DSN()})
	host := strings.Fields(server.DSN())[0]
	wrong := "wr0ng-" + secret
	if at, err := Where(server.DSN()); err != nil || !strings.Contains(at, `"postgres"`) || strings.Contains(at, "s3cr3t") {
		t.Errorf("it is at %q, error %v", at, err)
	}
	for _, dsn := range []string{
		host + " user=tester dbname=postgres password='" + wrong + "'",
		host + " user=nobody dbname=postgres password='" + secret + "'",
		host + " user=tester dbname=none password='" + secret + "'",
		"host=/nowhere user=tester password='" + secret + "'",
		"host=127.0.0.1 port=1 user=tester password='" + secret + "'",
		"postgres://tester:" + secret + "@127.0.0.1:1/postgres",
		"postgres://tester:" + wrong + "@[::1/postgres",
		"postgres://tester@127.0.0.1:1/postgres?password=" + secret + "&sslmode=none",
		"postgres:/tester:" + secret + "@127.0.0.1:1",
		"host=x password='" + secret,
		"password=" + secret + " port=x",
		host + " user=tester dbname=postgres passwort='" + secret + "'",
	} {
		_, restoreErr := Restore(t.Context(), dsn, state, Config{})
		_, whereErr := Where(dsn)
		errs := []error{restoreErr, whereErr}
		c, err := Open(OpenConfig{DSN: dsn})
		if errs = append(errs, err); err == nil {
			_, pinErr := c.Pin(t.Context())
			errs = append(errs, pinErr)
			errs = append(errs, c.Close())
		}
		if restoreErr == nil {
			t.Errorf("%q was accepted", dsn)
		}
		for _, err := range errs {
			eachText(err, func(text string) {
				for _, part := range []string{secret, wrong, "s3cr3t", "p@ss", "word?"} {
					if strings.Contains(text, part) {
						t.Errorf("%q tells %q: %v", dsn, part, text)
					}
				}
			})
		}
	}
}

// eachText visits the texts of an error and of all that it wraps.
func eachText(err error, visit func(text string)) {
	if err == nil {
		return
	}
	visit(fmt.Sprintf("%v %+v", err, err))
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		eachText(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			eachText(inner, visit)
		}
	}
}
