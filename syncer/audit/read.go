package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/time/rate"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/erasure"
	"github.com/recoverd/recoverd/syncer/store"
)

// reader proves pieces, one after the other.
type reader struct {
	cfg     Config
	limiter *rate.Limiter // nil: no limit
	buf     []byte
	held    []uint32
}

// proof is what the bytes of a piece must be.
type proof struct {
	size   int64 // or recovery.SizeUnknown
	digest [sha256.Size]byte
	none   bool // nothing is known of them: whether something is there is all that can be told
}

// check looks at every piece of a blob that this node holds, and at the manifest of a
// striped one.
func (r *reader) check(ctx context.Context, t *task) error {
	var m *erasure.Manifest
	if r.cfg.Placement == shards.Striped {
		var err error
		if m, err = r.manifest(ctx, t); err != nil {
			return err
		}
	}
	r.held = r.cfg.Placement.Holders(r.held[:0], t.row.ID, r.cfg.TotalShards, r.cfg.Owned)
	for _, shard := range r.held {
		want := proof{size: t.row.Size, digest: t.row.Digest}
		switch {
		case m != nil:
			want = proof{size: m.PieceSize(), digest: m.Pieces[r.cfg.Placement.PieceOf(t.row.ID, shard, r.cfg.TotalShards)]}
		case r.cfg.Placement == shards.Striped:
			want = proof{size: recovery.SizeUnknown, none: true}
		}
		if err := r.twice(t, func() (Finding, int64, error) { return r.prove(ctx, t.row.ID, shard, want, io.Discard) }); err != nil {
			return err
		}
	}
	return nil
}

// twice notes what is wrong with a piece, if it is so at a second look too: it may
// have been replaced meanwhile.
func (r *reader) twice(t *task, look func() (Finding, int64, error)) error {
	f, n, err := look()
	if err == nil && f.Kind != "" && f.Kind != Missing {
		f, n, err = look()
	}
	if err != nil {
		return err
	}
	t.checked.Pieces++
	t.checked.Bytes += n
	if f.Kind != "" {
		t.checked.Findings = append(t.checked.Findings, f)
	}
	return nil
}

// manifest proves a blob's manifest by its id and returns it; nil where something is
// wrong with it, which is noted.
func (r *reader) manifest(ctx context.Context, t *task) (m *erasure.Manifest, err error) {
	err = r.twice(t, func() (Finding, int64, error) {
		var kept bytes.Buffer
		f, n, err := r.prove(ctx, t.row.ID, store.Manifests, proof{size: recovery.SizeUnknown, digest: t.row.ID}, &capped{&kept})
		if err != nil || f.Kind != "" {
			return f, n, err
		}
		if m, err = erasure.Decode(kept.Bytes()); err == nil && (m.N != int(r.cfg.TotalShards) || m.Size != t.row.Size) {
			err = fmt.Errorf("it is of %d bytes in %d pieces; the catalog says %d bytes, the ownership %d shards", m.Size, m.N, t.row.Size, r.cfg.TotalShards)
		}
		if err != nil {
			m, f.Kind, f.Manifest, f.ID, f.Err = nil, Unreadable, true, t.row.ID, err.Error()
		}
		return f, n, nil
	})
	return m, err
}

// capped keeps no more than a manifest has. What is longer has another digest anyway.
type capped struct{ *bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if room := erasure.MaxManifest - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// prove reads what lies in one place and returns what is wrong with it (no Kind:
// nothing) and how many bytes were read; those go to keep too. An error says nothing
// about the piece.
func (r *reader) prove(ctx context.Context, id recovery.BlobID, place uint32, want proof, keep io.Writer) (f Finding, n int64, err error) {
	found := about("", place)
	found.ID = id
	if err := ctx.Err(); err != nil {
		return Finding{}, 0, context.Cause(ctx)
	}
	file, size, err := r.cfg.Store.Open(place, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		found.Kind = Missing
		return found, 0, nil
	case errors.Is(err, store.ErrIrregular):
		found.Kind, found.Err = Irregular, err.Error()
		return found, 0, nil
	case exhausted(err):
		return Finding{}, 0, err
	case err != nil:
		found.Kind, found.Err, found.Denied = Unreadable, err.Error(), errors.Is(err, fs.ErrPermission)
		return found, 0, nil
	}
	defer func() { _ = file.Close() }() // only read
	switch {
	case want.none:
		return Finding{}, 0, nil
	case want.size != recovery.SizeUnknown && size != want.size:
		found.Kind, found.Want, found.Have = WrongSize, want.size, size
		return found, 0, nil
	}
	sum, n, err := r.hash(ctx, file, size, keep)
	switch {
	case ctx.Err() != nil:
		return Finding{}, n, context.Cause(ctx)
	case exhausted(err):
		return Finding{}, n, err
	case err != nil:
		found.Kind, found.Err = Unreadable, err.Error()
		return found, n, nil
	case n != size: // it was cut or grew while it was read
		found.Kind, found.Want, found.Have = WrongSize, size, n
		return found, n, nil
	case sum != want.digest:
		found.Kind = Rotten
		return found, n, nil
	}
	return Finding{}, n, nil
}

// hash reads a file within the limit, at most one byte more than its size, and hands
// its bytes to keep.
func (r *reader) hash(ctx context.Context, file *os.File, size int64, keep io.Writer) (sum [sha256.Size]byte, n int64, err error) {
	r.cfg.Uncache(file)
	defer r.cfg.Uncache(file)
	h, from := sha256.New(), io.LimitReader(file, size+1)
	for {
		if r.limiter != nil { // for what is left: a small piece costs what it holds
			if err := r.limiter.WaitN(ctx, int(min(int64(len(r.buf)), size-n))); err != nil {
				return sum, n, err
			}
		}
		got, err := from.Read(r.buf)
		h.Write(r.buf[:got])
		_, _ = keep.Write(r.buf[:got]) // memory, or nothing
		n += int64(got)
		if errors.Is(err, io.EOF) || err == nil && n > size {
			break
		}
		if err != nil {
			return sum, n, err
		}
	}
	h.Sum(sum[:0])
	return sum, n, nil
}

// exhausted tells errors that are this process's, and not the piece's.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}
