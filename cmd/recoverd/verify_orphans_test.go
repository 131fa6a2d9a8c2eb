package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/syncer/audit"
)

// What need not be stored is listed with --orphans, and stays.
func TestVerifyOrphans(t *testing.T) {
	f := recovered(t, 60, 600)
	root := f.path("node")
	want := map[string]audit.Kind{}
	var put []string
	add := func(kind audit.Kind, name string) {
		path := filepath.Join(root, name)
		if err := errorsOf(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
		want[path], put = kind, append(put, path)
	}
	some := filepath.Base(f.files()[0])
	shard := filepath.Base(filepath.Dir(f.files()[0]))
	add(audit.NotCertified, "0/"+strings.Repeat("0", 63)+"4") // 0 mod 4
	add(audit.Misplaced, fmt.Sprintf("%c/%s", '0'+(shard[0]-'0'+1)%4, some))
	add(audit.NotOwned, "7/"+some)
	add(audit.Stray, "1/readme.txt")
	add(audit.Stray, "2/"+strings.ToUpper("abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"))
	stdout, stderr, code := invoke(t, f.verify("--orphans")...)
	got, sum := found(t, stdout)
	for path, kind := range want {
		if kind == audit.Stray {
			delete(want, path)
			want[path+" is a regular file"] = kind
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || code != exitIncomplete || !sum.Good {
		t.Errorf("exit code %d (-want +got):\n%s%s", code, diff, stderr)
	}
	for _, path := range put {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("it is gone: %v", err)
		}
	}
	f.check(map[string]audit.Kind{}) // without --orphans they are nobody's business
	f.own("epoch: 1\ntotal_shards: 4\nowned: \"0-2\"\n")
	if sum := f.check(map[string]audit.Kind{}); sum.Blobs == 60 || sum.Blobs == 0 {
		t.Errorf("with fewer shards %d blobs were looked at", sum.Blobs)
	}
}

// An unmounted disk is not repaired over, and what does not fit together is not
// verified at all.
func TestVerifyRefuses(t *testing.T) {
	f := recovered(t, 40, 600)
	state := f.path("state")
	p := start(t, f.run()...)
	until(t, "the daemon answers", func() bool { _, ok := status(t, state); return ok })
	if err := os.Rename(f.path("node/2"), f.path("away")); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := invoke(t, f.verify("--state-dir", state, "--repair")...)
	if code != exitConfig || !strings.Contains(stderr, "is its disk mounted?") {
		t.Errorf("repair of a shard that is gone: exit code %d, %s", code, stderr)
	}
	if err := os.Rename(f.path("away"), f.path("node/2")); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
	f.own("epoch: 1\ntotal_shards: 8\nowned: \"0-3\"\n")
	if _, stderr, code := invoke(t, f.verify()...); code != exitConfig || !strings.Contains(stderr, "8") {
		t.Errorf("another number of shards: exit code %d, %s", code, stderr)
	}
	for _, args := range [][]string{
		{"verify"}, {"verify", "--store", "x", "--catalog", "y"}, f.verify("--repair"), f.verify("--concurrency", "0"),
		f.verify("-o", "xml"), f.verify("more"),
	} {
		if _, stderr, code := invoke(t, args...); code != exitUsage || stderr == "" {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}
