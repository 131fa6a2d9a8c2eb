package peer

import (
	"sync/atomic"
	"time"
)

const (
	// The least time to wait before another peer is asked as well: for an answer, and
	// for the next bytes of a body. What is shorter is our own scheduling.
	patienceAnswer = 2 * time.Millisecond
	patienceBody   = 5 * time.Millisecond
	// patiencePercent: that many of a hundred waits end by themselves.
	patiencePercent = 95
	// calmAfter is how long after a sign of overload nothing is hedged.
	calmAfter = 5 * time.Second
	// maxTokens bounds the hedges that may follow each other at once.
	maxTokens = 32
	// tokenPrice is in what hedgePercent is paid: a hedge costs a hundred.
	tokenPrice = 100
)

// hedging decides whether a peer that keeps us waiting is raced by another one. It is
// plain data under the board's lock, but for patience.
type hedging struct {
	percent int // hedges for a hundred requests; 0: none
	tokens  int // earned by requests, in hundredths of a hedge; starts at none

	answers waits // until an answer began
	bodies  waits // the longest within each body
	added   int   // since patience was told

	overloadAt time.Time // a peer asked to be left alone, or our own limit held a transfer

	// patience is how long to wait for an answer and for the next bytes, as
	// time.Duration; 0: for ever.
	patience [2]atomic.Int64
}

// request pays for hedges to come. So there are never more than percent hedges for a
// hundred requests, whatever happened in what order.
func (h *hedging) request() { h.tokens = min(h.tokens+h.percent, maxTokens*tokenPrice) }

// calm reports whether nothing speaks against more requests.
func (h *hedging) calm(now time.Time) bool {
	return h.percent > 0 && (h.overloadAt.IsZero() || now.Sub(h.overloadAt) >= calmAfter)
}

// take pays for a hedge.
func (h *hedging) take() bool {
	if h.tokens < tokenPrice {
		return false
	}
	h.tokens -= tokenPrice
	return true
}

// waited learns from one wait for a peer.
func (h *hedging) waited(now time.Time, body bool, d time.Duration) {
	w := &h.answers
	if body {
		w = &h.bodies
	}
	w.add(now, d)
	if h.added++; h.percent > 0 && (h.added >= waitsNeeded || h.patience[0].Load() == 0) {
		h.added = 0
		h.patience[0].Store(int64(patienceOf(&h.answers, patienceAnswer)))
		h.patience[1].Store(int64(patienceOf(&h.bodies, patienceBody)))
	}
}

func patienceOf(w *waits, least time.Duration) time.Duration {
	d := w.percentile(patiencePercent)
	if d == 0 {
		return 0
	}
	return max(d, least)
}
