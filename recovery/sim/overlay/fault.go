package overlay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Fault is one change of one source file.
type Fault struct {
	// Name is how a table and its output call it: lower case, hyphens.
	Name string
	// What the changed program does wrong, in one sentence.
	What string
	// File is a path from the module's root, with slashes.
	File string
	// Old is the text that is replaced; it occurs exactly once in File. Empty: File
	// does not exist, and New is all of it.
	Old string
	// New takes its place.
	New string
}

// edit is a fault whose place in its file is known.
type edit struct {
	Fault
	from, to int // of Old
}

// planted is a file with its faults in it. Two faults on one text exclude each other.
func planted(source []byte, faults []Fault) ([]byte, error) {
	edits := make([]edit, len(faults))
	for i, f := range faults {
		if n := bytes.Count(source, []byte(f.Old)); n != 1 {
			return nil, f.errorf("its old text occurs %d times in %s, want once", n, f.File)
		}
		at := bytes.Index(source, []byte(f.Old))
		edits[i] = edit{Fault: f, from: at, to: at + len(f.Old)}
	}
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	var out []byte
	at := 0
	for i, e := range edits {
		if e.from < at {
			return nil, e.errorf("it changes the same text as %s", edits[i-1].Name)
		}
		out = append(append(out, source[at:e.from]...), e.New...)
		at = e.to
	}
	return append(out, source[at:]...), nil
}

func (f Fault) errorf(format string, args ...any) error {
	return fmt.Errorf("overlay: fault %s: %w", f.Name, fmt.Errorf(format, args...))
}

func (f Fault) validate() error {
	switch {
	case f.Name == "" || f.What == "":
		return fmt.Errorf("overlay: a fault of %s has no name, or does not say what it does", f.File)
	case !filepath.IsLocal(f.File) || !strings.HasSuffix(f.File, ".go"):
		return f.errorf("%q is no Go file of this module", f.File)
	case f.Old == f.New:
		return f.errorf("it changes nothing")
	}
	return nil
}

// files returns each file that the faults touch, with the faults in it as plant does it.
func files(root string, faults []Fault, plant func(source []byte, faults []Fault) ([]byte, error)) (map[string][]byte, error) {
	byFile := map[string][]Fault{}
	for _, f := range faults {
		if err := f.validate(); err != nil {
			return nil, err
		}
		byFile[f.File] = append(byFile[f.File], f)
	}
	out := map[string][]byte{}
	for name, list := range byFile {
		source, err := os.ReadFile(filepath.Join(root, name))
		made := list[0].Old == ""
		switch {
		case made && errors.Is(err, fs.ErrNotExist) && len(list) == 1:
			out[name] = []byte(list[0].New)
			continue
		case made:
			return nil, list[0].errorf("%s is there already, or made by two faults (%v)", name, err)
		case err != nil:
			return nil, list[0].errorf("read its file: %w", err)
		}
		if out[name], err = plant(source, list); err != nil {
			return nil, err
		}
	}
	return out, nil
}
