package sim

import (
	"slices"
	"time"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// process is one life of the daemon: the real machine, checkpoint and syncer, and a
// host that does what recovery/worker does, one step at a time.
type process struct {
	w       *world
	machine *recovery.Machine
	saver   *checkpoint.Store
	stepper *syncer.Stepper
	shelf   *shelf
	delays  syncer.Retry
	started time.Duration

	asks    []*ask
	flights []*syncer.Flight // to be flown, or flown and not landed
	volumes []*volume        // that were ever opened
	pinned  *view
	halted  bool
	over    bool // it ends after this step
	asked   int  // questions since time last passed
}

// start starts a process. It may fail, as one that can't read its checkpoint does.
func (w *world) start() {
	d := &w.disk
	d.dead, d.fuse = false, 0
	w.oracle.restarts()
	if w.fault(DeadInside) {
		d.fuse = 1 + w.rng.IntN(6)
	}
	p := &process{w: w, started: w.now}
	p.shelf = &shelf{w: w, flushed: map[*volume]bool{}}
	p.delays = syncer.Retry{Random: w.rng.Float64}
	var err error
	if p.saver, err = checkpoint.OpenMedium(&d.medium); err != nil {
		w.note("start: %v", err)
		w.oracle.startFailed(err)
		w.endOfProcess(d.dead && w.coin() && w.plan.rate[PowerCut] > 0)
		return
	}
	d.medium.healed = true
	p.stepper, err = syncer.NewStepper(syncer.Config{
		Store: p.shelf, Fetcher: &w.peers, Verifiers: map[recovery.Encoding]syncer.Verifier{recovery.Walrus: pieceVerifier{w}},
	})
	w.must(err)
	p.machine, err = recovery.New(w.plan.machine)
	w.must(err)
	w.proc = p
	w.node.news, w.peers.news, w.roomNews = true, true, true
	w.note("start")
	p.perform(p.machine.Start())
}

// endOfProcess ends whatever runs. What the page cache holds survives, unless the
// power is cut.
func (w *world) endOfProcess(power bool) {
	w.proc = nil
	d := &w.disk
	d.dead, d.fuse = false, 0
	whole := d.medium.sound() || d.medium.saving
	d.medium.saving = false
	if power {
		w.note("power cut")
		w.count(PowerCut)
		d.powerCut()
	}
	w.reported()
	if whole {
		w.damageCheckpoint()
	}
}

// damageCheckpoint spoils what lies there between two processes.
func (w *world) damageCheckpoint() {
	m := &w.disk.medium
	switch {
	case w.fault(CopyDamaged):
		w.note("damaged: %s", m.damage())
		w.oracle.damaged(false)
	case w.fault(ListLost):
		m.loseList()
		m.healed = false
		w.note("the list is lost")
		w.oracle.damaged(true)
	}
}

// step tells the machine the time and an event, as the host loop does.
func (p *process) step(e recovery.Event) {
	if p.over || p.halted {
		return
	}
	w := p.w
	wall := time.Unix(1_800_000_000, 0).UTC().Add(w.now)
	p.one(recovery.Tick{Now: w.now - p.started, Wall: wall})
	if p.halted || p.over {
		return
	}
	if err := p.stepper.Err(); err != nil && !p.machineMayHear(e) {
		w.note("host: %v", err)
		p.halt(false)
		return
	}
	p.one(e)
}

// machineMayHear: a failed flush ends the process before the machine hears of it,
// unless the news arrives between two looks.
func (p *process) machineMayHear(e recovery.Event) bool {
	s, ok := e.(recovery.Synced)
	return ok && s.Outcome.Reason == recovery.NotDurable && p.w.coin()
}

func (p *process) one(e recovery.Event) {
	w := p.w
	if _, tick := e.(recovery.Tick); !tick {
		w.note("< %s", w.event(e))
	}
	w.oracle.before(e)
	effects, err := p.machine.Step(e)
	if err != nil {
		w.violate("the machine: %v", err)
	}
	effects = slices.Clone(effects)
	w.oracle.after(e, effects)
	p.perform(effects)
}

// perform starts effects; those that ask something are answered when they are chosen.
func (p *process) perform(effects []recovery.Effect) {
	w := p.w
	for _, e := range effects {
		w.note("> %s", w.effect(e))
		switch e := e.(type) {
		case recovery.Sync:
			p.sync(e)
		case recovery.CancelRun:
			p.stepper.CancelRun(e.Run)
		case recovery.Decided:
			w.count(decisions[e.Origin.Decision])
		case recovery.PhaseChanged:
			w.count(ReachedWaiting + Kind(e.To))
		case recovery.BlobParked:
			w.count(BlobParked)
		case recovery.Answered:
			if len(e.Refused) > 0 {
				w.count(PutBackRefused)
			}
		case recovery.ReadTrouble:
		case recovery.Halt:
			p.halt(e.Misconfigured)
			return
		case recovery.Finished:
			p.over = true
			return
		default:
			p.asks = append(p.asks, &ask{effect: e, slow: w.rng.IntN(6) == 0, claims: w.proc != nil && w.oracle.claimsWork()})
		}
	}
}

var decisions = map[recovery.DecisionKind]Kind{
	recovery.Fresh: DecidedFresh, recovery.Resume: DecidedResume, recovery.Extend: DecidedExtend,
	recovery.Relook: DecidedRelook, recovery.Discard: DecidedDiscard, recovery.Nothing: DecidedNothing,
}

// halt ends the process with what it was about to write either written or not.
func (p *process) halt(misconfigured bool) {
	p.halted = true
	w := p.w
	if misconfigured {
		w.count(HaltedMisconfigured)
		w.repairFacts()
		return
	}
	for _, a := range p.asks {
		if s, ok := a.effect.(recovery.Save); ok && a.stage == 0 && w.coin() {
			_ = p.write(s) // whoever waited for it is gone
		}
	}
}

// sync asks the syncer, sometimes for other shards than the machine asked for.
func (p *process) sync(e recovery.Sync) {
	w := p.w
	req := syncer.Request{Run: e.Run, Blob: e.Blob, Covers: e.Covers, Placement: e.Placement, Replace: e.Replace}
	a := &ask{effect: e, slow: w.rng.IntN(6) == 0}
	if w.fault(OtherSet) {
		req.Covers = w.node.otherCovers()
	}
	a.watch = p.join(req)
	p.asks = append(p.asks, a)
}

// join asks the syncer for a blob.
func (p *process) join(req syncer.Request) *syncer.Watch {
	watch, flight := p.stepper.Sync(req)
	if flight == nil {
		p.w.count(FlightJoin)
	} else {
		p.flights = append(p.flights, flight)
	}
	return watch
}

// fly lets a flight do what it can in one go, and lands those that are done.
func (p *process) fly(f *syncer.Flight) {
	p.w.note("fly %s for %s", p.w.name(f.Request().Blob.ID), f.Request().Covers.Owned)
	f.Fly()
	p.land()
}

// turn makes a group of a volume durable.
func (p *process) turn(v *volume) {
	p.w.note("turn")
	p.stepper.Turn((*shelfVolume)(v))
	p.land()
}

func (p *process) land() {
	var rest []*syncer.Flight
	for _, f := range p.flights {
		landed, next := f.Land()
		if !landed {
			rest = append(rest, f)
		}
		if next != nil {
			p.w.count(FlightNext)
			rest = append(rest, next)
		}
	}
	p.flights = rest
}

// write hands a record to the checkpoint.
func (p *process) write(e recovery.Save) error {
	p.w.oracle.writes(e.Record)
	m := &p.w.disk.medium
	m.saving = m.sound()
	save := p.saver.Save
	if e.Less {
		save = p.saver.Reset
	}
	err := save(e.Record)
	if err == nil {
		m.saving = false
		p.w.oracle.written(e.Record)
	}
	return err
}
