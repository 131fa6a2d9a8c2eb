package main

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBadInput is the table of what is refused before anything is written: a
// clear error that names the thing, the right exit code, and no new file.
func TestBadInput(t *testing.T) {
	f := newFleet(t, 5, 100)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	write := func(name, text string) string {
		writeFile(t, f.path(name), text)
		return f.path(name)
	}
	catalog, err := os.ReadFile(f.catalog)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(catalog)
	flipped[len(flipped)/3] ^= 0x10
	base := "epoch: 1\ntotal_shards: 4\n"

	for _, c := range []struct {
		name  string
		args  []string
		code  int
		names string // what the message must name
	}{
		{"unknown flag", []string{"--fooo", "1"}, exitUsage, "--fooo"},
		{"unknown verb", nil, exitUsage, "frobnicate"},
		{"stray argument", []string{"stray"}, exitUsage, "stray"},
		{"unknown key", []string{"--config", write("c1.yaml", "concurency: 5\n")}, exitConfig, "concurency"},
		{"bad value in a file", []string{"--config", write("c2.yaml", "concurrency: many\n")}, exitConfig, "concurrency"},
		{"list for a scalar", []string{"--config", write("c3.yaml", "layout: [flat, fanout]\n")}, exitConfig, "layout"},
		{"config that is not there", []string{"--config", f.path("none.yaml")}, exitConfig, "none.yaml"},
		{"ownership that is not YAML", []string{"--ownership", write("o1.yaml", "epoch: [\n")}, exitConfig, "o1.yaml"},
		{"ownership with an unknown key", []string{"--ownership", write("o2.yaml", base+"owned: 1\nshard: 2\n")}, exitConfig, "shard"},
		{"ownership beyond the total", []string{"--ownership", write("o3.yaml", base+"owned: 0-4\n")}, exitConfig, "shard 4"},
		{"ownership in no directory", []string{"--ownership", f.path("nowhere/o.yaml")}, exitConfig, "nowhere"},
		{"catalog that is not there", []string{"--catalog", f.path("none.rsnap")}, exitConfig, "none.rsnap"},
		{"catalog that is none", []string{"--catalog", write("text.rsnap", strings.Repeat("hello world ", 100))}, exitConfig, "text.rsnap"},
		{"catalog truncated", []string{"--catalog", write("cut.rsnap", string(catalog[:len(catalog)-7]))}, exitConfig, "cut.rsnap"},
		{"catalog with a byte flipped", []string{"--catalog", write("flip.rsnap", string(flipped))}, exitConfig, "flip.rsnap"},
		{"template without id", []string{"--peer", "http://127.0.0.1:1/blobs"}, exitConfig, "{id}"},
		{"template with an unknown word", []string{"--peer", "http://127.0.0.1:1/{id}/{oops}"}, exitConfig, "{oops}"},
		{"template of another scheme", []string{"--peer", "file:///etc/{id}"}, exitConfig, "file"},
		{"no slots", []string{"--concurrency", "0x"}, exitUsage, "concurrency"},
		{"too many slots", []string{"--concurrency", "100000"}, exitConfig, "100000"},
		{"layout", []string{"--layout", "deep"}, exitConfig, "deep"},
		{"size", []string{"--min-free", "lots"}, exitUsage, "lots"},
		{"state in no directory", []string{"--state-dir", f.path("flip.rsnap/state")}, exitNoCreate, "flip.rsnap/state"},
		{"status for everybody", []string{"--listen", "0.0.0.0:0"}, exitConfig, "0.0.0.0"},
		{"status on a busy address", []string{"--listen", busy.Addr().String()}, exitTryAgain, busy.Addr().String()},
		{"a certificate without a key", []string{"--listen", "127.0.0.1:0", "--tls-cert", f.path("none.crt")}, exitConfig, "--tls-key"},
		{"certificates and no address", []string{"--tls-cert", "a", "--tls-key", "b", "--tls-client-ca", "c"}, exitConfig, "--listen"},
		{"log level", []string{"--log-level", "loud"}, exitConfig, "loud"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := f.run(c.args...)
			if c.name == "unknown verb" {
				args = []string{"frobnicate"}
			}
			before := files(t, f.dir)
			stdout, stderr, code := invoke(t, args...)
			if code != c.code || !strings.Contains(stderr, c.names) {
				t.Errorf("exit code %d, want %d and a message that names %q:\n%s%s", code, c.code, c.names, stdout, stderr)
			}
			if strings.Contains(stderr, "goroutine ") {
				t.Errorf("a panic: %s", stderr)
			}
			if made := difference(files(t, f.dir), before); len(made) > 0 && c.code != exitTryAgain && c.names != "0.0.0.0" {
				t.Errorf("it made %v", made)
			}
		})
	}
}

// A store whose shard is a symbolic link out of its root is refused, and
// nothing is written where the link leads.
func TestStoreLinkOutOfRoot(t *testing.T) {
	f := newFleet(t, 40, 100)
	outside := f.path("outside")
	for _, dir := range []string{outside, f.path("node")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, f.path("node/1")); err != nil {
		t.Fatal(err)
	}
	p := start(t, f.run()...)
	until(t, "it says which shard", func() bool {
		doc, ok := status(t, f.path("state"))
		return p.hasEnded() || ok && strings.Contains(doc.Why, "shard 1")
	})
	if p.hasEnded() && (p.wait() != exitConfig || !strings.Contains(p.stderr.String(), "shard 1")) {
		t.Errorf("exit code %d: %s", p.wait(), p.stderr.String())
	}
	if left := files(t, outside); len(left) > 0 {
		t.Errorf("it wrote %v outside of its root", left)
	}
}

// A state directory that cannot be written is told at once.
func TestStateOnAFile(t *testing.T) {
	f := newFleet(t, 5, 100)
	writeFile(t, f.path("state"), "not a directory")
	if _, stderr, code := invoke(t, f.run()...); code != exitNoCreate || !strings.Contains(stderr, f.path("state")) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func files(t testing.TB, root string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != root {
			found[path] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func difference(now, before map[string]bool) (made []string) {
	for path := range now {
		if !before[path] {
			made = append(made, path)
		}
	}
	return made
}
