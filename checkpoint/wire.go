package checkpoint

import (
	"encoding/binary"
	"math"
	"time"
	"unicode/utf8"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// encoder appends the primitive values of the format. Integers are big-endian.
// Limits are the caller's: what it appends must be what decoder accepts.
type encoder struct{ buf []byte }

func (e *encoder) u8(v uint8)     { e.buf = append(e.buf, v) }
func (e *encoder) u16(v uint16)   { e.buf = binary.BigEndian.AppendUint16(e.buf, v) }
func (e *encoder) u32(v uint32)   { e.buf = binary.BigEndian.AppendUint32(e.buf, v) }
func (e *encoder) u64(v uint64)   { e.buf = binary.BigEndian.AppendUint64(e.buf, v) }
func (e *encoder) bytes(v []byte) { e.buf = append(e.buf, v...) }

func (e *encoder) flag(v bool) {
	var b uint8
	if v {
		b = 1
	}
	e.u8(b)
}

// text appends a length of 16 bits and the bytes.
func (e *encoder) text(v string) {
	e.u16(uint16(len(v)))
	e.buf = append(e.buf, v...)
}

// mark appends its kind and, where it is at an id, the id.
func (e *encoder) mark(m recovery.Mark) {
	switch id, at := m.ID(); {
	case at:
		e.u8(markAt)
		e.bytes(id[:])
	case m.End():
		e.u8(markEnd)
	default:
		e.u8(markNone)
	}
}

const (
	markNone = 0
	markAt   = 1
	markEnd  = 2
)

// time appends a flag, seconds and nanoseconds; the zero time, and one that no
// calendar shows, is the flag alone.
func (e *encoder) time(t time.Time) {
	sec := t.Unix()
	known := sec > timeMin && sec <= timeMax
	e.flag(known)
	if known {
		e.u64(uint64(sec))
		e.u32(uint32(t.Nanosecond()))
	}
}

// The times that can be stored: after the zero time, to the end of the year 9999.
const (
	timeMin = -62_135_596_800
	timeMax = 253_402_300_799
)

// set appends a bitmap of as many bytes as the highest shard needs.
func (e *encoder) set(s shards.Set) {
	top, any := s.Max()
	if !any {
		e.u16(0)
		return
	}
	bits := make([]byte, top/8+1)
	for m := range s.All() {
		bits[m/8] |= 1 << (m % 8)
	}
	e.u16(uint16(len(bits)))
	e.bytes(bits)
}

// decoder reads what encoder appended. The first error sticks, and every later
// read returns a zero value. It never allocates more than a few times what is
// left to read.
type decoder struct {
	buf []byte
	err error
}

// fail keeps the first thing that is wrong.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = damaged(format, args...)
		d.buf = nil
	}
}

// take returns the next n bytes, which alias the input.
func (d *decoder) take(n int, what string) []byte {
	if d.err == nil && n > len(d.buf) {
		d.fail("%s: %d bytes are missing", what, n-len(d.buf))
	}
	if d.err != nil {
		return nil
	}
	out := d.buf[:n]
	d.buf = d.buf[n:]
	return out
}

func (d *decoder) u8(what string) uint8 {
	if b := d.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) u16(what string) uint16 {
	if b := d.take(2, what); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) u32(what string) uint32 {
	if b := d.take(4, what); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) u64(what string) uint64 {
	if b := d.take(8, what); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) hash(what string) (h [32]byte) {
	copy(h[:], d.take(len(h), what))
	return h
}

func (d *decoder) flag(what string) bool {
	v := d.u8(what)
	if v > 1 {
		d.fail("%s: flag is %d", what, v)
	}
	return v == 1
}

// text reads a string of at most limit bytes.
func (d *decoder) text(limit int, what string) string {
	n := int(d.u16(what))
	if n > limit {
		d.fail("%s: %d bytes, at most %d are allowed", what, n, limit)
	}
	return string(d.take(n, what))
}

func (d *decoder) mark(what string) recovery.Mark {
	switch kind := d.u8(what); kind {
	case markAt:
		return recovery.MarkAt(d.hash(what))
	case markEnd:
		return recovery.MarkEnd()
	case markNone:
	default:
		d.fail("%s: mark is of kind %d", what, kind)
	}
	return recovery.Mark{}
}

func (d *decoder) time(what string) time.Time {
	if !d.flag(what) {
		return time.Time{}
	}
	sec, nsec := d.u64(what), d.u32(what)
	switch {
	case d.err != nil:
		return time.Time{}
	case sec > math.MaxInt64 && int64(sec) <= timeMin, sec <= math.MaxInt64 && int64(sec) > timeMax, nsec >= 1e9:
		d.fail("%s: time out of range", what)
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(nsec)).UTC()
}

func (d *decoder) set(what string) shards.Set {
	n := int(d.u16(what))
	if n > shards.MaxTotal/8 {
		d.fail("%s: a set of %d bytes, at most %d are allowed", what, n, shards.MaxTotal/8)
	}
	bits := d.take(n, what)
	if len(bits) > 0 && bits[len(bits)-1] == 0 {
		d.fail("%s: the set ends in an empty byte", what)
		return shards.Set{}
	}
	members := make([]uint32, 0, 8*len(bits))
	for i, b := range bits {
		for k := range 8 {
			if b&(1<<k) != 0 {
				members = append(members, uint32(8*i+k))
			}
		}
	}
	return shards.SetOf(members...)
}

// end reports the first error, or bytes that are left over.
func (d *decoder) end() error {
	if d.err == nil && len(d.buf) > 0 {
		d.fail("%d bytes are left over", len(d.buf))
	}
	return d.err
}

// cut shortens a text for people to at most limit bytes, between characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
