package postgres

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/postgres/postgrestest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// TestServersPostgres runs what needs no server of its own against one of each
// kind; each test has a database. Those that end the server come last. Where
// servers are not required, only the first few run, against one kind.
func TestServersPostgres(t *testing.T) {
	const both = ""
	tests := []struct {
		name, level string
		run         func(*testing.T, *postgrestest.Server)
	}{
		{"the contract", "replica", testCatalog},
		{"restore is the state", both, testRestoreIsTheState}, {"incremental", "replica", testIncremental},
		{"truncate cascade", "replica", testTruncateCascadeOverEverything}, {"data wiped and position kept", both, testDataWipedAndPositionKept},
		{"schemas", "replica", testSchemas}, {"refused", both, testRefused},
		{"unordered", both, testUnordered}, {"the lock", "replica", testTheLock}, {"lost lock", "replica", testLostLock},
		{"statements on a busy connection", "replica", testStatementsOnAConnectionWhoseRowsAreStillOpen},
		{"kept while read", "replica", testKeptWhileRead}, {"read error means gone", "replica", testReadErrorMeansGone},
		{"a long read transaction", "replica", testALongReadTransaction}, {"reader", "replica", testReader},
		{"foreign", "replica", testForeign}, {"comes later", "replica", testComesLater}, {"damaged", "replica", testDamaged},
		{"away", "replica", testAway}, {"left unlogged", both, testTablesLeftUnloggedAreEmptyAfterTheNextCrash},
	}
	all := levels()
	if !required() {
		tests = tests[:5]
		delete(all, "minimal")
	}
	for level, cfg := range all {
		t.Run(level, func(t *testing.T) {
			server := postgrestest.Start(t, cfg)
			for _, c := range tests {
				if c.level == both || c.level == level {
					t.Run(c.name, func(t *testing.T) { c.run(t, server.Database(t)) })
				}
			}
		})
	}
}

// required reports whether tests against servers must not be skipped, and so may
// take their time.
func required() bool { return os.Getenv("RECOVERD_REQUIRE_SERVERS") != "" }

// patient skips a test that is too slow for every run.
func patient(t testing.TB) {
	t.Helper()
	if !required() {
		t.Skip("it takes a while: run with RECOVERD_REQUIRE_SERVERS=1")
	}
}

// testCatalog is the contract of a source.
func testCatalog(t *testing.T, server *postgrestest.Server) {
	number := 0
	catalogtest.Run(t, func(t *testing.T, first catalogtest.State) catalogtest.Subject {
		number++
		dir := t.TempDir()
		schema := "test_" + string(rune('a'+number))
		publish := func(t testing.TB, s catalogtest.State) {
			file := filepath.Join(dir, "state.rsnap")
			catalogtest.WriteSnapshot(t, file, s)
			r, err := snapshot.Open(file)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			if _, err := Restore(context.Background(), server.DSN(), r, Config{Schema: schema}); err != nil {
				t.Errorf("restore: %v", err)
			}
		}
		publish(t, first)
		c, err := Open(OpenConfig{DSN: server.DSN(), Schema: schema, PollInterval: 5 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return catalogtest.Subject{Source: c, Publish: publish}
	})
}
