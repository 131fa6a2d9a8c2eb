package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// Pool asks peers for pieces, the best first, and fails over to the others. It
// is a syncer.Fetcher. Its methods may be called from many goroutines.
type Pool struct {
	cfg      Config
	board    *board
	throttle throttle
	buffers  buffers

	stop      context.CancelFunc
	stopped   <-chan struct{}
	keepers   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

var _ syncer.Fetcher = (*Pool)(nil)

// New returns a pool of peers, in the order of preference among equals. The pool
// owns the peers from then on, also if an error is returned, which wraps
// ErrConfig. Equal names are told apart by "#2", "#3".
func New(cfg Config, peers ...Peer) (*Pool, error) {
	cfg = cfg.withDefaults()
	err := cfg.Validate()
	if n := len(peers); err == nil && (n < 1 || n > MaxPeers) {
		err = fmt.Errorf("%w: %d peers, want 1 to %d", ErrConfig, n, MaxPeers)
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(peers))
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Pool{cfg: cfg, board: newBoard(cfg, peers), stop: stop, stopped: ctx.Done()}
	p.buffers.init(cfg.BufferSize)
	for _, m := range p.board.members {
		p.keepers.Go(func() { p.keep(ctx, m) })
	}
	return p, nil
}

// Fetch implements syncer.Fetcher. Each usable peer is asked once, and goes on from
// what others have sent; only if their bytes are wrong together is it asked again, for
// the whole. A peer that is resting or unreachable is not asked; it is named after the
// others, with ErrNotAsked. The peer it returns is the one that completed the piece.
//
// Two things end a Fetch at once and are held against no peer: an error of the
// sink's own, such as a full disk, and the end of ctx. Neither is a
// *syncer.FetchError, but for a deadline: it is the last answer, after those
// that peers gave before it.
func (p *Pool) Fetch(ctx context.Context, piece syncer.Piece, sink syncer.Sink) (string, error) {
	size := SizeOf(piece)
	buf, giveBack := p.buffers.take(size)
	defer giveBack.Put(buf)
	f := fetch{pool: p, piece: piece, size: size, sink: sink, buf: *buf}
	m, err := f.run(ctx)
	var name string
	if m != nil {
		name = m.name
	}
	var broken *sinkError
	switch {
	case err == nil:
		return name, nil
	case errors.As(err, &broken):
		return "", fmt.Errorf("keep what %s sent: %w", name, broken.err)
	case m == nil: // all of them were asked
		return "", err
	case !overdue(ctx):
		return "", fmt.Errorf("fetch from %s: %w", name, ended(ctx))
	}
	answers := append(f.answers, syncer.PeerAnswer{Peer: name, Reason: recovery.Deadline, Err: ended(ctx)})
	return "", &syncer.FetchError{Answers: answers}
}

// keep brings a peer back that is resting or unreachable, until ctx ends.
func (p *Pool) keep(ctx context.Context, m *member) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		in, probe, down := p.board.due(m)
		if !down {
			select {
			case <-m.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		timer.Reset(in)
		select {
		case <-timer.C:
		case <-m.wake:
			continue
		case <-ctx.Done():
			return
		}
		if probe {
			p.probe(ctx, m)
		} else {
			p.board.update(m, func(c *condition) { c.rested(time.Now()) })
		}
	}
}

func (p *Pool) probe(ctx context.Context, m *member) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ProbeTimeout)
	defer cancel()
	err := m.peer.Probe(ctx)
	p.board.update(m, func(c *condition) { c.probed(time.Now(), err) })
}

// Health says how many peers can be asked now: neither resting nor unreachable.
func (p *Pool) Health() recovery.PeerHealth { return p.board.health() }

// Overload counts, since the pool was made, the answers that may mean that peers have
// too much to do: they asked to be left alone (429, 503), took too long or were too
// slow.
func (p *Pool) Overload() uint64 { return p.board.overloads() }

// SetBandwidth bounds what all transfers together read, in bytes a second; 0, as at
// first, is no bound. The transfers share it fairly, and it takes effect at once,
// also for those that wait.
func (p *Pool) SetBandwidth(bytesPerSecond int64) { p.throttle.set(bytesPerSecond) }

// Liars names the peers that lately sent wrong bytes for a blob.
func (p *Pool) Liars(id recovery.BlobID) []string { return p.board.liarsAbout(id) }

// Changed returns nil when the health may differ from what it was when Changed
// last returned; the first call returns at once. Nothing is missed between two
// calls. It is for one watcher. It returns ErrClosed after Close, or the error
// of ctx.
func (p *Pool) Changed(ctx context.Context) error { return p.board.waitChange(ctx, p.stopped) }

// Close ends the probes, waits for them and closes the peers. No Fetch may be
// under way, and none may follow.
func (p *Pool) Close() error {
	p.closeOnce.Do(func() {
		p.stop()
		p.keepers.Wait()
		var peers []Peer
		for _, m := range p.board.members {
			peers = append(peers, m.peer)
		}
		p.closeErr = closeAll(peers)
	})
	return p.closeErr
}

func closeAll(peers []Peer) error {
	var errs []error
	for _, p := range peers {
		if err := p.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close peer %s: %w", p.Name(), err))
		}
	}
	return errors.Join(errs...)
}
