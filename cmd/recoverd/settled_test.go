package main

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
)

// scanningDocument is a daemon in the middle of its first pass: half of 10,000
// blobs were looked at, 2,000 concern this node, 500 of them were fetched.
func scanningDocument() statusapi.Document {
	blobs := uint64(10_000)
	bound := recovery.Bound{Stamp: recovery.Stamp{Network: "testnet", Epoch: 7, Position: 900}}
	cursor := recovery.MarkAt(recovery.BlobID{0x7f, 0x01})
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	return statusapi.Document{
		Version: "1.2.3", Running: true, At: at, Started: at.Add(-90 * time.Second),
		Phase: "scanning", Why: "looking at the catalog up to position 900", Run: 3,
		Origin: recovery.Origin{Decision: recovery.Resume, Why: "same shards, store and network; 2 unsettled", From: cursor},
		Bound:  &bound, Newest: &bound, Cursor: cursor, CursorDurable: &cursor, CatalogBlobs: &blobs,
		Counters:       recovery.Counters{Looked: 5_000, Stored: 500, StoredBytes: 2_048_000, AlreadyStored: 1_480, Expired: 10},
		Unsettled:      recovery.UnsettledCounts{Total: 10, Fetching: 8, Parked: 2},
		BytesInFlight:  32_768,
		BlobsPerSecond: 10, BytesPerSecond: 40_960, ETA: &worker.ETA{LowSeconds: 41, HighSeconds: 251}, PeersReachable: 2, PeersTotal: 2,
		Checkpoint: &statusapi.CheckpointView{Cursor: cursor, SavedAt: at.Add(-time.Second)},
	}
}

// Nobody sees 100 % while something is missing: hazards 36 and 37.
func TestNeverFlatters(t *testing.T) {
	phases := []string{"waiting", "loading", "scanning", "draining", "incomplete", "complete", "halted", statusapi.PhaseNotRunning, statusapi.PhaseNoAnswer}
	evidence.Property(t, "status: nobody sees 100 % while something is missing", func(t *rapid.T) {
		d := scanningDocument()
		*d.CatalogBlobs = rapid.Uint64Range(0, 100).Draw(t, "catalog")
		d.Counters.Looked = rapid.Uint64Range(0, 200).Draw(t, "looked")
		d.Unsettled.Total = rapid.IntRange(0, 3).Draw(t, "unsettled")
		d.Phase = rapid.SampledFrom(phases).Draw(t, "phase")
		permille, ok := settledPermille(d)
		if claims := d.Phase == "complete" && d.Unsettled.Total == 0; (permille == 1_000) != claims {
			t.Fatalf("%d thousandths", permille)
		}
		if permille < 0 || permille > 1_000 || !ok && permille != 0 {
			t.Fatalf("%d thousandths, %v", permille, ok)
		}
	})
	d := scanningDocument()
	d.Counters.Looked = 10_000
	if got := settledText(d); got != "99.9 %" {
		t.Errorf("with 10 of 10,000 unsettled: %s, want 99.9 %%", got)
	}
}

func TestSettledIsNotDerivedFromTheCursor(t *testing.T) {
	d := scanningDocument()
	before, _ := settledPermille(d)
	d.Cursor, d.Scan = recovery.MarkEnd(), recovery.MarkEnd()
	d.CursorDurable = &d.Cursor
	if after, _ := settledPermille(d); after != before {
		t.Errorf("the cursor moved it from %d to %d", before, after)
	}
}
