package snapshot

import (
	"bytes"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
)

// drawLater draws a state of the base's network at a higher position that has
// much in common with it.
func drawLater(t *rapid.T, base *tables) *tables {
	s := drawState(t)
	s.head.Epoch = base.head.Epoch + rapid.Uint32Range(0, 2).Draw(t, "epochs")
	s.head.Position = max(s.head.Position, base.head.Position) + 1
	s.head.Ancestors = []recovery.Ancestor{{Position: base.head.Position, Digest: recovery.Digest{9}}}
	keep := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) > 0 }
	s.blobs = mix(s.blobs, base.blobs, func(*Blob) bool { return keep("blob") })
	there := map[recovery.BlobID]bool{}
	for _, b := range s.blobs {
		there[b.ID] = true
	}
	s.pools = mix(s.pools, base.pools, func(*Pool) bool { return true })
	s.regs = mix(s.regs, base.regs, func(r *Registration) bool { return there[r.Key.Blob()] && keep("registration") })
	s.pooled = mix(s.pooled, base.pooled, func(p *Pooled) bool { return there[p.Key.Blob()] && keep("pooled") })
	return s
}

// mix puts rows of two tables in key order, of the base's those that keep likes.
func mix[R any, P Row[R]](own, base []R, keep func(*R) bool) (all []R) {
	for len(own) > 0 || len(base) > 0 {
		order := -1
		switch {
		case len(own) == 0:
			order = 1
		case len(base) > 0:
			order = bytes.Compare(P(&own[0]).RowKey(), P(&base[0]).RowKey())
		}
		if order >= 0 && keep(&base[0]) {
			all = append(all, base[0])
		} else if order <= 0 {
			all = append(all, own[0])
		}
		if order <= 0 {
			own = own[1:]
		}
		if order >= 0 {
			base = base[1:]
		}
	}
	return all
}

// TestIncrementalOverItsBase: the difference of two states over the first one is
// the second one, byte for byte, and there is one way to write it.
func TestIncrementalOverItsBase(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := drawState(rt)
		b := drawLater(rt, a)
		dir := t.TempDir()
		base, want := open(t, a.write(t)), open(t, b.write(t))
		slow := filepath.Join(dir, "slow")
		if _, err := WriteIncremental(t.Context(), slow, base, want, Options{}); err != nil {
			rt.Fatal(err)
		}
		incr := open(t, slow)
		if err := incr.Verify(t.Context()); err != nil {
			rt.Fatal(err)
		}
		over, err := Over(base, incr)
		if err != nil {
			rt.Fatal(err)
		}
		fast, full := filepath.Join(dir, "fast"), filepath.Join(dir, "full")
		if _, err := WriteIncremental(t.Context(), fast, base, over, Options{}); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(readFile(t, slow), readFile(t, fast)) {
			rt.Error("the incremental snapshot is written in two ways")
		}
		if _, err := Write(t.Context(), full, over, Options{}); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(readFile(t, full), readFile(t, want.Path())) {
			rt.Error("base and incremental do not make the state")
		}
	})
}
