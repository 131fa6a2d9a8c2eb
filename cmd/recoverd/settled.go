package main

import (
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// settledPermille returns how many thousandths of this pass are settled, rounded
// down; ok is false where the catalog's size is not known. It never says 1,000
// unless the worker claims to be complete, and what is unsettled does not count.
func settledPermille(d statusapi.Document) (permille int, ok bool) {
	switch {
	case d.Phase == recovery.PhaseComplete.String() && d.Unsettled.Total == 0:
		return 1_000, true
	case d.CatalogBlobs == nil || *d.CatalogBlobs == 0:
		return 0, false
	}
	looked := float64(d.Counters.Looked)
	settled := max(0, looked-float64(d.Unsettled.Total))
	return min(999, int(1_000*settled/float64(*d.CatalogBlobs))), true
}
