package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/audit"
	storefs "github.com/recoverd/recoverd/syncer/store/fs"
)

// Hazard 68. A fleet with n-k dead holders and one liar: every piece of the node's
// shards is recovered, byte for byte. Four of its shards died with their holders, so
// those pieces are rebuilt from exactly k; of some of these there is a lie about, told
// by a peer that is asked as soon as the others.
func TestALyingPieceInAFleetWithDeadHolders(t *testing.T) {
	f := newStripedFleet(t, 60, 400_000)
	f.own("0-3,7")
	for first := uint32(0); first < stripedTotal; first += 2 {
		f.serve(shards.Range(first, first+1))
	}
	liar := f.serve(shards.Range(4, 13)) // it claims to have everything that is left
	liar.lies = func(path string) bool { return strings.ContainsAny(path[len(path)-1:], "02468ace") }
	f.peers[0].server.Close()
	f.peers[1].server.Close()
	p := start(t, f.run()...)
	until(t, "it is complete", func() bool {
		doc, ok := status(t, f.path("state"))
		return p.hasEnded() || ok && doc.Phase == recovery.PhaseComplete.String()
	})
	doc, _ := status(t, f.path("state"))
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, p.stderr.String())
	}
	f.samePieces(shards.SetOf(0, 1, 2, 3, 7))
	if liar.lied == 0 {
		t.Error("nobody lied")
	}
	for _, peer := range doc.Peers {
		isLiar := strings.HasPrefix(peer.Name, liar.server.URL)
		if isLiar != (peer.WrongBytes > 0) {
			t.Errorf("%s: %d lies are laid to it; it told %d", peer.Name, peer.WrongBytes, map[bool]int{true: liar.lied}[isLiar])
		}
	}
	if _, sum := found(t, must(t, f.verify("--placement", "striped")...)); !sum.Good || sum.Pieces != 61*6 {
		t.Errorf("verified: %s", toJSON(sum))
	}
}

// Several missing pieces of a blob are rebuilt from k pieces, not from k each.
func TestStripedMissingPiecesFromOneGathering(t *testing.T) {
	f := newStripedFleet(t, 100, 40_000)
	f.own("0-3")
	for shard := uint32(4); shard < stripedTotal; shard++ {
		f.serve(shards.SetOf(shard))
	}
	// One at a time, so that it is known who has what before most are asked for; and
	// nobody is asked twice because another one is slow.
	must(t, f.run("--exit-when-complete", "--concurrency", "1", "--hedge", "0")...)
	f.samePieces(shards.Range(0, 3))
	pieces, manifests, lacked := f.answers()
	if pieces != 101*stripedK || manifests != 101 {
		t.Errorf("%d pieces and %d manifests were served for 101 blobs, of which 4 pieces each were missing", pieces, manifests)
	}
	if lacked > 300 {
		t.Errorf("%d times a peer was asked for what it does not have", lacked)
	}
}

// A SIGKILL part-way costs what was in flight; what is there already is not fetched
// again; and a shard that is gained later is filled.
func TestStripedCrashResumeAndGain(t *testing.T) {
	f := newStripedFleet(t, 200, 20_000)
	f.own("0-3")
	source := f.serve(shards.Range(0, 13))
	source.set(func() { source.budget = 500 })
	p := start(t, f.run("--concurrency", "4", "--group-blobs", "50")...)
	until(t, "the peer has stopped", source.stopped)
	p.kill()
	f.newLife()
	must(t, f.run("--exit-when-complete", "--concurrency", "4", "--group-blobs", "50")...)
	f.samePieces(shards.Range(0, 3))
	redone := 0
	source.set(func() {
		for path := range source.life {
			if source.earlier[path] > 0 {
				redone++
			}
		}
	})
	if redone > 4*5+50 {
		t.Errorf("%d pieces and manifests were fetched again", redone)
	}

	f.newLife()
	f.fleet.own("epoch: 2\ntotal_shards: 14\nowned: \"0-3,9\"\n")
	must(t, f.run("--exit-when-complete")...)
	f.samePieces(shards.SetOf(0, 1, 2, 3, 9))
	if pieces, manifests, _ := f.answers(); pieces != 201 || manifests != 0 {
		t.Errorf("%d pieces and %d manifests were fetched for one gained shard of 201 blobs", pieces, manifests)
	}
}

// verify finds rot in pieces and in a manifest, and the daemon puts it right. Hazard 92.
func TestStripedRepairBelowTheCursor(t *testing.T) {
	f := newStripedFleet(t, 20, 100_000)
	f.own("0-2")
	f.serve(shards.Range(3, 13)) // nobody else holds ours
	whole := f.serve(shards.Range(0, 13))
	p := start(t, f.run()...)
	complete := func() bool {
		doc, ok := status(t, f.path("state"))
		return p.hasEnded() || ok && doc.Phase == recovery.PhaseComplete.String()
	}
	until(t, "it is complete", complete)
	whole.server.Close()
	want := map[string]audit.Kind{}
	spoil := func(kind audit.Kind, path string, change func([]byte) []byte) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(data), 0o644); err != nil {
			t.Fatal(err)
		}
		want[path] = kind
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	id := func(n int) string { return f.someBlob(n).String() }
	spoil(audit.Rotten, f.path("node/1/"+id(0)), flip)
	spoil(audit.WrongSize, f.path("node/2/"+id(1)), func(b []byte) []byte { return append(b, 0) })
	spoil(audit.Rotten, f.path("node/manifest/"+id(2)), flip)
	for _, path := range []string{f.path("node/0/" + id(3)), f.path("node/manifest/" + id(4))} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		want[path] = audit.Missing
	}
	stdout, stderr, code := invoke(t, f.verify("--placement", "striped", "--state-dir", f.path("state"), "--repair")...)
	got, sum := found(t, stdout)
	if code != exitIncomplete || len(got) != len(want) || sum.Repair == nil || sum.Repair.Queued != 5 {
		t.Errorf("exit code %d, found %v, want %v: %s %s", code, got, want, toJSON(sum), stderr)
	}
	for path, kind := range want {
		if got[path] != kind {
			t.Errorf("%s: %q, want %q", path, got[path], kind)
		}
	}
	until(t, "it is complete again", func() bool {
		doc, ok := status(t, f.path("state"))
		return p.hasEnded() || ok && doc.Phase == recovery.PhaseComplete.String() && doc.Counters.Stored >= 21+5
	})
	f.samePieces(shards.Range(0, 2))
	p.signal(syscall.SIGTERM)
	p.wait()
	if _, sum := found(t, must(t, f.verify("--placement", "striped", "--restart")...)); !sum.Good {
		t.Errorf("verified again: %s", toJSON(sum))
	}
}

// What is in the way is said with the flag that would help, before anything is made.
func TestPlacementAndCatalogMustFit(t *testing.T) {
	f := newStripedFleet(t, 3, 1_000)
	f.own("0")
	f.serve(shards.Range(0, 13))
	whole := newFleet(t, 3, 1_000)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"striped, as hashed":  {f.run("--placement", "hashed"), "it needs --placement striped"},
		"hashed, as striped":  {whole.run("--placement", "striped"), "it needs --placement hashed"},
		"no such placement":   {f.run("--placement", "scattered"), "--placement: "},
		"by an empty setting": {f.run("--placement", ""), "--placement: "},
	} {
		_, stderr, code := invoke(t, append(c.args, "--exit-when-complete")...)
		if code != exitConfig || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
	for _, dir := range []string{f.path("state"), whole.path("state"), f.path("node"), whole.path("node")} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s was made", dir)
		}
	}
	must(t, f.run("--exit-when-complete")...)
	must(t, whole.run("--exit-when-complete")...)
	// The catalog is known by now, and must not be taken unseen for another placement.
	if _, stderr, code := invoke(t, f.run("--placement", "hashed", "--exit-when-complete")...); code != exitConfig {
		t.Errorf("a known catalog, as hashed: exit code %d, %s", code, stderr)
	}
	f.fleet.own("epoch: 1\ntotal_shards: 300\nowned: \"0\"\n")
	if _, stderr, code := invoke(t, f.run("--state-dir", f.path("other"), "--store", f.path("otherstore"), "--exit-when-complete")...); code != exitConfig || !strings.Contains(stderr, "300 shards") {
		t.Errorf("striped over 300 shards: exit code %d, %s", code, stderr)
	}
	for _, args := range [][]string{
		{"--striped", "15", "--total-shards", "14"}, {"--striped", "-1"}, {"--striped", "10", "--total-shards", "257"}, {"--striped", "1", "--total-shards", "0"},
	} {
		args = append([]string{"store", "import", "--from", f.path("files"), "--store", f.path("s"), "--out", f.path("o")}, args...)
		if _, stderr, code := invoke(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	if _, stderr, code := invoke(t, "store", "import", "--from", f.path("files"), "--store", f.path("s"), "--out", f.path("o"), "--base", f.catalog); code != exitConfig || !strings.Contains(stderr, "only one kind") {
		t.Errorf("whole blobs over a striped base: exit code %d, %s", code, stderr)
	}
}

// Verbs that only look say of a striped store what they say of others.
func TestStripedPlanConfigDoctorExplain(t *testing.T) {
	f := newStripedFleet(t, 10, 10_000)
	f.own("0-2")
	f.serve(shards.Range(0, 13))
	plan := append([]string{"plan"}, f.run()[1:]...)
	if out := must(t, plan...); !strings.Contains(out, "11 blobs") || !strings.Contains(out, "to fetch") {
		t.Errorf("plan before: %s", out)
	}
	must(t, append([]string{"config", "check"}, f.run()[1:]...)...)
	must(t, f.run("--exit-when-complete")...)
	if out := must(t, plan...); !strings.Contains(out, "0 blobs") {
		t.Errorf("plan after: %s", out)
	}
	if out := must(t, append([]string{"doctor"}, f.run()[1:]...)...); !strings.Contains(out, "sent the manifest of blob") {
		t.Errorf("doctor: %s", out)
	}
	id := f.someBlob(4).String()
	out := must(t, "explain", id, "--state-dir", f.path("state"), "--catalog", f.catalog, "-o", "json")
	if !strings.Contains(out, `"settled"`) || strings.Count(out, `"owned": true`) != 3 || !strings.Contains(out, `"striped"`) {
		t.Errorf("explain: %s", out)
	}
	p := start(t, f.run()...)
	until(t, "it is complete", func() bool {
		doc, ok := status(t, f.path("state"))
		return p.hasEnded() || ok && doc.Phase == recovery.PhaseComplete.String()
	})
	if out := must(t, "explain", id, "--state-dir", f.path("state"), "-o", "json"); strings.Count(out, `"stored": true`) != 3 {
		t.Errorf("explain of a running daemon: %s", out)
	}
	if err := os.Remove(f.path("node/manifest/" + id)); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "explain", id, "--state-dir", f.path("state")); !strings.Contains(out, "manifest") {
		t.Errorf("explain of a blob without its manifest: %s", out)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
}

// Every way to ask for the same piece gives the same bytes, under a tag of their own.
func TestServeStriped(t *testing.T) {
	f := newStripedFleet(t, 3, 1_000)
	reader, err := storefs.OpenReader(t.Context(), f.path("source"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	server := httptest.NewServer(newBlobHandler(reader))
	defer server.Close()
	id := f.someBlob(1)
	tags := map[string]string{}
	for shard := range uint32(stripedTotal) {
		piece := shards.Striped.PieceOf(id, shard, stripedTotal)
		right, err := os.ReadFile(filepath.Join(f.path("source"), fmt.Sprint(shard), id.String()))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{fmt.Sprintf("/%d/%v", shard, id), fmt.Sprintf("/%d/%s/%v", shard, id.String()[:2], id), fmt.Sprintf("/pieces/%d/%v", piece, id)} {
			body, tag, code := get(t, server.URL+path)
			if code != http.StatusOK || body != string(right) {
				t.Errorf("%s: %d, %d bytes", path, code, len(body))
			}
			if other := tags[tag]; other != "" && other != body {
				t.Errorf("%s: two pieces have the tag %s", path, tag)
			}
			tags[tag] = body
		}
	}
	manifest, err := os.ReadFile(filepath.Join(f.path("source"), "manifest", id.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/manifest/", "/pieces/manifest/", "/manifest/" + id.String()[:2] + "/"} {
		if body, _, code := get(t, server.URL+path+id.String()); code != http.StatusOK || body != string(manifest) {
			t.Errorf("%s: %d, %d bytes", path, code, len(body))
		}
	}
	for path, want := range map[string]int{
		"/" + id.String(): http.StatusBadRequest, "/pieces/14/" + id.String(): http.StatusBadRequest, "/pieces/x/" + id.String(): http.StatusBadRequest,
		"/14/" + id.String(): http.StatusNotFound, "/manifest/" + strings.Repeat("0", 64): http.StatusNotFound, "/.recoverd": http.StatusBadRequest,
	} {
		if _, _, code := get(t, server.URL+path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

func get(t *testing.T, url string) (body, tag string, code int) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data), response.Header.Get("ETag"), response.StatusCode
}

// A store that somebody else filled: names prove nothing there, so pieces are held
// against the manifest's sizes, and manifests against their names.
func TestStripedForeignFiles(t *testing.T) {
	f := newStripedFleet(t, 30, 50_000)
	f.own("0-1")
	f.serve(shards.Range(0, 13))
	for _, dir := range []string{"0", "1", "manifest"} {
		files, err := filepath.Glob(f.path("source/" + dir + "/[0-9a-f]*"))
		if err != nil || len(files) != 31 {
			t.Fatalf("%d files in %s: %v", len(files), dir, err)
		}
		if err := os.MkdirAll(f.path("node/"+dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			switch id := filepath.Base(file); {
			case id == f.someBlob(3).String() && dir == "1", id == f.someBlob(5).String() && dir == "manifest":
				data = data[:len(data)/2]
			case id == f.someBlob(9).String() && dir == "manifest":
				data[70] ^= 1
			case id == f.someBlob(12).String() && dir == "manifest":
				continue
			}
			if err := os.WriteFile(filepath.Join(f.path("node"), dir, filepath.Base(file)), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	must(t, f.run("--exit-when-complete")...)
	f.samePieces(shards.Range(0, 1))
	if _, manifests, _ := f.answers(); manifests != 3 {
		t.Errorf("%d manifests were fetched, 3 were wrong or missing", manifests)
	}
}
