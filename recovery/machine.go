package recovery

import (
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/shards"
)

// Machine is the state machine of one worker. It is not safe for concurrent
// use: one goroutine owns it. See the package documentation for the contract.
type Machine struct {
	cfg   Config
	now   time.Duration // monotonic, from Tick
	wall  time.Time     // for people only
	phase Phase
	why   string // of the last phase change

	seq     uint64 // of the last question asked
	lastRun uint64 // the highest run number ever seen
	paused  bool
	stop    stopState
	effects []Effect // of the present Step; the buffer is reused

	// The facts, as far as they are known.
	own    *shards.Ownership
	tip    *Tip
	store  StoreReport
	peers  PeerHealth
	room   Room
	loaded bool
	late   []uint64 // questions to catalog and store that were given up, not answered yet
	held   []Event  // RetryAsked and PutBack that wait for a run
	note   string   // what the checkpoint lost

	load   loadState
	prior  *Progress // what loading decides about
	run    runState
	scan   scanState
	look   lookState
	save   saveState
	follow followState
}

type stopState uint8

const (
	stopNo stopState = iota
	stopDraining
	stopDone
)

// runState is the run in force. It is valid from the decision on, until the
// machine leaves for waiting or loading.
type runState struct {
	on       bool
	number   uint64
	fence    Fence
	epoch    uint32
	origin   Origin
	counters Counters
	front    *frontier
	slots    int   // syncs that hold a slot
	before   int   // slots after the last Step, to assert that above the limit they only fall
	retries  int   // of these, retries
	bytes    int64 // declared sizes of these
	checked  bool  // the store's identity was checked since the list became empty
	asking   uint64
	again    bool // what is being asked is out of date
}

// New returns a machine in phase waiting. Errors wrap ErrConfig.
func New(cfg Config) (*Machine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Machine{cfg: cfg.WithDefaults()}, nil
}

// Start returns the first effects. It is called once, before any Step.
func (m *Machine) Start() []Effect {
	return []Effect{LoadCheckpoint{}}
}

// Step takes one event and returns the effects to perform, in order. The slice
// is valid until the next Step. An error means that the host broke the contract
// or the machine is wrong; the host must not go on.
func (m *Machine) Step(event Event) ([]Effect, error) {
	m.effects = m.effects[:0]
	if m.phase == PhaseHalted || m.stop == stopDone {
		return nil, nil
	}
	if err := m.take(event); err != nil {
		return nil, err
	}
	if m.phase == PhaseHalted {
		return m.effects, nil
	}
	m.advance()
	return m.effects, m.check()
}

// take lets one event change what is known.
func (m *Machine) take(event Event) error {
	switch e := event.(type) {
	case Tick:
		if e.Now < m.now {
			return fmt.Errorf("recovery: time went back from %v to %v", m.now, e.Now)
		}
		m.now, m.wall = e.Now, e.Wall
	case Loaded:
		m.onLoaded(e)
	case LoadFailed:
		m.halt("reading progress: " + e.Err.Error())
	case OwnershipSeen:
		m.onOwnership(e.Ownership)
	case BoundTaken:
		m.onBound(e)
	case BoundFailed:
		m.onBoundFailed(e)
	case CatalogChanged:
		m.follow.hinted = true
	case StoreOpened:
		m.onStore(e)
	case StoreFailed:
		m.onStoreFailed(e)
	case PageRead:
		m.onPage(e)
	case PageFailed:
		m.onPageFailed(e)
	case LookedUp:
		m.onLooked(e)
	case LookupFailed:
		m.onLookFailed(e)
	case Sealed:
		m.onSealed(e)
	case Synced:
		m.onSynced(e)
	case Saved:
		m.onSaved(e)
	case SaveFailed:
		m.halt("saving progress: " + e.Err.Error())
	case PeersSeen:
		m.onPeers(e.Health)
	case RoomSeen:
		m.room = e.Room
	case PauseAsked:
		m.onPause(e)
	case RetryAsked, PutBack:
		m.held = append(m.held, e)
	case LimitsAsked:
		return m.onLimits(e)
	case StopAsked:
		m.onStop(e)
	default:
		return fmt.Errorf("recovery: unknown event %T", event)
	}
	return nil
}

// advance does whatever the present state allows, until nothing is left to do.
func (m *Machine) advance() {
	m.serveHeld()
	if !m.run.on {
		m.advanceLoad()
	}
	if m.run.on && m.phase != PhaseHalted {
		m.startReady()
		m.lookUpDue()
		m.scanPages()
	}
	if m.run.on && m.phase != PhaseHalted { // the end of a pass may have left the run
		m.followCatalog()
		m.checkStore()
		m.movePhase()
	}
	if m.phase != PhaseHalted {
		m.maybeSave()
		m.maybeFinish()
	}
}

// idle reports whether nothing new may be handed out.
func (m *Machine) idle() bool { return m.paused || m.stop != stopNo }

func (m *Machine) emit(e Effect) { m.effects = append(m.effects, e) }

func (m *Machine) nextSeq() uint64 {
	m.seq++
	return m.seq
}

// become moves to a phase; to the same phase it only refreshes the reason.
func (m *Machine) become(to Phase, why string) {
	if m.phase == to {
		m.why = why
		return
	}
	if !CanMove(m.phase, to) {
		panic(fmt.Sprintf("recovery: illegal move from %v to %v (%s)", m.phase, to, why))
	}
	m.emit(PhaseChanged{From: m.phase, To: to, Why: why})
	m.phase, m.why = to, why
	m.save.forced = m.save.forced || m.run.on
}

func (m *Machine) halt(reason string) {
	m.become(PhaseHalted, reason)
	m.emit(Halt{Reason: reason})
}

func (m *Machine) haltMisconfigured(err error) {
	m.become(PhaseHalted, err.Error())
	m.emit(Halt{Reason: err.Error(), Misconfigured: true})
}

// epochNow is the present epoch: expiry is judged by it, never by the frozen
// bound (hazard 26).
func (m *Machine) epochNow() uint32 {
	epoch := m.run.epoch
	if m.tip != nil {
		epoch = max(epoch, m.tip.Epoch)
	}
	return epoch
}

func (m *Machine) covers() Covers {
	return Covers{Total: m.run.fence.TotalShards, Owned: m.run.fence.Owned}
}

// onStop ends the work. Syncs that are cancelled stay in the list, to be looked
// at first after a restart.
func (m *Machine) onStop(e StopAsked) {
	if m.stop == stopNo {
		m.stop = stopDraining
	}
	if !e.Drain && m.run.on {
		m.abandonSyncs()
	}
}

// maybeFinish ends the machine once nothing is under way and all is saved.
func (m *Machine) maybeFinish() {
	if m.stop != stopDraining {
		return
	}
	if m.run.on && m.run.front.counts[Fetching]+m.run.front.counts[Flushing] > 0 {
		return
	}
	if m.save.asked != 0 || m.loaded && m.save.dirty {
		return
	}
	m.stop = stopDone
	m.emit(Finished{})
}

// check asserts what is cheap to assert (DESIGN 3).
func (m *Machine) check() error {
	if !m.run.on {
		return nil
	}
	f := m.run.front
	switch {
	case m.run.slots < 0 || m.run.retries < 0 || m.run.bytes < 0:
		return errors.New("recovery: a slot was given back twice")
	case m.run.slots != f.counts[Fetching]:
		return fmt.Errorf("recovery: %d slots are taken by %d blobs", m.run.slots, f.counts[Fetching])
	case m.run.slots > max(m.cfg.Slots, m.run.before):
		return fmt.Errorf("recovery: %d blobs in flight, at most %d are allowed", m.run.slots, m.cfg.Slots)
	case m.phase == PhaseComplete && len(f.list) > 0:
		return fmt.Errorf("recovery: complete with %d unsettled blobs", len(f.list))
	}
	m.run.before = m.run.slots
	return nil
}
