package catalog_test

import (
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
)

func TestMemory(t *testing.T) {
	catalogtest.Run(t, func(t *testing.T, first catalogtest.State) catalogtest.Subject {
		m := catalog.NewMemory(first.Network)
		var last catalogtest.State
		publish := func(_ testing.TB, s catalogtest.State) {
			for _, row := range last.Rows {
				m.Remove(row.ID)
			}
			m.Add(s.Rows...)
			m.SetTip(recovery.Tip{Bound: recovery.Bound{Stamp: s.Stamp}, AtTip: true})
			last = s
		}
		publish(t, first)
		return catalogtest.Subject{Source: m, Publish: publish}
	})
}

func blobID(b byte) recovery.BlobID { return recovery.BlobID{0: b} }

func row(b byte, size int64) recovery.Row {
	return recovery.Row{Blob: recovery.Blob{ID: blobID(b), Size: size}}
}

func mustPin(t *testing.T, s catalog.Source) recovery.Tip {
	t.Helper()
	tip, err := s.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tip
}

func TestMemoryHistory(t *testing.T) {
	m := catalog.NewMemory("net")
	m.Add(row(1, 10), row(3, 30))
	first := mustPin(t, m)
	if first.Position != 2 || first.Blobs != 2 || first.Bytes != 40 || !first.AtTip || first.Static {
		t.Fatalf("first tip %+v", first)
	}
	m.Remove(blobID(1))
	m.Add(row(2, recovery.SizeUnknown))
	second := mustPin(t, m)
	if second.Position != 4 || second.Blobs != 2 || second.Bytes != recovery.SizeUnknown {
		t.Fatalf("second tip %+v", second)
	}
	if !second.Descends(first.Bound) || first.Descends(second.Bound) {
		t.Errorf("%v and %v: lineage is wrong", first, second)
	}
	_, rows, err := m.Lookup(t.Context(), []recovery.BlobID{blobID(2)})
	if err != nil || len(rows) != 1 || rows[0].Gained != 4 || rows[0].EndEpoch != recovery.EpochForever {
		t.Errorf("looked up %+v, error %v", rows, err)
	}
	m.SetEpoch(5)
	if third := mustPin(t, m); third.Epoch != 5 || !third.Descends(first.Bound) || !third.Descends(second.Bound) {
		t.Errorf("third tip %+v", third)
	}
}

// Hazard 84.
func TestUnrelatedCatalog(t *testing.T) {
	m := catalog.NewMemory("net")
	m.Add(row(1, 10))
	first := mustPin(t, m)
	m.SetTip(recovery.Tip{Bound: recovery.Bound{Stamp: recovery.Stamp{Network: "net", Epoch: 1, Position: 50}}})
	if other := mustPin(t, m); other.Descends(first.Bound) {
		t.Error("a tip without ancestors descends from what was there before")
	}
}
