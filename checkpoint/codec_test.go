package checkpoint

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

func TestImageRoundTrip(t *testing.T) {
	evidence.Property(t, "codec: every record of a checkpoint is read back, and has one form", func(t *rapid.T) {
		h := recordtest.NewHistory(rapid.Uint64().Draw(t, "seed"), 50)
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			r := h.Next().Record
			var run uint64
			if r.Progress != nil {
				run = r.Progress.Run
			}
			img, err := newImage(r, order{run: run, seq: 5})
			if err != nil {
				t.Fatal(err)
			}
			s, err := decodeStored(img.head, img.list)
			if err != nil || s.lost != nil || s.order() != img.order || s.listState != ListWhole {
				t.Fatalf("decode: %v, %v, %v", err, s.lost, s.order())
			}
			if diff := recordtest.Diff(r, s.record()); diff != "" {
				t.Fatal(diff)
			}
			again, err := newImage(s.record(), img.order)
			if err != nil || !bytes.Equal(again.head, img.head) || !bytes.Equal(again.list, img.list) {
				t.Fatalf("the same record has other bytes (%v)", err)
			}
		}
	})
}

// The sample of the round trips must set every field, so that one that is new in
// the dictionary and forgotten here is found.
func TestEveryFieldIsStored(t *testing.T) {
	r := recordtest.Full()
	for _, v := range []any{r, *r.Progress, r.Progress.Fence, *r.Progress.Covered, r.Progress.Bound, r.Progress.Bound.Stamp,
		r.Progress.Counters, r.Progress.Origin, r.Progress.Unsettled[0]} {
		rv := reflect.ValueOf(v)
		for i := range rv.NumField() {
			if rv.Field(i).IsZero() {
				t.Errorf("%s.%s is zero in the sample", rv.Type(), rv.Type().Field(i).Name)
			}
		}
	}
	if n := reflect.TypeFor[recovery.Counters]().NumField(); n != len(counterFields(&recovery.Counters{})) {
		t.Errorf("%d counters, %d are stored", n, len(counterFields(&recovery.Counters{})))
	}
}

var update = flag.Bool("update", false, "rewrite golden files that do not exist yet")

// The bytes of a version never change: an older file must be read for ever.
func TestGoldenBytes(t *testing.T) {
	first, full := mustImage(t, recordtest.First(), order{run: 7, seq: 42}), mustImage(t, recordtest.Full(), order{run: 7, seq: 42})
	for name, got := range map[string][]byte{
		"head-v1": first.head, "list-v1": first.list, "slot-v1": encodeSlot(first), "list-v1-replace": full.list,
	} {
		path := filepath.Join("testdata", name+".hex")
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) && *update {
			text, err = []byte(hex.EncodeToString(got)), os.WriteFile(path, []byte(hex.EncodeToString(got)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got) != strings.TrimSpace(string(text)) {
			t.Errorf("%s: the encoding changed:\n got %x\nwant %s", name, got, text)
		}
	}
}

func TestNewerVersionIsNotDamage(t *testing.T) {
	img := mustImage(t, recordtest.Full(), order{run: 7, seq: 42})
	head := slices.Clone(img.head)
	head[5] = 2
	sealAgain(head)
	if _, err := decodeHead(head); !errors.Is(err, ErrVersion) || isDamage(err) {
		t.Errorf("a head of version 2: %v", err)
	}
	newer := img
	newer.head = head
	if _, _, err := readSlot(bytes.NewReader(encodeSlot(newer))); !errors.Is(err, ErrVersion) {
		t.Errorf("a slot with a head of version 2: %v", err)
	}
}

func TestSetsOfAllSizes(t *testing.T) {
	for _, set := range []shards.Set{{}, shards.SetOf(0), shards.SetOf(7), shards.SetOf(8), shards.SetOf(shards.MaxTotal - 1), shards.Range(0, shards.MaxTotal-1)} {
		var e encoder
		e.set(set)
		d := decoder{buf: e.buf}
		if got := d.set("set"); d.end() != nil || !got.Equal(set) {
			t.Errorf("%.40s came back as %.40s, %v", set, got, d.err)
		}
	}
}

func TestTimesThatNoCalendarShows(t *testing.T) {
	for _, c := range []struct{ in, want time.Time }{
		{time.Time{}, time.Time{}},
		{time.Unix(1<<62, 0), time.Time{}},
		{time.Unix(-1<<62, 0), time.Time{}},
		{time.Unix(-1, 999_999_999), time.Unix(-1, 999_999_999)},
		{time.Unix(timeMax, 999_999_999), time.Unix(timeMax, 999_999_999)},
	} {
		var e encoder
		e.time(c.in)
		d := decoder{buf: e.buf}
		if got := d.time("time"); d.end() != nil || !got.Equal(c.want) {
			t.Errorf("%v came back as %v, %v", c.in, got, d.err)
		}
	}
}

func TestLargestHeadFitsIntoASlot(t *testing.T) {
	r := recordtest.Full()
	p := r.Progress
	long := func(n int) string { return strings.Repeat("x", n) }
	p.Fence.Network, p.Bound.Network, p.Covered.Network = long(maxNetwork), long(maxNetwork), long(maxNetwork)
	p.Fence.Continuity, p.Fence.Store, p.Fence.Owned = long(shards.MaxContinuity), long(maxStore), shards.Range(0, shards.MaxTotal-1)
	p.Origin.Decision, p.Origin.Why = recovery.DecisionKind(long(maxDecision)), long(2*maxWhy)
	img := mustImage(t, r, order{run: 7, seq: 1})
	img.list = make([]byte, maxContent)
	slot := encodeSlot(img)
	if s, ok, err := readSlot(bytes.NewReader(slot)); err != nil || !ok || s.listState != ListOmitted {
		t.Errorf("a slot of %d bytes: %v, %v", len(slot), s.listState, err)
	}
}

// I4: a list that can't be read is dropped only together with covered and what
// was scanned above the cursor.
func TestLostListIsNotAnEmptyOne(t *testing.T) {
	img := mustImage(t, recordtest.Full(), order{run: 7, seq: 42})
	empty := recordtest.Full()
	empty.Progress.Unsettled = nil
	other := mustImage(t, empty, order{run: 7, seq: 42})
	for name, c := range map[string]struct {
		list []byte
		want ListState
	}{
		"omitted":           {nil, ListOmitted},
		"damaged":           {img.list[:40], ListLost},
		"gone":              {[]byte{}, ListLost},
		"the empty list":    {other.list, ListLost},
		"whole, of another": {mustImage(t, oneEntry(), order{run: 7, seq: 41}).list, ListLost},
	} {
		s, err := decodeStored(img.head, c.list)
		if err != nil || s.listState != c.want {
			t.Errorf("%s: %v, %v", name, s.listState, err)
			continue
		}
		p, was := s.resumable().Progress, recordtest.Full().Progress
		if p.Covered != nil || p.Scan != was.Cursor || p.Cursor != was.Cursor || p.Unsettled != nil {
			t.Errorf("%s: work goes on from %+v", name, p)
		}
	}
	for name, list := range map[string][]byte{"there": other.list, "omitted": nil, "damaged": {1}} {
		s, err := decodeStored(other.head, list)
		if err != nil || s.listState != ListWhole || recordtest.Diff(empty, s.resumable()) != "" {
			t.Errorf("an empty list, %s: %v, %v", name, s.listState, err)
		}
	}
}

func oneEntry() recovery.Record {
	r := recordtest.Full()
	r.Progress.Unsettled = r.Progress.Unsettled[:1]
	return r
}

func FuzzDecodeHead(f *testing.F) {
	h := recordtest.NewHistory(1, 3)
	for range 10 {
		r := h.Next().Record
		var run uint64
		if r.Progress != nil {
			run = r.Progress.Run
		}
		f.Add(mustImage(f, r, order{run: run, seq: 3}).head)
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		value := slices.Clone(given)
		sealAgain(value)
		h, err := decodeHead(value)
		if err != nil {
			if !isDamage(err) && !errors.Is(err, ErrVersion) {
				t.Errorf("neither damage nor a version: %v", err)
			}
			return
		}
		if again := encodeHead(h); !bytes.Equal(again, value) {
			t.Errorf("%x was read as the same as %x", value, again)
		}
	})
}

func FuzzDecodeEntries(f *testing.F) {
	h := recordtest.NewHistory(1, 5)
	for range 10 {
		if p := h.Next().Record.Progress; p != nil {
			value, sum, err := encodeEntries(p.Unsettled)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(value, sum.entries)
		}
	}
	f.Fuzz(func(t *testing.T, given []byte, entries int) {
		value := slices.Clone(given)
		sealAgain(value)
		sum := listSum{entries: entries, size: len(value), digest: sha(value)}
		list, err := decodeEntries(value, sum)
		if err != nil {
			if !isDamage(err) && !errors.Is(err, ErrVersion) {
				t.Errorf("neither damage nor a version: %v", err)
			}
			return
		}
		again, _, err := encodeEntries(list)
		if err != nil || !bytes.Equal(again, value) {
			t.Errorf("%x was read as the same as %x (%v)", value, again, err)
		}
	})
}

func FuzzReadSlot(f *testing.F) {
	h := recordtest.NewHistory(1, 3)
	for range 10 {
		r := h.Next().Record
		var run uint64
		if r.Progress != nil {
			run = r.Progress.Run
		}
		f.Add(encodeSlot(mustImage(f, r, order{run: run, seq: 3})))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		slot := slices.Clone(given)
		if len(slot) >= slotHeader {
			sealSlotAgain(slot)
		}
		s, ok, err := readSlot(bytes.NewReader(slot))
		switch {
		case err != nil && !isDamage(err) && !errors.Is(err, ErrVersion):
			t.Errorf("neither damage nor a version: %v", err)
		case ok != (err == nil && len(slot) > 0):
			t.Errorf("ok is %v for %d bytes, %v", ok, len(slot), err)
		case ok && s.progress == nil && s.list.entries > 0:
			t.Error("a list without progress")
		}
	})
}
