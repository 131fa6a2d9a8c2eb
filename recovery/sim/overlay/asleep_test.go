package overlay

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const sleepers = `package main

import "fmt"

type list[T any] struct{ all []T }

func (list[T]) name(_ int, _, b string) string { return "list" + b }

func (l *list[T]) add(more ...T) { l.all = append(l.all, more...) }

func (l *list[T]) swap(int, ...string) (n int, err error) {
	defer func() { n++ }()
	n, err = fmt.Sscan("1", &n)
	return
}

func twice[T any](v T) []T {
	return []T{v, v}
}

const answer = 7

func main() {
	var l list[int]
	l.add(1, 2)
	n, err := l.swap(3, "a", "b")
	fmt.Print(l.name(1, "a", "b"), l.all, n, err, len(twice("x")), answer)
}
`

// Every kind of function has room for faults that sleep, two for the same text too.
func TestAsleep(t *testing.T) {
	fault := func(name, old, text string) Fault {
		return Fault{Name: name, What: "x", File: "x.go", Old: old, New: text}
	}
	faults := []Fault{
		fault("receiver", `"list"`, `"other"`),
		fault("variadic", "l.all = append(l.all, more...)", "l.all = more[:1]"),
		fault("unnamed", `"1"`, `"x"`),
		fault("generic", "{v, v}", "{v}"),
		fault("generic-too", "v, v", "v, v, v"),
		fault("several", "[]T{v, v}", "nil"), fault("several", `+ b }`, `+ "!" }`),
	}
	text, err := asleep([]byte(sleepers), faults)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": string(text), "go.mod": "module x\n\ngo 1.24\n",
		"awake.go": "package main\n\nimport \"os\"\n\nvar faultAwake = os.Getenv(\"" + AwakeEnv + "\")\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", "x", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, text)
	}
	for name, want := range map[string]string{
		"": "listb[1 2] 2 <nil> 2 7", "receiver": "otherb[1 2] 2 <nil> 2 7", "variadic": "listb[1] 2 <nil> 2 7",
		"unnamed": "listb[1 2] 1 expected integer 2 7", "generic": "listb[1 2] 2 <nil> 1 7", "generic-too": "listb[1 2] 2 <nil> 3 7",
		"several": "list![1 2] 2 <nil> 0 7", "nobody": "listb[1 2] 2 <nil> 2 7",
	} {
		run := exec.Command(filepath.Join(dir, "x"))
		run.Env = append(os.Environ(), AwakeEnv+"="+name)
		if out, err := run.Output(); err != nil || string(out) != want {
			t.Errorf("%q: %q, %v, want %q", name, out, err, want)
		}
	}
	for _, f := range []Fault{
		fault("outside", "answer = 7", "answer = 8"), fault("new", "func main() {", "func more() {}\n\nfunc main() {"), fault("no-go", "func main() {", "func main( {"),
	} {
		if _, err := asleep([]byte(sleepers), []Fault{f}); err == nil || !strings.Contains(err.Error(), f.Name) {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// Tests of this module have the fault that is named, and no other.
func TestNewAsleep(t *testing.T) {
	const probe = "recovery/sim/overlay/internal/probe"
	fault := func(text string) Fault {
		return Fault{Name: text, What: "x", File: probe + "/main.go", Old: "answer)", New: "\"" + text + "\")"}
	}
	o, err := NewAsleep(t.TempDir(), fault("one"), fault("two"))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "probe")
	if err := o.Build(t.Context(), probe, out); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "as written", "one": "one", "two": "two"} {
		run := exec.Command(out)
		run.Env = append(os.Environ(), AwakeEnv+"="+name)
		if text, err := run.Output(); err != nil || string(text) != want {
			t.Errorf("%q: %q, %v", name, text, err)
		}
	}
	if _, err := NewAsleep(t.TempDir(), Fault{Name: "made", What: "x", File: probe + "/made.go", New: "package main\n"}); err == nil {
		t.Error("a file that is made sleeps")
	}
}
