package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/recoverd/recoverd/recovery"
)

// ErrBuild reports blobs or epochs that contradict each other or the base.
var ErrBuild = errors.New("snapshot: cannot build")

// NewBlob is a content-addressed blob to put into a catalog: its id is the
// SHA-256 of its bytes, or of its manifest.
type NewBlob struct {
	ID   recovery.BlobID
	Size int64 // bytes, also of a striped one
	// Encoding is recovery.Raw, the default, or recovery.Striped.
	Encoding recovery.Encoding
}

// encoding is what the zero value stands for too.
func (n NewBlob) encoding() recovery.Encoding {
	if n.Encoding == 0 {
		return recovery.Raw
	}
	return n.Encoding
}

// BuildConfig says which state to build.
type BuildConfig struct {
	// Base is the state that the new one goes on from; nil: none.
	Base *Reader
	// Blobs are certified in the new state, in any order; they are sorted in
	// place. A blob may stand in it twice if it has one size.
	Blobs []NewBlob
	// Network defaults to the base's, or to a name derived from the blobs.
	Network string
	// Epoch is the new state's; default the base's, or 1. EndEpoch is that of
	// the blobs, exclusive; default recovery.EpochForever.
	Epoch, EndEpoch uint32
}

// BuildResult says what became of the blobs.
type BuildResult struct {
	Bound      recovery.Bound
	Totals     Totals
	Added      uint64 // newly certified
	Lengthened uint64 // certified until later than before
	Kept       uint64 // certified for as long already
}

// Build writes a full snapshot of the base with the blobs certified in it. Its
// position goes on from the base's: one event if the epoch rises, then one for
// each blob added or lengthened, in id order. A base that is left as it was
// gives a file of the same bytes. Nothing is removed, and everything that is not
// among Blobs is copied. Each blob is registered by itself (its own id is the
// object's). path may be the base's.
//
// Memory is bounded by Blobs. Errors wrap ErrBuild, or are those of reading the
// base and of writing.
func Build(ctx context.Context, c BuildConfig, path string) (BuildResult, error) {
	b := builder{cfg: c}
	if err := b.prepare(ctx); err != nil {
		return BuildResult{}, err
	}
	w, err := Create(path, b.head)
	if err != nil {
		return BuildResult{}, err
	}
	if err := b.write(ctx, w); err != nil {
		return BuildResult{}, errors.Join(err, w.Abort())
	}
	if err := w.Close(); err != nil {
		return BuildResult{}, err
	}
	b.result.Bound, b.result.Totals = w.Bound(), w.Totals()
	return b.result, nil
}

// builder decides first what happens to each blob, because the header holds
// the last position, and then writes.
type builder struct {
	cfg    BuildConfig
	head   Header
	blobs  []NewBlob // only those that are new to the base
	regs   []Registration
	result BuildResult
}

func (b *builder) prepare(ctx context.Context) error {
	if err := b.sortBlobs(); err != nil {
		return err
	}
	if err := b.settings(); err != nil {
		return err
	}
	if b.cfg.Base != nil && b.head.Epoch > b.cfg.Base.head.Epoch {
		b.head.Position++
	}
	if err := b.decide(ctx); err != nil {
		return err
	}
	if base := b.cfg.Base; base != nil {
		b.head.Ancestors = base.head.Ancestors
		if b.head.Position > base.head.Position {
			b.head.Ancestors = Descend(base.Bound(), base.head.Ancestors)
		}
	}
	return nil
}

// sortBlobs puts the blobs into id order, each once.
func (b *builder) sortBlobs() error {
	blobs := b.cfg.Blobs
	slices.SortFunc(blobs, func(x, y NewBlob) int { return x.ID.Compare(y.ID) })
	for i, n := range blobs {
		if n.Size < 0 {
			return fmt.Errorf("%w: blob %v has %d bytes", ErrBuild, n.ID, n.Size)
		}
		if e := n.encoding(); e != recovery.Raw && e != recovery.Striped {
			return fmt.Errorf("%w: blob %v is %v, whose id is not a digest", ErrBuild, n.ID, e)
		}
		if i > 0 && n.ID == blobs[i-1].ID && n.encoding() != blobs[i-1].encoding() {
			return fmt.Errorf("%w: blob %v is both %v and %v", ErrBuild, n.ID, blobs[i-1].encoding(), n.encoding())
		}
		if i > 0 && n.ID == blobs[i-1].ID && n.Size != blobs[i-1].Size {
			return fmt.Errorf("%w: blob %v has both %d and %d bytes", ErrBuild, n.ID, blobs[i-1].Size, n.Size)
		}
	}
	b.cfg.Blobs = slices.CompactFunc(blobs, func(x, y NewBlob) bool { return x.ID == y.ID })
	return nil
}

// settings fills in network and epochs.
func (b *builder) settings() error {
	c := &b.cfg
	switch {
	case c.Base != nil && c.Base.head.Base != nil:
		return fmt.Errorf("%w: the base is an incremental snapshot, %s", ErrBuild, c.Base.Path())
	case c.Base != nil:
		b.head.Stamp = c.Base.head.Stamp
		if c.Network != "" && c.Network != b.head.Network {
			return fmt.Errorf("%w: the base is of network %q, not %q", ErrBuild, b.head.Network, c.Network)
		}
	case c.Network != "":
		b.head.Stamp = recovery.Stamp{Network: c.Network, Epoch: 1}
	default:
		b.head.Stamp = recovery.Stamp{Network: derivedNetwork(c.Blobs), Epoch: 1}
	}
	if c.Epoch != 0 {
		if c.Base != nil && c.Epoch < b.head.Epoch {
			return fmt.Errorf("%w: epoch %d is before the base's, %d", ErrBuild, c.Epoch, b.head.Epoch)
		}
		b.head.Epoch = c.Epoch
	}
	if c.EndEpoch == 0 {
		c.EndEpoch = recovery.EpochForever
	}
	if c.EndEpoch <= b.head.Epoch {
		return fmt.Errorf("%w: end epoch %d is not after epoch %d", ErrBuild, c.EndEpoch, b.head.Epoch)
	}
	return nil
}

// derivedNetwork names a network after its first blobs, so that unrelated
// imports are never taken for one history (hazard 84).
func derivedNetwork(blobs []NewBlob) string {
	h := sha256.New()
	var size [8]byte
	for _, n := range blobs {
		binary.BigEndian.PutUint64(size[:], uint64(n.Size))
		h.Write(n.ID[:])
		h.Write(size[:])
	}
	return fmt.Sprintf("import-%x", h.Sum(nil)[:8])
}

// decide looks every blob up in the base and gives those that change a
// position.
func (b *builder) decide(ctx context.Context) error {
	look := newBaseLook(b.cfg.Base)
	for i, n := range b.cfg.Blobs {
		if i%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		old, reg, err := look.at(n.ID)
		if err != nil {
			return err
		}
		if err := agrees(n, old); err != nil {
			return err
		}
		if old == nil {
			b.blobs = append(b.blobs, n)
		}
		next := Registration{
			Key: KeyOf(n.ID, n.ID), RegisteredEpoch: b.head.Epoch, Certified: true, CertifiedEpoch: b.head.Epoch,
		}
		switch {
		case reg == nil || !reg.Live(b.head.Epoch):
			b.result.Added++
		case reg.EndEpoch >= b.cfg.EndEpoch:
			b.result.Kept++
			continue
		default:
			next = *reg
			b.result.Lengthened++
		}
		b.head.Position++
		next.EndEpoch, next.Gained = b.cfg.EndEpoch, b.head.Position
		b.regs = append(b.regs, next)
	}
	return nil
}

// agrees reports how a blob contradicts what the base knows of its id: size,
// encoding and digest never change within a network (DESIGN 3).
func agrees(n NewBlob, old *Blob) error {
	switch {
	case old == nil:
		return nil
	case old.Invalidated != 0:
		return fmt.Errorf("%w: blob %v was invalidated at position %d", ErrBuild, n.ID, old.Invalidated)
	case old.Encoding != n.encoding() || old.Size != n.Size || old.Digest != n.ID:
		return fmt.Errorf("%w: blob %v is %v, of %d bytes; in the base it is %v, of %d bytes, with digest %x",
			ErrBuild, n.ID, n.encoding(), n.Size, old.Encoding, old.Size, old.Digest)
	}
	return nil
}

// baseLook finds blobs and their own registrations in a base, by rising ids.
type baseLook struct {
	blobs *cursor[Blob, *Blob]
	regs  *cursor[Registration, *Registration]
}

func newBaseLook(base *Reader) baseLook {
	if base == nil {
		return baseLook{}
	}
	return baseLook{newCursor[Blob](base, Blobs), newCursor[Registration](base, Registrations)}
}

// at returns the blob and its registration by itself, each nil if not there.
// Both are valid until the next call.
func (l baseLook) at(id recovery.BlobID) (*Blob, *Registration, error) {
	if l.blobs == nil {
		return nil, nil, nil
	}
	if err := l.blobs.Seek(id); err != nil {
		return nil, nil, err
	}
	if !l.blobs.held || l.blobs.row.ID != id {
		return nil, nil, nil
	}
	if err := l.regs.Seek(id); err != nil {
		return nil, nil, err
	}
	for {
		r, err := l.regs.Next()
		switch {
		case err != nil:
			return nil, nil, err
		case r == nil || r.Key.Blob() != id:
			return &l.blobs.row, nil, nil
		case r.Key.native():
			return &l.blobs.row, r, nil
		}
	}
}

// write merges what changes into the base's tables.
func (b *builder) write(ctx context.Context, w *Writer) error {
	var blobs Cursor[Blob] = none[Blob]{}
	var regs Cursor[Registration] = none[Registration]{}
	if base := b.cfg.Base; base != nil {
		blobs, regs = base.Blobs(), base.Registrations()
	}
	err := weave(ctx, blobs, len(b.blobs), w.Blob, func(i int) *Blob {
		n := b.blobs[i]
		return &Blob{Blob: recovery.Blob{ID: n.ID, Size: n.Size, Encoding: n.encoding(), Digest: n.ID}}
	})
	if err == nil {
		err = weave(ctx, regs, len(b.regs), w.Registration, func(i int) *Registration { return &b.regs[i] })
	}
	if err != nil || b.cfg.Base == nil {
		return err
	}
	if err := weave(ctx, b.cfg.Base.Pooled(), 0, w.Pooled, nil); err != nil {
		return err
	}
	for i := range b.cfg.Base.pools {
		if err := w.Pool(&b.cfg.Base.pools[i]); err != nil {
			return err
		}
	}
	return nil
}

// none is an empty table.
type none[R any] struct{}

func (none[R]) Next() (*R, error) { return nil, nil }

// weave writes a table's rows and count others, made by at in key order, in
// one rising order. Where both have a key, the other one wins.
func weave[R any, P Row[R]](ctx context.Context, old Cursor[R], count int, put func(*R) error, at func(int) *R) error {
	row, err := old.Next()
	var other *R
	for i, looked := 0, 0; err == nil; looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if other == nil && i < count {
			other = at(i)
			i++
		}
		switch {
		case row == nil && other == nil:
			return nil
		case other == nil || row != nil && rising(P(row).RowKey(), P(other).RowKey()):
			if err = put(row); err == nil {
				row, err = old.Next()
			}
		case row != nil && string(P(row).RowKey()) == string(P(other).RowKey()):
			row, err = old.Next() // replaced
		default:
			err, other = put(other), nil
		}
	}
	return err
}
