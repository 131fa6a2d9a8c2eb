package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/recoverd/recoverd/recovery"
)

// SynthConfig describes a catalog made up for benches and demonstrations. The
// same values give the same bytes.
type SynthConfig struct {
	Blobs uint64 // how many; their positions are 1 to Blobs, in id order
	Seed  uint64
	// Network defaults to "synth".
	Network string
	// Epoch is the state's; the blobs were certified in it. Default 1.
	Epoch uint32
	// EndEpoch is theirs; default recovery.EpochForever.
	EndEpoch uint32
	// SizeMin and SizeMax bound the sizes, in bytes, both included; default 4096
	// for both.
	SizeMin, SizeMax int64
}

func (c SynthConfig) withDefaults() SynthConfig {
	if c.Network == "" {
		c.Network = "synth"
	}
	if c.Epoch == 0 {
		c.Epoch = 1
	}
	if c.EndEpoch == 0 {
		c.EndEpoch = recovery.EpochForever
	}
	if c.SizeMin == 0 && c.SizeMax == 0 {
		c.SizeMin, c.SizeMax = 4096, 4096
	}
	return c
}

// Validate reports, wrapping ErrRow, the first value that makes no sense.
func (c SynthConfig) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Blobs > 1<<40:
		return fmt.Errorf("%w: %d blobs, at most 2^40 can be made up", ErrRow, c.Blobs)
	case c.EndEpoch <= c.Epoch:
		return fmt.Errorf("%w: end epoch %d is not after epoch %d", ErrRow, c.EndEpoch, c.Epoch)
	case c.SizeMin < 0 || c.SizeMax < c.SizeMin:
		return fmt.Errorf("%w: sizes from %d to %d", ErrRow, c.SizeMin, c.SizeMax)
	}
	return nil
}

// Synth writes a made-up catalog to path, in one stream. Ids look random and
// rise by construction: the i-th lies in the i-th of Blobs equal slices of the
// id space. They are not the hash of anything.
func Synth(ctx context.Context, c SynthConfig, path string) (recovery.Bound, error) {
	if err := c.Validate(); err != nil {
		return recovery.Bound{}, err
	}
	c = c.withDefaults()
	w, err := Create(path, Header{Stamp: recovery.Stamp{Network: c.Network, Epoch: c.Epoch, Position: c.Blobs}})
	if err != nil {
		return recovery.Bound{}, err
	}
	if err := c.rows(ctx, w); err != nil {
		return recovery.Bound{}, errors.Join(err, w.Abort())
	}
	if err := w.Close(); err != nil {
		return recovery.Bound{}, err
	}
	return w.Bound(), nil
}

func (c SynthConfig) rows(ctx context.Context, w *Writer) error {
	b := Blob{Blob: recovery.Blob{Encoding: recovery.Raw}}
	for i := range c.Blobs {
		if i%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.ID = c.id(i)
		b.Digest = b.ID
		b.Size = c.SizeMin + int64(c.mix(i, 4)%(uint64(c.SizeMax-c.SizeMin)+1))
		if err := w.Blob(&b); err != nil {
			return err
		}
	}
	r := Registration{RegisteredEpoch: c.Epoch, Certified: true, CertifiedEpoch: c.Epoch, EndEpoch: c.EndEpoch}
	for i := range c.Blobs {
		if i%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		id := c.id(i)
		r.Key, r.Gained = KeyOf(id, id), i+1
		if err := w.Registration(&r); err != nil {
			return err
		}
	}
	return nil
}

// id returns the i-th id: eight bytes inside the i-th slice, the rest hashed.
func (c SynthConfig) id(i uint64) (id recovery.BlobID) {
	start, _ := bits.Div64(i, 0, c.Blobs)
	next := uint64(0) // of the slice after the last one, modulo 2^64
	if i+1 < c.Blobs {
		next, _ = bits.Div64(i+1, 0, c.Blobs)
	}
	offset := c.mix(i, 0)
	if width := next - start; width != 0 {
		offset %= width
	}
	binary.BigEndian.PutUint64(id[:], start+offset)
	for word := uint64(1); word < 4; word++ {
		binary.BigEndian.PutUint64(id[8*word:], c.mix(i, word))
	}
	return id
}

// mix is splitmix64 of the seed, a blob and one of its words.
func (c SynthConfig) mix(i, word uint64) uint64 {
	z := c.Seed + (8*i+word+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
