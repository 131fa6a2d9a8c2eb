package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/time/rate"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// reader proves pieces, one after the other.
type reader struct {
	cfg     Config
	limiter *rate.Limiter // nil: no limit
	buf     []byte
	held    []uint32
}

// check looks at every piece of a blob that this node holds.
func (r *reader) check(ctx context.Context, t *task) error {
	r.held = r.cfg.Placement.Holders(r.held[:0], t.row.ID, r.cfg.TotalShards, r.cfg.Owned)
	for _, shard := range r.held {
		f, n, err := r.prove(ctx, &t.row.Blob, shard)
		if err == nil && f.Kind != "" && f.Kind != Missing {
			f, n, err = r.prove(ctx, &t.row.Blob, shard) // it may have been replaced meanwhile
		}
		if err != nil {
			return err
		}
		t.checked.Pieces++
		t.checked.Bytes += n
		if f.Kind != "" {
			t.checked.Findings = append(t.checked.Findings, f)
		}
	}
	return nil
}

// prove reads one piece and returns what is wrong with it (no Kind: nothing) and how
// many bytes were read. An error says nothing about the piece.
func (r *reader) prove(ctx context.Context, b *recovery.Blob, shard uint32) (f Finding, n int64, err error) {
	found := Finding{Shard: shard, ID: b.ID}
	if err := ctx.Err(); err != nil {
		return Finding{}, 0, context.Cause(ctx)
	}
	file, size, err := r.cfg.Store.Open(shard, b.ID)
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
	if b.Size != recovery.SizeUnknown && size != b.Size {
		found.Kind, found.Want, found.Have = WrongSize, b.Size, size
		return found, 0, nil
	}
	sum, n, err := r.hash(ctx, file, size)
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
	case sum != b.Digest:
		found.Kind = Rotten
		return found, n, nil
	}
	return Finding{}, n, nil
}

// hash reads a file within the limit, at most one byte more than its size.
func (r *reader) hash(ctx context.Context, file *os.File, size int64) (sum [sha256.Size]byte, n int64, err error) {
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
