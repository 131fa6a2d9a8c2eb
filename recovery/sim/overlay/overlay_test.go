package overlay

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// commented stands for any fault elsewhere.
var commented = Fault{
	Name: "commented", What: "a comment is added", File: "shards/set.go",
	Old: "package shards", New: "// Planted.\npackage shards",
}

func TestPlanted(t *testing.T) {
	const source = "a b c d"
	fault := func(old, text string) Fault { return Fault{Name: old, What: "x", File: "x.go", Old: old, New: text} }
	for _, tt := range []struct {
		faults    []Fault
		want, err string
	}{
		{nil, source, ""},
		{[]Fault{fault("b", "B")}, "a B c d", ""},
		{[]Fault{fault("d", "the end"), fault("a ", "")}, "b c the end", ""},
		{[]Fault{fault("x", "")}, "", "occurs 0 times"},
		{[]Fault{fault(" ", "")}, "", "occurs 3 times"},
		{[]Fault{fault("b c", ""), fault("c d", "")}, "", "the same text as b c"},
	} {
		got, err := planted([]byte(source), tt.faults)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || string(got) != tt.want {
			t.Errorf("%v: %q, %v", tt.faults, got, err)
		}
	}
}

func TestFaultsThatAreNone(t *testing.T) {
	for _, f := range []Fault{
		{What: "no name", File: "shards/set.go", Old: "package shards"},
		{Name: "no-what", File: "shards/set.go", Old: "package shards"},
		{Name: "outside", What: "x", File: "../set.go", Old: "package shards"},
		{Name: "no-code", What: "x", File: "README.md", Old: "recoverd"},
		{Name: "nothing", What: "x", File: "shards/set.go", Old: "package shards", New: "package shards"},
		{Name: "no-file", What: "x", File: "shards/none.go", Old: "package shards"},
		{Name: "made-twice", What: "x", File: "shards/set.go", New: "package shards"},
	} {
		if _, err := New(t.TempDir(), f); err == nil {
			t.Errorf("%s: taken", f.Name)
		}
	}
}

// A program with a fault says so; one that is built without it does not, and neither
// does the source.
func TestBuild(t *testing.T) {
	made := Fault{Name: "made", What: "a file is made", File: "recovery/sim/overlay/internal/probe/fault.go",
		New: "package main\n\nfunc init() { answer = \"planted\" }\n"}
	for _, tt := range []struct {
		faults []Fault
		want   string
	}{
		{nil, "as written"},
		{[]Fault{made}, "planted"},
		{[]Fault{{Name: "changed", What: "x", File: "recovery/sim/overlay/internal/probe/main.go", Old: "as written", New: "changed"}}, "changed"},
	} {
		o, err := New(t.TempDir(), tt.faults...)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "probe")
		if err := o.Build(t.Context(), "recovery/sim/overlay/internal/probe", out); err != nil {
			t.Fatal(err)
		}
		if text, err := exec.Command(out).Output(); err != nil || string(text) != tt.want {
			t.Errorf("%q, %v, want %q", text, err, tt.want)
		}
	}
}

// Check finds what does not compile, and takes faults that exclude each other.
func TestCheck(t *testing.T) {
	probe := func(name, text string) Fault {
		return Fault{Name: name, What: "x", File: "recovery/sim/overlay/internal/probe/main.go", Old: "as written", New: text}
	}
	if err := Check(t.Context(), t.TempDir(), commented, probe("one", "1"), probe("two", "2")); err != nil {
		t.Error(err)
	}
	if err := Check(t.Context(), t.TempDir(), commented, probe("one", "1"), probe("broken", `" + 7 + "`)); err == nil || !strings.Contains(err.Error(), "mismatched types") {
		t.Errorf("a fault that does not compile: %v", err)
	}
}
