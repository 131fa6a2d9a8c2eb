package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

const (
	idA = "aa00000000000000000000000000000000000000000000000000000000000001"
	idB = "bb00000000000000000000000000000000000000000000000000000000000002"
)

func id(text string) recovery.BlobID {
	b, err := recovery.ParseBlobID(text)
	if err != nil {
		panic(err)
	}
	return b
}

// The forms of the kinds that CATALOG events have, in words and in their one
// binary form. Neither may ever change: logs and files are full of them.
func TestForms(t *testing.T) {
	a, b := id(idA), id(idB)
	for _, c := range []struct {
		line string
		want event.Event
		size int // of the binary form
	}{
		{`{"position":1,"kind":"epoch_started","epoch":8}`, event.Event{Position: 1, Kind: event.EpochStarted, Epoch: 8}, 9},
		{`{"position":7,"kind":"register","blob":"` + idA + `","size":123,"encoding":"raw","end_epoch":9,"deletable":true}`,
			event.Event{Position: 7, Kind: event.Register, Blob: a, Object: a, Size: 123, Encoding: recovery.Raw, Digest: a, EndEpoch: 9, Deletable: true}, 43},
		{`{"position":300,"kind":"register","blob":"` + idA + `","object":"` + idB + `","encoding":"walrus"}`,
			event.Event{Position: 300, Kind: event.Register, Blob: a, Object: b, Size: recovery.SizeUnknown, Encoding: recovery.Walrus, EndEpoch: recovery.EpochForever}, 74},
		{`{"position":9,"kind":"register","blob":"` + idA + `","size":0,"encoding":"striped","digest":"` + idB + `","pool":"` + idB + `"}`,
			event.Event{Position: 9, Kind: event.Register, Blob: a, Object: a, Encoding: recovery.Striped, Digest: b, Pool: snapshot.PoolID(b)}, 106},
		{`{"position":8,"kind":"certify","blob":"` + idA + `"}`, event.Event{Position: 8, Kind: event.Certify, Blob: a, Object: a}, 40},
		{`{"position":8,"kind":"extend","blob":"` + idA + `","object":"` + idB + `","end_epoch":12}`,
			event.Event{Position: 8, Kind: event.Extend, Blob: a, Object: b, EndEpoch: 12}, 73},
		{`{"position":8,"kind":"extend","blob":"` + idA + `"}`,
			event.Event{Position: 8, Kind: event.Extend, Blob: a, Object: a, EndEpoch: recovery.EpochForever}, 40},
		{`{"position":10,"kind":"delete","blob":"` + idA + `"}`, event.Event{Position: 10, Kind: event.Delete, Blob: a, Object: a}, 40},
		{`{"position":11,"kind":"invalidate","blob":"` + idA + `"}`, event.Event{Position: 11, Kind: event.Invalidate, Blob: a}, 40},
		{`{"position":13,"kind":"pool_created","pool":"` + idB + `","end_epoch":20}`,
			event.Event{Position: 13, Kind: event.PoolCreated, Pool: snapshot.PoolID(b), EndEpoch: 20}, 41},
		{`{"position":18446744073709551615,"kind":"pool_extended","pool":"` + idB + `"}`,
			event.Event{Position: 1<<64 - 1, Kind: event.PoolExtended, Pool: snapshot.PoolID(b), EndEpoch: recovery.EpochForever}, 49},
	} {
		got, err := event.ParseLine([]byte(c.line))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.line, diff)
		}
		if line := string(event.AppendLine(nil, &got)); line != c.line+"\n" {
			t.Errorf("written as %swant       %s", line, c.line)
		}
		raw := event.AppendBinary(nil, &got)
		if back, err := event.ParseBinary(raw); err != nil || back != got {
			t.Errorf("%s: %x is read as %+v, %v", c.line, raw, back, err)
		}
		if len(raw) != c.size || len(raw) > event.MaxBinary {
			t.Errorf("%s: %d bytes, want %d", c.line, len(raw), c.size)
		}
	}
}

// TestLinesAreStrict: what is doubtful is refused, and says why.
func TestLinesAreStrict(t *testing.T) {
	for line, says := range map[string]string{
		``:                                      "expected {",
		`[]`:                                    "expected {",
		`{}`:                                    "a position and a kind",
		`{"position":1}`:                        "a position and a kind",
		`{"position":1,"kind":"epoch_started"}`: `"epoch" is missing`,
		`{"position":1,"kind":"epoch_started","epoch":1} x`:                                                                          "expected the end of the line",
		`{"position":1,"kind":"epoch_started","epoch":1,}`:                                                                           "expected a string",
		`{"position":1,"kind":"epoch_started","epoch":1,"epoch":1}`:                                                                  `"epoch" is there twice`,
		`{"position":1,"kind":"epoch_started","Epoch":1}`:                                                                            `no "Epoch"`,
		`{"position":1,"kind":"epoch_started","epoch":1,"note":"x"}`:                                                                 `no "note"`,
		`{"position":1,"kind":"epoch_started","epoch":1,"blob":"` + idA + `"}`:                                                       `it has no "blob"`,
		`{"position":1,"kind":"epoch_started","epoch":0}`:                                                                            "epoch 0",
		`{"position":1,"kind":"epoch_started","epoch":4294967295}`:                                                                   "a number up to 4294967294",
		`{"position":1,"kind":"epoch_started","epoch":-1}`:                                                                           "an unsigned number",
		`{"position":1,"kind":"epoch_started","epoch":1.5}`:                                                                          "expected ,",
		`{"position":1,"kind":"epoch_started","epoch":1e3}`:                                                                          "a number up to",
		`{"position":1,"kind":"epoch_started","epoch":01}`:                                                                           "a number up to",
		`{"position":1,"kind":"epoch_started","epoch":null}`:                                                                         "a number up to",
		`{"position":1,"kind":"epoch_started","epoch":"1"}`:                                                                          "a number up to",
		`{"position":1,"kind":"epoch_started","epoch":{}}`:                                                                           "expected a string, an unsigned number",
		`{"position":0,"kind":"epoch_started","epoch":1}`:                                                                            "positions begin at 1",
		`{"position":18446744073709551616,"kind":"epoch_started","epoch":1}`:                                                         "a number up to",
		`{"position":1,"kind":"epoch"}`:                                                                                              "a kind of event",
		`{"position":1,"kind":7}`:                                                                                                    "a kind of event",
		`{"position":1,"kind":"certify"}`:                                                                                            `"blob" is missing`,
		`{"position":1,"kind":"certify","blob":"` + idA[1:] + `"}`:                                                                   "a blob id",
		`{"position":1,"kind":"certify","blob":"` + idA + `","object":"zz"}`:                                                         "64 hex digits",
		`{"position":1,"kind":"certify","blob":"` + idA + `","end_epoch":7}`:                                                         `it has no "end_epoch"`,
		`{"position":1,"kind":"invalidate","blob":"` + idA + `","object":"` + idB + `"}`:                                             `it has no "object"`,
		`{"position":1,"kind":"register","blob":"` + idA + `","size":1}`:                                                             `"encoding" is missing`,
		`{"position":1,"kind":"register","blob":"` + idA + `","encoding":"raw"}`:                                                     "a raw blob of -1 bytes",
		`{"position":1,"kind":"register","blob":"` + idA + `","size":9223372036854775808,"encoding":"raw"}`:                          "a number up to",
		`{"position":1,"kind":"register","blob":"` + idA + `","size":1,"encoding":"zip"}`:                                            `"raw", "striped" or "walrus"`,
		`{"position":1,"kind":"register","blob":"` + idA + `","size":1,"encoding":"raw","deletable":1}`:                              "true or false",
		`{"position":1,"kind":"register","blob":"` + idA + `","size":1,"encoding":"raw","end_epoch":0}`:                              "end epoch 0",
		`{"position":1,"kind":"register","blob":"` + idA + `","size":1,"encoding":"raw","pool":"` + idB + `","end_epoch":9}`:         `it has no "end_epoch"`,
		`{"position":1,"kind":"register","blob":"` + idA + `","size":1,"encoding":"raw","pool":"` + idB + `","deletable":true}`:      `it has no "deletable"`,
		`{"position":1,"kind":"pool_created","pool":"` + strings.Repeat("0", 64) + `"}`:                                              "not zeros",
		`{"position":1,"kind":"register","blob":"` + idA + `","size":1,"encoding":"raw","digest":"` + strings.Repeat("0", 64) + `"}`: "without a digest",
		"{\"position\":1,\"kind\":\"epoch_started\x00\",\"epoch\":1}":                                                                "a kind of event",
		`{"position":1,"kind":"epoch_started`:                                                                                        "the end of a string",
		`{"position":1,"kind":"epoch_started","epoch":1}` + strings.Repeat(" ", event.MaxLine):                                       "more than 4096 bytes",
	} {
		e, err := event.ParseLine([]byte(line))
		if !errors.Is(err, event.ErrMalformed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v; want %q", line, e, err, says)
		}
	}
}

func TestHeaders(t *testing.T) {
	for line, want := range map[string]event.Header{
		`{"network":"main"}`:                {Network: "main"},
		` { "tip" : 12 , "network" : "m" }`: {Network: "m", Tip: 12},
		`{"network":"a\u0062\n"}`:           {Network: "ab\n"},
	} {
		h, is, err := event.ParseHeader([]byte(line))
		if err != nil || !is || h != want {
			t.Errorf("%s: %+v, %v, %v", line, h, is, err)
		}
		raw, err := event.AppendHeader(nil, h)
		if back, _, again := event.ParseHeader(bytes.TrimSuffix(raw, []byte{'\n'})); err != nil || again != nil || back != h {
			t.Errorf("%s: written as %s, read as %+v", line, raw, back)
		}
	}
	for _, line := range []string{
		`{"network":"a","network":"a"}`, `{"network":1}`, `{"network":""}`, `{"tip":1}`, `{"network":"a","position":1}`, `{"network":"a"`,
	} {
		if h, is, err := event.ParseHeader([]byte(line)); !is || !errors.Is(err, event.ErrMalformed) {
			t.Errorf("%s: %+v, %v, %v", line, h, is, err)
		}
	}
	for _, line := range []string{`{"position":1,"network":"a"}`, `{}`, `x`, ``} {
		if h, is, err := event.ParseHeader([]byte(line)); is || err != nil {
			t.Errorf("%s is a header: %+v, %v", line, h, err)
		}
	}
}

// TestHistoriesSurviveBothForms also flips every bit of a binary form.
func TestHistoriesSurviveBothForms(t *testing.T) {
	for _, e := range eventtest.New(11, "main").Take(3000) {
		line := event.AppendLine(nil, &e)
		if back, err := event.ParseLine(line[:len(line)-1]); err != nil || back != e {
			t.Fatalf("%sis read as %+v, %v", line, back, err)
		}
		if !json.Valid(line) || len(line) > event.MaxLine {
			t.Fatalf("%d bytes, or no JSON: %s", len(line), line)
		}
		raw := event.AppendBinary(nil, &e)
		if back, err := event.ParseBinary(raw); err != nil || back != e {
			t.Fatalf("%+v is read as %+v, %v", e, back, err)
		}
		if e.Position%100 != 0 {
			continue
		}
		for bit := range len(raw) * 8 {
			bad := bytes.Clone(raw)
			bad[bit/8] ^= 1 << (bit % 8)
			if _, err := event.ParseBinary(bad); !errors.Is(err, event.ErrMalformed) {
				t.Fatalf("bit %d of %x: %v", bit, raw, err)
			}
		}
		for n := range raw {
			if _, err := event.ParseBinary(raw[:n]); !errors.Is(err, event.ErrMalformed) {
				t.Fatalf("%d bytes of %x: %v", n, raw, err)
			}
		}
	}
}
