package main

import (
	"math"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// What remains is told only after this much was seen, and up to this long.
const (
	minFetched   = 20
	minLookedPct = 1
	maxRemaining = 30 * 24 * time.Hour
)

// remaining estimates how long the first pass of a run still takes, as a range:
// at its low end what is still to be looked at needs fetching as often as what
// was looked at so far, at its high end all of it does that concerns this node.
// The rate may rise or fall by a quarter on top.
//
// ok is false where there is no ground for an estimate: nothing is being
// fetched, something stands in the way, too little was seen yet, or the pass is
// a later one, whose counters are mixed with those of the passes before it
// (hazard 37).
func remaining(d statusapi.Document) (low, high time.Duration, ok bool) {
	c := d.Counters
	known := d.Running && d.Phase == recovery.PhaseScanning.String() && !d.Paused && d.Blocked == "" && d.Trouble == "" &&
		d.Covered == nil && c.Passes == 0 && d.CatalogBlobs != nil && d.BlobsPerSecond > 0
	if !known {
		return 0, 0, false
	}
	catalog, looked := float64(*d.CatalogBlobs), float64(c.Looked)
	fetched := float64(c.Stored) + float64(d.Unsettled.Total)
	concerned := fetched + float64(c.AlreadyStored) + float64(c.NotCertified) + float64(c.Expired)
	if c.Stored < minFetched || looked < catalog*minLookedPct/100 || looked > catalog || concerned > looked {
		return 0, 0, false
	}
	underWay := float64(d.Unsettled.Total - d.Unsettled.Parked)
	toLook := catalog - looked
	const margin = 1.25
	low = seconds((toLook*fetched/looked + underWay) / d.BlobsPerSecond / margin)
	high = seconds((toLook*concerned/looked + underWay) / d.BlobsPerSecond * margin)
	return low, high, high <= maxRemaining
}

// seconds keeps a duration within what can be told.
func seconds(s float64) time.Duration {
	return time.Duration(math.Min(s, 2*maxRemaining.Seconds()) * float64(time.Second))
}

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
