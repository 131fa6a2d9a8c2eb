// Package walrustest writes Walrus blob-info snapshots, in both layouts, for
// tests. It shares no code with the reader.
package walrustest

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
)

// Snapshot is a whole file, its entries in the order they are written in.
type Snapshot struct {
	Header  walrus.Header // its layout is that of Encode
	Objects []Entry[walrus.Object]
	Pooled  []Entry[walrus.Pooled]
	Pools   []Entry[walrus.Pool]
}

// Entry is an entry of any section.
type Entry[V any] struct {
	Key   [32]byte
	Value V
}

// Sample is the documented sample of layout B: what it says it holds.
func Sample() Snapshot {
	event := func(n uint64) (e walrus.EventID) {
		for i := range e.Transaction {
			e.Transaction[i] = 0x2a
		}
		e.Sequence = n
		return e
	}
	return Snapshot{
		Header: walrus.Header{Epoch: 7, Event: event(3), HasEvent: true, Next: 42, Chunks: 1},
		Objects: []Entry[walrus.Object]{
			{Last(1), walrus.Object{Blob: Last(10), RegisteredEpoch: 1, Certified: true, CertifiedEpoch: 2, EndEpoch: 5, Event: event(1)}},
			{Last(2), walrus.Object{Blob: Last(11), RegisteredEpoch: 3, EndEpoch: 9, Deletable: true, Event: event(2), Deleted: true}},
		},
		Pools: []Entry[walrus.Pool]{
			{Last(4), walrus.Pool{StartEpoch: 1, EndEpoch: 100}},
			{Last(5), walrus.Pool{StartEpoch: 2, EndEpoch: 50}},
		},
		Pooled: []Entry[walrus.Pooled]{
			{Last(3), walrus.Pooled{Blob: Last(20), RegisteredEpoch: 2, Certified: true, CertifiedEpoch: 4, Pool: Last(8), Event: event(5)}},
		},
	}
}

// Last returns 32 bytes, all zero but the last.
func Last(b byte) [32]byte { return [32]byte{31: b} }

// Many returns n objects, about a tenth as many pooled objects and a hundredth
// as many pools, in key order. The same n and seed give the same snapshot; blob
// ids are in no order, and some blobs have several objects.
func Many(n int, seed uint64) Snapshot {
	m := mixer(seed)
	s := Snapshot{Header: walrus.Header{Epoch: 10, HasEvent: true, Event: m.event(), Next: 1_000_000 + uint64(n), Chunks: 1}}
	var blobs [][32]byte
	for i := range n {
		if i%7 != 3 {
			blobs = append(blobs, m.id())
		}
		o := walrus.Object{
			Blob: blobs[m.below(len(blobs))], RegisteredEpoch: uint32(m.below(9)), EndEpoch: uint32(5 + m.below(20)),
			Deletable: m.below(3) == 0, Event: m.event(),
		}
		if o.Certified = m.below(5) != 0; o.Certified {
			o.CertifiedEpoch = o.RegisteredEpoch + uint32(m.below(2))
		}
		o.Deleted = o.Deletable && m.below(4) == 0
		s.Objects = append(s.Objects, Entry[walrus.Object]{m.id(), o})
	}
	for range n/100 + 1 {
		s.Pools = append(s.Pools, Entry[walrus.Pool]{m.id(), walrus.Pool{StartEpoch: uint32(m.below(5)), EndEpoch: uint32(8 + m.below(20))}})
	}
	for range n / 10 {
		p := walrus.Pooled{Blob: m.id(), RegisteredEpoch: uint32(m.below(9)), Pool: s.Pools[m.below(len(s.Pools))].Key, Event: m.event()}
		if p.Certified = m.below(5) != 0; p.Certified {
			p.CertifiedEpoch = p.RegisteredEpoch
		}
		s.Pooled = append(s.Pooled, Entry[walrus.Pooled]{m.id(), p})
	}
	sorted(s.Objects)
	sorted(s.Pooled)
	sorted(s.Pools)
	return s
}

func sorted[V any](all []Entry[V]) {
	slices.SortFunc(all, func(a, b Entry[V]) int { return bytes.Compare(a.Key[:], b.Key[:]) })
}

// mixer is splitmix64.
type mixer uint64

func (m *mixer) next() uint64 {
	*m += 0x9e3779b97f4a7c15
	z := uint64(*m)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (m *mixer) below(n int) int { return int(m.next() % uint64(n)) }

func (m *mixer) id() (id [32]byte) {
	for i := 0; i < 32; i += 8 {
		binary.LittleEndian.PutUint64(id[i:], m.next())
	}
	return id
}

func (m *mixer) event() walrus.EventID {
	return walrus.EventID{Transaction: m.id(), Sequence: m.next()}
}

// Encode writes the snapshot in a layout, whether or not it is a legal one.
func (s Snapshot) Encode(l walrus.Layout) []byte {
	out := []byte("\xb1\x0b\x1f\x05\x00\x00\x00\x01")
	header := s.header(l)
	if l == walrus.B {
		out = binary.AppendUvarint(out, uint64(len(header)))
		out = append(out, header...)
		out = section(out, l, 1, s.Objects, object)
		out = section(out, l, 2, s.Pools, pool)
		return section(out, l, 3, s.Pooled, pooled)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(header)))
	out = append(out, header...)
	out = section(out, l, 1, s.Objects, object)
	out = section(out, l, 2, s.Pooled, pooled)
	out = section(out, l, 3, s.Pools, pool)
	return Seal(out)
}

// Seal appends the sum that ends a file of layout A.
func Seal(raw []byte) []byte { return binary.BigEndian.AppendUint64(raw, xxhash.Sum64(raw)) }

func (s Snapshot) header(l walrus.Layout) []byte {
	h := s.Header
	out := binary.LittleEndian.AppendUint32(nil, h.Epoch)
	if l == walrus.B {
		out = event(append(out, 0), h.Event)
		return binary.LittleEndian.AppendUint64(out, h.Next)
	}
	if out = flag(out, h.HasEvent); h.HasEvent {
		out = event(out, h.Event)
	}
	out = binary.LittleEndian.AppendUint64(out, h.Next)
	out = append(out, h.Previous[:]...)
	out = binary.LittleEndian.AppendUint32(out, h.Chunk)
	return binary.LittleEndian.AppendUint32(out, h.Chunks)
}

func section[V any](out []byte, l walrus.Layout, tag byte, entries []Entry[V], value func(V) []byte) []byte {
	out = append(out, tag)
	if l == walrus.B {
		out = binary.BigEndian.AppendUint64(out, uint64(len(entries)))
	}
	for _, e := range entries {
		v := value(e.Value)
		if l == walrus.B {
			out = append(binary.AppendUvarint(out, 32), e.Key[:]...)
			out = append(binary.AppendUvarint(out, uint64(len(v))), v...)
			continue
		}
		out = binary.BigEndian.AppendUint32(append(out, 1), 32)
		out = append(out, e.Key[:]...)
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(v))), v...)
	}
	if l == walrus.B {
		return out
	}
	return binary.BigEndian.AppendUint64(append(out, 0), uint64(len(entries)))
}

func object(o walrus.Object) []byte {
	out := append([]byte{0}, o.Blob[:]...)
	out = binary.LittleEndian.AppendUint32(out, o.RegisteredEpoch)
	out = option(out, o.Certified, o.CertifiedEpoch)
	out = binary.LittleEndian.AppendUint32(out, o.EndEpoch)
	out = event(flag(out, o.Deletable), o.Event)
	return flag(out, o.Deleted)
}

func pooled(p walrus.Pooled) []byte {
	out := append([]byte{0}, p.Blob[:]...)
	out = binary.LittleEndian.AppendUint32(out, p.RegisteredEpoch)
	out = option(out, p.Certified, p.CertifiedEpoch)
	return event(append(out, p.Pool[:]...), p.Event)
}

func pool(p walrus.Pool) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32([]byte{0}, p.StartEpoch), p.EndEpoch)
}

func event(out []byte, e walrus.EventID) []byte {
	out = append(append(out, 0x20), e.Transaction[:]...)
	return binary.LittleEndian.AppendUint64(out, e.Sequence)
}

func flag(out []byte, on bool) []byte {
	if on {
		return append(out, 1)
	}
	return append(out, 0)
}

func option(out []byte, there bool, epoch uint32) []byte {
	if out = flag(out, there); there {
		out = binary.LittleEndian.AppendUint32(out, epoch)
	}
	return out
}
