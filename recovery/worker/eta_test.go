package worker

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// scanningStatus is a worker in the middle of its first pass: half of 10,000 blobs
// were looked at, 2,000 concern this node, 500 of them were fetched.
func scanningStatus() Status {
	bound := recovery.Bound{Stamp: recovery.Stamp{Network: "testnet", Epoch: 7, Position: 900}}
	return Status{BlobsPerSecond: 10, Status: recovery.Status{
		Phase: recovery.PhaseScanning, Bound: &bound, Newest: &bound, CatalogBlobs: 10_000,
		Counters:  recovery.Counters{Looked: 5_000, Stored: 500, AlreadyStored: 1_480, Expired: 10},
		Unsettled: recovery.UnsettledCounts{Total: 10, Fetching: 8, Parked: 2},
	}}
}

func TestRemainingIsARange(t *testing.T) {
	s := scanningStatus()
	// To look at: 5,000. As so far, 510 of them are fetched; at most the 2,000 that
	// concern this node. 8 are under way, at 10 a second, give or take a quarter.
	if eta := remaining(&s); eta == nil || *eta != (ETA{LowSeconds: 41, HighSeconds: 251}) {
		t.Errorf("got %+v, want 41 s to 251 s", eta)
	}
	if eta := (ETA{41, 251}); eta.Low() != 41*time.Second || eta.High() != 251*time.Second {
		t.Errorf("%v to %v", eta.Low(), eta.High())
	}
}

// Hazard 37: where there is no ground for an estimate there is none.
func TestRemainingIsUnknown(t *testing.T) {
	for name, change := range map[string]func(*Status){
		"nothing is fetched":         func(s *Status) { s.BlobsPerSecond = 0 },
		"draining":                   func(s *Status) { s.Phase = recovery.PhaseDraining },
		"complete":                   func(s *Status) { s.Phase = recovery.PhaseComplete },
		"paused":                     func(s *Status) { s.Paused = true },
		"the disk is full":           func(s *Status) { s.Blocked = "10 bytes free" },
		"the catalog cannot be read": func(s *Status) { s.Trouble = "connection refused" },
		"the catalog is unknown":     func(s *Status) { s.Newest = nil },
		"a later pass":               func(s *Status) { s.Covered = s.Bound },
		"everything again":           func(s *Status) { s.Counters.Passes = 1 },
		"hardly begun":               func(s *Status) { s.Counters.Looked = 99 },
		"few were fetched":           func(s *Status) { s.Counters.Stored = 19 },
		"counters that do not fit":   func(s *Status) { s.Counters.AlreadyStored = 6_000 },
		"weeks at this rate":         func(s *Status) { s.BlobsPerSecond = 0.0001 },
	} {
		t.Run(name, func(t *testing.T) {
			s := scanningStatus()
			change(&s)
			if eta := remaining(&s); eta != nil {
				t.Errorf("got %+v, want unknown", eta)
			}
		})
	}
}

func TestRemainingProperties(t *testing.T) {
	evidence.Property(t, "status: a remaining time is a range, or unknown", func(t *rapid.T) {
		s := scanningStatus()
		s.CatalogBlobs = rapid.Uint64Range(0, 1<<40).Draw(t, "catalog")
		s.Counters.Looked = rapid.Uint64Range(0, 1<<40).Draw(t, "looked")
		s.Counters.Stored = rapid.Uint64Range(0, 1<<40).Draw(t, "stored")
		s.Counters.AlreadyStored = rapid.Uint64Range(0, 1<<40).Draw(t, "already")
		s.Unsettled = recovery.UnsettledCounts{Total: rapid.IntRange(0, 20_000).Draw(t, "unsettled")}
		s.BlobsPerSecond = rapid.Float64Range(0, 1e6).Draw(t, "rate")
		if eta := remaining(&s); eta != nil && (eta.LowSeconds < 0 || eta.HighSeconds < eta.LowSeconds || eta.High() > maxRemaining) {
			t.Fatalf("%+v", eta)
		}
	})
}
