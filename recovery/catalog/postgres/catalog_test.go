package postgres

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/postgres/postgrestest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

func TestServersPostgresCatalog(t *testing.T) {
	server := postgrestest.Start(t, postgrestest.Config{})
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
