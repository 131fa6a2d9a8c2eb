package catalogtest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
)

// testSince reads only what changed after a position, of a source that can. Hazard
// 79: what was lengthened counts, however old its first certification is.
func testSince(t *testing.T, open func(*testing.T, State) Subject) {
	old := NewState(120, 7)
	sub := open(t, old)
	narrow, ok := sub.Source.(catalog.Narrower)
	if !ok {
		t.Skip("this source has no PageSince")
	}
	since := pin(t, sub.Source).Bound
	next := State{Stamp: old.Stamp, Rows: slices.Clone(old.Rows)}
	next.Position = 9
	for i := range next.Rows {
		if i%3 == 1 && next.Rows[i].EndEpoch > next.Epoch {
			next.Rows[i].EndEpoch++
			next.Rows[i].Gained = 9
		}
	}
	sub.Publish(t, next)
	pin(t, sub.Source)
	for _, size := range []int{1, 7, 500} {
		got := map[recovery.BlobID]recovery.Row{}
		rows := make([]recovery.Row, size)
		for after := (recovery.Mark{}); ; {
			info, err := narrow.PageSince(t.Context(), since, after, rows)
			if err != nil {
				t.Fatalf("PageSince after %v: %v", after, err)
			}
			for _, row := range rows[:info.N] {
				if after.Covers(row.ID) {
					t.Fatalf("%v follows %v", row.ID, after)
				}
				got[row.ID], after = row, recovery.MarkAt(row.ID)
			}
			if info.Pass != 0 && uint64(len(got)) > info.Pass {
				t.Fatalf("%d rows of a pass of %d", len(got), info.Pass)
			}
			if info.End {
				break
			}
		}
		for _, row := range next.Certified() {
			found, listed := got[row.ID]
			if row.Gained > since.Position && !listed {
				t.Errorf("pages of %d rows: %v was lengthened and is left out", size, row.ID)
			}
			if listed {
				if diff := cmp.Diff(row, found); diff != "" {
					t.Errorf("pages of %d rows (-want +got):\n%s", size, diff)
				}
			}
		}
	}
}
