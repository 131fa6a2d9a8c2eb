package walrus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// changes lists what Diff visits, as "section key +-~".
func changes(t testing.TB, a, b []byte) ([]string, error) {
	var all []string
	err := walrus.Diff(t.Context(), inMemory(t, a), inMemory(t, b), func(c walrus.Change) error {
		what := "~"
		switch {
		case c.A == nil:
			what = "+"
		case c.B == nil:
			what = "-"
		}
		all = append(all, fmt.Sprintf("%v %x %s", c.Section, c.Key, what))
		return nil
	})
	return all, err
}

// want works the same out from the entries.
func want(l walrus.Layout, a, b walrustest.Snapshot) []string {
	objects, pooled, pools := compare("objects", a.Objects, b.Objects), compare("pooled objects", a.Pooled, b.Pooled), compare("pools", a.Pools, b.Pools)
	if l == walrus.B {
		return slices.Concat(objects, pools, pooled)
	}
	return slices.Concat(objects, pooled, pools)
}

func compare[V comparable](name string, a, b []walrustest.Entry[V]) (all []string) {
	inA, inB := map[[32]byte]V{}, map[[32]byte]V{}
	var keys [][32]byte
	for _, e := range a {
		inA[e.Key] = e.Value
		keys = append(keys, e.Key)
	}
	for _, e := range b {
		inB[e.Key] = e.Value
		keys = append(keys, e.Key)
	}
	slices.SortFunc(keys, func(x, y [32]byte) int { return slices.Compare(x[:], y[:]) })
	for _, k := range slices.Compact(keys) {
		x, left := inA[k]
		y, right := inB[k]
		switch {
		case !left:
			all = append(all, fmt.Sprintf("%s %x +", name, k))
		case !right:
			all = append(all, fmt.Sprintf("%s %x -", name, k))
		case x != y:
			all = append(all, fmt.Sprintf("%s %x ~", name, k))
		}
	}
	return all
}

// draw draws two snapshots that share some entries.
func draw(t *rapid.T) (a, b walrustest.Snapshot) {
	a, b = walrustest.Snapshot{Header: sampleInA().Header}, walrustest.Snapshot{Header: sampleInA().Header}
	epoch := rapid.Uint32Range(0, 2)
	put := func(add func(s *walrustest.Snapshot, key [32]byte)) {
		for k := range byte(rapid.IntRange(0, 6).Draw(t, "keys")) {
			where := rapid.IntRange(0, 3).Draw(t, "where")
			if where != 0 {
				add(&a, walrustest.Last(k))
			}
			if where != 1 {
				add(&b, walrustest.Last(k))
			}
		}
	}
	put(func(s *walrustest.Snapshot, k [32]byte) {
		o := walrus.Object{EndEpoch: epoch.Draw(t, "end"), Deleted: rapid.Bool().Draw(t, "deleted"), Certified: rapid.Bool().Draw(t, "certified")}
		s.Objects = append(s.Objects, walrustest.Entry[walrus.Object]{Key: k, Value: o})
	})
	put(func(s *walrustest.Snapshot, k [32]byte) {
		p := walrus.Pooled{RegisteredEpoch: epoch.Draw(t, "registered"), Certified: rapid.Bool().Draw(t, "certified")}
		s.Pooled = append(s.Pooled, walrustest.Entry[walrus.Pooled]{Key: k, Value: p})
	})
	put(func(s *walrustest.Snapshot, k [32]byte) {
		s.Pools = append(s.Pools, walrustest.Entry[walrus.Pool]{Key: k, Value: walrus.Pool{EndEpoch: epoch.Draw(t, "end")}})
	})
	return a, b
}

func TestDiff(t *testing.T) {
	evidence.Property(t, "snapshots: differences of Walrus' snapshots are the model's", func(rt *rapid.T) {
		a, b := draw(rt)
		for _, l := range []walrus.Layout{walrus.A, walrus.B} {
			got, err := changes(t, a.Encode(l), b.Encode(l))
			if diff := cmp.Diff(want(l, a, b), got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				rt.Fatalf("layout %v: error %v (-want +got):\n%s", l, err, diff)
			}
		}
	})
}

// Of two large files that differ in one registration, Diff names exactly it.
// Hazard 64: there is much to compare.
func TestDiffNamesTheOne(t *testing.T) {
	a := walrustest.Many(20_000, 7)
	b := walrustest.Many(20_000, 7)
	b.Objects[11_111].Value.EndEpoch++
	for _, l := range []walrus.Layout{walrus.A, walrus.B} {
		got, err := changes(t, a.Encode(l), b.Encode(l))
		one := []string{fmt.Sprintf("objects %x ~", a.Objects[11_111].Key)}
		if diff := cmp.Diff(one, got); diff != "" || err != nil || len(a.Objects) != 20_000 {
			t.Errorf("layout %v: error %v (-want +got):\n%s", l, err, diff)
		}
		if got, err := changes(t, a.Encode(l), a.Encode(l)); len(got) > 0 || err != nil {
			t.Errorf("layout %v with itself: %v, error %v", l, got, err)
		}
	}
}

func TestDiffErrors(t *testing.T) {
	a, b := readFile(t, sampleA), readFile(t, sampleB)
	if _, err := changes(t, a, b); !errors.Is(err, walrus.ErrLayouts) {
		t.Errorf("two layouts: error %v", err)
	}
	for n := headB; n < len(b); n++ {
		if _, err := changes(t, b, b[:n]); corrupt(err) == nil {
			t.Fatalf("the second one cut to %d bytes: error %v", n, err)
		}
		if _, err := changes(t, b[:n], b); corrupt(err) == nil {
			t.Fatalf("the first one cut to %d bytes: error %v", n, err)
		}
	}
	enough, visits := errors.New("enough"), 0
	none := walrustest.Snapshot{Header: walrustest.Sample().Header}.Encode(walrus.B)
	err := walrus.Diff(t.Context(), inMemory(t, b), inMemory(t, none), func(walrus.Change) error {
		if visits++; visits == 3 {
			return enough
		}
		return nil
	})
	if err != enough || visits != 3 {
		t.Errorf("%d visits, error %v", visits, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := walrus.Diff(ctx, inMemory(t, b), inMemory(t, none), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
}

func TestSummarize(t *testing.T) {
	s := walrustest.Many(1000, 3)
	for _, l := range []walrus.Layout{walrus.A, walrus.B} {
		raw := s.Encode(l)
		got, err := walrus.Summarize(t.Context(), inMemory(t, raw))
		if err != nil {
			t.Fatal(err)
		}
		want := walrus.Summary{Header: s.Header, Size: int64(len(raw)), Digest: got.Digest, Counts: walrus.Counts{
			walrus.Objects: uint64(len(s.Objects)), walrus.PooledObjects: uint64(len(s.Pooled)), walrus.Pools: uint64(len(s.Pools)),
		}}
		want.Header.Layout = l
		for _, o := range s.Objects {
			v := o.Value
			switch live := v.EndEpoch > s.Header.Epoch; {
			case v.Deleted:
				want.DeletedObjects++
			case !live:
				want.EndedObjects++
			case v.Certified:
				want.CertifiedObjects++
			}
		}
		for _, p := range s.Pooled {
			if p.Value.Certified {
				want.CertifiedPooled++
			}
		}
		for _, p := range s.Pools {
			if p.Value.EndEpoch <= s.Header.Epoch {
				want.EndedPools++
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || got.CertifiedObjects == 0 || got.EndedPools == 0 || got.DeletedObjects == 0 || got.Digest == 0 {
			t.Errorf("layout %v (-want +got):\n%s", l, diff)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := walrus.Summarize(ctx, inMemory(t, s.Encode(walrus.A))); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
}

func TestNames(t *testing.T) {
	got := fmt.Sprint(walrus.A, walrus.B, walrus.Layout(3), walrus.Objects, walrus.PooledObjects, walrus.Pools, walrus.Section(9))
	if !strings.Contains(got, "a b layout(3) objects pooled objects pools section(9)") {
		t.Error(got)
	}
}
