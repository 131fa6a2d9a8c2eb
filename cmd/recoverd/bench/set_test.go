package bench

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

const totalShards = 100

// blobSet is blobs of one size that nginx serves, and the lists of them that the
// programs want.
type blobSet struct {
	name string // the directory below the server's root
	size int64  // bytes, of each
	ids  []recovery.BlobID
	// Files, all of the same blobs in the order of ids.
	catalog, paths, curl, aria string
}

func (s *blobSet) String() string {
	size := fmt.Sprintf("%d KiB", s.size>>10)
	if s.size >= 1<<20 {
		size = fmt.Sprintf("%d MiB", s.size>>20)
	}
	return fmt.Sprintf("%s x %s", grouped(len(s.ids)), size)
}

// pathOf is where a blob lies below the store, and below the server's directory.
func pathOf(id recovery.BlobID) string {
	return fmt.Sprintf("%d/%s", shards.Home(id, totalShards), id)
}

// makeSet writes n blobs below root/name, as a store does.
func makeSet(t testing.TB, root, name string, n int, size int64) *blobSet {
	t.Helper()
	s := &blobSet{name: name, size: size}
	makeShardDirs(t, filepath.Join(root, name))
	random := rand.NewChaCha8([32]byte{byte(n), byte(size >> 10)})
	content := make([]byte, size)
	for range n {
		_, _ = random.Read(content) // never fails
		id := recovery.BlobID(sha256.Sum256(content))
		s.ids = append(s.ids, id)
		if err := os.WriteFile(filepath.Join(root, name, pathOf(id)), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(s.ids, recovery.BlobID.Compare)
	return s
}

// makeShardDirs spares everybody but recoverd, which makes its own, the making.
func makeShardDirs(t testing.TB, root string) {
	t.Helper()
	for shard := range totalShards {
		if err := os.MkdirAll(filepath.Join(root, fmt.Sprint(shard)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// list writes the lists of the blobs from the given one on.
func (s *blobSet) list(t testing.TB, program, dir, server string, from int) *blobSet {
	t.Helper()
	part := &blobSet{name: s.name, size: s.size, ids: s.ids[from:]}
	base := filepath.Join(dir, fmt.Sprintf("%s-from-%d", s.name, from))
	var paths, curl, aria, ndjson strings.Builder
	for _, id := range part.ids {
		path := pathOf(id)
		url := server + "/" + s.name + "/" + path
		fmt.Fprintln(&paths, path)
		fmt.Fprintf(&curl, "url = %q\noutput = %q\n", url, path)
		fmt.Fprintf(&aria, "%s\n dir=%s\n out=%s\n", url, filepath.Dir(path), id)
		fmt.Fprintf(&ndjson, "{\"id\":%q,\"size\":%d}\n", id, s.size)
	}
	for _, f := range []struct {
		path *string
		end  string
		text string
	}{{&part.paths, ".paths", paths.String()}, {&part.curl, ".curl", curl.String()}, {&part.aria, ".aria2", aria.String()}, {&part.catalog, ".ndjson", ndjson.String()}} {
		*f.path = base + f.end
		if err := os.WriteFile(*f.path, []byte(f.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := part.catalog
	part.catalog = base + ".rsnap"
	if out, err := exec.Command(program, "catalog", "import", "--in", in, "--out", part.catalog, "--network", "bench").CombinedOutput(); err != nil {
		t.Fatalf("make a catalog: %v: %s", err, out)
	}
	return part
}

// check fails unless the tree holds just these blobs, each with its size and, where
// asked for, its bytes.
func (s *blobSet) check(t testing.TB, root string, bytes bool) {
	t.Helper()
	for _, id := range s.ids {
		path := filepath.Join(root, pathOf(id))
		info, err := os.Lstat(path)
		if err != nil || info.Size() != s.size || !info.Mode().IsRegular() {
			t.Fatalf("it did not fetch %s: %v, %v", path, info, err)
		}
		if !bytes {
			continue
		}
		if content, err := os.ReadFile(path); err != nil || sha256.Sum256(content) != id {
			t.Fatalf("%s has other bytes than its name says: %v", path, err)
		}
	}
}

// readPaths reads a list of paths.
func readPaths(name string) (paths []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		paths = append(paths, lines.Text())
	}
	return paths, lines.Err()
}
