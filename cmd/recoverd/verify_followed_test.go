package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/audit"
)

// Beside a daemon that follows events, verify and plan take the catalog from its
// snapshots, and say up to where; what they hand over is fetched again.
func TestVerifyAndPlanOfAFollowedCatalog(t *testing.T) {
	f := newFleet(t, 120, 600)
	h := newHistory(t)
	h.epoch(1)
	h.certify(f.catalog)
	n := follower{f: f, name: "n"}
	h.write(n.path("events"), 0)
	p := n.run()
	n.reaches(p, len(h.lines))
	shared := []string{"--state-dir", n.path("state"), "--ownership", f.path("ownership.yaml"), "--store", n.path("store"), "-o", "json"}
	blobs := func(plan runPlan) uint64 { return plan.Counts.Certified.Blobs }

	var plan runPlan
	args := append([]string{"plan", "--events", n.path("events"), "--network", "testnet"}, shared...)
	if err := json.Unmarshal([]byte(must(t, args...)), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Origin.Decision != recovery.Nothing || plan.Counts.Fetch.Blobs != 0 || blobs(plan) < 90 || len(plan.Notes) != 2 {
		t.Errorf("the plan is %s", toJSON(plan))
	}

	stdout, stderr, code := invoke(t, append([]string{"verify"}, shared...)...)
	_, sum := found(t, stdout)
	if code != exitOK || sum.Blobs != blobs(plan) || !strings.Contains(sum.Note, "events after it are not looked at") {
		t.Fatalf("exit code %d, %s, %s", code, toJSON(sum), stderr)
	}
	path := ""
	for name := range pieces(t, n.path("store")) {
		// The lowest ids were certified first, and so before the newest snapshot.
		if id, err := recovery.ParseBlobID(name[2:]); err == nil && id.Compare(f.someBlob(10)) < 0 {
			path = n.path("store") + "/" + name
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[0] ^= 1
	f.must(os.WriteFile(path, data, 0o600))
	stdout, stderr, code = invoke(t, append([]string{"verify", "--repair"}, shared...)...)
	got, sum := found(t, stdout)
	if code != exitIncomplete || len(got) != 1 || got[path] != audit.Rotten || sum.Repair.Queued != 1 {
		t.Fatalf("exit code %d, %v, %s, %s", code, got, toJSON(sum), stderr)
	}
	until(t, "it is fetched again", func() bool {
		now, err := os.ReadFile(path)
		return err == nil && now[0] == data[0]^1
	})
	n.reaches(p, len(h.lines))
}
