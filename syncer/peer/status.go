package peer

import "time"

// PeerStatus is what an operator sees of one peer. Counts are sums since the
// pool was made, of tries: one Fetch may try several peers.
type PeerStatus struct {
	Name  string `json:"name"` // without credentials
	State State  `json:"state"`
	// Why says in words what is done with the peer, and why.
	Why string `json:"why"`
	// Until is when a resting peer is asked again, or an unreachable one probed.
	Until time.Time `json:"until,omitzero"`

	Fetched      uint64 `json:"fetched"`       // pieces served and verified
	FetchedBytes uint64 `json:"fetched_bytes"` // of those
	Absent       uint64 `json:"absent"`        // it does not have the piece
	WrongBytes   uint64 `json:"wrong_bytes"`   // what it sent is not the piece
	Failed       uint64 `json:"failed"`        // reached, and could not serve
	Unreachable  uint64 `json:"unreachable"`   // gave no answer
	Returns      uint64 `json:"returns"`       // came back from unreachable

	// Hedges are requests to it because another peer kept a transfer waiting; of
	// those, HedgeWins delivered first. Beaten are its own transfers that another peer
	// took over because it was too slow, Failovers those it broke off and another peer
	// went on with.
	Hedges    uint64 `json:"hedges"`
	HedgeWins uint64 `json:"hedge_wins"`
	Beaten    uint64 `json:"beaten"`
	Failovers uint64 `json:"failovers"`

	// LastError is one line of at most recovery.MaxErrorText bytes. That a
	// piece is absent is no error.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`

	// BytesPerSecond is the recent rate of all its transfers together; it falls
	// to zero when nothing is fetched.
	BytesPerSecond float64 `json:"bytes_per_second"`
	// AnswerP50 and AnswerP99 are how long its recent answers took to begin, as far as
	// they were waited for; 0 while too few are known.
	AnswerP50 time.Duration `json:"answer_p50_ns"`
	AnswerP99 time.Duration `json:"answer_p99_ns"`
	InFlight  int           `json:"in_flight"`
}

// Status lists the peers in the order configured.
func (p *Pool) Status() []PeerStatus {
	b := p.board
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	list := make([]PeerStatus, 0, len(b.members))
	for _, m := range b.members {
		c := &m.cond
		s := PeerStatus{
			Name: m.name, State: c.state, Why: c.words(),
			Fetched: c.count.fetched, FetchedBytes: c.count.fetchedBytes, Absent: c.count.absent,
			WrongBytes: c.count.wrongBytes, Failed: c.count.failed, Unreachable: c.count.unreachable,
			Returns: c.returns, LastError: c.lastErr, LastErrorAt: c.lastErrAt,
			Hedges: c.count.hedges, HedgeWins: c.count.hedgeWins, Beaten: c.count.beaten, Failovers: c.count.failovers,
			AnswerP50: c.answers.percentile(50), AnswerP99: c.answers.percentile(99),
			BytesPerSecond: c.score.rate(now), InFlight: c.inFlight,
		}
		if c.state != Reachable {
			s.Until = c.until
		}
		list = append(list, s)
	}
	return list
}
