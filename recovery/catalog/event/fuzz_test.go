package event_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
)

// FuzzLine: what is accepted is JSON that says the same, is written in one way,
// and read back as it was.
func FuzzLine(f *testing.F) {
	for _, e := range eventtest.New(1, "fuzz").Take(40) {
		f.Add(bytes.TrimSuffix(event.AppendLine(nil, &e), []byte{'\n'}))
	}
	f.Add([]byte(`{"network":"a\u0062","tip":7}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if h, is, err := event.ParseHeader(line); is && err == nil {
			var plain struct{ Network string }
			if err := json.Unmarshal(line, &plain); err != nil || plain.Network != h.Network {
				t.Fatalf("%s is read as %+v; it is %+v, %v", line, h, plain, err)
			}
		}
		e, err := event.ParseLine(line)
		if err != nil {
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		again := bytes.TrimSuffix(event.AppendLine(nil, &e), []byte{'\n'})
		if back, err := event.ParseLine(again); err != nil || back != e {
			t.Fatalf("%s is written as %s, and read as %+v, %v", line, again, back, err)
		}
		was, is := map[string]any{}, map[string]any{}
		if err := json.Unmarshal(line, &was); err != nil {
			t.Fatalf("%s is no JSON: %v", line, err)
		}
		if err := json.Unmarshal(again, &is); err != nil {
			t.Fatal(err)
		}
		for name := range is { // what is written was there; what is usual may have been
			if _, there := was[name]; !there {
				t.Fatalf("%s is written as %s", line, again)
			}
		}
		raw := event.AppendBinary(nil, &e)
		if back, err := event.ParseBinary(raw); err != nil || back != e {
			t.Fatalf("%+v is read as %+v, %v", e, back, err)
		}
	})
}

// FuzzBinary reads arbitrary bytes, as they are and with a right checksum: what
// is accepted is the one form of a valid event.
func FuzzBinary(f *testing.F) {
	for _, e := range eventtest.New(1, "fuzz").Take(40) {
		f.Add(event.AppendBinary(nil, &e))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		check := func(raw []byte) {
			e, err := event.ParseBinary(raw)
			if err != nil {
				return
			}
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
			if again := event.AppendBinary(nil, &e); !bytes.Equal(again, raw) {
				t.Fatalf("%x is written as %x", raw, again)
			}
		}
		check(raw)
		if n := len(raw) - 4; n > 0 {
			sum := crc32.Checksum(raw[:n], crc32.MakeTable(crc32.Castagnoli))
			check(binary.BigEndian.AppendUint32(bytes.Clone(raw[:n]), sum))
		}
	})
}
