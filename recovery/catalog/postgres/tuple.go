package postgres

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// codec turns rows into tuples of COPY's binary format, and columns in binary
// form, as queries return them, into rows.
type codec[R any] struct {
	encode func(dst []byte, row *R) []byte
	decode func(in *columns, row *R)
}

// maxTuple bounds a tuple, in bytes: a registration is the largest.
const maxTuple = 2 + 4*(4+8) + 2*(4+1) + 3*(4+32)

// tuple is built up column by column.
type tuple []byte

func (t tuple) begin(columns uint16) tuple { return binary.BigEndian.AppendUint16(t, columns) }
func (t tuple) null() tuple                { return binary.BigEndian.AppendUint32(t, math.MaxUint32) }

func (t tuple) bytes(b []byte) tuple {
	return append(binary.BigEndian.AppendUint32(t, uint32(len(b))), b...)
}

// bigint appends a number, or NULL where there is none.
func (t tuple) bigint(v uint64, there bool) tuple {
	if !there {
		return t.null()
	}
	return binary.BigEndian.AppendUint64(append(t, 0, 0, 0, 8), v)
}

func (t tuple) smallint(v uint16) tuple {
	return binary.BigEndian.AppendUint16(append(t, 0, 0, 0, 2), v)
}

func (t tuple) boolean(b bool) tuple {
	if b {
		return append(t, 0, 0, 0, 1, 1)
	}
	return append(t, 0, 0, 0, 1, 0)
}

// columns are what a query returned of a row. The first error sticks.
type columns struct {
	raw [][]byte // nil: NULL
	n   int      // columns read
	err error
}

func (c *columns) next(length int) []byte {
	if c.n == len(c.raw) {
		c.fail("a row has %d columns", len(c.raw))
		return nil
	}
	b := c.raw[c.n]
	c.n++
	if b != nil && length >= 0 && len(b) != length {
		c.fail("column %d has %d bytes, not %d", c.n, len(b), length)
		return nil
	}
	return b
}

func (c *columns) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
}

// bigint reads a number up to limit, or otherwise where it is NULL.
func (c *columns) bigint(limit, otherwise uint64) (v uint64, there bool) {
	b := c.next(8)
	if b == nil {
		return otherwise, false
	}
	if v = binary.BigEndian.Uint64(b); v > limit {
		c.fail("column %d holds %d, at most %d", c.n, int64(v), limit)
	}
	return v, true
}

func (c *columns) number() uint64 {
	v, there := c.bigint(math.MaxInt64, 0)
	if there && v == 0 {
		c.fail("column %d holds 0 in place of NULL", c.n)
	}
	return v
}

func (c *columns) epoch(otherwise uint32) (uint32, bool) {
	v, there := c.bigint(math.MaxUint32, uint64(otherwise))
	return uint32(v), there
}

func (c *columns) smallint() uint16 {
	if b := c.next(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	c.fail("column %d is NULL", c.n)
	return 0
}

func (c *columns) boolean() bool {
	if b := c.next(1); b != nil {
		return b[0] != 0
	}
	c.fail("column %d is NULL", c.n)
	return false
}

func (c *columns) id(dst []byte) {
	if b := c.next(len(dst)); b != nil {
		copy(dst, b)
		return
	}
	c.fail("column %d is NULL", c.n)
}

func blobCodec() codec[snapshot.Blob] {
	return codec[snapshot.Blob]{
		encode: func(dst []byte, b *snapshot.Blob) []byte {
			t := tuple(dst).begin(5).bigint(uint64(b.Size), b.Size != recovery.SizeUnknown)
			t = t.bigint(b.Invalidated, b.Invalidated != 0).smallint(uint16(b.Encoding)).bytes(b.ID[:])
			switch {
			case b.ContentAddressed():
				return t.null()
			case b.Digest == [32]byte{}:
				return t.bytes(nil)
			}
			return t.bytes(b.Digest[:])
		},
		decode: func(in *columns, b *snapshot.Blob) {
			size, there := in.bigint(math.MaxInt64, 0)
			if b.Size = int64(size); !there {
				b.Size = recovery.SizeUnknown
			}
			b.Invalidated = in.number()
			b.Encoding = recovery.Encoding(in.smallint())
			in.id(b.ID[:])
			switch digest := in.next(-1); {
			case digest == nil:
				b.Digest = b.ID
			case len(digest) == 0:
				b.Digest = [32]byte{}
			case len(digest) == len(b.Digest):
				b.Digest = [32]byte(digest)
			default:
				in.fail("a digest has %d bytes", len(digest))
			}
		},
	}
}

func registrationCodec() codec[snapshot.Registration] {
	return codec[snapshot.Registration]{
		encode: func(dst []byte, r *snapshot.Registration) []byte {
			t := tuple(dst).begin(8).bigint(uint64(r.RegisteredEpoch), true).bigint(uint64(r.CertifiedEpoch), r.Certified)
			t = t.bigint(uint64(r.EndEpoch), r.EndEpoch != recovery.EpochForever).bigint(r.Gained, r.Gained != 0)
			return t.boolean(r.Deletable).boolean(r.Deleted).bytes(r.Key[:32]).bytes(r.Key[32:])
		},
		decode: func(in *columns, r *snapshot.Registration) {
			r.RegisteredEpoch, _ = in.epoch(0)
			r.CertifiedEpoch, r.Certified = in.epoch(0)
			r.EndEpoch, _ = in.epoch(recovery.EpochForever)
			r.Gained = in.number()
			r.Deletable, r.Deleted = in.boolean(), in.boolean()
			in.id(r.Key[:32])
			in.id(r.Key[32:])
		},
	}
}

func pooledCodec() codec[snapshot.Pooled] {
	return codec[snapshot.Pooled]{
		encode: func(dst []byte, p *snapshot.Pooled) []byte {
			t := tuple(dst).begin(6).bigint(uint64(p.RegisteredEpoch), true).bigint(uint64(p.CertifiedEpoch), p.Certified)
			return t.bigint(p.Gained, p.Gained != 0).bytes(p.Key[:32]).bytes(p.Key[32:]).bytes(p.Pool[:])
		},
		decode: func(in *columns, p *snapshot.Pooled) {
			p.RegisteredEpoch, _ = in.epoch(0)
			p.CertifiedEpoch, p.Certified = in.epoch(0)
			p.Gained = in.number()
			in.id(p.Key[:32])
			in.id(p.Key[32:])
			in.id(p.Pool[:])
		},
	}
}

func poolCodec() codec[snapshot.Pool] {
	return codec[snapshot.Pool]{
		encode: func(dst []byte, p *snapshot.Pool) []byte {
			t := tuple(dst).begin(4).bigint(uint64(p.StartEpoch), true).bigint(uint64(p.EndEpoch), p.EndEpoch != recovery.EpochForever)
			return t.bigint(p.Gained, p.Gained != 0).bytes(p.ID[:])
		},
		decode: func(in *columns, p *snapshot.Pool) {
			p.StartEpoch, _ = in.epoch(0)
			p.EndEpoch, _ = in.epoch(recovery.EpochForever)
			p.Gained = in.number()
			in.id(p.ID[:])
		},
	}
}

// row decodes a row and checks that nothing is left of it.
func (c codec[R]) row(raw [][]byte, row *R) error {
	in := columns{raw: raw}
	c.decode(&in, row)
	if in.n != len(raw) {
		in.fail("a row has %d columns, not %d", len(raw), in.n)
	}
	return in.err
}
