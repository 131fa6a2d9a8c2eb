package eventlog

import (
	"context"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// TestStateFollowsTheModel: after every event, pages, look-ups, totals and the
// state that would be written down are those of the model, whatever lies in base
// and delta.
func TestStateFollowsTheModel(t *testing.T) {
	evidence.Property(t, "event log: after every event the state is the model's", func(rt *rapid.T) {
		h := eventtest.New(rapid.Uint64().Draw(rt, "seed"), "main")
		c := openIn(rt, quiet(filepath.Join(tempDir(t), "catalog")))
		defer c.Close()
		agrees(rt, c, h.Model())
		var past []event.Event
		for n := rapid.IntRange(20, 120).Draw(rt, "events"); n > 0; n-- {
			e := h.Next()
			past = append(past, e)
			apply(rt, c, []event.Event{e})
			agrees(rt, c, h.Model())
			if n%7 == 0 {
				sameState(rt, c, h.Model())
				lookups(rt, c, h.Model(), idsOf(past))
			}
			if rapid.IntRange(0, 24).Draw(rt, "full") == 0 {
				_, err := c.Snapshot(context.Background(), snapshot.Full)
				must(rt, err)
			}
		}
	})
}
