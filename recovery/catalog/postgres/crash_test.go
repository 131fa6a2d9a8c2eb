package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/postgres/postgrestest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// victimEnv tells the test program to restore a file and to kill itself when it
// meets a step for the n-th time: "dsn|file|step|n".
const victimEnv = "RECOVERD_TEST_POSTGRES_VICTIM"

func victim() int {
	args := strings.Split(os.Getenv(victimEnv), "|")
	left, err := strconv.Atoi(args[3])
	if err != nil {
		return 2
	}
	r, err := snapshot.Open(args[1])
	if err != nil {
		return 2
	}
	step := func(name string) {
		if name == args[2] {
			left--
		}
		if left == 0 {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // it is on its way
		}
	}
	if _, err := Restore(context.Background(), args[0], r, Config{step: step}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// restoreAndDie restores in another process that is killed at a step.
func restoreAndDie(t testing.TB, dsn, file, step string, n int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%s|%d", victimEnv, dsn, file, step, n))
	var exit *osexec.ExitError
	if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("it was to be killed when %s for time %d: %v: %s", step, n, err, out)
	}
}

// The restoring process is killed at every step, on both kinds of server; where
// servers are required, each time that a step is met. What the schema then serves
// is all of the old state or all of the new one, position, digest and rows of one
// and the same; the next restore begins again, finishes, and leaves nothing
// behind.
//
// Hazards 58, 59: rows and position are switched by one transaction, and no other
// store holds either. Hazards 49 and 50: what a killed restore left is in
// nobody's way, its lock included, and is removed.
func testDataWipedAndPositionKept(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	old, next := catalogtest.RandomTables(1, 400), catalogtest.RandomTables(2, 1500)
	next.Head.Position++
	file, met := fixture(t, next), map[string]int{}
	mustRestore(t, server, next, Config{step: func(step string) { met[step]++ }})
	wanted := []string{stepPrepared, stepLoading, stepLoaded, stepIndexed, stepVerified, stepCommitted, stepSwitching, stepSwitched, stepDropped}
	if met[stepCopying] > 0 || texts(t, conn, "SHOW wal_level")[0] != "minimal" {
		wanted = append(wanted, stepCopying)
	}
	for _, step := range wanted {
		times := met[step]
		if !required() {
			times = min(times, 1)
		}
		if times == 0 {
			t.Errorf("no restore is ever %s", step)
		}
		for n := 1; n <= times; n++ {
			mustRestore(t, server, old, Config{})
			restoreAndDie(t, server.DSN(), file, step, n)
			want := old
			if step == stepSwitched || step == stepDropped {
				want = next
			}
			same(t, conn, defaultSchema, want)
			if tip, _ := served(t, OpenConfig{DSN: server.DSN()}); tip.Position != want.Head.Position {
				t.Error("the position is another's")
			}
			mustRestore(t, server, next, Config{})
			same(t, conn, defaultSchema, next)
			onlyCurrent(t, conn, defaultSchema)
			if t.Failed() {
				t.Fatalf("killed when %s for time %d", step, n)
			}
		}
	}
}

// The server crashes right after a restore, and in the middle of one. What was
// answered is all there when it is back; what was not is the old state. A table
// that is not logged fails the restore. Hazard 61.
//
// Nothing is ever altered to be logged: rows are copied from unlogged spools into
// tables that were made logged, so that no order of foreign keys is to be kept.
func testTablesLeftUnloggedAreEmptyAfterTheNextCrash(t *testing.T, server *postgrestest.Server) {
	old, next := catalogtest.RandomTables(1, 500), catalogtest.RandomTables(2, 900)
	mustRestore(t, server, old, Config{})
	server.Crash()
	server.Start(t)
	same(t, server.Connect(t), defaultSchema, old)
	for _, step := range []string{stepPrepared, stepLoading, stepLoaded, stepIndexed, stepVerified, stepCommitted, stepSwitching} {
		_, err := Restore(t.Context(), server.DSN(), next, Config{step: at(step, server.Crash)})
		if err == nil {
			t.Errorf("the server crashed when %s, and the restore succeeded", step)
		}
		server.Start(t)
		same(t, server.Connect(t), defaultSchema, old)
	}
	mustRestore(t, server, next, Config{step: at(stepSwitched, server.Crash)})
	server.Start(t)
	same(t, server.Connect(t), defaultSchema, next)
	mustRestore(t, server, old, Config{})
	onlyCurrent(t, server.Connect(t), defaultSchema)
	unlogged(t, server, old, next)
}

// unlogged makes one table after the other unlogged under a restore.
func unlogged(t *testing.T, server *postgrestest.Server, old, next *catalogtest.Tables) {
	conn := server.Connect(t)
	for k := snapshot.Blobs; k <= snapshot.Pools; k++ {
		committed := 0
		_, err := Restore(t.Context(), server.DSN(), next, Config{step: func(step string) {
			if step == stepCommitted {
				committed++
			}
			if step != stepCommitted || committed != 2 {
				return
			}
			var g generation
			if err := conn.QueryRow(t.Context(), "SELECT max(generation) FROM recoverd.generations").Scan(&g); err != nil {
				t.Fatal(err)
			}
			exec(t, conn, "ALTER TABLE "+schema(defaultSchema).table(k, g)+" SET UNLOGGED")
		}})
		if !errors.Is(err, ErrUnlogged) || !strings.Contains(err.Error(), k.String()) {
			t.Errorf("table %v was unlogged: %v", k, err)
		}
		same(t, conn, defaultSchema, old)
	}
	c := open(t, OpenConfig{DSN: server.DSN()})
	exec(t, conn, "ALTER TABLE "+schema(defaultSchema).table(snapshot.Blobs, currentOf(t, conn))+" SET UNLOGGED")
	if _, err := c.Pin(t.Context()); !errors.Is(err, ErrUnlogged) {
		t.Errorf("a state in an unlogged table was pinned: %v", err)
	}
}

func currentOf(t testing.TB, conn *pgx.Conn) generation {
	t.Helper()
	d, err := current(t.Context(), conn, defaultSchema)
	if err != nil {
		t.Fatal(err)
	}
	return d.generation
}

// Statements on a connection whose rows are open, and rows that end with an
// error: neither is overlooked. A restore whose spool cannot be read to its end
// fails, and so does what else is done on a busy connection. Hazard 63.
func testStatementsOnAConnectionWhoseRowsAreStillOpen(t *testing.T, server *postgrestest.Server) {
	conn := server.Connect(t)
	old, next := catalogtest.RandomTables(1, 100), catalogtest.RandomTables(2, 15_000) // more than sockets hold
	mustRestore(t, server, old, Config{})

	seen := 0
	err := eachRow(t.Context(), conn, "SELECT (1 / (1000 - x))::bigint FROM generate_series(1, 2000) AS x", func([][]byte) error {
		seen++
		return nil
	})
	if code(err) != "22012" {
		t.Errorf("rows that ended with an error after %d of them: %v", seen, err)
	}
	err = eachRow(t.Context(), conn, "SELECT x::bigint FROM generate_series(1, 2000) AS x", func([][]byte) error {
		_, err := conn.Exec(t.Context(), "SELECT 1")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("a statement on a busy connection: %v", err)
	}
	exec(t, conn, "SELECT 1") // free again

	for _, what := range []string{"SELECT run", "COPY"} {
		_, err = Restore(t.Context(), server.DSN(), next, Config{step: at(stepCopying, func() {
			until(t, "it copies", func() bool {
				return len(texts(t, conn, "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1", what+"%")) > 0
			})
		})})
		if err == nil {
			t.Errorf("the session of %q ended, and the restore succeeded", what)
		}
		same(t, conn, defaultSchema, old)
	}
	mustRestore(t, server, next, Config{})
	same(t, conn, defaultSchema, next)
	onlyCurrent(t, conn, defaultSchema)
}

// Restoring changes no setting of the server, a database or a role, and no
// session but its own. Hazard 62.
func TestServersPostgresServerWideTuningThatOutlivedTheRestore(t *testing.T) {
	patient(t)
	server := postgrestest.Start(t, postgrestest.Config{Settings: []string{"synchronous_commit = off", "fsync = off"}})
	settings := func() []string {
		conn := server.Connect(t) // a new session
		defer conn.Close(t.Context())
		return append(
			texts(t, conn, "SELECT name || '=' || setting || ' by ' || source FROM pg_settings WHERE name NOT LIKE '%wal_buffers%'"),
			texts(t, conn, "SELECT setdatabase || ' ' || setrole || ' ' || setconfig::text FROM pg_db_role_setting")...)
	}
	files := func() (all []byte) {
		for _, name := range []string{"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf"} {
			raw, err := os.ReadFile(filepath.Join(server.Data(), name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, raw...)
		}
		return all
	}
	before, filesBefore := settings(), files()
	durable := ""
	conn := server.Connect(t)
	mustRestore(t, server, catalogtest.RandomTables(1, 300), Config{step: at(stepLoaded, func() {
		if during := settings(); !slices.Equal(before, during) {
			t.Errorf("another session's settings changed: %q, then %q", before, during)
		}
	})})
	if err := conn.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&durable); err != nil || durable != "off" {
		t.Errorf("synchronous_commit is %q, error %v", durable, err)
	}
	if after := settings(); len(before) < 300 || !slices.Equal(before, after) {
		t.Errorf("%d settings, then %d; they differ", len(before), len(after))
	}
	if !bytes.Equal(filesBefore, files()) {
		t.Error("a configuration file was changed")
	}
}
