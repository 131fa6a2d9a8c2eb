package walrus_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

// sampleInA is the sample with what only layout A has.
func sampleInA() walrustest.Snapshot {
	s := walrustest.Sample()
	s.Header.Previous = walrustest.Last(9)
	s.Header.Chunk, s.Header.Chunks = 1, 3
	return s
}

// The documented sample of layout B decodes to its entries and has its digest.
func TestSampleB(t *testing.T) {
	raw := readFile(t, sampleB)
	want := walrustest.Sample()
	want.Header.Layout = walrus.B
	got, digest, err := read(raw)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if len(raw) != 567 || digest != sampleDigestB {
		t.Errorf("%d bytes with digest %016x, want 567 with %016x", len(raw), digest, uint64(sampleDigestB))
	}
	if again := want.Encode(walrus.B); !bytes.Equal(again, raw) {
		t.Errorf("the writer of the tests gives other bytes:\n%x", again)
	}
}

func TestSampleA(t *testing.T) {
	want := sampleInA()
	if _, err := os.Stat(sampleA); *update && os.IsNotExist(err) {
		if err := os.WriteFile(sampleA, want.Encode(walrus.A), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw := readFile(t, sampleA)
	want.Header.Layout = walrus.A
	got, digest, err := read(raw)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if digest != sampleDigestA {
		t.Errorf("digest %016x, want %016x", digest, uint64(sampleDigestA))
	}
	// Without the event that a header of layout A may do without.
	want.Header.HasEvent, want.Header.Event = false, walrus.EventID{}
	got, _, err = read(want.Encode(walrus.A))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("no event: error %v (-want +got):\n%s", err, diff)
	}
}

func TestEmptySections(t *testing.T) {
	for _, l := range []walrus.Layout{walrus.A, walrus.B} {
		want := walrustest.Snapshot{Header: walrustest.Sample().Header}
		want.Header.Layout = l
		got, _, err := read(want.Encode(l))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v: error %v (-want +got):\n%s", l, err, diff)
		}
	}
}

// Each flipped bit of a file of layout A is refused. Layout B has no sum: what is
// not refused has another digest, and nothing else tells.
func TestEveryBitFlip(t *testing.T) {
	tried, passed := map[string]uint64{}, 0
	for _, path := range []string{sampleA, sampleB} {
		raw := readFile(t, path)
		_, good, err := read(raw)
		if err != nil {
			t.Fatal(err)
		}
		unnoticed := 0
		for bit := range 8 * len(raw) {
			bad := slices.Clone(raw)
			bad[bit/8] ^= 1 << (bit % 8)
			tried[path]++
			_, digest, err := read(bad)
			switch {
			case err != nil && !refusal(err):
				t.Errorf("%s, bit %d of byte %d: error %v", path, bit%8, bit/8, err)
			case err == nil && path == sampleA:
				t.Errorf("%s, bit %d of byte %d: accepted", path, bit%8, bit/8)
			case err == nil && digest == good:
				t.Errorf("%s, bit %d of byte %d: accepted with the same digest", path, bit%8, bit/8)
			case err == nil:
				unnoticed++
			}
		}
		if path == sampleB && unnoticed == 0 {
			t.Error("nothing shows what layout B cannot notice")
		}
		passed += unnoticed
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every flipped bit of a Walrus snapshot of layout A", Tried: tried[sampleA], Unit: "corruptions",
		Detail: "all are refused",
	})
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every flipped bit of a Walrus snapshot of layout B, which has no checksum", Tried: tried[sampleB], Unit: "corruptions",
		Detail: fmt.Sprintf("%d are not refused by the reader, and each of these has another digest, which is what nodes compare", passed),
	})
}

// Each truncation is refused, and so is each byte more.
func TestEveryTruncation(t *testing.T) {
	tried := uint64(0)
	for _, path := range []string{sampleA, sampleB} {
		raw := readFile(t, path)
		for n := range raw {
			tried++
			if _, _, err := read(raw[:n]); !refusal(err) {
				t.Errorf("%s cut to %d bytes: error %v", path, n, err)
			} else if c := corrupt(err); n >= 4 && (c == nil || c.Offset > int64(n)) {
				t.Errorf("%s cut to %d bytes: %v", path, n, err)
			}
		}
		for _, more := range [][]byte{{0}, {1}, raw[len(raw)-8:], raw} {
			if c := corrupt(errOf(slices.Concat(raw, more))); c == nil {
				t.Errorf("%s with %d bytes more is accepted", path, len(more))
			}
			tried++
		}
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every truncation of Walrus snapshots of both layouts, and bytes appended", Tried: tried, Unit: "corruptions",
		Detail: "all are refused",
	})
}

func errOf(raw []byte) error {
	_, _, err := read(raw)
	return err
}
