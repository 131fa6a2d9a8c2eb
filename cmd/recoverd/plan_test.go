package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is planned is what the run then does: from nothing, after a kill, over a store
// from which pieces are gone, with a catalog that grew, and for other shards. Nothing
// is changed by the asking.
func TestPlan(t *testing.T) {
	f := newFleet(t, 300, 600)
	plan := func() (p runPlan) {
		t.Helper()
		stdout, stderr, code := invoke(t, append(append([]string{"plan", "-o", "json"}, f.args[1:]...), "--peer", f.source.template())...)
		if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != exitOK {
			t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
		}
		if sum := p.Behind.Blobs + p.Expired.Blobs + p.Stored.Blobs + p.Fetch.Blobs; sum != p.Certified.Blobs {
			t.Errorf("the parts add up to %d: %+v", sum, p)
		}
		return p
	}
	p := plan()
	if p.Fetch.Blobs != 300 || p.Origin.Decision != "fresh" {
		t.Errorf("from nothing: %+v", p)
	}
	for _, path := range []string{"state", "node"} {
		if _, err := os.Stat(f.path(path)); err == nil {
			t.Errorf("asking made %s", path)
		}
	}
	f.source.newLife(120)
	run := start(t, f.run("--concurrency", "2", "--group-blobs", "10")...)
	until(t, "some blobs are saved", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Counters.Stored > 90 && doc.Checkpoint != nil && !doc.Checkpoint.Cursor.None()
	})
	run.kill()

	check := func(what string) {
		t.Helper()
		p := plan()
		f.source.newLife(-1)
		must(t, f.run("--exit-when-complete")...)
		if got := f.source.requests(); uint64(got) != p.Fetch.Blobs {
			t.Errorf("%s: %d blobs were fetched, planned %+v", what, got, p)
		}
	}
	check("after a kill")
	check("all done")
	if p := plan(); p.Fetch.Blobs != 0 || p.Behind.Blobs != 300 {
		t.Errorf("all done: %+v", p)
	}
	f.grow("more", 50, 3, "1")
	check("a catalog that grew")
	must(t, "checkpoint", "discard", "--state-dir", f.path("state"), "--yes")
	files, err := filepath.Glob(f.path("node/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if rand.IntN(4) == 0 {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	check("pieces gone, progress discarded")
	f.own("epoch: 2\ntotal_shards: 4\nowned: \"1\"\n")
	if p := plan(); p.Origin.Decision != "discard" || !strings.Contains(p.Origin.Why, "owned shards") {
		t.Errorf("other shards: %+v", p)
	}
	text := must(t, append(append([]string{"plan"}, f.args[1:]...), "--peer", f.source.template())...)
	if !strings.Contains(text, "to fetch") || !strings.Contains(text, "discarded earlier progress") {
		t.Errorf("it says\n%s", text)
	}
}
