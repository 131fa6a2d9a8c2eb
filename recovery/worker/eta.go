package worker

// ETA is how long the first pass of a run still takes, as a range.
type ETA struct {
	LowSeconds  int64 `json:"low_seconds"`
	HighSeconds int64 `json:"high_seconds"`
}
