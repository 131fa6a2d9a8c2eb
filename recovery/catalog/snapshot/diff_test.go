package snapshot

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// TestDiff names what differs between two states, by table and key.
func TestDiff(t *testing.T) {
	a, b := open(t, goldenV1), open(t, goldenLater().write(t))
	diff := func(a, b State) (all []string) {
		err := Diff(t.Context(), a, b, func(c Change) error {
			all = append(all, fmt.Sprintf("%v %.2s %x", c.Table, c.Kind(), c.Key[:2]))
			for _, row := range []Entry{c.Before, c.After} {
				if row != nil && (row.Table() != c.Table || string(row.RowKey()) != string(c.Key)) {
					t.Errorf("%+v holds another row", c)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	want := []string{
		"blobs re b101", "blobs ch b102", "blobs ch b106", "blobs ad b108",
		"registrations re b101", "registrations re b102", "registrations ad b102", "registrations re b102",
		"registrations re b103", "registrations ch b105", "registrations ad b108",
		"pooled re b104", "pooled ch b106", "pooled re b106", "pooled ad b107",
		"pools re f000", "pools ch f000", "pools re f000", "pools ad f000",
	}
	if d := cmp.Diff(want, diff(a, b)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := diff(a, a); len(got) != 0 {
		t.Errorf("a state differs from itself: %q", got)
	}
}

// TestDiffNamesOneRegistration: two states that differ in one registration of
// many blocks.
func TestDiffNamesOneRegistration(t *testing.T) {
	s := state(20_000)
	a := open(t, s.write(t))
	s.regs[12_345].EndEpoch++
	b := open(t, s.write(t))
	var found []Change
	err := Diff(t.Context(), a, b, func(c Change) error {
		before, after := *c.Before.(*Registration), *c.After.(*Registration)
		c.Before, c.After = &before, &after
		found = append(found, c)
		return nil
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d changes, error %v", len(found), err)
	}
	want := s.regs[12_345]
	if c := found[0]; c.Table != Registrations || *c.After.(*Registration) != want || c.Before.(*Registration).EndEpoch != want.EndEpoch-1 {
		t.Errorf("%+v", c)
	}
}

// TestDiffAndDigestAgree: of one header, states have one digest if and only if
// nothing differs; and what differs leads from one to the other.
func TestDiffAndDigestAgree(t *testing.T) {
	evidence.Property(t, "snapshots: one digest if and only if nothing differs", func(rt *rapid.T) {
		s := drawState(rt)
		other := drawLater(rt, s)
		other.head = s.head
		other.head.Position = 1 << 41 // above all that is drawn
		s.head.Position = 1 << 41
		if rapid.Bool().Draw(rt, "same") {
			other = s
		}
		a, b := mustMemory(t, encode(t, s)), mustMemory(t, encode(t, other))
		kinds := map[string]int{}
		err := Diff(t.Context(), a, b, func(c Change) error { kinds[c.Kind()]++; return nil })
		if err != nil || (len(kinds) == 0) != (a.Bound().Digest == b.Bound().Digest) {
			rt.Fatalf("changes %v, error %v, digests %v and %v", kinds, err, a.Bound().Digest, b.Bound().Digest)
		}
		n, m := a.Totals().Rows, b.Totals().Rows
		rows := func(c Counts) int { return int(c.Blobs + c.Registrations + c.Pooled + c.Pools) }
		if rows(m)-rows(n) != kinds["added"]-kinds["removed"] {
			rt.Fatalf("%+v and %+v differ by %v", n, m, kinds)
		}
	})
}

func TestDiffStops(t *testing.T) {
	a, b := open(t, goldenV1), open(t, goldenLater().write(t))
	calls := 0
	err := Diff(t.Context(), a, b, func(Change) error { calls++; return errFault })
	if !errors.Is(err, errFault) || calls != 1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Diff(ctx, a, b, func(Change) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
