package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
)

// grow imports more files into the source store and publishes the catalog that
// goes on from the present one.
func (f *fleet) grow(name string, n int, seed uint64, epoch string) {
	f.t.Helper()
	f.generate(name, n, 600, seed)
	must(f.t, "store", "import", "--from", f.path(name), "--store", f.path("source"), "--base", f.catalog,
		"--out", f.path("next.rsnap"), "--total-shards", fmt.Sprint(totalShards), "--epoch", epoch)
	if err := os.Rename(f.path("next.rsnap"), f.catalog); err != nil {
		f.t.Fatal(err)
	}
}

// someBlob returns the n-th id of the catalog.
func (f *fleet) someBlob(n int) recovery.BlobID {
	f.t.Helper()
	source, err := catalog.NewFile(catalog.FileConfig{Path: f.catalog})
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	if _, err := source.Pin(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	for row, err := range catalog.Rows(f.t.Context(), source, recovery.Mark{}) {
		if err != nil {
			f.t.Fatal(err)
		}
		if n--; n < 0 {
			return row.ID
		}
	}
	f.t.Fatal("the catalog is too short")
	return recovery.BlobID{}
}

// Ownership changed under way: the checkpoint is discarded, the reason is in
// status and log, and the new set gets completed. Hazards 33, 83.
func TestOwnershipChangedUnderWay(t *testing.T) {
	f := newFleet(t, 400, 600)
	f.own("epoch: 1\ntotal_shards: 4\nowned: \"0-1\"\n")
	f.source.newLife(50) // then it hangs: the first run cannot finish
	p := start(t, f.run()...)
	until(t, "the first run is under way", func() bool { return f.source.requests() == 50 })
	f.own("epoch: 2\ntotal_shards: 4\nowned: \"1-3\"\n")
	const reason = "owned shards changed from 0-1 to 1-3"
	until(t, "the second run has begun", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Run == 2 && strings.Contains(doc.Origin.Why, reason)
	})
	f.source.newLife(-1)
	until(t, "the new set is complete", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == recovery.PhaseComplete.String()
	})
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if !strings.Contains(p.stderr.String(), reason) {
		t.Errorf("the log does not say why: %s", p.stderr.String())
	}
	want, got := pieces(t, f.path("source")), pieces(t, f.path("node"))
	for name := range want {
		if !strings.HasPrefix(name, "0/") && !got[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// The same shards in a later epoch with a later catalog: resumed, the recorded
// pass finished first, and blobs certified meanwhile are recovered although
// their ids sort below the old cursor. Hazards 3, 4, 78.
func TestLaterEpochLaterCatalog(t *testing.T) {
	f := newFleet(t, 400, 600)
	f.source.newLife(300)
	p := start(t, f.run("--concurrency", "4")...)
	until(t, "300 blobs are there and saved", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Counters.Stored >= 296 && doc.Checkpoint != nil && !doc.Checkpoint.Cursor.None()
	})
	p.kill()
	f.source.newLife(-1)
	old := saved(t, f.path("state")).Record.Progress
	f.grow("more", 200, 2, "2")
	f.own("epoch: 2\ntotal_shards: 4\nowned: \"0-3\"\n")
	stdout, stderr, code := invoke(t, f.run("--exit-when-complete")...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for _, want := range []string{"resume", "is finished first", "extend"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the log does not say %q:\n%s", want, stderr)
		}
	}
	now := saved(t, f.path("state")).Record.Progress
	if now.Run != old.Run || now.Covered.Position != 601 || !strings.Contains(stdout, "complete at epoch 2, position 601") {
		t.Errorf("it ended with %s and said %s", toJSON(now), stdout)
	}
	f.sameStore()
	again := f.source.redone()
	if again > 4+1000 {
		t.Errorf("%d blobs were fetched again", again)
	}
}

// A running daemon takes a replaced catalog without being told (DESIGN 8).
func TestCatalogReplacedWhileItRuns(t *testing.T) {
	f := newFleet(t, 50, 600)
	start(t, f.run("--follow-interval", "100ms")...)
	completeAt := func(position uint64) func() bool {
		return func() bool {
			doc, ok := status(t, f.path("state"))
			return ok && doc.Phase == recovery.PhaseComplete.String() && doc.Covered.Position == position
		}
	}
	until(t, "the first catalog is complete", completeAt(50))
	f.grow("more", 30, 2, "1")
	until(t, "the second one is", completeAt(80))
	f.sameStore()
}

// One blob missing everywhere: all others settle, the cursor stays below it, exit
// code 3 names it, a restart touches only it; when a peer gets it, it settles
// within its next try. Hazards 19, 38.
func TestOneBlobMissingEverywhere(t *testing.T) {
	f := newFleet(t, 10_000, 100)
	lost := f.someBlob(4_000)
	f.source.miss(lost.String(), true)
	args := f.run("--exit-when-complete", "--park-after", "2", "--parked-retry", "1s")
	stdout, stderr, code := invoke(t, args...)
	if code != exitIncomplete || !strings.Contains(stdout, lost.String()) {
		t.Fatalf("exit code %d, want %d naming %v\n%s\n%s", code, exitIncomplete, lost, stdout, stderr)
	}
	p := saved(t, f.path("state")).Record.Progress
	if p.Cursor.Covers(lost) || len(p.Unsettled) != 1 || p.Unsettled[0].ID != lost || p.Counters.Stored != 9_999 {
		t.Errorf("saved: %s", toJSON(p))
	}
	f.source.newLife(-1)
	if _, _, code := invoke(t, args...); code != exitIncomplete {
		t.Errorf("exit code %d after the restart", code)
	}
	if n := f.source.requests(); n != 0 {
		t.Errorf("the restart fetched %d blobs", n)
	}
	start(t, f.run("--park-after", "2", "--parked-retry", "1s")...)
	until(t, "it is incomplete", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == recovery.PhaseIncomplete.String()
	})
	f.source.miss(lost.String(), false)
	until(t, "it is complete", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == recovery.PhaseComplete.String()
	})
	if n := f.source.requests(); n != 1 {
		t.Errorf("%d blobs were fetched for the one that was missing", n)
	}
	f.sameStore()
}

// A killed process leaves nothing that stops the next start; two of them never
// share a state directory or a store. Hazards 50, 89.
func TestSecondDaemon(t *testing.T) {
	f := newFleet(t, 20, 600)
	first := start(t, f.run()...)
	until(t, "the first is complete", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == recovery.PhaseComplete.String()
	})
	if _, stderr, code := invoke(t, f.run()...); code != exitTryAgain || !strings.Contains(stderr, "state directory") {
		t.Errorf("the same state directory: exit code %d, %s", code, stderr)
	}
	other := &fleet{t: t, dir: f.dir, source: f.source, args: replaced(f.args, map[string]string{"state": "other-state"}, f)}
	if _, stderr, code := invoke(t, other.run()...); code != exitTryAgain || !strings.Contains(stderr, f.path("node")) {
		t.Errorf("the same store: exit code %d, %s", code, stderr)
	}
	first.kill()
	if _, stderr, code := invoke(t, f.run("--exit-when-complete")...); code != exitOK {
		t.Errorf("after the kill: exit code %d, %s", code, stderr)
	}
}

// An empty store while progress claims work is waited for, not filled, until an
// operator accepts it. Hazard 82: empty-disk-complete.
func TestEmptyDiskComplete(t *testing.T) {
	f := newFleet(t, 30, 600)
	must(t, f.run("--exit-when-complete")...)
	if err := os.Rename(f.path("node"), f.path("unmounted")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.path("node"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.source.newLife(-1)
	start(t, f.run()...)
	until(t, "it waits and says why", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == recovery.PhaseWaiting.String() && strings.Contains(doc.Why, "mounted")
	})
	if left, _ := filepath.Glob(f.path("node/[^.]*")); len(left) != 0 || f.source.requests() != 0 {
		t.Errorf("it wrote %v and asked for %d blobs", left, f.source.requests())
	}
	must(t, "store", "accept", "--store", f.path("node"), "--state-dir", f.path("state"))
	until(t, "it is filled anew", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == recovery.PhaseComplete.String() && doc.Run == 2
	})
	f.sameStore()
}

// A shard that comes back wiped costs the checkpoint, and the reason names it.
func TestShardWiped(t *testing.T) {
	f := newFleet(t, 60, 600)
	must(t, f.run("--exit-when-complete")...)
	if err := os.RemoveAll(f.path("node/2")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.path("node/2"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := invoke(t, f.run("--exit-when-complete")...)
	if code != exitOK || !strings.Contains(stderr, "shard 2 wiped") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	f.sameStore()
}

// Blobs that had expired are extended: their first certification lies below the
// old bound, and they are recovered all the same. Hazard 79: expired-then-extended.
func TestExpiredThenExtended(t *testing.T) {
	f := newFleet(t, 5, 600) // what never expires
	f.generate("short", 60, 600, 3)
	extend := func(epoch, end string) {
		must(t, "store", "import", "--from", f.path("short"), "--store", f.path("source"), "--base", f.catalog,
			"--out", f.path("next.rsnap"), "--total-shards", fmt.Sprint(totalShards), "--epoch", epoch, "--end-epoch", end)
		if err := os.Rename(f.path("next.rsnap"), f.catalog); err != nil {
			t.Fatal(err)
		}
	}
	extend("1", "2")
	f.own("epoch: 2\ntotal_shards: 4\nowned: \"0-3\"\n")
	must(t, f.run("--exit-when-complete")...)
	if n := len(pieces(t, f.path("node"))); n != 5 {
		t.Fatalf("%d pieces are stored while 60 of 65 blobs are expired", n)
	}
	extend("2", "9")
	must(t, f.run("--exit-when-complete")...)
	f.sameStore()
}
