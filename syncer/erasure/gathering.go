package erasure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// gathering gets pieces of one blob. One goroutine uses it.
type gathering struct {
	fetcher  *Fetcher
	manifest *Manifest
	blob     recovery.Blob
	ledger   ledger
	unasked  bool // some wanted piece was not asked for whole

	failed map[int]bool // pieces that nobody can give
	rotten map[int]bool // pieces whose copy in the own store is wrong
	taints map[int]int  // how often a piece spoilt a rebuild
}

// maxTaints is how often a piece may spoil a rebuild before it counts as one that nobody
// can give. Each time one peer more is known to lie about the blob.
const maxTaints = 3

// errAgain: a rebuild was spoilt, and something was learnt by it.
var errAgain = errors.New("erasure: rebuild again")

// rebuild fills the sinks of the wanted pieces from K others. Errors are *ShortError,
// those of a sink's store, of ctx, or wrap syncer.ErrUnverifiable.
func (g *gathering) rebuild(ctx context.Context, wanted []syncer.Wanted) error {
	leave, err := g.enter(ctx, wanted[0].Sink)
	if err != nil {
		return err
	}
	defer leave()
	for {
		for _, w := range wanted {
			if err := w.Sink.Reset(); err != nil {
				return err
			}
		}
		if err := g.attempt(ctx, wanted); !errors.Is(err, errAgain) {
			return err
		}
	}
}

// enter waits until as many pieces may be read at once. They are asked for together:
// two rebuilds that each wait for the other's would wait for ever.
func (g *gathering) enter(ctx context.Context, sink syncer.Sink) (leave func(), err error) {
	s, n := g.fetcher.streams, int64(min(g.manifest.K, g.fetcher.cfg.Streams))
	if !s.TryAcquire(n) {
		if h, ok := sink.(syncer.Holder); ok { // a limit of ours, and no peer's fault
			h.Hold()
			defer h.Release()
		}
		if err := s.Acquire(ctx, n); err != nil {
			return nil, fmt.Errorf("wait for other rebuilds: %w", ended(ctx))
		}
	}
	return func() { s.Release(n) }, nil
}

func ended(ctx context.Context) error { return context.Cause(ctx) }

// candidates lists the pieces to rebuild from, the best first: those in the own store,
// then by the outlook, those that spoilt a rebuild last.
func (g *gathering) candidates(wanted []syncer.Wanted) []int {
	type candidate struct {
		index, taints int
		own           bool
		outlook       Outlook
	}
	var all []candidate
	for i := range g.manifest.N {
		if g.failed[i] || slices.ContainsFunc(wanted, func(w syncer.Wanted) bool { return int(w.Piece.Index) == i }) {
			continue
		}
		p := g.manifest.piece(g.blob, i)
		all = append(all, candidate{i, g.taints[i], g.isOwn(p), g.fetcher.cfg.Outlook(p)})
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		if a.own != b.own {
			return map[bool]int{true: -1, false: 1}[a.own]
		}
		return cmp.Or(cmp.Compare(a.taints, b.taints), cmp.Compare(a.outlook, b.outlook))
	})
	indices := make([]int, len(all))
	for i, c := range all {
		indices[i] = c.index
	}
	return indices
}

// isOwn reports whether a piece can be read from the own store, as far as one can tell
// without reading it.
func (g *gathering) isOwn(p syncer.Piece) bool {
	if g.fetcher.cfg.Local == nil || g.rotten[int(p.Index)] {
		return false
	}
	r, size, err := g.fetcher.cfg.Local.OpenPiece(context.Background(), p)
	if err != nil {
		return false
	}
	return r.Close() == nil && size == g.manifest.PieceSize()
}

// attempt is one rebuild from one set of K pieces.
func (g *gathering) attempt(outer context.Context, wanted []syncer.Wanted) error {
	ctx, cancel := context.WithCancel(outer)
	a := &attempt{gathering: g, ctx: ctx, target: wanted[0].Sink, events: make(chan event, 2*g.manifest.N)}
	stop := context.AfterFunc(ctx, a.drop)
	defer func() {
		cancel()
		stop()
		a.drop()
		a.feeding.Wait()
		for _, s := range a.sources {
			s.free()
		}
	}()
	ready, err := a.find(g.candidates(wanted))
	if err != nil {
		if outer.Err() != nil {
			return fmt.Errorf("gather pieces: %w", ended(outer))
		}
		return err
	}
	sources, targets := make([]Source, len(ready)), make([]Target, len(wanted))
	for i, s := range ready {
		sources[i] = Source{s.index, s}
	}
	for i, w := range wanted {
		targets[i] = Target{int(w.Piece.Index), w.Sink}
	}
	err = Rebuild(ctx, g.manifest, sources, targets)
	var source *SourceError
	switch {
	case outer.Err() != nil && err != nil:
		return fmt.Errorf("rebuild: %w", ended(outer))
	case errors.As(err, &source):
		return g.spoilt(source)
	case err != nil:
		return err
	}
	for _, w := range wanted {
		if err := w.Sink.Verify(); errors.Is(err, syncer.ErrWrongBytes) {
			// Every source had the digest it must have.
			return fmt.Errorf("%w: its manifest contradicts itself: piece %d, rebuilt from right ones: %w", syncer.ErrUnverifiable, w.Piece.Index, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// spoilt notes which source failed after it was read from, so that another set is tried.
func (g *gathering) spoilt(by *SourceError) error {
	var fetch *syncer.FetchError
	switch {
	case errors.Is(by.Err, errOwn):
		g.rotten[by.Index] = true
	case errors.As(by.Err, &fetch):
		g.ledger.answers(by.Index, by.Err)
		g.failed[by.Index] = true
	case errors.Is(by.Err, errTainted):
		if g.taints[by.Index]++; g.taints[by.Index] == maxTaints {
			g.failed[by.Index] = true
		}
	default:
		return by
	}
	return errAgain
}

// errOwn: a piece in the own store is not right.
var errOwn = errors.New("erasure: the piece in this store is wrong")

// attempt is the sources of one rebuild.
type attempt struct {
	*gathering
	ctx     context.Context // ends with the attempt, and is not kept beyond it
	target  syncer.Sink
	events  chan event // has room for all that can come
	feeding sync.WaitGroup

	mu      sync.Mutex
	sources []*source
	dropped bool
}

// event is what a source has to say: it may be read, or it ended before.
type event struct {
	source *source
	err    error // nil: it may be read
}

// find starts K sources, and others for those that fail, until K may be read.
func (a *attempt) find(candidates []int) (ready []*source, err error) {
	next := 0
	start := func() bool {
		if next == len(candidates) {
			return false
		}
		a.start(candidates[next])
		next++
		return true
	}
	under := 0 // way
	for len(ready) < a.manifest.K {
		for len(ready)+under < a.manifest.K {
			if !start() {
				return nil, a.tooFew(ready, under)
			}
			under++
		}
		select {
		case e := <-a.events:
			under--
			if e.err == nil {
				ready = append(ready, e.source)
				continue
			}
			if again, err := a.lost(e); err != nil {
				return nil, err
			} else if again {
				a.start(e.source.index)
				under++
			}
		case <-a.ctx.Done():
			return nil, ended(a.ctx)
		}
	}
	return ready, nil
}

// tooFew says who had what, once everybody has answered. A piece that begins to come
// counts as one that could be had.
func (a *attempt) tooFew(ready []*source, under int) error {
	for ; under > 0; under-- {
		select {
		case e := <-a.events:
			if e.err == nil {
				ready = append(ready, e.source)
			} else if _, err := a.lost(e); err != nil {
				return err
			}
		case <-a.ctx.Done():
			return ended(a.ctx)
		}
	}
	for _, s := range ready {
		a.ledger.served(s.from(), s.index)
	}
	return a.ledger.short(a.manifest.K)
}

// lost notes a source that failed before it was read from. Again says that the piece
// may still be had: only the copy in the own store is wrong.
func (a *attempt) lost(e event) (again bool, err error) {
	var fetch *syncer.FetchError
	switch index := e.source.index; {
	case errors.Is(e.err, errOwn):
		a.rotten[index] = true
		a.ledger.refused(ourselves, index, recovery.WrongBytes, e.err)
		return true, nil
	case errors.As(e.err, &fetch):
		a.ledger.answers(index, e.err)
		a.failed[index] = true
		return false, nil
	}
	return false, e.err
}

// start begins to fill a source, from the own store or from the peers.
func (a *attempt) start(index int) {
	s := newSource(a.manifest, index, &a.fetcher.rings)
	s.target = a.target
	s.ready = func() { a.events <- event{source: s} }
	s.wrong = func(peer string, err error) { a.ledger.refused(peer, index, recovery.WrongBytes, err) }
	a.mu.Lock()
	a.sources = append(a.sources, s)
	if a.dropped {
		s.end(errDropped)
	}
	a.mu.Unlock()
	p := a.manifest.piece(a.blob, index)
	own := a.isOwn(p)
	a.feeding.Go(func() {
		peer, err := ourselves, error(nil)
		if own {
			s.NotePeer(peer)
			if err = a.own(a.ctx, p, s); err != nil {
				err = fmt.Errorf("%w: %w", errOwn, err)
			}
		} else {
			peer, err = a.fetcher.cfg.Peers.Fetch(a.ctx, p, s)
		}
		if err == nil {
			a.ledger.served(peer, index)
		}
		if early := s.end(err); early && err != nil {
			a.events <- event{s, err}
		}
	})
}

// drop ends all sources, so that nobody waits for them.
func (a *attempt) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropped = true
	for _, s := range a.sources {
		s.end(errDropped)
	}
}
