package recovery_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The packages that may do nothing but compute: the brain and its dictionary
// (DESIGN 4 and 5). Histories can be replayed only as long as this holds.
func TestPurity(t *testing.T) {
	for _, dir := range []string{".", "../shards"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			checked++
			for _, found := range impurities(t, name, string(source)) {
				t.Error(found)
			}
		}
		if checked == 0 {
			t.Errorf("no file was checked in %s", dir)
		}
	}
}

// impurities lists what a pure file may not contain, each with its place.
func impurities(t *testing.T, name, source string) (found []string) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err != nil || !pureImport(path) {
			found = append(found, fmt.Sprintf("%s: imports %s", files.Position(spec.Pos()), spec.Path.Value))
		}
		if spec.Name != nil {
			found = append(found, fmt.Sprintf("%s: imports %s under another name", files.Position(spec.Pos()), spec.Path.Value))
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if what := impurity(n); what != "" {
			found = append(found, fmt.Sprintf("%s: %s", files.Position(n.Pos()), what))
		}
		return true
	})
	return found
}

// pureImport reports whether a package offers no I/O, clock, randomness or
// concurrency; time and fmt do, and are looked at by impurity.
func pureImport(path string) bool {
	switch path {
	case "github.com/recoverd/recoverd/shards",
		"bytes", "cmp", "container/heap", "errors", "fmt", "iter", "maps", "math", "math/bits",
		"slices", "sort", "strconv", "strings", "time", "unicode":
		return true
	case "hash/maphash": // seeded at random
		return false
	}
	for _, family := range []string{"encoding/", "hash/", "unicode/"} {
		if strings.HasPrefix(path, family) {
			return true
		}
	}
	return false
}

// impurity names what is wrong with a node; empty: nothing.
func impurity(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "starts a goroutine"
	case *ast.SelectStmt:
		return "selects"
	case *ast.ChanType:
		return "has a channel type"
	case *ast.SendStmt:
		return "sends on a channel"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "receives from a channel"
		}
	case *ast.FuncDecl:
		if n.Recv == nil && n.Name.Name == "init" {
			return "has an init function"
		}
	case *ast.SelectorExpr:
		if pkg, ok := n.X.(*ast.Ident); ok && impureName(pkg.Name, n.Sel.Name) {
			return "uses " + pkg.Name + "." + n.Sel.Name
		}
	}
	return ""
}

func impureName(pkg, name string) bool {
	switch pkg {
	case "time":
		return slices.Contains([]string{
			"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker",
			"Timer", "Ticker", "Local", "LoadLocation",
		}, name)
	case "fmt":
		return strings.HasPrefix(name, "Print") || strings.HasPrefix(name, "Scan")
	}
	return false
}

func TestPurityCheckBites(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       []string
	}{
		{"types and durations", `import "time"; var d time.Duration = time.Second; func f(t time.Time) bool { return t.IsZero() }`, nil},
		{"text", `import "fmt"; func f() string { return fmt.Sprint(1) }`, nil},
		{"goroutine", `func f() { go f() }`, []string{"starts a goroutine"}},
		{"channel", `var c chan int`, []string{"has a channel type"}},
		{"channel ops", `func f(c <-chan int, d chan<- int) { d <- <-c }`,
			[]string{"has a channel type", "has a channel type", "sends on a channel", "receives from a channel"}},
		{"select", `func f() { select {} }`, []string{"selects"}},
		{"clock", `import "time"; var t = time.Now()`, []string{"uses time.Now"}},
		{"timer", `import "time"; var t *time.Timer`, []string{"uses time.Timer"}},
		{"clock as a value", `import "time"; var now = time.Now`, []string{"uses time.Now"}},
		{"clock under another name", `import t "time"; var now = t.Now`, []string{`imports "time" under another name`}},
		{"lock", `import "sync"`, []string{`imports "sync"`}},
		{"chance", `import "math/rand/v2"`, []string{`imports "math/rand/v2"`}},
		{"seeded hash", `import "hash/maphash"`, []string{`imports "hash/maphash"`}},
		{"files", `import "os"`, []string{`imports "os"`}},
		{"printing", `import "fmt"; func f() { fmt.Println() }`, []string{"uses fmt.Println"}},
		{"a package of ours", `import "github.com/recoverd/recoverd/syncer"`, []string{`imports "github.com/recoverd/recoverd/syncer"`}},
		{"below shards", `import "github.com/recoverd/recoverd/shards/provider"`, []string{`imports "github.com/recoverd/recoverd/shards/provider"`}},
		{"init", `func init() {}`, []string{"has an init function"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, found := range impurities(t, "x.go", "package x; "+tc.body) {
				_, what, _ := strings.Cut(found, ": ")
				got = append(got, what)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
