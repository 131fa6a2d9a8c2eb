package overlay

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
)

// AwakeEnv names, for a program that was built by NewAsleep, the fault that is awake.
// Its value is a fault's name. The processes that it starts see it, too.
const AwakeEnv = "RECOVERD_TEST_FAULT"

// awakeFile holds, in each package that has faults, the name of the one that is awake.
const awakeFile = "zz_fault_awake.go"

// NewAsleep is New, but the faults sleep: each does its harm only where AwakeEnv names
// it. So one build has room for a whole table, also for faults on the same text, and
// without a name in AwakeEnv it is the program without a fault. Faults of one name wake
// up together.
//
// A fault must lie within functions: each that it changes is there twice, and the right
// one calls the wrong one when it is awake.
func NewAsleep(dir string, faults ...Fault) (*Overlay, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	for _, f := range faults {
		if f.Old == "" {
			return nil, f.errorf("a file that is made cannot sleep")
		}
	}
	changed, err := files(root, faults, asleep)
	if err != nil {
		return nil, err
	}
	for name, text := range changed {
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly)
		if err != nil {
			return nil, fmt.Errorf("overlay: %w", err)
		}
		changed[path.Join(path.Dir(name), awakeFile)] = fmt.Appendf(nil,
			"package %s\n\nimport \"os\"\n\nvar faultAwake = os.Getenv(%q)\n", f.Name.Name, AwakeEnv)
	}
	return write(dir, root, changed)
}

// asleep is a file in which each fault sleeps.
func asleep(source []byte, faults []Fault) ([]byte, error) {
	right, err := functionsOf(source)
	if err != nil {
		return nil, err
	}
	var names []string
	byName := map[string][]Fault{}
	for _, f := range faults {
		if byName[f.Name] == nil {
			names = append(names, f.Name)
		}
		byName[f.Name] = append(byName[f.Name], f)
	}
	calls := map[string]string{} // what a function does first, by its name
	var copies strings.Builder
	for _, name := range names {
		list := byName[name]
		text, err := planted(source, list)
		if err != nil {
			return nil, err
		}
		wrong, err := functionsOf(text)
		switch {
		case err != nil:
			return nil, list[0].errorf("%w", err)
		case wrong.rest != right.rest:
			return nil, list[0].errorf("it changes more of %s than functions", list[0].File)
		}
		suffix := "_" + strings.ReplaceAll(name, "-", "_")
		for i, w := range wrong.all {
			if r := right.all[i]; w.text != r.text {
				fmt.Fprintf(&copies, "\n%s%s%s\n", w.text[:w.name], w.key+suffix, w.text[w.name+len(w.key):])
				calls[r.id] += fmt.Sprintf("\nif faultAwake == %q {\n%s\n}\n", name, r.call(suffix))
			}
		}
	}
	return append(right.with(source, calls), copies.String()...), nil
}

// functions are the functions of a file; rest is all else.
type functions struct {
	all  []function
	rest string
}

// function is one function as text.
type function struct {
	id        string // its name, and its receiver's type
	key       string // its name
	text      string
	name      int // where in text its name is
	at, body  int // in the file: its beginning, and that of what it does
	decl      *ast.FuncDecl
	positions func(token.Pos) int
}

func functionsOf(source []byte) (fs functions, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, parser.SkipObjectResolution)
	if err != nil {
		return fs, err
	}
	offset := func(p token.Pos) int { return set.Position(p).Offset }
	at := 0
	var rest strings.Builder
	for _, d := range file.Decls {
		f, is := d.(*ast.FuncDecl)
		if !is || f.Body == nil {
			continue
		}
		from, to := offset(f.Pos()), offset(f.End())
		id := f.Name.Name
		if f.Recv != nil {
			t := f.Recv.List[0].Type
			id = string(source[offset(t.Pos()):offset(t.End())]) + "." + id
		}
		fs.all = append(fs.all, function{
			id: id, key: f.Name.Name, text: string(source[from:to]), name: offset(f.Name.Pos()) - from,
			at: from, body: offset(f.Body.Lbrace) + 1, decl: f, positions: offset,
		})
		rest.Write(source[at:from])
		fmt.Fprintf(&rest, "<%s>", id)
		at = to
	}
	rest.Write(source[at:])
	fs.rest = rest.String()
	return fs, nil
}

// call is a call of a function's copy with the same arguments, and the return after it.
func (f function) call(suffix string) string {
	to := f.key + suffix
	if f.decl.Recv != nil {
		to = nameOf(f.decl.Recv.List[0], 0, "receiver") + "." + to
	}
	if t := f.decl.Type.TypeParams; t != nil {
		to += "[" + strings.Join(namesOf(t, ""), ", ") + "]"
	}
	args := namesOf(f.decl.Type.Params, "argument")
	if n := len(args); n > 0 {
		if list := f.decl.Type.Params.List; isVariadic(list[len(list)-1]) {
			args[n-1] += "..."
		}
	}
	to += "(" + strings.Join(args, ", ") + ")"
	if f.decl.Type.Results == nil {
		return to + "\nreturn"
	}
	return "return " + to
}

func isVariadic(f *ast.Field) bool { _, is := f.Type.(*ast.Ellipsis); return is }

// namesOf are the names of parameters, made up from without where there is none.
func namesOf(list *ast.FieldList, without string) (names []string) {
	for _, f := range list.List {
		for i := range max(1, len(f.Names)) {
			names = append(names, nameOf(f, i, fmt.Sprint(without, len(names))))
		}
	}
	return names
}

func nameOf(f *ast.Field, i int, without string) string {
	if i < len(f.Names) && f.Names[i].Name != "_" {
		return f.Names[i].Name
	}
	return without
}

// with is a file in which functions begin with calls, and have names for what those hand
// on.
func (fs functions) with(source []byte, calls map[string]string) []byte {
	type edit struct {
		from, to int
		text     string
	}
	var edits []edit
	for _, f := range fs.all {
		if calls[f.id] == "" {
			continue
		}
		name := func(list *ast.FieldList, without string) {
			if list == nil {
				return
			}
			names := namesOf(list, without)
			for _, field := range list.List {
				for i := range max(1, len(field.Names)) {
					text := names[0]
					names = names[1:]
					switch {
					case len(field.Names) == 0:
						at := f.positions(field.Type.Pos())
						edits = append(edits, edit{at, at, text + " "})
					case field.Names[i].Name == "_":
						at := f.positions(field.Names[i].Pos())
						edits = append(edits, edit{at, at + 1, text})
					}
				}
			}
		}
		if r := f.decl.Recv; r != nil && nameOf(r.List[0], 0, "") == "" {
			at := f.positions(r.List[0].Pos())
			edits = append(edits, edit{at, at + len("_")*len(r.List[0].Names), "receiver "})
		}
		name(f.decl.Type.Params, "argument")
		edits = append(edits, edit{f.body, f.body, calls[f.id]})
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return a.from - b.from })
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, source[at:e.from]...), e.text...)
		at = e.to
	}
	return append(out, source[at:]...)
}
