package snapshot

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// TestDroppedKeys: a dropped key has one form, in its place in the order, and in
// incremental snapshots only.
func TestDroppedKeys(t *testing.T) {
	incr := state(1).head
	incr.Base = &recovery.Ancestor{Position: 0}
	full := state(1).head
	id := func(b byte) []byte { return []byte{0: b, 31: 0} }
	pair := func(a, b byte) []byte { return append(id(a), id(b)...) }
	drop := func(keys ...[]byte) (raw []byte) {
		var before []byte
		for i, k := range keys {
			shared := 0
			if i > 0 {
				shared = commonPrefix(before, k)
			}
			raw, before = appendDrop(raw, k, shared), k
		}
		return raw
	}
	row := (&Blob{Blob: recovery.Blob{ID: recovery.BlobID{1}, Encoding: recovery.Raw, Digest: recovery.BlobID{1}}}).AppendPlain(nil)
	native := drop(pair(1, 1))
	spelled := slices.Concat([]byte{0, rowDropped}, pair(1, 1))
	for name, c := range map[string]struct {
		head  Header
		table Table
		rows  uint32
		bytes []byte
		says  string // empty: it is good
	}{
		"one":                  {incr, Blobs, 1, drop(id(1)), ""},
		"several":              {incr, Blobs, 3, drop(id(1), id(2), id(3)), ""},
		"a pool":               {incr, Pools, 1, drop(id(1)), ""},
		"pairs":                {incr, Registrations, 4, drop(pair(1, 0), pair(1, 1), pair(1, 2), pair(2, 2)), ""},
		"pooled":               {incr, PooledRegistrations, 2, drop(pair(1, 1), pair(2, 1)), ""},
		"in a full snapshot":   {full, Blobs, 1, drop(id(1)), "unknown flags"},
		"pair in a full one":   {full, Registrations, 1, native, "unknown flags"},
		"backwards":            {incr, Blobs, 2, append(drop(id(2)), appendDrop(nil, id(1), 0)...), "not strictly increasing"},
		"twice":                {incr, Blobs, 2, append(drop(id(1)), 32, rowDropped), "twice"},
		"and put in":           {incr, Blobs, 2, append(drop(id(1)), row...), "not strictly increasing"},
		"other flags":          {incr, Blobs, 1, append([]byte{0, rowDropped | 1}, id(1)...), "unknown flags"},
		"native, of a blob":    {incr, Blobs, 1, append([]byte{0, rowDropped | rowNative}, id(1)...), "unknown flags"},
		"with a value":         {incr, Blobs, 1, append(drop(id(1)), 5), "bytes follow"},
		"half a key":           {incr, Registrations, 1, append([]byte{0, rowDropped}, id(1)...), "beyond its block"},
		"native, spelled out":  {incr, Registrations, 1, spelled, "shortest form"},
		"native, not marked":   {incr, PooledRegistrations, 1, spelled, "shortest form"},
		"certified, dropped":   {incr, Registrations, 1, append([]byte{0, rowDropped | rowNative | rowCertified}, id(1)...), "unknown flags"},
		"nothing but the flag": {incr, Registrations, 1, []byte{0, rowDropped}, "beyond its block"},
	} {
		p := payload{table: c.table, rows: c.rows, bytes: c.bytes}
		copy(p.first[:], c.bytes[2:])
		r, err := inMemory(forge(c.head, p))
		if err == nil {
			_, err = readDeltas(r)
		}
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !isCorrupt(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.says)
		}
	}
}

// TestDroppedRowIsEmpty: of a dropped key nothing is left of the row before it.
func TestDroppedRowIsEmpty(t *testing.T) {
	h := golden().head
	h.Base = &recovery.Ancestor{Position: 1}
	var to memoryStorage
	w, err := newWriter(&to, "memory", h, Options{})
	s := golden()
	next := s.regs[0].Key
	next[63]++
	if err = errors.Join(err, w.Registration(&s.regs[0]), w.DropRegistration(next), w.Close()); err != nil {
		t.Fatal(err)
	}
	c := mustMemory(t, to.files[0].Bytes()).RegistrationDeltas()
	if row, dropped, err := c.Next(); err != nil || dropped || *row != s.regs[0] {
		t.Fatalf("%+v %v %v", row, dropped, err)
	}
	if row, dropped, err := c.Next(); err != nil || !dropped || *row != (Registration{Key: next}) {
		t.Fatalf("%+v %v %v", row, dropped, err)
	}
	if row, dropped, err := c.Next(); row != nil || dropped || err != nil {
		t.Fatalf("%+v %v %v", row, dropped, err)
	}
}

// TestBadBases: a base that is not below the state, or in a full snapshot, is
// damage; so are totals of an incremental.
func TestBadBases(t *testing.T) {
	incr, full := readFile(t, incrV1), readFile(t, goldenV1)
	for name, c := range map[string]struct {
		raw  []byte
		edit func([]byte)
		says string
	}{
		"base of the same position": {incr, func(b []byte) { binary.BigEndian.PutUint64(b[headerBase:], 1010) }, "not above the base's"},
		"base above":                {incr, func(b []byte) { binary.BigEndian.PutUint64(b[headerBase:], 1<<63) }, "not above the base's"},
		"position of a base":        {full, func(b []byte) { b[headerBase+7] = 1 }, "a full snapshot with a base"},
		"digest of a base":          {full, func(b []byte) { b[headerBase+8] = 1 }, "a full snapshot with a base"},
		"full, said incremental":    {full, func(b []byte) { b[headerKind] = 2 }, "counts certified blobs"},
		"incremental, said full":    {incr, func(b []byte) { b[headerKind] = 1 }, "a full snapshot with a base"},
		"reserved byte":             {incr, func(b []byte) { b[headerKind+1] = 1 }, "byte 11"},
		"certified":                 {incr, func(b []byte) { b[len(b)-trailerLength+63] = 1 }, "counts certified blobs"},
	} {
		bad := slices.Clone(c.raw)
		c.edit(bad)
		if _, err := inMemory(reseal(bad)); !isCorrupt(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	bad := slices.Clone(incr)
	bad[headerBase+8] ^= 1 // another base: the digest knows
	if err := mustMemory(t, reseal(bad)).Verify(t.Context()); !isCorrupt(err) || !strings.Contains(err.Error(), "digest") {
		t.Errorf("another base's digest: %v", err)
	}
}
