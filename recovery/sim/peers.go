package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// peers are where pieces come from. Together they are a syncer.Fetcher, which asks
// one after the other.
type peers struct {
	w       *world
	up      []bool
	returns uint64
	news    bool // their health was not told yet
}

func (p *peers) health() recovery.PeerHealth {
	h := recovery.PeerHealth{Total: len(p.up), Returns: p.returns}
	for _, up := range p.up {
		if up {
			h.Reachable++
		}
	}
	return h
}

// toggle lets a peer go, or come back.
func (p *peers) toggle(i int) {
	p.up[i] = !p.up[i]
	if p.up[i] {
		p.returns++
	}
	p.news = true
	p.w.note("peer %d up=%v", i, p.up[i])
}

var (
	errAbsent  = errors.New("404")
	errDropped = errors.New("connection reset")
	errRefused = errors.New("connection refused")
)

// Fetch is part of syncer.Fetcher.
func (p *peers) Fetch(ctx context.Context, piece syncer.Piece, sink syncer.Sink) (string, error) {
	var all syncer.FetchError
	for _, i := range p.w.rng.Perm(len(p.up)) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := sink.Reset(); err != nil {
			return "", err
		}
		name := fmt.Sprintf("peer%d", i)
		reason, err := p.ask(i, piece, sink)
		if err == nil {
			return name, nil
		}
		if errors.Is(err, syncer.ErrStore) {
			return "", err
		}
		all.Answers = append(all.Answers, syncer.PeerAnswer{Peer: name, Reason: reason, Err: err})
	}
	return "", &all
}

// ask gets a piece from one peer, unless that misbehaves.
func (p *peers) ask(i int, piece syncer.Piece, sink syncer.Sink) (recovery.Reason, error) {
	w := p.w
	data := w.pieceData(piece)
	switch {
	case !p.up[i]:
		return recovery.Unreachable, errRefused
	case !w.certified(&w.blobs[w.index[piece.Blob.ID]]): // they delete too
		return recovery.Absent, errAbsent
	case w.fault(PeerAbsent):
		return recovery.Absent, errAbsent
	case w.fault(PeerClogs):
		return recovery.Deadline, fmt.Errorf("%w: too slow", syncer.ErrDeadline)
	case w.fault(PeerDrops):
		if _, err := sink.Write(data[:len(data)/2]); err != nil {
			return recovery.PeerFailed, err
		}
		return recovery.PeerFailed, errDropped
	case w.fault(PeerReplays): // what it was asked for before
		data = w.blobs[w.rng.IntN(len(w.blobs))].data
		if w.isStriped() {
			data = w.pieceData(syncer.Piece{Blob: piece.Blob, Index: piece.Index + 1})
		}
	case w.fault(PeerLies):
		lie := append([]byte(nil), data...)
		lie[w.rng.IntN(len(lie))] ^= 1
		data = lie
	}
	if _, err := sink.Write(data); err != nil {
		return recovery.WrongBytes, err
	}
	return recovery.WrongBytes, sink.Verify()
}

// pieceData is what a piece must be.
func (w *world) pieceData(p syncer.Piece) []byte {
	data := w.blobs[w.index[p.Blob.ID]].data
	if !w.isStriped() {
		return data
	}
	return fmt.Appendf(nil, "piece %d of %s", p.Index, data)
}

func (w *world) isStriped() bool { return w.plan.machine.Placement == shards.Striped }

// pieceVerifier judges striped pieces, of which the catalog says nothing.
type pieceVerifier struct{ w *world }

func (v pieceVerifier) Begin(_ context.Context, p syncer.Piece) (syncer.Judge, error) {
	return &pieceJudge{want: v.w.pieceData(p)}, nil
}

type pieceJudge struct{ want, got []byte }

func (j *pieceJudge) Write(p []byte) (int, error) {
	j.got = append(j.got, p...)
	return len(p), nil
}

func (j *pieceJudge) Size() int64 { return int64(len(j.want)) }
func (j *pieceJudge) Reset()      { j.got = j.got[:0] }

func (j *pieceJudge) Verify() error {
	if string(j.got) != string(j.want) {
		return fmt.Errorf("%w: %q", syncer.ErrWrongBytes, j.got)
	}
	return nil
}

// newBlob makes one of the universe.
func (w *world) newBlob(seed uint64, i int) blob {
	data := fmt.Appendf(nil, "%d/%02d", seed, i)
	data = append(data, make([]byte, []int{0, 3, 12, 40}[w.rng.IntN(4)])...)
	b := blob{data: data}
	id := sha256.Sum256(data)
	b.Blob = recovery.Blob{ID: id, Size: int64(len(data)), Encoding: recovery.Raw, Digest: id}
	if w.isStriped() {
		b.Blob.Size, b.Blob.Encoding, b.Blob.Digest = recovery.SizeUnknown, recovery.Walrus, recovery.Digest{}
	}
	return b
}
