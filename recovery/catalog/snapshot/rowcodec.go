package snapshot

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/recoverd/recoverd/recovery"
)

// maxRow bounds the bytes of one row: the largest is a pooled registration,
// 2 + 64 + 5 + 5 + 32 + 10.
const maxRow = 128

// Flags of a blob row. The encoding is in the low three bits.
const (
	blobEncoding    = 0x07
	blobSized       = 0x08
	blobDigest      = 0x10 // a digest follows; else it is the id, or
	blobNoDigest    = 0x20 // it is unknown
	blobInvalidated = 0x40
)

func (b *Blob) newest() uint64 { return b.Invalidated }

// Table implements Row.
func (b *Blob) Table() Table { return Blobs }

// RowKey implements Row.
func (b *Blob) RowKey() []byte { return b.ID[:] }

func (b *Blob) check() error {
	switch {
	case b.Encoding < recovery.Raw || b.Encoding > recovery.Walrus:
		return fmt.Errorf("%w: blob %v has %v", ErrRow, b.ID, b.Encoding)
	case b.Size < recovery.SizeUnknown:
		return fmt.Errorf("%w: blob %v has %d bytes", ErrRow, b.ID, b.Size)
	}
	return nil
}

func (b *Blob) flags() byte {
	f := byte(b.Encoding)
	if b.Size != recovery.SizeUnknown {
		f |= blobSized
	}
	switch {
	case b.Digest == b.ID:
	case b.Digest == [32]byte{}:
		f |= blobNoDigest
	default:
		f |= blobDigest
	}
	if b.Invalidated != 0 {
		f |= blobInvalidated
	}
	return f
}

// AppendPlain implements Row.
func (b *Blob) AppendPlain(dst []byte) []byte {
	f := b.flags()
	dst = append(dst, 0, f)
	dst = append(dst, b.ID[:]...)
	if f&blobSized != 0 {
		dst = binary.AppendUvarint(dst, uint64(b.Size))
	}
	if f&blobDigest != 0 {
		dst = append(dst, b.Digest[:]...)
	}
	if f&blobInvalidated != 0 {
		dst = binary.AppendUvarint(dst, b.Invalidated)
	}
	return dst
}

func (b *Blob) parseRowKey(src []byte, first bool) (int, error) { return parseKey(b.ID[:], src, first) }

func (b *Blob) parse(src []byte, first bool) (int, error) {
	n, err := b.parseRowKey(src, first)
	if err != nil {
		return 0, err
	}
	in := fields{src: src, n: n}
	f := src[1]
	b.Encoding = recovery.Encoding(f & blobEncoding)
	b.Size = recovery.SizeUnknown
	if f&blobSized != 0 {
		b.Size = int64(in.number(math.MaxInt64))
	}
	switch f & (blobDigest | blobNoDigest) {
	case 0:
		b.Digest = b.ID
	case blobDigest:
		in.bytes(b.Digest[:])
	default:
		b.Digest = [32]byte{}
	}
	b.Invalidated = 0
	if f&blobInvalidated != 0 {
		b.Invalidated = in.number(math.MaxUint64)
	}
	switch {
	case in.err != nil:
		return 0, in.err
	case b.Encoding < recovery.Raw || b.Encoding > recovery.Walrus:
		return 0, errFlags
	case b.flags() != f:
		return 0, errNotMinimal
	}
	return in.n, nil
}

// Flags of the other rows. Not every table uses every flag.
const (
	rowCertified = 0x01
	rowDeletable = 0x02
	rowDeleted   = 0x04
	rowEndless   = 0x08 // no end epoch follows: there is none
	rowGained    = 0x10
	rowNative    = 0x20 // the object id is the blob id, and left out
)

func (r *Registration) newest() uint64 { return r.Gained }

// Table implements Row.
func (r *Registration) Table() Table { return Registrations }

// RowKey implements Row.
func (r *Registration) RowKey() []byte { return r.Key[:] }

func (r *Registration) check() error {
	if !r.Certified && r.CertifiedEpoch != 0 {
		return fmt.Errorf("%w: registration %x has a certified epoch without being certified", ErrRow, r.Key)
	}
	return nil
}

func (r *Registration) flags() byte {
	return flagIf(r.Certified, rowCertified) | flagIf(r.Deletable, rowDeletable) | flagIf(r.Deleted, rowDeleted) |
		flagIf(r.EndEpoch == recovery.EpochForever, rowEndless) | flagIf(r.Gained != 0, rowGained) |
		flagIf(r.Key.native(), rowNative)
}

// AppendPlain implements Row.
func (r *Registration) AppendPlain(dst []byte) []byte {
	f := r.flags()
	dst = appendPair(dst, f, &r.Key)
	dst = binary.AppendUvarint(dst, uint64(r.RegisteredEpoch))
	if f&rowCertified != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.CertifiedEpoch))
	}
	if f&rowEndless == 0 {
		dst = binary.AppendUvarint(dst, uint64(r.EndEpoch))
	}
	if f&rowGained != 0 {
		dst = binary.AppendUvarint(dst, r.Gained)
	}
	return dst
}

func (r *Registration) parseRowKey(src []byte, first bool) (int, error) {
	return parsePair(&r.Key, src, first)
}

func (r *Registration) parse(src []byte, first bool) (int, error) {
	n, err := r.parseRowKey(src, first)
	if err != nil {
		return 0, err
	}
	in := fields{src: src, n: n}
	f := src[1]
	r.RegisteredEpoch = in.epoch(true, 0)
	r.Certified = f&rowCertified != 0
	r.CertifiedEpoch = in.epoch(r.Certified, 0)
	r.EndEpoch = in.epoch(f&rowEndless == 0, recovery.EpochForever)
	r.Deletable = f&rowDeletable != 0
	r.Deleted = f&rowDeleted != 0
	r.Gained = in.gained(f)
	switch {
	case in.err != nil:
		return 0, in.err
	case f&^(rowCertified|rowDeletable|rowDeleted|rowEndless|rowGained|rowNative) != 0:
		return 0, errFlags
	case f&rowEndless == 0 && r.EndEpoch == recovery.EpochForever, f&rowGained != 0 && r.Gained == 0:
		return 0, errNotMinimal
	}
	return in.n, nil
}

func (p *Pooled) newest() uint64 { return p.Gained }

// Table implements Row.
func (p *Pooled) Table() Table { return PooledRegistrations }

// RowKey implements Row.
func (p *Pooled) RowKey() []byte { return p.Key[:] }

func (p *Pooled) check() error {
	if !p.Certified && p.CertifiedEpoch != 0 {
		return fmt.Errorf("%w: pooled registration %x has a certified epoch without being certified", ErrRow, p.Key)
	}
	return nil
}

// AppendPlain implements Row.
func (p *Pooled) AppendPlain(dst []byte) []byte {
	f := flagIf(p.Certified, rowCertified) | flagIf(p.Gained != 0, rowGained) | flagIf(p.Key.native(), rowNative)
	dst = appendPair(dst, f, &p.Key)
	dst = binary.AppendUvarint(dst, uint64(p.RegisteredEpoch))
	if p.Certified {
		dst = binary.AppendUvarint(dst, uint64(p.CertifiedEpoch))
	}
	dst = append(dst, p.Pool[:]...)
	if p.Gained != 0 {
		dst = binary.AppendUvarint(dst, p.Gained)
	}
	return dst
}

func (p *Pooled) parseRowKey(src []byte, first bool) (int, error) {
	return parsePair(&p.Key, src, first)
}

func (p *Pooled) parse(src []byte, first bool) (int, error) {
	n, err := p.parseRowKey(src, first)
	if err != nil {
		return 0, err
	}
	in := fields{src: src, n: n}
	f := src[1]
	p.RegisteredEpoch = in.epoch(true, 0)
	p.Certified = f&rowCertified != 0
	p.CertifiedEpoch = in.epoch(p.Certified, 0)
	in.bytes(p.Pool[:])
	p.Gained = in.gained(f)
	switch {
	case in.err != nil:
		return 0, in.err
	case f&^(rowCertified|rowGained|rowNative) != 0:
		return 0, errFlags
	case f&rowGained != 0 && p.Gained == 0:
		return 0, errNotMinimal
	}
	return in.n, nil
}

func (p *Pool) newest() uint64 { return p.Gained }

// Table implements Row.
func (p *Pool) Table() Table { return Pools }

// RowKey implements Row.
func (p *Pool) RowKey() []byte { return p.ID[:] }

func (p *Pool) check() error { return nil }

// AppendPlain implements Row.
func (p *Pool) AppendPlain(dst []byte) []byte {
	dst = append(dst, 0, flagIf(p.EndEpoch == recovery.EpochForever, rowEndless)|flagIf(p.Gained != 0, rowGained))
	dst = append(dst, p.ID[:]...)
	dst = binary.AppendUvarint(dst, uint64(p.StartEpoch))
	if p.EndEpoch != recovery.EpochForever {
		dst = binary.AppendUvarint(dst, uint64(p.EndEpoch))
	}
	if p.Gained != 0 {
		dst = binary.AppendUvarint(dst, p.Gained)
	}
	return dst
}

func (p *Pool) parseRowKey(src []byte, first bool) (int, error) { return parseKey(p.ID[:], src, first) }

func (p *Pool) parse(src []byte, first bool) (int, error) {
	n, err := p.parseRowKey(src, first)
	if err != nil {
		return 0, err
	}
	in := fields{src: src, n: n}
	f := src[1]
	p.StartEpoch = in.epoch(true, 0)
	p.EndEpoch = in.epoch(f&rowEndless == 0, recovery.EpochForever)
	p.Gained = in.gained(f)
	switch {
	case in.err != nil:
		return 0, in.err
	case f&^(rowEndless|rowGained) != 0:
		return 0, errFlags
	case f&rowEndless == 0 && p.EndEpoch == recovery.EpochForever, f&rowGained != 0 && p.Gained == 0:
		return 0, errNotMinimal
	}
	return in.n, nil
}
