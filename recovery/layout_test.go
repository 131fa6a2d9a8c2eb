package recovery_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	moduleRoot = ".."
	modulePath = "github.com/recoverd/recoverd"
)

// Who may import what (DESIGN 5). The linter holds the same rules, where it runs;
// this runs wherever the tests do.
func TestImportDirections(t *testing.T) {
	all := imports(t)
	seen := map[string]bool{}
	for _, i := range all {
		seen[i.from] = true
	}
	for _, pkg := range []string{"recovery", "recovery/worker", "checkpoint", "syncer", "shards/provider/file"} {
		if !seen[pkg] {
			t.Errorf("no import of %s was looked at", pkg)
		}
	}
	for _, v := range violations(all) {
		t.Error(v)
	}
}

func TestTopLevel(t *testing.T) {
	allowed := []string{
		"Makefile", "README.md", "checkpoint", "cmd", "go.mod", "go.sum", "recovery", "shards", "syncer", "testdata",
		"bin", "dist", // what a build leaves; not in the repository
	}
	for _, name := range entries(t, moduleRoot) {
		built := strings.HasSuffix(name, ".test") || strings.HasSuffix(name, ".prof")
		if !strings.HasPrefix(name, ".") && !built && !slices.Contains(allowed, name) {
			t.Errorf("%s has no place at the top of the repository (DESIGN 5)", name)
		}
	}
	if diff := cmp.Diff([]string{"recoverd"}, entries(t, filepath.Join(moduleRoot, "cmd"))); diff != "" {
		t.Errorf("cmd holds one command: %s", diff)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// imported is one import in one file. Packages of the module are named without
// its path.
type imported struct {
	file, from, to string
	test           bool // the file is test code: a _test.go, or a suite's
}

// imports returns every import of the module's Go files.
func imports(t *testing.T) (all []imported) {
	t.Helper()
	walkModule(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(moduleRoot, name), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			from := path.Dir(name)
			all = append(all, imported{
				file: name, from: from, to: strings.TrimPrefix(to, modulePath+"/"),
				test: strings.HasSuffix(name, "_test.go") || isSuite(from),
			})
		}
	})
	return all
}

// walkModule calls visit with every file of the repository, named with slashes from
// its root.
func walkModule(t *testing.T, visit func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(moduleRoot), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || name == "bin" || name == "dist"):
			return fs.SkipDir
		case !d.IsDir():
			visit(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isSuite reports whether a package holds a conformance suite, fixtures for tests, or
// a part of the proofs: nothing of it may be in the program.
func isSuite(pkg string) bool { return strings.HasSuffix(pkg, "test") || inTree(pkg, "recovery/sim") }

// violations names each import that DESIGN 5 forbids. Test code may import anything
// but cmd.
func violations(all []imported) (found []string) {
	heavy := map[string]map[string]bool{}
	for _, i := range all {
		why := ""
		switch {
		case inTree(i.to, "cmd"):
			why = "nobody imports cmd"
		case i.test:
		case ours(i.to) && isSuite(i.to) || i.to == "testing":
			why = "test code stays out of the program"
		case !allowed(i):
			why = fmt.Sprintf("%s may import of ours only %v", i.from, mayImport(i.from))
		case siblings(i.from, i.to):
			why = "sibling adapters do not know each other"
		}
		if why != "" {
			found = append(found, fmt.Sprintf("%s imports %s: %s", i.file, i.to, why))
		}
		if client := heavyClient(i.to); client != "" && !i.test {
			if heavy[client] == nil {
				heavy[client] = map[string]bool{}
			}
			heavy[client][i.from] = true
		}
	}
	return append(found, heavyViolations(heavy)...)
}

func inTree(pkg, root string) bool { return pkg == root || strings.HasPrefix(pkg, root+"/") }

// ours reports whether a package belongs to the module.
func ours(pkg string) bool {
	for _, root := range []string{"checkpoint", "cmd", "recovery", "shards", "syncer"} {
		if inTree(pkg, root) {
			return true
		}
	}
	return false
}

// mayImport lists what a package may import of the module; a name ending in /...
// means all below it too. nil means anything (but cmd).
func mayImport(pkg string) []string {
	switch {
	case pkg == "recovery":
		return []string{"shards"}
	case pkg == "shards", pkg == "recovery/boltfile", pkg == "recovery/regular":
		return []string{}
	case pkg == "recovery/worker":
		return []string{"recovery", "shards", "syncer"}
	case pkg == "recovery/keyfile": // below everything that connects or listens
		return []string{"recovery/regular"}
	case inTree(pkg, "recovery/statusapi"):
		return []string{"recovery", "recovery/keyfile", "recovery/worker", "recovery/statusapi/...", "shards", "syncer"}
	case inTree(pkg, "recovery/catalog"):
		return []string{"recovery", "recovery/boltfile", "recovery/catalog/...", "recovery/regular", "shards"}
	case inTree(pkg, "checkpoint"):
		return []string{"recovery", "recovery/boltfile", "checkpoint/...", "shards"}
	case inTree(pkg, "syncer"):
		return []string{"recovery", "recovery/keyfile", "shards", "syncer/..."}
	case inTree(pkg, "shards/provider"):
		return []string{"recovery/keyfile", "recovery/regular", "shards/..."}
	case inTree(pkg, "shards"):
		return []string{"shards/..."}
	}
	return nil
}

func allowed(i imported) bool {
	may := mayImport(i.from)
	if may == nil || !ours(i.to) {
		return true
	}
	return slices.ContainsFunc(may, func(pattern string) bool {
		root, tree := strings.CutSuffix(pattern, "/...")
		return i.to == root || tree && inTree(i.to, root)
	})
}

// siblings reports whether both packages are, or belong to, different adapters of
// one kind. Catalogs may all use snapshots and events, which are no adapters.
func siblings(from, to string) bool {
	for _, family := range []string{"syncer/store", "syncer/peer", "shards/provider", "recovery/catalog"} {
		a, b := member(family, from), member(family, to)
		if a != "" && b != "" && a != b && !inTree(to, "recovery/catalog/snapshot") && !inTree(to, "recovery/catalog/event") {
			return true
		}
	}
	return false
}

// member returns the adapter of a family that a package belongs to; empty: none.
func member(family, pkg string) string {
	rest, below := strings.CutPrefix(pkg, family+"/")
	if !below {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// heavyClient names the large client library a package belongs to; empty: none.
func heavyClient(pkg string) string {
	for _, c := range []string{"go.etcd.io/etcd", "github.com/minio/minio-go", "github.com/jackc/pgx"} {
		if inTree(pkg, c) {
			return c
		}
	}
	return ""
}

// heavyViolations wants each heavy client in at most one package, a leaf of its
// kind, so that a program without that adapter does not link it.
func heavyViolations(importers map[string]map[string]bool) (found []string) {
	home := map[string]string{
		"go.etcd.io/etcd": "shards/provider", "github.com/minio/minio-go": "syncer/peer", "github.com/jackc/pgx": "recovery/catalog",
	}
	for _, client := range slices.Sorted(maps.Keys(importers)) {
		pkgs := slices.Sorted(maps.Keys(importers[client]))
		if len(pkgs) > 1 || member(home[client], pkgs[0]) == "" {
			found = append(found, fmt.Sprintf("%s is imported by %v, want one package below %s", client, pkgs, home[client]))
		}
	}
	return found
}

func TestImportCheckBites(t *testing.T) {
	production := func(from, to string) imported { return imported{file: from + "/x.go", from: from, to: to} }
	for _, tc := range []struct {
		i  imported
		ok bool
	}{
		{production("recovery", "shards"), true},
		{production("recovery", "syncer"), false},
		{production("recovery", "shards/provider"), false},
		{production("shards", "recovery"), false},
		{production("shards/provider/file", "shards/provider"), true},
		{production("shards/provider/file", "shards/provider/http"), false},
		{production("shards/provider/file", "recovery"), false},
		{production("recovery/worker", "syncer"), true},
		{production("recovery/worker", "syncer/store"), false},
		{production("recovery/worker", "recovery/catalog"), false},
		{production("recovery/worker", "github.com/rs/zerolog"), true},
		{production("recovery/statusapi", "recovery/worker"), true},
		{production("recovery/statusapi", "checkpoint"), false},
		{production("recovery/statusapi", "recovery/keyfile"), true},
		{production("syncer/peer/s3peer", "recovery/keyfile"), true},
		{production("shards/provider/http", "recovery/keyfile"), true},
		{production("recovery", "recovery/keyfile"), false},
		{production("recovery/keyfile", "recovery"), false},
		{production("recovery/keyfile", "recovery/regular"), true},
		{production("recovery/regular", "recovery"), false},
		{production("recovery/catalog/http", "recovery/catalog/snapshot"), true},
		{production("recovery/catalog/http", "recovery/catalog/eventlog"), false},
		{production("recovery/catalog/eventlog", "recovery/catalog/event"), true},
		{production("recovery/catalog/eventlog", "recovery/catalog/snapshot/archive"), true},
		{production("recovery/catalog/event", "recovery/catalog/eventlog"), false},
		{production("recovery/catalog/snapshot", "recovery/catalog/http"), false},
		{production("recovery/catalog/snapshot/walrus", "recovery/catalog/snapshot"), true},
		{production("recovery/catalog", "recovery/catalog/snapshot"), true},
		{production("syncer/store/fs", "syncer/store"), true},
		{production("syncer/store/fs", "syncer/store/mem"), false},
		{production("syncer/peer/s3peer", "syncer/peer/httppeer"), false},
		{production("syncer", "checkpoint"), false},
		{production("checkpoint", "recovery/worker"), false},
		{production("checkpoint", "checkpoint/checkpointtest"), false},
		{production("checkpoint", "testing"), false},
		{production("recovery/sim", "checkpoint"), true},
		{production("recovery/sim", "cmd/recoverd"), false},
		{production("recovery", "recovery/sim/evidence"), false},
		{production("cmd/recoverd", "syncer/store/fs"), true},
		{production("syncer/peer/s3peer", "github.com/minio/minio-go/v7"), true},
		{production("syncer/peer", "github.com/minio/minio-go/v7"), false},
		{production("cmd/recoverd", "go.etcd.io/etcd/client/v3"), false},
		{imported{"syncer/store/fs/x_test.go", "syncer/store/fs", "syncer/store/mem", true}, true},
		{imported{"recovery/x_test.go", "recovery", "cmd/recoverd", true}, false},
	} {
		if got := violations([]imported{tc.i}); (len(got) == 0) != tc.ok {
			t.Errorf("%s -> %s: %q", tc.i.from, tc.i.to, got)
		}
	}
	twice := []imported{
		production("recovery/catalog/postgres", "github.com/jackc/pgx/v5"),
		production("recovery/catalog/eventlog", "github.com/jackc/pgx/v5/pgxpool"),
	}
	if got := violations(twice); len(got) != 1 {
		t.Errorf("a heavy client in two packages: %q", got)
	}
}
