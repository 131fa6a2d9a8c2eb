package snapshot

import (
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

// Table implements Row.
func (b *Blob) Table() Table { return Blobs }

// RowKey implements Row.
func (b *Blob) RowKey() []byte { return b.ID[:] }

func (b *Blob) fits(limit uint64) bool {
	return b.Encoding >= recovery.Raw && b.Encoding <= recovery.Walrus && b.Size >= recovery.SizeUnknown && b.Invalidated <= limit
}

func (b *Blob) flags() byte {
	f := byte(b.Encoding)
	if b.Size != recovery.SizeUnknown {
		f |= blobSized
	}
	switch {
	case sameID(&b.Digest, (*[32]byte)(&b.ID)):
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
func (b *Blob) AppendPlain(dst []byte) []byte { return b.appendRow(dst, 0, b.flags()) }

func (b *Blob) appendRow(dst []byte, shared int, f byte) []byte {
	dst = appendID(dst, shared, f, (*[32]byte)(&b.ID))
	if f&blobSized != 0 {
		dst = appendNumber(dst, uint64(b.Size))
	}
	if f&blobDigest != 0 {
		dst = append(dst, b.Digest[:]...)
	}
	if f&blobInvalidated != 0 {
		dst = appendNumber(dst, b.Invalidated)
	}
	return dst
}

func (b *Blob) parseRowKey(src []byte, first bool) (int, error) {
	return parseID((*[32]byte)(&b.ID), &b.Digest, src, first)
}

func (b *Blob) parse(src []byte, first bool, limit uint64) (int, error) {
	n, err := b.parseRowKey(src, first)
	if err != nil {
		return 0, err
	}
	f := src[1]
	if f&blobEncoding < byte(recovery.Raw) || f&blobEncoding > byte(recovery.Walrus) || f&rowDropped != 0 {
		return 0, errFlags
	}
	b.Encoding, b.Size, b.Invalidated = recovery.Encoding(f&blobEncoding), recovery.SizeUnknown, 0
	if f&blobSized != 0 {
		var size uint64
		if size, n = number(src, n); size > math.MaxInt64 {
			n = atVarint
		}
		b.Size = int64(size)
	}
	if f&(blobDigest|blobNoDigest|blobInvalidated) != 0 {
		n = b.parseRare(src, n)
	}
	switch {
	case n < 0:
		return 0, placeError(n)
	case b.Invalidated > limit:
		return 0, errFuture
	}
	return n, nil
}

// parseRare reads what most rows do not have.
func (b *Blob) parseRare(src []byte, n int) int {
	switch src[1] & (blobDigest | blobNoDigest) {
	case 0:
	case blobDigest:
		if n = bytesAt(src, n, &b.Digest); b.Digest == b.ID || b.Digest == [32]byte{} {
			n = min(n, atMinimal)
		}
	case blobNoDigest:
		if b.Digest = [32]byte{}; b.ID == b.Digest {
			n = min(n, atMinimal)
		}
	default:
		n = min(n, atMinimal)
	}
	b.Invalidated, n = positionAt(src, n, src[1]&blobInvalidated != 0)
	return n
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

// Table implements Row.
func (r *Registration) Table() Table { return Registrations }

// RowKey implements Row.
func (r *Registration) RowKey() []byte { return r.Key[:] }

func (r *Registration) fits(limit uint64) bool {
	return (r.Certified || r.CertifiedEpoch == 0) && r.Gained <= limit
}

func (r *Registration) flags() byte {
	return flagIf(r.Certified, rowCertified) | flagIf(r.Deletable, rowDeletable) | flagIf(r.Deleted, rowDeleted) |
		flagIf(r.EndEpoch == recovery.EpochForever, rowEndless) | flagIf(r.Gained != 0, rowGained) |
		flagIf(r.Key.native(), rowNative)
}

// AppendPlain implements Row.
func (r *Registration) AppendPlain(dst []byte) []byte { return r.appendRow(dst, 0, r.flags()) }

func (r *Registration) appendRow(dst []byte, shared int, f byte) []byte {
	dst = appendPair(dst, shared, f, &r.Key)
	dst = appendNumber(dst, uint64(r.RegisteredEpoch))
	if f&rowCertified != 0 {
		dst = appendNumber(dst, uint64(r.CertifiedEpoch))
	}
	if f&rowEndless == 0 {
		dst = appendNumber(dst, uint64(r.EndEpoch))
	}
	if f&rowGained != 0 {
		dst = appendNumber(dst, r.Gained)
	}
	return dst
}

func (r *Registration) parseRowKey(src []byte, first bool) (int, error) {
	return parsePair(&r.Key, src, first)
}

func (r *Registration) parse(src []byte, first bool, limit uint64) (int, error) {
	n, err := parsePair(&r.Key, src, first)
	if err != nil {
		return 0, err
	}
	f := src[1]
	if f&^(rowCertified|rowDeletable|rowDeleted|rowEndless|rowGained|rowNative) != 0 {
		return 0, errFlags
	}
	r.Certified, r.Deletable, r.Deleted = f&rowCertified != 0, f&rowDeletable != 0, f&rowDeleted != 0
	r.RegisteredEpoch, n = epochAt(src, n)
	r.CertifiedEpoch = 0
	if r.Certified {
		r.CertifiedEpoch, n = epochAt(src, n)
	}
	r.EndEpoch, n = endAt(src, n, f&rowEndless != 0)
	r.Gained, n = positionAt(src, n, f&rowGained != 0)
	switch {
	case n < 0:
		return 0, placeError(n)
	case r.Gained > limit:
		return 0, errFuture
	}
	return n, nil
}

// Table implements Row.
func (p *Pooled) Table() Table { return PooledRegistrations }

// RowKey implements Row.
func (p *Pooled) RowKey() []byte { return p.Key[:] }

func (p *Pooled) fits(limit uint64) bool {
	return (p.Certified || p.CertifiedEpoch == 0) && p.Gained <= limit
}

func (p *Pooled) flags() byte {
	return flagIf(p.Certified, rowCertified) | flagIf(p.Gained != 0, rowGained) | flagIf(p.Key.native(), rowNative)
}

// AppendPlain implements Row.
func (p *Pooled) AppendPlain(dst []byte) []byte { return p.appendRow(dst, 0, p.flags()) }

func (p *Pooled) appendRow(dst []byte, shared int, f byte) []byte {
	dst = appendPair(dst, shared, f, &p.Key)
	dst = appendNumber(dst, uint64(p.RegisteredEpoch))
	if p.Certified {
		dst = appendNumber(dst, uint64(p.CertifiedEpoch))
	}
	dst = append(dst, p.Pool[:]...)
	if p.Gained != 0 {
		dst = appendNumber(dst, p.Gained)
	}
	return dst
}

func (p *Pooled) parseRowKey(src []byte, first bool) (int, error) {
	return parsePair(&p.Key, src, first)
}

func (p *Pooled) parse(src []byte, first bool, limit uint64) (int, error) {
	n, err := parsePair(&p.Key, src, first)
	if err != nil {
		return 0, err
	}
	f := src[1]
	if f&^(rowCertified|rowGained|rowNative) != 0 {
		return 0, errFlags
	}
	p.Certified = f&rowCertified != 0
	p.RegisteredEpoch, n = epochAt(src, n)
	p.CertifiedEpoch = 0
	if p.Certified {
		p.CertifiedEpoch, n = epochAt(src, n)
	}
	n = bytesAt(src, n, (*[32]byte)(&p.Pool))
	p.Gained, n = positionAt(src, n, f&rowGained != 0)
	switch {
	case n < 0:
		return 0, placeError(n)
	case p.Gained > limit:
		return 0, errFuture
	}
	return n, nil
}

// Table implements Row.
func (p *Pool) Table() Table { return Pools }

// RowKey implements Row.
func (p *Pool) RowKey() []byte { return p.ID[:] }

func (p *Pool) fits(limit uint64) bool { return p.Gained <= limit }

func (p *Pool) flags() byte {
	return flagIf(p.EndEpoch == recovery.EpochForever, rowEndless) | flagIf(p.Gained != 0, rowGained)
}

// AppendPlain implements Row.
func (p *Pool) AppendPlain(dst []byte) []byte { return p.appendRow(dst, 0, p.flags()) }

func (p *Pool) appendRow(dst []byte, shared int, f byte) []byte {
	dst = appendID(dst, shared, f, (*[32]byte)(&p.ID))
	dst = appendNumber(dst, uint64(p.StartEpoch))
	if p.EndEpoch != recovery.EpochForever {
		dst = appendNumber(dst, uint64(p.EndEpoch))
	}
	if p.Gained != 0 {
		dst = appendNumber(dst, p.Gained)
	}
	return dst
}

func (p *Pool) parseRowKey(src []byte, first bool) (int, error) {
	return parseID((*[32]byte)(&p.ID), new([32]byte), src, first)
}

func (p *Pool) parse(src []byte, first bool, limit uint64) (int, error) {
	n, err := p.parseRowKey(src, first)
	if err != nil {
		return 0, err
	}
	f := src[1]
	if f&^(rowEndless|rowGained) != 0 {
		return 0, errFlags
	}
	p.StartEpoch, n = epochAt(src, n)
	p.EndEpoch, n = endAt(src, n, f&rowEndless != 0)
	p.Gained, n = positionAt(src, n, f&rowGained != 0)
	switch {
	case n < 0:
		return 0, placeError(n)
	case p.Gained > limit:
		return 0, errFuture
	}
	return n, nil
}
