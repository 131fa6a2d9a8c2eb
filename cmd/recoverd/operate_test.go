package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// operator is a client of the daemon's socket; the test closes it.
func (f *fleet) operator() *statusapi.Client {
	f.t.Helper()
	var client *statusapi.Client
	until(f.t, "the daemon answers", func() (ok bool) {
		if client != nil {
			client.Close()
		}
		var err error
		if client, err = statusapi.Dial(f.t.Context(), f.path("state")); err == nil {
			_, err = client.Status(f.t.Context())
		}
		return err == nil
	})
	f.t.Cleanup(client.Close)
	return client
}

// reaches waits for a phase.
func (f *fleet) reaches(phase recovery.Phase) {
	f.t.Helper()
	until(f.t, "it is "+phase.String(), func() bool {
		doc, ok := status(f.t, f.path("state"))
		return ok && doc.Phase == phase.String()
	})
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// Hazard 40. A pause that was answered survives a SIGKILL the moment after.
func TestPauseForgottenAtRestart(t *testing.T) {
	f := newFleet(t, 60, 600)
	f.source.newLife(20) // then everything hangs
	p := start(t, f.run("--concurrency", "4")...)
	f.hangs(4)
	f.must(f.operator().Pause(t.Context(), true))
	p.kill()
	if !saved(t, f.path("state")).Record.Paused {
		t.Fatal("it was answered, and is not on the disk")
	}
	f.source.newLife(-1)
	start(t, f.run("--concurrency", "4")...)
	operator := f.operator()
	f.reaches(recovery.PhaseScanning)
	doc, err := operator.Status(t.Context())
	f.must(err)
	if !doc.Paused || doc.Blocked != "paused" || f.source.requests() > 0 {
		t.Errorf("after the restart: paused %v, blocked %q, %d blobs asked for", doc.Paused, doc.Blocked, f.source.requests())
	}
	f.must(operator.Pause(t.Context(), false))
	f.reaches(recovery.PhaseComplete)
	f.sameStore()
}

// Hazard 38. Why one blob does not come is told, and it alone is retried, or asked for
// by the node, once its peer has it.
func TestOneBlobIsExplainedAndRetried(t *testing.T) {
	f := newFleet(t, 40, 600)
	first, second := f.someBlob(7), f.someBlob(8)
	f.source.miss(first.String(), true)
	f.source.miss(second.String(), true)
	start(t, f.run("--park-after", "1")...)
	operator := f.operator()
	f.reaches(recovery.PhaseIncomplete)
	e, err := operator.Explain(t.Context(), first)
	f.must(err)
	if e.State != "parked" || len(e.Tries) != 1 || len(e.Tries[0].Peers) != 1 || e.Tries[0].Peers[0].Reason != recovery.Absent || e.Tries[0].Peers[0].Peer == "" {
		t.Errorf("explained: %s", toJSON(e))
	}
	if s := e.Shards; len(s) != 1 || !s[0].Owned || s[0].Stored == nil || *s[0].Stored || s[0].Shard != shards.Home(first, totalShards) {
		t.Errorf("its shards: %s", toJSON(s))
	}
	f.source.newLife(-1)
	f.source.miss(first.String(), false)
	f.source.miss(second.String(), false)
	result, err := operator.Retry(t.Context(), []recovery.BlobID{first})
	f.must(err)
	if result.Due != 1 {
		t.Errorf("retried: %s", toJSON(result))
	}
	until(t, "it is there", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Unsettled.Total == 1
	})
	if n := f.source.requests(); n != 1 {
		t.Errorf("%d blobs were fetched for one", n)
	}
	outcome, err := operator.Sync(t.Context(), second, time.Minute)
	f.must(err)
	if outcome.Result != recovery.Success {
		t.Errorf("asked for by the node: %s", toJSON(outcome))
	}
	f.reaches(recovery.PhaseComplete)
	f.sameStore()
	until(t, "every shard is done", func() bool {
		progress, err := operator.Shards(t.Context())
		f.must(err)
		sum := uint64(0)
		for _, s := range progress {
			if s.Done == nil || *s.Done != *s.Certified {
				return false
			}
			sum += *s.Done
		}
		return len(progress) == totalShards && sum == 40
	})
}

// Hazard 92. A rotten piece of the right name and size is replaced, also when the
// daemon is killed between the answer and that.
func TestRepairBelowTheCursor(t *testing.T) {
	f := newFleet(t, 40, 600)
	p := start(t, f.run()...)
	operator := f.operator()
	f.reaches(recovery.PhaseComplete)
	var rotten []recovery.BlobID
	for n := range 3 {
		id := f.someBlob(10 * n)
		f.rot(id)
		rotten = append(rotten, id)
	}
	f.source.newLife(0)
	result, err := operator.Repair(t.Context(), rotten)
	f.must(err)
	if result.Queued != 3 {
		t.Errorf("queued: %s", toJSON(result))
	}
	p.kill()
	for _, id := range rotten {
		if saved(t, f.path("state")).Record.Progress.Cursor.Covers(id) {
			t.Errorf("the cursor still claims %v", id)
		}
	}
	f.source.newLife(-1)
	must(t, f.run("--exit-when-complete")...)
	f.sameStore()
	if n := f.source.requests(); n != 3 {
		t.Errorf("%d blobs were fetched for three", n)
	}
}

// rot flips bytes of a piece that the node has.
func (f *fleet) rot(id recovery.BlobID) {
	f.t.Helper()
	found := ""
	f.must(filepath.WalkDir(f.path("node"), func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == id.String() {
			found = path
		}
		return err
	}))
	data, err := os.ReadFile(found)
	f.must(err)
	f.must(os.WriteFile(found, bytes.ToUpper(append([]byte("rot"), data[3:]...)), 0o600))
}

// limitsOf is how the status shows limits.
func limitsOf(l worker.Limits) statusapi.LimitsView {
	return statusapi.LimitsView{Limits: l, ConcurrencyMin: l.ConcurrencyMin()}
}

// Limits set by an operator are in force at once and after a SIGKILL, until they are
// taken back.
func TestLimitsOfAnOperator(t *testing.T) {
	f := newFleet(t, 60, 600)
	f.source.newLife(0)
	p := start(t, f.run("--concurrency", "2")...)
	f.hangs(2)
	five, limit := 5, int64(1<<20)
	got, err := f.operator().SetLimits(t.Context(), statusapi.LimitsChange{Concurrency: &five, BytesPerSecond: &limit})
	f.must(err)
	want := limitsOf(worker.Limits{Concurrency: 5, ConcurrencyMax: 1_024, BytesInFlight: 256 << 20, BytesPerSecond: 1 << 20})
	if got != want {
		t.Errorf("in force: %+v", got)
	}
	f.hangs(5)
	p.kill()
	f.source.newLife(0)
	start(t, f.run("--concurrency", "2")...)
	f.hangs(5)
	operator := f.operator()
	if doc, err := operator.Status(t.Context()); err != nil || doc.Limits == nil || *doc.Limits != want {
		t.Errorf("after the restart: %s, %v", toJSON(doc.Limits), err)
	}
	got, err = operator.ResetLimits(t.Context())
	f.must(err)
	if got.Concurrency != 2 || got.BytesPerSecond != 0 {
		t.Errorf("taken back: %+v", got)
	}
	if _, err := os.Stat(f.path("state/limits.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
	f.source.letGo()
	f.reaches(recovery.PhaseComplete)
	f.sameStore()
}
