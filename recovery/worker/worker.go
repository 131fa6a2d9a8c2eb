// Package worker is the spine of recoverd: one goroutine owns a
// recovery.Machine, performs its effects through small ports, and turns what
// comes back into events.
//
//	w, err := worker.New(worker.Config{Checkpoint: ..., Catalog: ..., ...})
//	result, err := w.Run(ctx)
//
// Run returns when ctx ends (after a graceful stop), when the work is complete
// and that was asked for, or when durability is in doubt.
//
// # What may be asked meanwhile
//
// Status, Shards, History and Limits answer at once with what was published last.
// Unsettled and Explain ask the loop. Pause, Retry, PutBack and SetLimits change
// something, and answer when that survives a restart: an event with a ticket goes in,
// and recovery.Answered comes out after the save. Sync is the node's own: it gets one
// blob and leaves the run to find out (node.go).
package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// HaltError says that the process must end: after it nothing may be
// acknowledged (I12), or, with Misconfigured, a human must change something.
type HaltError struct {
	Reason        string
	Misconfigured bool
}

func (e *HaltError) Error() string { return "halted: " + e.Reason }

// Result is how a run ended.
type Result struct {
	// Phase is the machine's when it was decided to stop; halted with an error.
	Phase recovery.Phase
	// Unsettled lists what is not done, in id order; nil after a halt, which
	// makes no claims.
	Unsettled []recovery.Unsettled
}

// Worker runs one machine. Its methods other than Run may be called from any
// goroutine at any time.
type Worker struct {
	cfg     Config
	machine *recovery.Machine
	started time.Time
	ran     atomic.Bool

	events  chan recovery.Event
	synced  *mailbox // what the syncer says
	calls   chan func(*recovery.Machine)
	desk    desk
	done    chan struct{}  // closed when Run has ended
	running sync.WaitGroup // what Run started, but for the observers

	nodeSlots chan struct{} // holds one for each blob that the node asks for
	limits    limits
	auto      autopilot
	tries     *tries
	history   *history
	shards    *shardMap

	status   atomic.Pointer[Status]
	progress progressRate
	loop     loopStats
	trouble  portTrouble
	notices  *notices
	putBacks atomic.Uint64
	result   Result
	halted   *HaltError
	stopping bool
	finished bool
	fresh    time.Time // when the status was last published
}

// queue is the room for answers on their way to the loop. A full queue makes
// senders wait, never the loop.
const queue = 1_024

// New makes a worker. Errors wrap ErrConfig or recovery.ErrConfig.
func New(cfg Config) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	w := &Worker{
		cfg: cfg, started: time.Now(), notices: newNotices(cfg.Observers),
		events: make(chan recovery.Event, queue), synced: newMailbox(),
		calls: make(chan func(*recovery.Machine)), desk: newDesk(), done: make(chan struct{}),
		nodeSlots: make(chan struct{}, cfg.NodeSlots), limits: newLimits(cfg), tries: newTries(),
		history: newHistory(cfg.History), shards: newShardMap(),
	}
	w.auto.load, w.limits.present = cfg.Load, &w.auto.present
	limits := w.limits.asked()
	cfg.Machine.Slots, cfg.Machine.BytesInFlight = w.auto.use(limits), limits.BytesInFlight
	if cfg.Bandwidth != nil {
		cfg.Bandwidth.SetBandwidth(limits.BytesPerSecond)
	}
	machine, err := recovery.New(cfg.Machine)
	if err != nil {
		return nil, err
	}
	w.machine = machine
	w.publish(time.Now())
	return w, nil
}

// Run works until ctx ends and the stop that follows is finished, or until the
// worker has nothing more to do. It may be called once. The error is a
// *HaltError when the machine halted.
//
// A stop hands out nothing new, lets syncs under way end for StopGrace, and
// makes what was reached durable; a save that hangs holds it up. Everything the
// worker started has ended by then, but for an observer that does not return
// within half a second. After a halt Run waits no longer than that for anything
// (I12).
func (w *Worker) Run(ctx context.Context) (Result, error) {
	if w.ran.Swap(true) {
		return Result{}, errors.New("worker: Run was called before")
	}
	defer close(w.done)
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	w.notices.start()
	w.running.Go(func() { w.watchOwnership(inner) })
	w.running.Go(func() { w.watchRoom(inner) })
	if w.cfg.Follower != nil {
		w.running.Go(func() { w.watchCatalog(inner) })
	}
	if w.cfg.Peers != nil {
		w.running.Go(func() { w.watchPeers(inner) })
	}
	w.running.Go(func() { w.countShards(inner) })
	if w.cfg.KeepHistory != nil {
		w.running.Go(func() { w.keepHistory(inner) })
	}
	w.perform(inner, w.machine.Start())
	err := w.runLoop(ctx, inner)
	cancel()
	w.join(err != nil)
	w.publish(time.Now())
	if err != nil {
		return Result{Phase: recovery.PhaseHalted}, err
	}
	return w.result, nil
}

// patience is how long Run waits at its end for what may never return: an
// observer, and after a halt everything else too, since a read or a write may
// hang in the kernel and the process must end within a second (I12).
const patience = 500 * time.Millisecond

func (w *Worker) join(halted bool) {
	if !halted {
		w.running.Wait()
	}
	late, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if halted {
		joined := make(chan struct{})
		go func() {
			defer close(joined)
			w.running.Wait()
		}()
		select {
		case <-joined:
		case <-late.Done():
		}
	}
	w.notices.close(late)
}

// runLoop is the host loop of package recovery.
func (w *Worker) runLoop(ctx, inner context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer w.auto.stop()
	stop, grace := ctx.Done(), (<-chan time.Time)(nil)
	for {
		var event recovery.Event
		select {
		case event = <-w.events:
		case <-w.synced.wake:
			event = w.arrived()
		case call := <-w.calls:
			call(w.machine)
		case asked := <-w.desk.asks:
			event = w.desk.take(asked)
		case <-timer.C:
		case <-w.auto.due():
			event = w.auto.sample(time.Now())
		case <-stop:
			stop, grace = nil, time.After(w.cfg.StopGrace)
			w.result.Phase = w.machine.Phase()
			w.stopping, event = true, recovery.StopAsked{Drain: true}
		case <-grace:
			grace, event = nil, recovery.StopAsked{}
		}
		if err := w.turn(inner, event); err != nil || w.finished {
			return err
		}
		if w.cfg.ExitWhenComplete && !w.stopping && w.atTheEnd() {
			w.stopping = true
			if err := w.turn(inner, recovery.StopAsked{Drain: true}); err != nil || w.finished {
				return err
			}
		}
		timer.Reset(w.untilWake())
	}
}

func (w *Worker) atTheEnd() bool {
	w.result.Phase = w.machine.Phase()
	return w.result.Phase == recovery.PhaseComplete || w.result.Phase == recovery.PhaseIncomplete
}

// batch bounds the events of one turn, so that the clock is read and the status
// published in between.
const batch = 256

// turn tells the machine the time, then an event (nil: none) and whatever else
// has arrived.
func (w *Worker) turn(inner context.Context, event recovery.Event) error {
	now := time.Now()
	w.loop.turns.Store(now.UnixNano())
	if err := w.step(inner, recovery.Tick{Now: now.Sub(w.started), Wall: now}); err != nil {
		return err
	}
	if err := w.cfg.Syncer.Err(); err != nil {
		return w.halt(recovery.Halt{Reason: err.Error()})
	}
	for n := 1; event != nil; n++ {
		if err := w.hear(inner, event); err != nil || w.finished {
			return err
		}
		event = nil
		if n < batch {
			event = w.arrived()
		} else {
			w.synced.signal() // there may be more
		}
	}
	taken, limit := w.machine.Slots()
	w.auto.turned(now, taken, limit)
	if now.Sub(w.fresh) >= statusEvery || w.status.Load().Phase != w.machine.Phase() {
		w.publish(now)
	}
	return nil
}

// hear tells the machine an event. Of an outage it hears before it hears what came of
// it, or it would hand out the catalog to peers that are down (hazard 29): their watcher
// may come late.
func (w *Worker) hear(inner context.Context, event recovery.Event) error {
	if e, ok := event.(recovery.Synced); ok && e.Outcome.Result == recovery.Cancelled && e.Outcome.Reason == recovery.Unreachable {
		if err := w.step(inner, recovery.PeersSeen{Health: w.cfg.Peers.Health()}); err != nil || w.finished {
			return err
		}
	}
	return w.step(inner, event)
}

// arrived returns an event that waits, or nil.
func (w *Worker) arrived() recovery.Event {
	select {
	case event := <-w.events:
		return event
	default:
		return w.synced.take()
	}
}

func (w *Worker) step(inner context.Context, event recovery.Event) error {
	before := time.Now()
	effects, err := w.machine.Step(event)
	if err != nil { // a bug, and nothing may build on it
		return w.halt(recovery.Halt{Reason: err.Error()})
	}
	w.loop.note(effects, before)
	w.perform(inner, effects)
	if w.halted != nil {
		return w.halted
	}
	return nil
}

// halt notes why nothing may go on, and returns it.
func (w *Worker) halt(h recovery.Halt) error {
	w.halted = &HaltError{Reason: h.Reason, Misconfigured: h.Misconfigured}
	w.notices.tell(h)
	return w.halted
}

// untilWake is how long the loop may sleep: until the machine wants a Tick, and
// never longer than the heartbeat.
func (w *Worker) untilWake() time.Duration {
	wait := heartbeat
	if at, ok := w.machine.WakeAt(); ok {
		wait = min(wait, at-time.Since(w.started))
	}
	return max(wait, 0)
}

// heartbeat is the longest the loop sleeps, and statusEvery how often the
// status is made anew while it is busy.
const (
	heartbeat   = 250 * time.Millisecond
	statusEvery = 100 * time.Millisecond
)
