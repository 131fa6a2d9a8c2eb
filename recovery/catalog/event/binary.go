package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/recoverd/recoverd/recovery"
)

// The binary form is version (u8), kind (u8), flags (u8), position and then
// what the kind has, in this order: epoch, blob, object, size, encoding (u8),
// digest, pool, end epoch; a CRC32C (u32, big-endian) of all that ends it.
// Numbers are unsigned LEB128 in their shortest form. Flags say what is there or
// left out; an event has one form only.
const (
	binaryVersion = 1

	flagObject    = 0x01 // the object is not the blob
	flagSized     = 0x02 // the size is known
	flagDigest    = 0x04 // the digest is not the usual one
	flagPool      = 0x08 // a Register in a pool
	flagEndless   = 0x10 // no end epoch
	flagDeletable = 0x20

	crcLength = 4
	// MaxBinary is the most bytes that an event takes: those of a Register in a
	// pool with every field at its longest.
	MaxBinary = 3 + 10 + 32 + 32 + 9 + 1 + 32 + 32 + 5 + crcLength
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (e *Event) flags(h has) (f byte) {
	set := func(on bool, bit byte) {
		if on {
			f |= bit
		}
	}
	set(h.object && e.Object != e.Blob, flagObject)
	set(h.content && e.Size != recovery.SizeUnknown, flagSized)
	set(h.content && e.Digest != usualDigest(e.Blob, e.Encoding), flagDigest)
	set(e.Kind == Register && h.pool, flagPool)
	set(h.end && e.EndEpoch == recovery.EpochForever, flagEndless)
	set(e.Deletable, flagDeletable)
	return f
}

// AppendBinary appends the binary form of an event, which must be valid.
func AppendBinary(dst []byte, e *Event) []byte {
	h := e.has()
	f := e.flags(h)
	start := len(dst)
	dst = append(dst, binaryVersion, byte(e.Kind), f)
	dst = binary.AppendUvarint(dst, e.Position)
	if e.Kind == EpochStarted {
		dst = binary.AppendUvarint(dst, uint64(e.Epoch))
	}
	if h.blob {
		dst = append(dst, e.Blob[:]...)
	}
	if f&flagObject != 0 {
		dst = append(dst, e.Object[:]...)
	}
	if f&flagSized != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.Size))
	}
	if h.content {
		dst = append(dst, byte(e.Encoding))
	}
	if f&flagDigest != 0 {
		dst = append(dst, e.Digest[:]...)
	}
	if h.pool {
		dst = append(dst, e.Pool[:]...)
	}
	if h.end && f&flagEndless == 0 {
		dst = binary.AppendUvarint(dst, uint64(e.EndEpoch))
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// ParseBinary reads the binary form, which must fill raw. Errors wrap
// ErrMalformed.
func ParseBinary(raw []byte) (Event, error) {
	if len(raw) < 3+1+crcLength || len(raw) > MaxBinary {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(raw))
	}
	body := raw[:len(raw)-crcLength]
	switch {
	case crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(raw[len(body):]):
		return Event{}, fmt.Errorf("%w: its checksum is wrong", ErrMalformed)
	case body[0] != binaryVersion:
		return Event{}, fmt.Errorf("%w: version %d, this program reads %d", ErrMalformed, body[0], binaryVersion)
	}
	in := input{rest: body[3:]}
	e := in.event(Kind(body[1]), body[2])
	if err := e.Validate(); err != nil {
		return Event{}, err
	}
	// One event, one form: numbers not in their shortest one, flags that say
	// nothing and bytes left over all show here.
	var again [MaxBinary]byte
	if in.short || !bytes.Equal(AppendBinary(again[:0], &e), raw) {
		return Event{}, fmt.Errorf("%w: not in its one form", ErrMalformed)
	}
	return e, nil
}

// input reads fields. What is not there any more reads as zeros and sets short.
type input struct {
	rest  []byte
	short bool
}

func (in *input) event(kind Kind, flags byte) Event {
	e := Event{Kind: kind, Position: in.number(math.MaxUint64)}
	if flags&flagPool != 0 {
		e.Pool[0] = 1 // until it is read; says that the event has one
	}
	h := e.has()
	if kind == EpochStarted {
		e.Epoch = uint32(in.number(math.MaxUint32))
	}
	if h.blob {
		in.bytes(e.Blob[:])
	}
	if h.object {
		e.Object = e.Blob
	}
	if flags&flagObject != 0 {
		in.bytes(e.Object[:])
	}
	if h.content {
		e.Size = recovery.SizeUnknown
		if flags&flagSized != 0 {
			e.Size = int64(in.number(math.MaxInt64))
		}
		var enc [1]byte
		in.bytes(enc[:])
		e.Encoding = recovery.Encoding(enc[0])
		e.Digest = usualDigest(e.Blob, e.Encoding)
	}
	if flags&flagDigest != 0 {
		in.bytes(e.Digest[:])
	}
	if h.pool {
		in.bytes(e.Pool[:])
	}
	switch {
	case flags&flagEndless != 0:
		e.EndEpoch = recovery.EpochForever
	case h.end:
		e.EndEpoch = uint32(in.number(math.MaxUint32))
	}
	e.Deletable = flags&flagDeletable != 0
	return e
}

func (in *input) number(limit uint64) uint64 {
	v, n := binary.Uvarint(in.rest)
	if n <= 0 || v > limit {
		in.short, in.rest = true, nil
		return 0
	}
	in.rest = in.rest[n:]
	return v
}

func (in *input) bytes(dst []byte) {
	if len(in.rest) < len(dst) {
		in.short, in.rest = true, nil
		return
	}
	in.rest = in.rest[copy(dst, in.rest):]
}
