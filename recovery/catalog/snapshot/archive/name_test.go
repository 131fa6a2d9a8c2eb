package archive

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var short = Short{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}

func TestNames(t *testing.T) {
	full := Name{Kind: snapshot.Full, Position: 812, Digest: short}
	incr := Name{Kind: snapshot.Incremental, Base: 812, Position: 900, Digest: short}
	for text, want := range map[string]File{
		"full-812-0123456789abcdef.rsnap":           {Name: full},
		"full-812-0123456789abcdef.1of2.rsnap":      {full, 1, 2},
		"incr-812-900-0123456789abcdef.rsnap":       {Name: incr},
		"incr-812-900-0123456789abcdef.12of3.rsnap": {},
		"incr-812-900-0123456789abcdef.3of12.rsnap": {incr, 3, 12},
		"full-18446744073709551615-0123456789abcdef.511of512.rsnap": {
			Name{Kind: snapshot.Full, Position: math.MaxUint64, Digest: short}, 511, 512},
		"full-0-0000000000000000.rsnap": {Name: Name{Kind: snapshot.Full}},
	} {
		got, err := ParseFile(text)
		if got != want || (err != nil) != (want == File{}) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestOtherNamesAreRefused(t *testing.T) {
	for _, text := range []string{
		"", ".", "..", "/", ".rsnap", "full.rsnap", "full-.rsnap", "log.db", "lock", "catalog.rsnap",
		"full-1-0123456789abcdef", "full-1-0123456789abcdef.rsnap-tmp", ".full-1-0123456789abcdef.rsnap",
		"full-01-0123456789abcdef.rsnap", "full-+1-0123456789abcdef.rsnap", "full--1-0123456789abcdef.rsnap",
		"full-1_0-0123456789abcdef.rsnap", "full-18446744073709551616-0123456789abcdef.rsnap",
		"full-1-0123456789ABCDEF.rsnap", "full-1-0123456789abcde.rsnap", "full-1-0123456789abcdef0.rsnap",
		"full-1-0123456789abcdeg.rsnap", "Full-1-0123456789abcdef.rsnap", "full-1-2-0123456789abcdef.rsnap",
		"incr-1-0123456789abcdef.rsnap", "incr-2-2-0123456789abcdef.rsnap", "incr-3-2-0123456789abcdef.rsnap",
		"incr-1-2-3-0123456789abcdef.rsnap", "full-1-0123456789abcdef.rsnap\n", "full-1-0123456789abcdef.rsnap ",
		"full-1-0123456789abcdef.0of2.rsnap", "full-1-0123456789abcdef.3of2.rsnap", "full-1-0123456789abcdef.1of1.rsnap",
		"full-1-0123456789abcdef.01of2.rsnap", "full-1-0123456789abcdef.1of02.rsnap", "full-1-0123456789abcdef.1of.rsnap",
		"full-1-0123456789abcdef..rsnap", "full-1-0123456789abcdef.1of2.1of2.rsnap", "full-1-0123456789abcdef.1of513.rsnap",
		"full-1-0123456789abcdef.rsnap.rsnap", "../full-1-0123456789abcdef.rsnap", "full-1-0123456789abcdef.rsnap/..",
		"full-\x00-0123456789abcdef.rsnap", "full-１-0123456789abcdef.rsnap", strings.Repeat("full-", 1<<16),
	} {
		if f, err := ParseFile(text); !errors.Is(err, ErrName) || f != (File{}) {
			t.Errorf("%.100q: %+v, %v", text, f, err)
		}
	}
}

// anyFile draws a valid file name.
func anyFile(t *rapid.T) File {
	f := File{Name: Name{Kind: snapshot.Full, Position: rapid.Uint64().Draw(t, "position")}}
	copy(f.Digest[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "digest"))
	if f.Position > 0 && rapid.Bool().Draw(t, "incremental") {
		f.Kind, f.Base = snapshot.Incremental, rapid.Uint64Range(0, f.Position-1).Draw(t, "base")
	}
	if rapid.Bool().Draw(t, "chunked") {
		f.Chunks = rapid.IntRange(2, snapshot.MaxChunks).Draw(t, "chunks")
		f.Chunk = rapid.IntRange(1, f.Chunks).Draw(t, "chunk")
	}
	return f
}

func TestNamesRoundTrip(t *testing.T) {
	evidence.Property(t, "planner: every snapshot's name is read back", func(t *rapid.T) {
		f := anyFile(t)
		if got, err := ParseFile(f.String()); got != f || err != nil {
			t.Fatalf("%v: %+v, %v", f, got, err)
		}
	})
}

// What is accepted has one spelling, and is a file of the directory itself.
func FuzzParseFile(f *testing.F) {
	for _, seed := range []string{
		"full-812-0123456789abcdef.rsnap", "incr-812-900-0123456789abcdef.3of12.rsnap", "full-00-0123456789abcdeF.1of2.rsnap",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := ParseFile(text)
		if name, err := ParseName(text); err == nil && name.String() != text {
			t.Fatalf("%q is the name %+v", text, name)
		}
		if err != nil {
			if !errors.Is(err, ErrName) || file != (File{}) {
				t.Fatalf("%+v, %v", file, err)
			}
			return
		}
		if file.String() != text || file.Validate() != nil || strings.ContainsAny(text, "/\x00") || text[0] == '.' {
			t.Fatalf("%q is accepted as %+v", text, file)
		}
	})
}
