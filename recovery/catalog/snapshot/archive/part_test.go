package archive

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bring copies an entry's files into a draft.
func bring(t *testing.T, from *Archive, e Entry, p *Part) {
	t.Helper()
	for _, f := range e.Files() {
		if err := os.WriteFile(p.Path(f), read(t, from, f.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func take(t *testing.T, a *Archive, e Entry) *Part {
	t.Helper()
	p, err := a.TakePart(e.Name, e.Chunks)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPart(t *testing.T) {
	from, a := newArchive(t, ""), newArchive(t, "")
	for _, e := range []Entry{create(t, from, state{position: 10}, 0), create(t, from, state{position: chunkBlobs}, chunkMax)} {
		p := take(t, a, e)
		if _, err := a.TakePart(e.Name, e.Chunks); !errors.Is(err, ErrBusy) {
			t.Errorf("taken twice: %v", err)
		}
		bring(t, from, e, p)
		if err := os.WriteFile(filepath.Join(p.d.dir, "stray"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := p.Keep(); err != nil {
			t.Fatal(err)
		}
		// Neither clean-up nor a restart loses it.
		if removed, err := a.Clean(t.Context()); err != nil || len(removed) != 0 {
			t.Errorf("cleaned %q, %v", removed, err)
		}
		if l := list(t, a); l.Find(e.Name) != nil || len(l.Leftovers) != 1 {
			t.Errorf("%+v", l)
		}
		p = take(t, a, e)
		if got, err := p.Prove(t.Context(), nil); err != nil || got != e {
			t.Errorf("proved %+v, %v; want %+v", got, err, e)
		}
		if got, err := p.Publish(t.Context()); err != nil || got != e {
			t.Errorf("published %+v, %v; want %+v", got, err, e)
		}
	}
	verify(t, a, "full-10 full-4500/4")
	if files := inDir(t, a); len(files) != 5 {
		t.Errorf("the directory holds %q", files)
	}
}

// What lies in a draft is never taken at its word.
func TestPartIsProven(t *testing.T) {
	from, a := newArchive(t, ""), newArchive(t, "")
	e, set := create(t, from, state{position: 10}, 0), create(t, from, state{position: chunkBlobs}, chunkMax)
	raw := read(t, from, e.Files()[0].String())
	for i := range raw {
		if i%7 != 0 {
			continue
		}
		p := take(t, a, e)
		flipped := append([]byte(nil), raw...)
		flipped[i] ^= 4
		if err := os.WriteFile(p.Path(e.Files()[0]), flipped, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Prove(t.Context(), nil); err == nil {
			t.Fatalf("byte %d is not missed", i)
		}
		if err := p.Drop(); err != nil {
			t.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(p *Part){
		"nothing there": func(p *Part) { os.Remove(p.Path(set.Files()[2])) },
		"swapped": func(p *Part) {
			os.WriteFile(p.Path(set.Files()[1]), read(t, from, set.Files()[2].String()), 0o644)
		},
		"another snapshot": func(p *Part) { os.WriteFile(p.Path(set.Files()[0]), raw, 0o644) },
	} {
		p := take(t, a, set)
		bring(t, from, set, p)
		spoil(p)
		if _, err := p.Prove(t.Context(), nil); err == nil {
			t.Errorf("%s: proven", name)
		}
		if _, err := p.Publish(t.Context()); err == nil {
			t.Errorf("%s: published", name)
		}
		if err := p.Drop(); err != nil {
			t.Fatal(err)
		}
	}
	if files := inDir(t, a); len(files) != 0 {
		t.Errorf("the directory holds %q", files)
	}
}

// Drafts of fetches that lead nowhere any more go; those that somebody works on
// stay.
func TestDropParts(t *testing.T) {
	a := newArchive(t, "")
	create(t, a, state{position: 10}, 0)
	for _, position := range []uint64{5, 10, 20} {
		if err := take(t, a, full(position)).Keep(); err != nil {
			t.Fatal(err)
		}
	}
	working := take(t, a, full(7))
	parts := func() string { return strings.Join(list(t, a).Leftovers, " ") }
	if _, err := a.Prune(t.Context(), Policy{}); err != nil {
		t.Fatal(err)
	}
	want := "." + full(20).Name.String() + partSuffix + " ." + full(7).Name.String() + partSuffix
	if parts() != want {
		t.Errorf("left are %s, want %s", parts(), want)
	}
	if err := a.DropParts(t.Context(), full(20).Name); err != nil || parts() != want {
		t.Errorf("left are %s, %v", parts(), err)
	}
	if err := a.DropParts(t.Context()); err != nil || !strings.HasPrefix(parts(), ".full-7-") {
		t.Errorf("left are %s, %v", parts(), err)
	}
	if err := working.Drop(); err != nil || parts() != "" {
		t.Errorf("left are %s, %v", parts(), err)
	}
}
