package checkpoint

import (
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// ledger numbers what is written, and knows what was written last. Store and
// Nop share it, so that both refuse, sort, number and encode alike. Its numbers
// move only when a write has succeeded (hazard 44).
type ledger struct {
	last image
	set  bool // last is valid; otherwise nothing was ever recorded
}

// plan is one record on its way out.
type plan struct {
	// first is written; if less is set it claims less than the last record, and
	// second, the same under the next number, is the one that stays.
	first, second image
	less          bool
}

// plan encodes the record that follows the last one. A record whose run differs
// from the last one's, or that drops its progress, claims less whatever the
// caller says. Errors wrap ErrRecord or ErrStale, and change nothing.
func (l *ledger) plan(r recovery.Record, less bool) (plan, error) {
	last := l.last.h
	run := last.lastRun
	if r.Progress != nil {
		run = r.Progress.Run
	}
	switch {
	case run < last.lastRun:
		return plan{}, fmt.Errorf("%w: run %d, the last one is %d", ErrStale, run, last.lastRun)
	case r.Progress != nil && last.progress == nil && run == last.lastRun && run > 0:
		return plan{}, fmt.Errorf("%w: run %d was discarded", ErrStale, run)
	}
	less = less || run != last.lastRun || (r.Progress == nil) != (last.progress == nil)
	first, err := newImage(r, order{run: run, seq: last.seq + 1})
	if err != nil {
		return plan{}, err
	}
	p := plan{first: first, second: first, less: less}
	if less {
		p.second = first.at(first.order.seq + 1)
	}
	return p, nil
}

// done notes that a plan was written.
func (l *ledger) done(p plan) { l.last, l.set = p.second, true }

// durable describes what was written last; r reports the same.
func (l *ledger) durable(r LoadReport) Durable {
	d := Durable{LoadReport: r}
	if p := l.last.h.progress; p != nil {
		d.Cursor, d.SavedAt = p.Cursor, p.SavedAt
	}
	return d
}

// load decodes what was written last.
func (l *ledger) load() (recovery.Record, error) {
	if !l.set {
		return recovery.Record{}, nil
	}
	s, err := decodeStored(l.last.head, l.last.list)
	if err == nil {
		err = s.lost
	}
	if err != nil {
		return recovery.Record{}, fmt.Errorf("read back record %d: %w", l.last.order.seq, err)
	}
	return s.record(), nil
}
