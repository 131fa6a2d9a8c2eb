package snapshot

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// TestRowForms: a row is read back from its plain form and from its values, and
// every other bytes are refused.
func TestRowForms(t *testing.T) {
	evidence.Property(t, "snapshots: every row is read back from both of its forms, and nothing else is", func(rt *rapid.T) {
		s := drawState(rt)
		checkForms(rt, s.blobs)
		checkForms(rt, s.regs)
		checkForms(rt, s.pooled)
		checkForms(rt, s.pools)
	})
}

func checkForms[R comparable, P Row[R]](t *rapid.T, rows []R) {
	for i := range rows {
		row := P(&rows[i])
		plain, value := row.AppendPlain([]byte("before")), AppendValue[R, P]([]byte("before"), row)
		if !bytes.HasPrefix(plain, []byte("before")) || !bytes.HasPrefix(value, []byte("before")) {
			t.Fatal("what was there is gone")
		}
		plain, value = plain[6:], value[6:]
		key := slices.Clone(row.RowKey())
		var fromPlain, fromValue R
		if err := ParsePlain(P(&fromPlain), plain); err != nil || fromPlain != rows[i] {
			t.Fatalf("%x gives %+v, error %v, want %+v", plain, fromPlain, err, rows[i])
		}
		if err := ParseValue(P(&fromValue), key, value); err != nil || fromValue != rows[i] {
			t.Fatalf("%x gives %+v, error %v, want %+v", value, fromValue, err, rows[i])
		}
		var none R
		for name, err := range map[string]error{
			"plain, longer":    ParsePlain(P(&none), append(slices.Clone(plain), 0)),
			"plain, shorter":   ParsePlain(P(&none), plain[:len(plain)-1]),
			"plain, empty":     ParsePlain(P(&none), nil),
			"plain, shares":    ParsePlain(P(&none), append([]byte{1}, plain[1:]...)),
			"plain, dropped":   ParsePlain(P(&none), appendDrop(nil, key, 0)),
			"value, longer":    ParseValue(P(&none), key, append(slices.Clone(value), 0)),
			"value, empty":     ParseValue(P(&none), key, nil),
			"value, too long":  ParseValue(P(&none), key, make([]byte, maxRow+1)),
			"value, other key": ParseValue(P(&none), key[1:], value),
			"value, dropped":   ParseValue(P(&none), key, []byte{rowDropped | value[0]&rowNative}),
		} {
			if !errors.Is(err, ErrRow) {
				t.Fatalf("%s: %x: error %v", name, plain, err)
			}
		}
		if len(value) > 1 {
			if err := ParseValue(P(&none), key, value[:len(value)-1]); !errors.Is(err, ErrRow) {
				t.Fatalf("value, shorter: error %v", err)
			}
		}
	}
}

// FuzzPlain parses arbitrary plain rows and values: what is accepted is in its
// only form.
func FuzzPlain(f *testing.F) {
	s := golden()
	for i := range s.blobs {
		f.Add(byte(Blobs), s.blobs[i].AppendPlain(nil))
	}
	for i := range s.regs {
		f.Add(byte(Registrations), s.regs[i].AppendPlain(nil))
	}
	f.Add(byte(PooledRegistrations), s.pooled[0].AppendPlain(nil))
	f.Add(byte(Pools), s.pools[0].AppendPlain(nil))
	f.Fuzz(func(t *testing.T, table byte, src []byte) {
		switch Table(table) {
		case Blobs:
			fuzzRow(t, new(Blob), src)
		case Registrations:
			fuzzRow(t, new(Registration), src)
		case PooledRegistrations:
			fuzzRow(t, new(Pooled), src)
		case Pools:
			fuzzRow(t, new(Pool), src)
		}
	})
}

func fuzzRow[R comparable, P Row[R]](t *testing.T, row P, src []byte) {
	if err := ParsePlain(row, src); err == nil {
		if got := row.AppendPlain(nil); !bytes.Equal(got, src) {
			t.Errorf("%x is accepted and written as %x", src, got)
		}
		value := AppendValue(nil, row)
		again := P(new(R))
		if err := ParseValue(again, row.RowKey(), value); err != nil || *again != *row {
			t.Errorf("%x: as a value %x it gives %+v, error %v", src, value, again, err)
		}
	}
	key := len(row.RowKey())
	if len(src) < key {
		return
	}
	if err := ParseValue(row, src[:key], src[key:]); err == nil {
		if got := AppendValue(nil, row); !bytes.Equal(got, src[key:]) {
			t.Errorf("%x is accepted and written as %x", src[key:], got)
		}
	}
}
