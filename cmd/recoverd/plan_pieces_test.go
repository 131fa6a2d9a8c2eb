package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/shards"
)

// plan asks what `run` would do.
func (f *stripedFleet) plan() runPlan {
	f.t.Helper()
	var p runPlan
	stdout := must(f.t, append([]string{"plan", "-o", "json"}, f.run()[1:]...)...)
	if err := json.Unmarshal([]byte(stdout), &p); err != nil {
		f.t.Fatalf("%v: %s", err, stdout)
	}
	return p
}

// loses removes each file of a directory of the node's store with one chance in n.
func (f *stripedFleet) loses(random *rand.Rand, dir string, n int) {
	f.t.Helper()
	paths, err := filepath.Glob(f.path("node/" + dir + "/[0-9a-f]*"))
	f.must(err)
	for _, path := range paths {
		if random.IntN(n) == 0 {
			f.must(os.Remove(path))
		}
	}
}

// foreseen compares a plan with what the peers then serve and the store takes.
func (f *stripedFleet) foreseen(what string) fetchTally {
	f.t.Helper()
	p := f.plan()
	run, before := f.counters()
	f.newLife()
	must(f.t, f.run("--exit-when-complete", "--hedge", "0")...)
	now, after := f.counters()
	if now == run {
		after.Stored -= before.Stored
		after.StoredBytes -= before.StoredBytes
	}
	pieces, manifests, _ := f.answers()
	want, stored := p.Counts.Fetch, uint64(after.StoredBytes)
	known := want.Codes != nil || want.Blobs == 0
	if want.Blobs != after.Stored || want.Pieces != uint64(pieces) || want.Manifests != uint64(manifests) ||
		want.Bytes > stored || want.Most < stored || known && want.Bytes != stored {
		f.t.Errorf("%s: %d pieces and %d manifests were served, %d bytes of %d blobs stored\nforeseen: %s", what, pieces, manifests, stored, after.Stored, toJSON(p))
	}
	if again := f.plan().Counts.Fetch; again.Blobs+again.Pieces+again.Manifests+again.Bytes+again.Most != 0 {
		f.t.Errorf("%s: after it there is still something to fetch: %s", what, toJSON(again))
	}
	return want
}

// Of striped blobs a plan counts the missing pieces of the owned shards and the
// manifests, not the blobs.
func TestPlanForeseesStripedPieces(t *testing.T) {
	f := newStripedFleet(t, 80, 40_000)
	f.own("0-3")
	source := f.serve(shards.Range(0, 13))
	fresh := f.foreseen("a new node")
	if fresh.Codes != nil || fresh.Pieces != 81*4 || fresh.Manifests != 81 || fresh.Bytes >= fresh.Most {
		t.Errorf("of a new node: %s", toJSON(fresh))
	}

	f.fleet.own("epoch: 2\ntotal_shards: 14\nowned: \"0-4\"\n")
	if gained := f.foreseen("a gained shard"); gained.Codes == nil || *gained.Codes != (codeRange{stripedK, stripedK}) || gained.Pieces != 81 || gained.Manifests != 0 {
		t.Errorf("of a gained shard: %s", toJSON(gained))
	}

	random := rand.New(rand.NewPCG(5, 6))
	for _, dir := range []string{"0", "3", "manifest"} {
		f.loses(random, dir, 3)
	}
	f.must(os.RemoveAll(f.path("state")))
	f.foreseen("pieces and manifests lost, the state gone")

	f.must(os.RemoveAll(f.path("state")))
	f.must(os.RemoveAll(f.path("node")))
	source.set(func() { source.budget = 120 })
	p := start(t, f.run("--concurrency", "4", "--group-blobs", "10")...)
	until(t, "the peer has stopped", source.stopped)
	p.kill()
	f.newLife()
	if killed := f.foreseen("killed part-way"); killed.Codes == nil || killed.Blobs == 81 {
		t.Errorf("after a kill: %s", toJSON(killed))
	}
}

// What is rebuilt costs more than the pieces it makes, and no more than a plan says.
func TestPlanBoundsRebuilding(t *testing.T) {
	f := newStripedFleet(t, 30, 40_000)
	f.own("4-5")
	f.serve(shards.Range(0, 13))
	f.foreseen("a new node")
	f.fleet.own("epoch: 2\ntotal_shards: 14\nowned: \"0,4-5\"\n")
	f.peers[0].server.Close()
	f.peers = nil
	f.serve(shards.Range(4, 13)) // shard 0 died with its holder
	p := f.plan()
	f.newLife()
	must(t, f.run("--exit-when-complete", "--hedge", "0")...)
	pieces, _, _ := f.answers()
	c := p.Counts.Fetch
	// Two of the ten that rebuild a piece are here already.
	if c.Pieces != 31 || pieces != 31*(stripedK-2) {
		t.Errorf("%d pieces were served; %s", pieces, toJSON(c))
	}
	served := c.Bytes * (stripedK - 2)
	if c.Most < served || c.Most > served*2 {
		t.Errorf("about %d bytes were served, the plan says up to %d", served, c.Most)
	}
	text := must(t, append([]string{"plan"}, append(f.run()[1:], "--store", f.path("elsewhere"), "--state-dir", f.path("nowhere"))...)...)
	if !strings.Contains(text, "31 blobs: 93 pieces and 31 manifests (") || !strings.Contains(text, "no manifest is here") {
		t.Errorf("of another node:\n%s", text)
	}
}

// A template that makes one URL of all pieces of a striped blob is refused at once: it
// would be asked for ever, and blamed for what it answers.
func TestStripedTemplatesTellPiecesApart(t *testing.T) {
	f := newStripedFleet(t, 3, 100)
	f.own("0-3")
	for template, good := range map[string]bool{
		"http://127.0.0.1:1/{shard}/{id}": true, "http://127.0.0.1:1/pieces/{piece}/{id}": true, "s3://bucket/{shard}/{id}": true,
		"http://127.0.0.1:1/{id}": false, "http://127.0.0.1:1/{aa}/{id_base64url}": false, "s3://bucket/{id}": false,
	} {
		verbs := [][]string{{"config", "check"}, {"run"}}
		if good {
			verbs = verbs[:1] // which does not go on for ever
		}
		for _, verb := range verbs {
			args := append(verb, f.args[1:]...)
			out, stderr, code := invoke(t, append(args, "--peer", template, "--peer", "http://127.0.0.1:1/{shard}/{id}")...)
			if told := strings.Contains(out+stderr, "needs {shard} or {piece}"); told == good || !good && code != exitConfig {
				t.Errorf("%s with %s: exit code %d: %s%s", verb, template, code, out, stderr)
			}
		}
	}
}
