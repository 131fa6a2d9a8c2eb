package recovery

// Origin says how a run, or this process's part of it, began.
type Origin struct {
	Decision DecisionKind `json:"decision"`
	// Why is a sentence for the operator.
	Why string `json:"why"`
	// From is the cursor that was resumed, or the one that was discarded.
	From Mark `json:"from"`
}

// DecisionKind is what was decided about saved progress.
type DecisionKind string

const (
	// Fresh: there was no progress; the first run begins.
	Fresh DecisionKind = "fresh"
	// Resume: the recorded pass goes on.
	Resume DecisionKind = "resume"
	// Extend: the recorded pass was finished; a later bound begins the next.
	Extend DecisionKind = "extend"
	// Relook: the catalog's descent is not proven; the run is kept, and every
	// blob is looked at again.
	Relook DecisionKind = "relook"
	// Discard: the progress belongs to other facts; a new run begins.
	Discard DecisionKind = "discard"
	// Nothing: the recorded pass was finished and nothing is newer.
	Nothing DecisionKind = "nothing_to_do"
)
