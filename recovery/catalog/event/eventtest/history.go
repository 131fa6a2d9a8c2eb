// Package eventtest makes up histories of events for tests, and holds the
// contract of a source of events as tests.
package eventtest

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// History makes events up that follow one another: every kind, ids that are
// alike, keys that are used again after they were deleted or have ended, pools
// that come back. The same seed and state give the same events. It keeps the
// state that they lead to.
type History struct {
	rng   *rand.Rand
	model *event.Model
	keys  []snapshot.Key // all that were ever registered, latest last
	pools []snapshot.PoolID
}

// New begins the history of a network before its first event.
func New(seed uint64, network string) *History {
	return After(seed, event.NewModel(network))
}

// After goes on from a state, which is the history's own from now on.
func After(seed uint64, state *event.Model) *History {
	return &History{rng: rand.New(rand.NewPCG(seed, 1)), model: state}
}

// Model is the state after the last event.
func (h *History) Model() *event.Model { return h.model }

// Next returns the next event.
func (h *History) Next() event.Event {
	for {
		e := h.propose()
		e.Position = h.model.Stamp().Position + 1
		if err := e.Validate(); err != nil {
			panic(fmt.Sprintf("eventtest: %+v: %v", e, err))
		}
		err := h.model.Apply(&e)
		var no *event.ContradictionError
		switch {
		case err == nil:
			h.remember(&e)
			return e
		case !errors.As(err, &no):
			panic(fmt.Sprintf("eventtest: %+v: %v", e, err))
		}
	}
}

// Take returns the next n events.
func (h *History) Take(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = h.Next()
	}
	return all
}

func (h *History) remember(e *event.Event) {
	switch e.Kind {
	case event.Register:
		h.keys = append(h.keys, e.Key())
	case event.PoolCreated:
		h.pools = append(h.pools, e.Pool)
	}
}

// propose makes an event up that the state may contradict.
func (h *History) propose() event.Event {
	switch now, dice := h.model.Stamp().Epoch, h.rng.IntN(100); {
	case now == 0 || dice < 3:
		return event.Event{Kind: event.EpochStarted, Epoch: now + 1 + uint32(h.rng.IntN(8)/7)}
	case dice < 36 || len(h.keys) == 0:
		return h.register()
	case dice < 70:
		return h.about(event.Certify)
	case dice < 78:
		e := h.about(event.Extend)
		e.EndEpoch = h.end()
		return e
	case dice < 84:
		return h.about(event.Delete)
	case dice < 86:
		e := h.about(event.Invalidate)
		e.Object = [32]byte{}
		return e
	case dice < 93 || len(h.pools) == 0:
		e := event.Event{Kind: event.PoolCreated, Pool: h.bytes(), EndEpoch: h.end()}
		if len(h.pools) > 0 && h.rng.IntN(2) == 0 {
			e.Pool = h.pools[h.rng.IntN(len(h.pools))]
		}
		return e
	}
	return event.Event{Kind: event.PoolExtended, Pool: h.pools[h.rng.IntN(len(h.pools))], EndEpoch: h.end()}
}

func (h *History) register() event.Event {
	e := event.Event{Kind: event.Register, Blob: h.bytes(), Encoding: recovery.Raw, Size: h.rng.Int64N(1 << 20)}
	if len(h.keys) > 0 && h.rng.IntN(2) == 0 {
		e.Blob = h.key().Blob()
	}
	e.Object = e.Blob
	if h.rng.IntN(2) == 0 {
		e.Object = h.bytes()
	}
	e.Digest = e.Blob
	switch size := int64(e.Blob[31]) * 100; h.rng.IntN(20) {
	case 0:
		e.Encoding, e.Size, e.Digest = recovery.Walrus, recovery.SizeUnknown, [32]byte{}
	case 1:
		e.Encoding, e.Digest = recovery.Striped, [32]byte{}
	case 2:
		e.Digest = h.bytes()
	default: // so that an id that comes again agrees with itself
		e.Size = size
	}
	if len(h.pools) > 0 && h.rng.IntN(3) == 0 {
		e.Pool = h.pools[h.rng.IntN(len(h.pools))]
		return e
	}
	e.EndEpoch, e.Deletable = h.end(), h.rng.IntN(2) == 0
	return e
}

// about is an event about a registration, a late one rather than an early one.
func (h *History) about(kind event.Kind) event.Event {
	k := h.key()
	return event.Event{Kind: kind, Blob: k.Blob(), Object: k.Object()}
}

func (h *History) key() *snapshot.Key {
	from := 0
	if recent := len(h.keys) - 8; recent > 0 && h.rng.IntN(2) == 0 {
		from = recent
	}
	return &h.keys[from+h.rng.IntN(len(h.keys)-from)]
}

func (h *History) end() uint32 {
	if h.rng.IntN(12) == 0 {
		return recovery.EpochForever
	}
	return h.model.Stamp().Epoch + 1 + uint32(h.rng.IntN(6))
}

// bytes is a new id, which may have much in common with one before.
func (h *History) bytes() (id [32]byte) {
	for i := range id {
		id[i] = byte(h.rng.Uint32())
	}
	if len(h.keys) > 0 && h.rng.IntN(8) == 0 {
		like := h.key().Blob()
		copy(id[:], like[:h.rng.IntN(32)])
	}
	return id
}
