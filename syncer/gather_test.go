package syncer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// gatherer is a memFetcher that can also gather.
type gatherer struct {
	*memFetcher
	gather func(ctx context.Context, wanted []Wanted) (string, error)
}

func (g *gatherer) Gather(ctx context.Context, wanted []Wanted) (string, error) {
	return g.gather(ctx, wanted)
}

// manifestVerifier judges striped test blobs.
type manifestVerifier struct{ pieceVerifier }

func manifestBytes(p Piece) []byte { return fmt.Appendf(nil, "manifest of %.8s", p.Blob.ID) }

func (v manifestVerifier) Begin(ctx context.Context, p Piece) (Judge, error) {
	if p.Manifest {
		return contentVerifier{}.Begin(ctx, Piece{Blob: rawBlob(manifestBytes(p))})
	}
	return v.pieceVerifier.Begin(ctx, p)
}

// inGatheringWorld is inWorld with a fetcher that gathers.
func inGatheringWorld(t *testing.T, gather func(ctx context.Context, wanted []Wanted) (string, error), test func(*testing.T, *world, *Handler, Request)) {
	t.Helper()
	g := &gatherer{gather: gather}
	change := func(c *Config) {
		g.memFetcher = c.Fetcher.(*memFetcher)
		g.instead = func(_ context.Context, p Piece, sink Sink) (string, error) {
			if !p.Manifest {
				t.Errorf("piece %d is fetched by itself", p.Index)
			}
			return "p1", send(sink, manifestBytes(p))
		}
		c.Fetcher, c.Deadline, c.MinSpeed = g, 30*time.Second, 1<<20
		c.Verifiers = map[recovery.Encoding]Verifier{recovery.Striped: manifestVerifier{}}
	}
	inWorld(t, change, func(t *testing.T, w *world, h *Handler) {
		req := ask(1, 0)
		req.Placement, req.Blob.Encoding, req.Blob.Size = shards.Striped, recovery.Striped, 60<<20
		test(t, w, h, req)
	})
}

func indices(wanted []Wanted) (all []uint32) {
	for _, w := range wanted {
		all = append(all, w.Piece.Shard)
	}
	return all
}

// All missing pieces are asked for at once, after the manifest, and what is there
// already is not asked for.
func TestMissingPiecesAreGatheredTogether(t *testing.T) {
	var asked [][]uint32
	gather := func(_ context.Context, wanted []Wanted) (string, error) {
		asked = append(asked, indices(wanted))
		for _, w := range slices.Backward(wanted) {
			if err := send(w.Sink, pieceBytes(w.Piece)); err != nil {
				return "", err
			}
		}
		return "p2", nil
	}
	inGatheringWorld(t, gather, func(t *testing.T, w *world, h *Handler, req Request) {
		part := req
		part.Covers.Owned = shards.SetOf(1)
		if o := wait(t, h.Sync(part)); o.Result != recovery.Success || o.Peer != "p2" {
			t.Fatalf("one shard: %+v", o)
		}
		o := wait(t, h.Sync(req))
		if o.Result != recovery.Success || o.Bytes != int64(3*len(pieceBytes(Piece{Blob: req.Blob}))) {
			t.Errorf("the others: %+v", o)
		}
		if fmt.Sprint(asked) != "[[1] [0 2 3]]" || w.asked[req.Blob.ID] != 1 {
			t.Errorf("asked for %v, and %d times for the manifest", asked, w.asked[req.Blob.ID])
		}
		for shard := range uint32(totalShards) {
			if !w.durable(req.Blob, shard) {
				t.Errorf("Success without shard %d", shard)
			}
		}
		if d := w.pieces[pieceKey{id: req.Blob.ID, manifest: true}]; d == nil || !d.nameDurable {
			t.Error("Success without the manifest")
		}
	})
}

// What arrived is kept when the rest could not be had.
func TestGatheredInPart(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		reason recovery.Reason
	}{
		"said":   {&FetchError{Answers: []PeerAnswer{{Peer: "p1", Reason: recovery.Absent, Err: errNotHere}}}, recovery.Absent},
		"unsaid": {nil, recovery.WrongBytes},
	} {
		t.Run(name, func(t *testing.T) {
			gather := func(_ context.Context, wanted []Wanted) (string, error) {
				for _, w := range wanted[:2] {
					if err := send(w.Sink, pieceBytes(w.Piece)); err != nil {
						return "", err
					}
				}
				return "p1", c.err
			}
			inGatheringWorld(t, gather, func(t *testing.T, w *world, h *Handler, req Request) {
				wantCancelled(t, wait(t, h.Sync(req)), c.reason, true)
				for shard := range uint32(totalShards) {
					if w.durable(req.Blob, shard) != (shard < 2) {
						t.Errorf("shard %d is durable: %v", shard, shard >= 2)
					}
				}
			})
		})
	}
}

// A gathering may take as long as its k pieces, that is, as all of the blob.
func TestDeadlineOfAGathering(t *testing.T) {
	for _, tc := range []struct {
		takes  time.Duration
		reason recovery.Reason
	}{
		{89 * time.Second, ""}, // 30 s, and 60 MiB at 1 MiB a second
		{91 * time.Second, recovery.Deadline},
	} {
		gather := func(ctx context.Context, wanted []Wanted) (string, error) {
			for _, w := range wanted {
				w.Sink.(Holder).Hold()
			}
			time.Sleep(time.Hour)
			for _, w := range wanted {
				w.Sink.(Holder).Release()
			}
			if err := pause(ctx, tc.takes); err != nil {
				return "", err
			}
			for _, w := range wanted {
				if err := send(w.Sink, pieceBytes(w.Piece)); err != nil {
					return "", err
				}
			}
			return "p1", nil
		}
		inGatheringWorld(t, gather, func(t *testing.T, w *world, h *Handler, req Request) {
			if o := wait(t, h.Sync(req)); o.Reason != tc.reason {
				t.Errorf("%v: %+v", tc.takes, o)
			}
		})
	}
}

// A full disk under one of the pieces is nobody's fault, and outranks what is said.
func TestGatheredIntoAFullDisk(t *testing.T) {
	gather := func(_ context.Context, wanted []Wanted) (string, error) {
		var errs []error
		for _, w := range wanted {
			errs = append(errs, send(w.Sink, pieceBytes(w.Piece)))
		}
		return "", errors.Join(errs...)
	}
	inGatheringWorld(t, gather, func(t *testing.T, w *world, h *Handler, req Request) {
		w.failWrite = func(p Piece, _ int) error {
			if p.Shard == 2 {
				return syscall.ENOSPC
			}
			return nil
		}
		wantCancelled(t, wait(t, h.Sync(req)), recovery.NoSpace, false)
		w.failWrite = nil
		w.failCreate = func(p Piece) error {
			if p.Shard == 2 {
				return syscall.ENOSPC
			}
			return nil
		}
		wantCancelled(t, wait(t, h.Sync(req)), recovery.NoSpace, false)
	})
}
