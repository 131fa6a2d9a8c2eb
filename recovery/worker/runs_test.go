package worker_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// keptHistory is where the history outlives a process.
type keptHistory struct {
	mu     sync.Mutex
	events []worker.RunEvent
	writes int
	err    error
}

func (k *keptHistory) keep(events []worker.RunEvent) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writes++
	k.events = events
	return k.err
}

func (k *keptHistory) use(s *setup) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.worker.History, s.worker.KeepHistory = k.events, k.keep
}

func decisions(events []worker.RunEvent) (text string) {
	for _, e := range events {
		text += fmt.Sprintf("%d %s; ", e.Run, e.Decision)
	}
	return text
}

// An operator sees how each run began, and why, over restarts; of passes that follow
// one another only the newest.
func TestHistoryOfRuns(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		kept := &keptHistory{}
		p := w.start(kept.use)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		for n := range 3 {
			w.certify(100 + n)
			time.Sleep(15 * time.Second)
		}
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		p.stop()
		p = w.start(kept.use)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		w.assign(func(o *ownership) { o.owned = "0-1" })
		p.until("a new run", time.Minute, func(s worker.Status) bool { return s.Run == 2 })
		p.stop()
		p = w.start(kept.use)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		got := p.worker.History()
		if text, want := decisions(got), "2 nothing_to_do; 2 discard; 1 nothing_to_do; 1 extend; 1 fresh; "; text != want {
			t.Errorf("got  %s\nwant %s", text, want)
		}
		if e := got[1]; e.Why != "owned shards changed from 0-3 to 0-1" || !e.From.End() || !e.At.After(got[2].At) {
			t.Errorf("%+v", e)
		}
		if e := got[3]; !strings.HasPrefix(e.Why, "testnet@7 ") || !strings.HasSuffix(e.Why, " has moved to position 8") {
			t.Errorf("the newest of three passes is %q", e.Why)
		}
		p.stop()
		if diff := cmp.Diff(got, kept.events, cmp.Comparer(func(a, b recovery.Mark) bool { return a == b })); diff != "" {
			t.Errorf("kept: %s", diff)
		}
	})
}

// The history is bounded, and one that cannot be kept is told and holds up nothing.
func TestHistoryIsBounded(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		kept := &keptHistory{err: syscall.ENOSPC}
		for n := range 500 {
			kept.events = append(kept.events, worker.RunEvent{Run: uint64(500 - n), Decision: recovery.Resume})
		}
		p := w.start(kept.use)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		for n := range 120 {
			w.assign(func(o *ownership) { o.continuity = fmt.Sprint(n) })
			p.until("a new run", time.Minute, func(s worker.Status) bool { return s.Run == uint64(n)+2 })
		}
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		p.stop()
		if list := p.worker.History(); len(list) != worker.MaxHistory || list[0].Run != 121 || list[99].Run != 22 {
			t.Errorf("%d events: %s", len(list), decisions(list))
		}
		if told := told[worker.HistoryLost](p.notices); len(told) == 0 || told[0].Err != syscall.ENOSPC.Error() {
			t.Errorf("observers were told %v", told)
		}
		w.checkComplete()
	})
}
