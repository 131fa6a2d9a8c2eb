package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

func listID(n int) recovery.BlobID { return recovery.BlobID{0: byte(n * 37), 1: byte(n), 31: 9} }

// Every kind of list becomes a catalog; from a file and from standard input.
func TestCatalogImport(t *testing.T) {
	f := newFolder(t)
	a, b := listID(1), listID(2)
	ids := fmt.Sprintf("%v\n%v\n", a, b)
	want := fmt.Sprintf("%v unknown\n%v unknown\n", a, b)
	for format, text := range map[string]string{
		"ids": ids, "sha256sum": fmt.Sprintf("%v  x\n%v *y\n", b, a), "oci": fmt.Sprintf("sha256:%v\nsha256:%v\n", a, b),
		"ndjson": fmt.Sprintf("{\"id\":\"%v\"}\n{\"id\":\"%v\"}\n", b, a.Base64URL()),
	} {
		list, out := f.file(format, []byte(text)), f.path(format+".rsnap")
		stdout, stderr, code := line(t, "catalog", "import", "--in", list, "--out", out)
		if code != 0 || !strings.Contains(stdout, "certifies 2 blobs up to position 1 of import-") || !strings.Contains(stdout, "2 lines of "+format+": 2 new") ||
			!strings.Contains(stderr, "the size of 2 certified blobs is unknown") {
			t.Errorf("%s: exit code %d, %s%s", format, code, stdout, stderr)
		}
		if got := works(t, "catalog", "list", out); got != want {
			t.Errorf("%s: %s", format, got)
		}
		stdin := f.path(format + "-stdin.rsnap")
		if _, stderr, code := lineWith(t, text, "catalog", "import", "--in", "-", "--out", stdin, "--format", format); code != 0 {
			t.Errorf("%s from standard input: exit code %d, %s", format, code, stderr)
		}
		works(t, "snapshot", "diff", out, stdin)
	}
	works(t, "snapshot", "quorum", f.path("ids.rsnap"), f.path("oci.rsnap"), f.path("ndjson.rsnap"), f.path("sha256sum.rsnap"))

	list := f.file("sized", []byte(fmt.Sprintf("%v 10\n%v 20\n%v 10\n", a, b, a)))
	stdout, stderr, code := line(t, "catalog", "import", "--in", list, "--out", f.path("next.rsnap"), "--base", f.path("ids.rsnap"), "--epoch", "2", "-o", "json")
	var got importedCatalog
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	got.Digest, got.Network = "", ""
	if diff := cmp.Diff(importedCatalog{Catalog: f.path("next.rsnap"), Format: "ids", Epoch: 2, Position: 2, Certified: 2, Lines: 3, Repeated: 1, Learned: 2}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	contains(t, works(t, "catalog", "import", "--in", list, "--out", f.path("net.rsnap"), "--network", "main"), "of main in epoch 1", "3 lines of ids: 2 new, 0 longer, 0 known, 1 repeated")
}

// A snapshot of Walrus becomes a catalog, which names its network after the
// digest that nodes compare.
func TestCatalogImportWalrus(t *testing.T) {
	f := newFolder(t)
	stdout, stderr, code := line(t, "catalog", "import", "--in", goldenB, "--out", f.path("w.rsnap"))
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	contains(t, stdout, "certifies 1 blob up to position 42 of walrus-17cf49e2fd041371 in epoch 7", "5 entries of a Walrus snapshot")
	contains(t, stderr, "the size of 1 certified blob is unknown: recoverd run will refuse", "1 pool named, but not in the snapshot", "0000000008")
	contains(t, works(t, "catalog", "list", "-o", "json", f.path("w.rsnap")), `"size":null,"encoding":"walrus","certified_epoch":4,"end_epoch":null,"gained":42`)
	stdout, _, _ = line(t, "catalog", "import", "--in", goldenB, "--out", f.path("w.rsnap"), "-o", "json")
	contains(t, stdout, `"format":"walrus"`, `"missing_pools":["`)
	raw, err := os.ReadFile(goldenB)
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := lineWith(t, string(raw), "catalog", "import", "--in", "-", "--out", f.path("piped.rsnap")); code != 0 {
		t.Errorf("from standard input: exit code %d, %s", code, stderr)
	}
	works(t, "snapshot", "quorum", f.path("w.rsnap"), f.path("piped.rsnap"))
	if _, stderr, code := line(t, "catalog", "import", "--in", goldenA, "--out", f.path("a.rsnap")); code != exitConfig || !strings.Contains(stderr, "part 2 of 3") {
		t.Errorf("one of several parts: exit code %d, %s", code, stderr)
	}
}

// What is refused is refused with the line or the byte, and leaves nothing.
func TestCatalogImportRefused(t *testing.T) {
	f := newFolder(t)
	a, b := listID(1), listID(2)
	good := f.file("good", []byte(fmt.Sprintf("%v 10\n", a)))
	out := f.path("out.rsnap")
	for _, tc := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no list", []string{"--out", out}, exitUsage, "--in and --out are required"},
		{"no output", []string{"--in", good}, exitUsage, "--in and --out are required"},
		{"format", []string{"--in", good, "--out", out, "--format", "csv"}, exitUsage, "csv"},
		{"output format", []string{"--in", good, "--out", out, "-o", "xml"}, exitUsage, "xml"},
		{"stray argument", []string{"--in", good, "--out", out, "more"}, exitUsage, "more"},
		{"no such list", []string{"--in", f.path("none"), "--out", out}, exitConfig, "none"},
		{"no such base", []string{"--in", good, "--out", out, "--base", f.path("none")}, exitConfig, "base: "},
		{"a base of Walrus", []string{"--in", good, "--out", out, "--base", goldenB}, exitConfig, "make a catalog of it first"},
		{"nowhere to write", []string{"--in", good, "--out", f.path("nowhere/out.rsnap")}, exitNoCreate, "nowhere"},
		{"two formats", []string{"--in", f.file("two", []byte(fmt.Sprintf("%v  10\n", a))), "--out", out}, exitConfig, "lines 1 to 1, could be ids with sizes, or sha256sum"},
		{"a change in the middle", []string{"--in", f.file("mix", []byte(fmt.Sprintf("%v\nsha256:%v\n", a, b))), "--out", out}, exitConfig, "line 2: it is oci, those before it are ids"},
		{"contradiction", []string{"--in", f.file("twice", []byte(fmt.Sprintf("%v 1\n%v 1\n%v 2\n", a, b, a))), "--out", out}, exitConfig, "line 3: blob " + a.String() + " is listed in line 1 too, and they say 1 bytes and 2"},
		{"empty", []string{"--in", f.file("empty", nil), "--out", out}, exitConfig, "is empty"},
		{"damaged", []string{"--in", f.file("cut", []byte("\xb1\x0b\x1f\x05\x00\x00\x00\x01\x36")), "--out", out}, exitConfig, "neither layout"},
		{"a catalog", []string{"--in", goldenOurs, "--out", out}, exitConfig, "catalog already"},
		{"a network's name", []string{"--in", good, "--out", out, "--network", strings.Repeat("x", 200)}, exitConfig, "200 bytes"},
		{"a directory", []string{"--in", f.dir, "--out", out}, exitFailure, "directory"},
	} {
		before := files(t, f.dir)
		stdout, stderr, code := line(t, append([]string{"catalog", "import"}, tc.args...)...)
		if code != tc.code || !strings.Contains(stderr, tc.says) || stdout != "" {
			t.Errorf("%s: exit code %d, want %d and %q: %s%s", tc.name, code, tc.code, tc.says, stdout, stderr)
		}
		if made := difference(files(t, f.dir), before); len(made) > 0 {
			t.Errorf("%s: it made %v", tc.name, made)
		}
	}
}

// What a killed import left goes when the next one begins. Hazard 49.
func TestCatalogImportLeftovers(t *testing.T) {
	f := newFolder(t)
	leftover := f.file(".out.rsnap.ABC.rsnap-tmp", []byte("half"))
	list := f.file("list", []byte(listID(1).String()+"\n"))
	works(t, "catalog", "import", "--in", list, "--out", f.path("out.rsnap"))
	if _, err := os.Stat(leftover); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	left, err := filepath.Glob(f.path(".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What is exported is imported as the same certified blobs.
func TestCatalogExport(t *testing.T) {
	f := newFolder(t)
	list := works(t, "catalog", "export", "--catalog", goldenOurs)
	if n := strings.Count(list, "\n"); n != 4 {
		t.Fatalf("%d lines:\n%s", n, list)
	}
	if _, stderr, code := lineWith(t, list, "catalog", "import", "--in", "-", "--out", f.path("back.rsnap"), "--epoch", "300"); code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	works(t, "catalog", "synth", "--blobs", "100", "--out", f.path("s.rsnap"))
	for _, format := range []string{"ndjson", "ids", "sha256sum"} {
		list := works(t, "catalog", "export", "--catalog", f.path("s.rsnap"), "--format", format)
		out := f.path(format + ".rsnap")
		if _, stderr, code := lineWith(t, list, "catalog", "import", "--in", "-", "--out", out, "--network", "synth"); code != 0 {
			t.Fatalf("%s: exit code %d, %s", format, code, stderr)
		}
		same := works(t, "catalog", "list", "-o", "json", out) == works(t, "catalog", "list", "-o", "json", f.path("s.rsnap"))
		if same != (format == "ndjson") {
			t.Errorf("%s: the same %v", format, same)
		}
		if again := works(t, "catalog", "export", "--catalog", out, "--format", format); again != list {
			t.Errorf("%s exported again:\n%.300s", format, again)
		}
	}
	works(t, "snapshot", "diff", f.path("s.rsnap"), f.path("ndjson.rsnap"))
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no catalog":   {nil, exitUsage, "--catalog is required"},
		"format":       {[]string{"--catalog", goldenOurs, "--format", "oci"}, exitUsage, "oci"},
		"not there":    {[]string{"--catalog", f.path("none")}, exitConfig, "none"},
		"walrus":       {[]string{"--catalog", goldenA}, exitConfig, "make a catalog of it first"},
		"not a hash":   {[]string{"--catalog", goldenOurs, "--format", "sha256sum"}, exitConfig, "is not the SHA-256"},
		"incremental":  {[]string{"--catalog", f.incremental("incr.rsnap", goldenOurs, f.ours("later.rsnap", goldenOurs, func(s *memoryState) { s.head.Position++ }))}, exitConfig, "no catalog by itself"},
		"one argument": {[]string{"x"}, exitUsage, "x"},
	} {
		if _, stderr, code := line(t, append([]string{"catalog", "export"}, tc.args...)...); code != tc.code || !strings.Contains(stderr, tc.says) {
			t.Errorf("%s: exit code %d, want %d and %q: %s", name, code, tc.code, tc.says, stderr)
		}
	}
	set := f.chunks("set")
	if n := strings.Count(works(t, "catalog", "export", "--catalog", set, "--format", "ids"), "\n"); n != 6000 {
		t.Errorf("a set of chunks: %d lines", n)
	}
}

// A run refuses what it could never verify: at once, and by a name; also when it
// takes the place of a good catalog, which then stays.
func TestRunRefusesUnverifiable(t *testing.T) {
	f := newFleet(t, 5, 100)
	fold := folder{t, f.dir}
	list := func(name, text string, more ...string) string {
		out := f.path(name + ".rsnap")
		works(t, append([]string{"catalog", "import", "--in", fold.file(name+".list", []byte(text)), "--out", out}, more...)...)
		return out
	}
	id := listID(1).String()
	walrus := f.path("walrus.rsnap")
	works(t, "catalog", "import", "--in", goldenB, "--out", walrus)
	for name, tc := range map[string]struct{ catalog, says string }{
		"walrus":         {walrus, "has the encoding walrus, which only a host that embeds recoverd with a Verifier"},
		"walrus, sized":  {list("sized", `{"id":"`+id+`","size":5,"encoding":"walrus"}`), "has the encoding walrus"},
		"striped":        {list("striped", `{"id":"`+id+`","size":5,"encoding":"striped"}`), "it needs --placement striped"},
		"unknown size":   {list("unsized", id+"\n"), "has no known size"},
		"unknown digest": {list("undigested", `{"id":"`+id+`","size":5,"digest":null}`), "has no known digest"},
	} {
		stdout, stderr, code := invoke(t, f.run("--catalog", tc.catalog, "--exit-when-complete")...)
		if code != exitConfig || !strings.Contains(stderr, tc.says) || !strings.Contains(stderr, tc.catalog) || !strings.Contains(stderr, "blob "+id[:2]) && name != "walrus" {
			t.Errorf("%s: exit code %d\n%s%s", name, code, stdout, stderr)
		}
	}
	if _, err := os.Stat(f.path("state")); err == nil {
		t.Error("a refused run made its state")
	}
	if _, stderr, code := invoke(t, f.run("--exit-when-complete")...); code != 0 {
		t.Fatalf("a good catalog: exit code %d\n%s", code, stderr)
	}
	// In the place of a good one, while it runs.
	next := list("next", id+"\n", "--base", f.catalog)
	p := start(t, f.run("--follow-interval", "100ms")...)
	until(t, "it is complete", func() bool { doc, ok := status(t, f.path("state")); return ok && doc.Phase == "complete" })
	if err := os.Rename(next, f.catalog); err != nil {
		t.Fatal(err)
	}
	until(t, "it says why the catalog is refused", func() bool {
		doc, ok := status(t, f.path("state"))
		return p.hasEnded() || ok && strings.Contains(doc.CatalogTrouble, "has no known size")
	})
	p.kill()
	// A restart finds it in the place of the one it knew.
	if _, stderr, code := invoke(t, f.run("--exit-when-complete")...); code != exitConfig || !strings.Contains(stderr, "has no known size") {
		t.Errorf("started again: exit code %d\n%s", code, stderr)
	}
}

// Progress that an older program made with such a catalog does not let it in: a
// restart reads no more than it must, but looks whether sizes are unknown.
func TestRunRefusesUnverifiableWithProgress(t *testing.T) {
	f := newFleet(t, 5, 100)
	works(t, "catalog", "import", "--in", goldenB, "--out", f.path("walrus.rsnap"))
	info, err := snapshot.Peek(f.path("walrus.rsnap"))
	if err != nil {
		t.Fatal(err)
	}
	dir := savedProgress(t)
	d := saved(t, dir)
	d.Record.Progress.Bound = info.Bound()
	store, err := checkpoint.Open(checkpoint.Config{Dir: dir})
	if err == nil {
		err = errors.Join(store.Reset(d.Record), store.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, code := invoke(t, f.run("--catalog", f.path("walrus.rsnap"), "--state-dir", dir, "--exit-when-complete")...)
	if code != exitConfig || !strings.Contains(stderr, "has the encoding walrus") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}
