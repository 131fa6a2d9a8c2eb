package worker

import (
	"math"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// ETA is how long the first pass of a run still takes, as a range.
type ETA struct {
	LowSeconds  int64 `json:"low_seconds"`
	HighSeconds int64 `json:"high_seconds"`
}

// Low and High are the range's ends.
func (e ETA) Low() time.Duration  { return time.Duration(e.LowSeconds) * time.Second }
func (e ETA) High() time.Duration { return time.Duration(e.HighSeconds) * time.Second }

// What remains is told only after this much was seen, and up to this long.
const (
	minFetched   = 20
	minLookedPct = 1
	maxRemaining = 30 * 24 * time.Hour
)

// remaining estimates how long the first pass of a run still takes: at its low end
// what is still to be looked at needs fetching as often as what was looked at so
// far, at its high end all of it does that concerns this node. The rate may rise or
// fall by a quarter on top.
//
// It is nil where there is no ground for an estimate: nothing is being fetched,
// something stands in the way, too little was seen yet, or the pass is a later one,
// whose counters are mixed with those of the passes before it (hazard 37).
func remaining(s *Status) *ETA {
	c := s.Counters
	known := s.Phase == recovery.PhaseScanning && !s.Paused && s.Blocked == "" && s.Trouble == "" &&
		s.Covered == nil && c.Passes == 0 && s.Newest != nil && s.BlobsPerSecond > 0
	if !known {
		return nil
	}
	catalog, looked := float64(s.CatalogBlobs), float64(c.Looked)
	fetched := float64(c.Stored) + float64(s.Unsettled.Total)
	concerned := fetched + float64(c.AlreadyStored) + float64(c.NotCertified) + float64(c.Expired)
	if c.Stored < minFetched || looked < catalog*minLookedPct/100 || looked > catalog || concerned > looked {
		return nil
	}
	underWay := float64(s.Unsettled.Total - s.Unsettled.Parked)
	toLook := catalog - looked
	const margin = 1.25
	low := (toLook*fetched/looked + underWay) / s.BlobsPerSecond / margin
	high := (toLook*concerned/looked + underWay) / s.BlobsPerSecond * margin
	if high > maxRemaining.Seconds() {
		return nil
	}
	return &ETA{LowSeconds: int64(low), HighSeconds: int64(math.Ceil(high))}
}
