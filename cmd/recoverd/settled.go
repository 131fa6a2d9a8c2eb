package main

import (
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// passDone reports whether every blob of this pass was handed out: what is not
// settled is in the list (I7).
func passDone(d statusapi.Document) bool {
	return d.Covered != nil && d.Bound != nil && *d.Covered == *d.Bound
}

// lookedAt returns how many of how many blobs this pass has looked at; ok is false
// where the catalog's size is not known. A later pass may leave out what did not
// change.
func lookedAt(d statusapi.Document) (looked, total uint64, ok bool) {
	if d.CatalogBlobs == nil || *d.CatalogBlobs == 0 {
		return d.Counters.Looked, 0, false
	}
	switch {
	case passDone(d):
		return *d.CatalogBlobs, *d.CatalogBlobs, true
	case d.PassBlobs != nil && *d.PassBlobs > 0:
		return d.Counters.Looked, *d.PassBlobs, true
	}
	return d.Counters.Looked, *d.CatalogBlobs, true
}

// settledPermille returns how many thousandths of this pass are settled, rounded
// down; ok is false where the catalog's size is not known. It never says 1,000
// unless the worker claims to be complete, and what is unsettled does not count.
func settledPermille(d statusapi.Document) (permille int, ok bool) {
	if d.Phase == recovery.PhaseComplete.String() && d.Unsettled.Total == 0 {
		return 1_000, true
	}
	looked, total, ok := lookedAt(d)
	if !ok {
		return 0, false
	}
	settled := max(0, float64(looked)-float64(d.Unsettled.Total))
	return min(999, int(1_000*settled/float64(total))), true
}
