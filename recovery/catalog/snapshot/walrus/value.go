package walrus

import (
	"encoding/binary"
	"errors"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// EventID names an event of the chain.
type EventID struct {
	Transaction [32]byte
	Sequence    uint64
}

// Object is a registration of a blob by an object of its own.
type Object struct {
	Blob            recovery.BlobID
	RegisteredEpoch uint32
	Certified       bool
	CertifiedEpoch  uint32 // 0 unless Certified
	EndEpoch        uint32 // exclusive
	Deletable       bool
	Event           EventID // the last one that changed it
	Deleted         bool
}

// Pooled is a registration that ends with its pool.
type Pooled struct {
	Blob            recovery.BlobID
	RegisteredEpoch uint32
	Certified       bool
	CertifiedEpoch  uint32 // 0 unless Certified
	Pool            snapshot.PoolID
	Event           EventID
}

// Pool says how long its registrations live.
type Pool struct {
	StartEpoch uint32
	EndEpoch   uint32 // exclusive
}

// Lengths of the parts, in BCS. An Option costs a byte if there is nothing.
const (
	eventLength    = 1 + 32 + 8
	optionLength   = 4 // of what follows an Option's byte
	objectLength   = 1 + 32 + 4 + 1 + 4 + 1 + eventLength + 1
	pooledLength   = 1 + 32 + 4 + 1 + 32 + eventLength
	poolLength     = 1 + 4 + 4
	maxValueLength = pooledLength + optionLength
	keyLength      = 32
)

// lengthOK reports whether a section's values may have that length. It is asked
// before anything is read (hazard 65).
func (s Section) lengthOK(n uint64) bool {
	switch s {
	case Objects:
		return n == objectLength || n == objectLength+optionLength
	case PooledObjects:
		return n == pooledLength || n == pooledLength+optionLength
	}
	return n == poolLength
}

var (
	errShort   = errors.New("it ends early")
	errLong    = errors.New("bytes follow it")
	errVariant = errors.New("its variant is not 0")
	errFlag    = errors.New("a yes or no is neither 0 nor 1")
	errEventID = errors.New("the digest in an event's id does not have 32 bytes")
)

// bcs reads BCS, which is little-endian. The first error sticks.
type bcs struct {
	src []byte
	err error
}

// take returns the next n bytes, or zeros after an error.
func (b *bcs) take(n int) []byte {
	if len(b.src) < n {
		b.fail(errShort)
		return make([]byte, n)
	}
	raw := b.src[:n]
	b.src = b.src[n:]
	return raw
}

func (b *bcs) fail(err error) {
	if b.err == nil {
		b.err = err
	}
	b.src = nil
}

func (b *bcs) u32() uint32         { return binary.LittleEndian.Uint32(b.take(4)) }
func (b *bcs) u64() uint64         { return binary.LittleEndian.Uint64(b.take(8)) }
func (b *bcs) bytes32(d *[32]byte) { copy(d[:], b.take(32)) }

func (b *bcs) variant() {
	if b.take(1)[0] != 0 {
		b.fail(errVariant)
	}
}

func (b *bcs) flag() bool {
	v := b.take(1)[0]
	if v > 1 {
		b.fail(errFlag)
	}
	return v == 1
}

// option reads an epoch that may not be there.
func (b *bcs) option() (there bool, epoch uint32) {
	if there = b.flag(); there {
		epoch = b.u32()
	}
	return there, epoch
}

func (b *bcs) event(e *EventID) {
	if b.take(1)[0] != 32 {
		b.fail(errEventID)
	}
	b.bytes32(&e.Transaction)
	e.Sequence = b.u64()
}

// end reports what went wrong, or what is left.
func (b *bcs) end() error {
	if b.err == nil && len(b.src) > 0 {
		return errLong
	}
	return b.err
}

func (o *Object) parse(raw []byte) error {
	in := bcs{src: raw}
	in.variant()
	in.bytes32((*[32]byte)(&o.Blob))
	o.RegisteredEpoch = in.u32()
	o.Certified, o.CertifiedEpoch = in.option()
	o.EndEpoch = in.u32()
	o.Deletable = in.flag()
	in.event(&o.Event)
	o.Deleted = in.flag()
	return in.end()
}

func (p *Pooled) parse(raw []byte) error {
	in := bcs{src: raw}
	in.variant()
	in.bytes32((*[32]byte)(&p.Blob))
	p.RegisteredEpoch = in.u32()
	p.Certified, p.CertifiedEpoch = in.option()
	in.bytes32((*[32]byte)(&p.Pool))
	in.event(&p.Event)
	return in.end()
}

func (p *Pool) parse(raw []byte) error {
	in := bcs{src: raw}
	in.variant()
	p.StartEpoch = in.u32()
	p.EndEpoch = in.u32()
	return in.end()
}
