package evidence

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whoever takes text or bytes apart is reached by a fuzz target of its own package. By
// names: a target, or what it calls, has to name it.
func TestEveryDecoderIsFuzzed(t *testing.T) {
	decoders, targets := 0, 0
	for _, p := range sources(t) {
		reached := p.reached("Fuzz")
		targets += len(p.named("Fuzz"))
		for _, f := range p.funcs {
			if f.test || !f.decodes() {
				continue
			}
			decoders++
			if why, known := notFuzzed()[path.Join(p.dir, f.name)]; !reached[f.name] && !known {
				t.Errorf("%s: no fuzz target of %s reaches it", f, p.dir)
			} else if reached[f.name] && known {
				t.Errorf("%s is fuzzed, and listed as not (%s)", f, why)
			}
		}
	}
	if decoders < 80 || targets < 40 {
		t.Errorf("only %d decoders and %d targets were looked at", decoders, targets)
	}
	t.Logf("%d decoders, %d fuzz targets", decoders, targets)
}

// notFuzzed are decoders that need none, each with its reason.
func notFuzzed() map[string]string {
	return map[string]string{
		"checkpoint/ReadMirror":                            "opens files, whose bytes FuzzReadSlot makes",
		"syncer/store/UnmarshalText":                       "called by encoding/json in FuzzDecodeRoot and FuzzDecodeShard",
		"syncer/store/fs/UnmarshalText":                    "calls ParseDurability, which is fuzzed",
		"recovery/catalog/snapshot/transfer/UnmarshalJSON": "called by encoding/json in FuzzReadDocument",
		"recovery/catalog/snapshot/transfer/UnmarshalText": "called by encoding/json in FuzzReadDocument",
	}
}

// source is the code of one directory.
type source struct {
	dir   string // from the module's root
	funcs []function
}

type function struct {
	dir, name string
	test      bool
	params    []string        // types, as they are written
	names     map[string]bool // all that its body names
	texts     []string        // the strings in it
	starts    bool            // it says go, or calls something's Go
}

func (f function) String() string { return path.Join(f.dir, f.name) }

// decodes reports whether a function takes bytes, or a reader of them, apart.
func (f function) decodes() bool {
	return regexp.MustCompile(`^(?i:decode|parse|unmarshal|read)([A-Z]\w*)?$`).MatchString(f.name) && f.name != "Read" && f.name != "read" &&
		slices.ContainsFunc(f.params, func(p string) bool {
			return slices.Contains([]string{"[]byte", "string", "io.Reader", "io.ReaderAt", "*http.Response"}, p)
		})
}

// named returns the package's test functions whose names begin so.
func (s source) named(prefix string) (found []function) {
	for _, f := range s.funcs {
		if f.test && strings.HasPrefix(f.name, prefix) {
			found = append(found, f)
		}
	}
	return found
}

// reached returns every name that those functions name, or that what they name does.
func (s source) reached(prefix string) map[string]bool {
	reached := map[string]bool{}
	for todo := s.named(prefix); len(todo) > 0; {
		f := todo[0]
		todo = todo[1:]
		for name := range f.names {
			if reached[name] || slices.Contains([]string{"Read", "Write", "Close", "Error", "String", "Next", "New"}, name) { // anybody's
				continue
			}
			reached[name] = true
			for _, g := range s.funcs {
				if g.name == name {
					todo = append(todo, g)
				}
			}
		}
	}
	return reached
}

// sources returns the packages that make the program, with their tests.
func sources(t *testing.T) (all []source) {
	t.Helper()
	byDir := map[string]*source{}
	err := fs.WalkDir(os.DirFS(moduleRoot), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "recovery/sim" || strings.HasPrefix(d.Name(), ".") && name != "." || strings.HasSuffix(d.Name(), "test") || d.Name() == "bin" || d.Name() == "dist"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &source{dir: dir}
		}
		return byDir[dir].add(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range byDir {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b source) int { return strings.Compare(a.dir, b.dir) })
	return all
}

func (s *source) add(name string) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, filepath.Join(moduleRoot, name), nil, 0)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		decl, is := d.(*ast.FuncDecl)
		if !is || decl.Body == nil {
			continue
		}
		f := function{dir: s.dir, name: decl.Name.Name, test: strings.HasSuffix(name, "_test.go"), names: map[string]bool{}}
		for _, field := range decl.Type.Params.List {
			f.params = append(f.params, written(field.Type))
		}
		ast.Inspect(decl.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				f.names[n.Name] = true
			case *ast.BasicLit:
				if n.Kind == token.STRING {
					f.texts = append(f.texts, strings.Trim(n.Value, "\"`"))
				}
			case *ast.GoStmt:
				f.starts = true
			case *ast.CallExpr:
				if call, is := n.Fun.(*ast.SelectorExpr); is && call.Sel.Name == "Go" {
					f.starts = true
				}
			}
			return true
		})
		s.funcs = append(s.funcs, f)
	}
	return nil
}

// written is a parameter's type as it is written, as far as decoders have such.
func written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return "*" + written(e.X)
	case *ast.SelectorExpr:
		return fmt.Sprintf("%s.%s", written(e.X), e.Sel.Name)
	case *ast.ArrayType:
		if e.Len == nil {
			return "[]" + written(e.Elt)
		}
	}
	return "other"
}
