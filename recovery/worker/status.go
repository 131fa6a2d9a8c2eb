package worker

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// Status is the machine's status with what only the host can know.
type Status struct {
	recovery.Status
	At      time.Time `json:"at"`
	Started time.Time `json:"started"`
	// BlobsPerSecond and BytesPerSecond are what was synced lately (an
	// exponential average over about 10 s).
	BlobsPerSecond float64 `json:"blobs_per_second"`
	BytesPerSecond float64 `json:"bytes_per_second"`
	// ProgressAt is when rows were last found looked at, or blobs settled, by this
	// process; zero: not yet.
	ProgressAt time.Time `json:"progress_at,omitzero"`
	// ETA is nil where there is no ground for an estimate.
	ETA    *ETA   `json:"eta"`
	Limits Limits `json:"limits"`
	// OwnershipTrouble is why the newest ownership document was refused, or could
	// not be read, or ""; OwnershipRefusals counts how often that happened.
	OwnershipTrouble  string `json:"ownership_trouble"`
	OwnershipRefusals uint64 `json:"ownership_refusals"`
	// NoticesDropped counts what observers were too slow to be told, one for each
	// observer and notice.
	NoticesDropped uint64 `json:"notices_dropped"`
	// PutBacks counts the blobs that were queued because what is stored of them is
	// not what it should be, since the start.
	PutBacks uint64 `json:"put_backs"`
}

// Status returns the newest published status; it never blocks.
func (w *Worker) Status() Status { return *w.status.Load() }

// ErrEnded is returned by questions to a worker whose Run has ended.
var ErrEnded = errors.New("worker: it has ended")

// Unsettled returns the unsettled list in id order. It asks the loop: it waits
// for Run to begin, returns ErrEnded once Run has ended, or ctx's error.
func (w *Worker) Unsettled(ctx context.Context) ([]recovery.Unsettled, error) {
	answer := make(chan []recovery.Unsettled, 1)
	select {
	case w.calls <- func(m *recovery.Machine) { answer <- m.Unsettled() }:
		return <-answer, nil
	case <-w.done:
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// LastTurn returns when the loop last turned: the liveness of the process.
func (w *Worker) LastTurn() time.Time { return time.Unix(0, w.loop.turns.Load()) }

func (w *Worker) publish(now time.Time) {
	s := Status{Status: w.machine.Status(), At: now, Started: w.started, NoticesDropped: w.notices.dropped.Load(), PutBacks: w.putBacks.Load()}
	if w.halted != nil {
		s.Phase, s.Why = recovery.PhaseHalted, w.halted.Reason
	}
	w.progress.note(now, s.Run, s.Counters)
	s.BlobsPerSecond, s.BytesPerSecond, s.ProgressAt = w.progress.blobs, w.progress.bytes, w.progress.moved
	s.OwnershipTrouble, s.OwnershipRefusals = w.trouble.get()
	s.Limits, s.ETA = w.Limits(), remaining(&s)
	if now.Sub(w.shards.fresh) >= shardsEvery {
		w.shards.update(now, w.machine.ShardView())
	}
	w.status.Store(&s)
	w.fresh = now
}

// progressRate averages what is synced over about 10 s. Until it has seen so much
// the average is over what it has seen. A run's counters begin where an earlier
// process left them, so another run number only sets the base.
type progressRate struct {
	at           time.Time
	moved        time.Time // when last differed in what is progress
	run          uint64
	last         recovery.Counters
	weight       float64 // of what was seen, towards 1
	sumBlobs     float64
	sumBytes     float64
	blobs, bytes float64
}

func (r *progressRate) note(now time.Time, run uint64, c recovery.Counters) {
	dt := now.Sub(r.at).Seconds()
	if r.at.IsZero() || run != r.run {
		*r = progressRate{at: now, moved: r.moved, run: run, last: c}
		return
	}
	if dt < 0.05 {
		return
	}
	keep := math.Exp(-dt / 10)
	r.weight = keep*r.weight + (1 - keep)
	r.sumBlobs = keep*r.sumBlobs + (1-keep)*float64(c.Stored-r.last.Stored)/dt
	r.sumBytes = keep*r.sumBytes + (1-keep)*float64(c.StoredBytes-r.last.StoredBytes)/dt
	r.blobs, r.bytes = r.sumBlobs/r.weight, r.sumBytes/r.weight
	if progressed(r.last, c) {
		r.moved = now
	}
	r.at, r.last = now, c
}

// progressed reports whether work was done between two moments of a run. A try that
// did not settle is none.
func progressed(before, after recovery.Counters) bool {
	for _, c := range []*recovery.Counters{&before, &after} {
		c.Cancelled, c.Parkings, c.Resumes = 0, 0, 0
	}
	return before != after
}

// loopStats measures the loop: when it last turned, how long it computed, and
// how much of that went into taking values to save.
type loopStats struct {
	turns  atomic.Int64 // Unix nanoseconds of the last turn
	busy   atomic.Int64 // nanoseconds inside Step
	saving atomic.Int64 // of these, in steps that took a value to save
	saves  atomic.Int64
}

func (s *loopStats) note(effects []recovery.Effect, before time.Time) {
	spent := time.Since(before).Nanoseconds()
	s.busy.Add(spent)
	for _, e := range effects {
		if _, ok := e.(recovery.Save); ok {
			s.saving.Add(spent)
			s.saves.Add(1)
		}
	}
}

// LoopStats says how busy the loop was since the worker was made.
type LoopStats struct {
	Busy   time.Duration // inside the machine
	Saving time.Duration // of these, in steps that took a value to save
	Saves  int64
}

// Loop returns the loop's statistics.
func (w *Worker) Loop() LoopStats {
	return LoopStats{
		Busy: time.Duration(w.loop.busy.Load()), Saving: time.Duration(w.loop.saving.Load()), Saves: w.loop.saves.Load(),
	}
}
