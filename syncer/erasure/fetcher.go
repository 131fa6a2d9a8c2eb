package erasure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// Fetcher gets pieces of striped blobs: whole from whoever has them, or else rebuilt
// from any K others. It implements syncer.Fetcher, syncer.Gatherer and syncer.Verifier.
// What is not striped it leaves to the peers. Its methods may be called from many
// goroutines.
type Fetcher struct {
	cfg     Config // with defaults
	library library
	streams *semaphore.Weighted
	rings   sync.Pool // of *ring
}

var (
	_ syncer.Fetcher  = (*Fetcher)(nil)
	_ syncer.Gatherer = (*Fetcher)(nil)
	_ syncer.Verifier = (*Fetcher)(nil)
)

// New returns a Fetcher. Errors wrap ErrConfig. Peers and store stay the caller's.
func New(cfg Config) (*Fetcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Fetcher{
		cfg: cfg, library: library{cfg: cfg}, streams: semaphore.NewWeighted(int64(cfg.Streams)),
		rings: sync.Pool{New: func() any { return new(ring) }},
	}, nil
}

// Begin implements syncer.Verifier: by the manifest in the own store, or else by one of
// the peers', which is fetched once for all pieces of a blob.
func (f *Fetcher) Begin(ctx context.Context, p syncer.Piece) (syncer.Judge, error) {
	return Verifier{Find: func(ctx context.Context, b recovery.Blob) (*Manifest, []byte, error) {
		k, err := f.library.find(ctx, b)
		if err != nil {
			return nil, nil, err
		}
		return k.Manifest, k.encoded, nil
	}}.Begin(ctx, p)
}

// Fetch implements syncer.Fetcher.
func (f *Fetcher) Fetch(ctx context.Context, p syncer.Piece, sink syncer.Sink) (string, error) {
	switch {
	case p.Blob.Encoding != recovery.Striped:
		return f.cfg.Peers.Fetch(ctx, p, sink)
	case p.Manifest:
		k, err := f.library.find(ctx, p.Blob)
		if err != nil {
			return "", err
		}
		return k.peer, fill(sink, k.encoded)
	}
	return f.Gather(ctx, []syncer.Wanted{{Piece: p, Sink: sink}})
}

func fill(sink syncer.Sink, data []byte) error {
	if err := sink.Reset(); err != nil {
		return err
	}
	if _, err := sink.Write(data); err != nil {
		return err
	}
	return sink.Verify()
}

// Gather implements syncer.Gatherer. Each piece is looked for whole, in the own store
// and then at the peers; all that is still missing is rebuilt together. Fewer than K
// right pieces are a *ShortError.
func (f *Fetcher) Gather(ctx context.Context, wanted []syncer.Wanted) (string, error) {
	blob := wanted[0].Piece.Blob
	k, err := f.library.find(ctx, blob)
	if err != nil {
		return "", err
	}
	g := gathering{fetcher: f, manifest: k.Manifest, blob: blob, failed: map[int]bool{}, rotten: map[int]bool{}, taints: map[int]int{}}
	var peer string
	var rest []syncer.Wanted
	for _, w := range wanted {
		if err := k.place(w.Piece); err != nil {
			return "", err
		}
		from, err := g.whole(ctx, w, f.cfg.Outlook(w.Piece) < Dim)
		switch {
		case err == nil:
			peer = from
		case errors.Is(err, errNobody):
			rest = append(rest, w)
		default:
			return "", err
		}
	}
	if len(rest) == 0 {
		return peer, nil
	}
	err = g.rebuild(ctx, rest)
	var short *ShortError
	if errors.As(err, &short) && g.unasked {
		return g.lastResort(ctx, rest)
	}
	return fmt.Sprintf("%v pieces", k.Code), err
}

// errNobody: a piece could not be had whole.
var errNobody = errors.New("erasure: nobody has the piece")

// whole fills a sink with the piece itself, from the own store, or from a peer if they
// are to be asked. Errors are errNobody, or end everything.
func (g *gathering) whole(ctx context.Context, w syncer.Wanted, ask bool) (string, error) {
	index := int(w.Piece.Index)
	if g.own(ctx, w.Piece, w.Sink) == nil {
		return ourselves, nil
	}
	if err := w.Sink.Reset(); err != nil {
		return "", err
	}
	if !ask {
		g.unasked = true
		return "", errNobody
	}
	peer, err := g.fetcher.cfg.Peers.Fetch(ctx, w.Piece, w.Sink)
	var fetch *syncer.FetchError
	switch {
	case err == nil:
		g.ledger.served(peer, index)
		return peer, nil
	case ctx.Err() != nil || !errors.As(err, &fetch):
		return "", err
	}
	g.ledger.answers(index, err)
	return "", errNobody
}

// lastResort asks for pieces whole that it seemed hopeless to ask for, after they could
// not be rebuilt.
func (g *gathering) lastResort(ctx context.Context, rest []syncer.Wanted) (peer string, err error) {
	for _, w := range rest {
		from, err := g.whole(ctx, w, true)
		switch {
		case errors.Is(err, errNobody):
			return "", g.ledger.short(g.manifest.K)
		case err != nil:
			return "", err
		}
		peer = from
	}
	return peer, nil
}

// own reads a piece in the own store into a sink. That it is not there is an error like
// others: peers may have it.
func (g *gathering) own(ctx context.Context, p syncer.Piece, sink syncer.Sink) error {
	local := g.fetcher.cfg.Local
	if local == nil {
		return errNobody
	}
	r, _, err := local.OpenPiece(ctx, p)
	if err != nil {
		return err
	}
	if err = sink.Reset(); err == nil {
		_, err = io.Copy(struct{ io.Writer }{sink}, &stopping{ctx, r})
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	return sink.Verify()
}

// stopping is a reader that ends with a context.
type stopping struct {
	ctx  context.Context // of the one call that reads
	from io.Reader
}

func (s *stopping) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.from.Read(p)
}
