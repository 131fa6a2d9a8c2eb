package checkpoint

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// goldenBytes returns a frozen value of version 1.
func goldenBytes(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// allocated is what the process has allocated so far, in bytes.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// maxDecoding bounds what one value may make the decoder allocate, in bytes: a slot's
// longest content, twice.
const maxDecoding = 2 * maxContent

// Every flipped bit of the frozen values and slot, and of a record in which every field
// is set, is damage; so is every truncation. Nothing is allocated beyond bounds for it.
func TestEveryFlippedBitIsRejected(t *testing.T) {
	first, full := mustImage(t, recordtest.First(), order{run: 7, seq: 42}), mustImage(t, recordtest.Full(), order{run: 7, seq: 42})
	head := func(b []byte) error { _, err := decodeHead(b); return err }
	list := func(sum listSum) func([]byte) error {
		return func(b []byte) error { _, err := decodeEntries(b, sum); return err }
	}
	slot := func(b []byte) error { _, _, err := readSlot(bytes.NewReader(b)); return err }
	tried := uint64(0)
	for name, c := range map[string]struct {
		value  []byte
		decode func([]byte) error
	}{
		"head": {full.head, head}, "list": {full.list, list(full.h.list)}, "slot": {encodeSlot(full), slot},
		"golden head": {goldenBytes(t, "head-v1"), head}, "golden list": {goldenBytes(t, "list-v1"), list(first.h.list)},
		"golden list with replacements": {goldenBytes(t, "list-v1-replace"), list(full.h.list)}, "golden slot": {goldenBytes(t, "slot-v1"), slot},
	} {
		if err := c.decode(c.value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		refuse := func(how string, b []byte) {
			tried++
			before := allocated()
			if err := c.decode(b); !isDamage(err) {
				t.Fatalf("%s, %s: %v", name, how, err)
			}
			if took := allocated() - before; took > maxDecoding {
				t.Fatalf("%s, %s: %d bytes were allocated", name, how, took)
			}
		}
		for i := range 8 * len(c.value) {
			b := slices.Clone(c.value)
			b[i/8] ^= 1 << (i % 8)
			refuse(fmt.Sprintf("bit %d flipped", i), b)
		}
		for n := 1; n < len(c.value); n++ {
			refuse(fmt.Sprintf("cut to %d bytes", n), c.value[:n])
		}
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every flipped bit and truncation of the checkpoint's values and slots, frozen ones too", Tried: tried, Unit: "corruptions",
		Detail: "all are damage",
	})
}

// Whichever bit of a slot is flipped and wherever it is cut, the other slot is read, and
// what is wrong with this one is said; a slot that was emptied or removed is missed by
// whoever holds the lock. Both damaged is nothing, loudly; the database stands by itself.
//
// Hazard 15: a damaged newest record falls back one generation, which is told.
func TestEveryFlippedBitOfTheMirror(t *testing.T) {
	l := newLife(t, 4, 20, 3)
	dir := filepath.Join(t.TempDir(), "state")
	writeAll(t, dir, map[string][]byte{string(SourceMirrorA): l.files[string(SourceMirrorA)], string(SourceMirrorB): l.files[string(SourceMirrorB)]})
	tried := uint64(0)
	for i, name := range slotSources() {
		other := slotSources()[1-i]
		good := content(t, l, name)
		f, err := os.OpenFile(filepath.Join(dir, string(name)), os.O_RDWR, 0)
		must(t, err)
		fallsBack := func(how string, args ...any) {
			tried++
			how = fmt.Sprintf(how, args...)
			r, report, err := ReadMirror(dir)
			want := l.saved[report.Seq]
			if diff := recordtest.Diff(want, r); err != nil || report.Source != other || diff != "" {
				t.Fatalf("%s, %s: %v, read from %s\n%s", name, how, err, report.Source, diff)
			}
			if len(report.Damage) != 1 || report.Damage[0].File != string(name) || !strings.Contains(report.Note(), string(name)+": ") {
				t.Fatalf("%s, %s: reported as %+v", name, how, report)
			}
		}
		for bit := range 8 * len(good) {
			at := int64(bit / 8)
			_, err := f.WriteAt([]byte{good[at] ^ 1<<(bit%8)}, at)
			must(t, err)
			fallsBack("bit %d flipped", bit)
			_, err = f.WriteAt(good[at:at+1], at)
			must(t, err)
		}
		for n := len(good) - 1; n > 0; n-- {
			must(t, f.Truncate(int64(n)))
			fallsBack("cut to %d bytes", n)
		}
		must(t, errors.Join(f.Close(), os.WriteFile(filepath.Join(dir, string(name)), l.files[string(name)], fileMode)))
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every flipped bit and truncation of either slot of the mirror", Tried: tried, Unit: "corruptions",
		Detail: "each time the other slot was used, and the damage said",
	})
}

// content returns a slot without what an older, longer record left behind it.
func content(t *testing.T, l life, name Source) []byte {
	t.Helper()
	b := l.files[string(name)]
	n, ok := valueLen(b[slotHeader:])
	if list, more := valueLen(b[slotHeader+n:]); more {
		n += list
	}
	_, whole, err := readSlot(bytes.NewReader(b[:slotHeader+n]))
	if !ok || !whole || err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b[:slotHeader+n]
}

// What cannot be seen in a slot itself: it is empty, or gone, or holds what was written
// long before, or what belongs into the other one.
func TestSlotThatLostItsWrites(t *testing.T) {
	l := newLife(t, 4, 20, 3)
	early := newLife(t, 4, 10, 3)
	for _, name := range slotSources() {
		other := SourceMirrorB
		if name == SourceMirrorB {
			other = SourceMirrorA
		}
		for how, c := range map[string]struct {
			data []byte
			want string
		}{
			"emptied":           {[]byte{}, "although write"},
			"removed":           {nil, "although write"},
			"long before":       {early.files[string(name)], "although write"},
			"of the other slot": {l.files[string(other)], "belongs into the other slot"},
		} {
			dir := filepath.Join(t.TempDir(), "state")
			writeAll(t, dir, l.files)
			path := filepath.Join(dir, string(name))
			must(t, os.WriteFile(path, c.data, fileMode))
			if c.data == nil {
				must(t, os.Remove(path))
			}
			d, err := Describe(dir)
			if diff := recordtest.Diff(l.newest, d.Record); err != nil || diff != "" || len(d.Damage) != 1 || d.Damage[0].File != string(name) || !strings.Contains(d.Damage[0].Why, c.want) {
				t.Errorf("%s %s: %v, %+v\n%s", name, how, err, d.Damage, diff)
			}
			s := mustOpenFast(t, dir)
			got, report, err := s.Load()
			if diff := recordtest.Diff(l.newest, got); err != nil || diff != "" || report.Note() == "" {
				t.Errorf("%s %s: %v, %+v\n%s", name, how, err, report, diff)
			}
			goesOn(t, s, dir)
		}
	}
}

// Crashes at any step, of saves and of the openings after them, are not taken for writes
// that were lost.
func TestCrashesLoseNoWriteThatIsMissed(t *testing.T) {
	deaths := 0
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 5))
		dir, h := filepath.Join(t.TempDir(), "state"), recordtest.NewHistory(seed, 3)
		for life := range 6 {
			f := &faultFS{failAt: 1 + rng.IntN(60), kind: faultKind(rng.IntN(3)), err: syscall.EIO}
			s, err := open(Config{Dir: dir}, f.fsys())
			for err == nil {
				step := h.Next()
				if p, last := step.Record.Progress, s.ledger.last.h; p != nil && p.Run < last.lastRun+1 {
					p.Run = last.lastRun
					if last.progress == nil {
						p.Run++
					}
				}
				err = s.save(step.Record, step.Less)
			}
			if s != nil {
				must(t, s.Close())
			}
			if deaths++; !errors.Is(err, syscall.EIO) && !errors.Is(err, errDead) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if d, err := Describe(dir); errors.Is(err, os.ErrNotExist) {
				continue
			} else if err != nil || strings.Contains(d.Note(), "although write") {
				t.Fatalf("seed %d, life %d, which died at step %d: %v, %s", seed, life, f.failAt, err, d.Note())
			}
		}
	}
	if deaths < 500 {
		t.Errorf("only %d crashes", deaths)
	}
}

// With nothing to go on from, every copy is named, an emptied slot too. The loss is said
// again after a start that was killed before anything was saved, unless what is left
// looks like a first start.
func TestNothingCanBeRead(t *testing.T) {
	l := newLife(t, 4, 20, 3)
	a, b := string(SourceMirrorA), string(SourceMirrorB)
	for how, c := range map[string]struct {
		emptied []string // the others have a flipped bit
		again   bool
	}{
		"all damaged":         {nil, true},
		"a database emptied":  {[]string{databaseName}, true},
		"one slot emptied":    {[]string{b}, false},
		"another one emptied": {[]string{a}, false},
		"both slots emptied":  {[]string{a, b}, false},
	} {
		files := map[string][]byte{}
		for name, data := range l.files {
			files[name] = slices.Clone(data)
			files[name][20] ^= 1
			if slices.Contains(c.emptied, name) {
				files[name] = nil
			}
		}
		dir := filepath.Join(t.TempDir(), "state")
		writeAll(t, dir, files)
		for start := range 2 {
			s := mustOpenFast(t, dir)
			r, report, err := s.Load()
			must(t, errors.Join(err, s.Close()))
			said := strings.Contains(report.Note(), "no progress could be read")
			if r.Progress != nil || said != (start == 0 || c.again) {
				t.Errorf("%s, start %d: %+v", how, start, report)
			}
			for name := range files {
				if start == 0 && !strings.Contains(report.Note(), name+": ") {
					t.Errorf("%s: %s is not named: %s", how, name, report.Note())
				}
			}
		}
	}
}

// Both slots damaged: with a database nothing is lost, without one nothing can be read;
// neither is silent.
func TestBothSlotsDamaged(t *testing.T) {
	l := newLife(t, 4, 20, 3)
	a, b := content(t, l, SourceMirrorA), content(t, l, SourceMirrorB)
	dir := filepath.Join(t.TempDir(), "state")
	writeAll(t, dir, l.files)
	tried := uint64(0)
	for at := range min(len(a), len(b)) {
		for name, good := range map[Source][]byte{SourceMirrorA: a, SourceMirrorB: b} {
			bad := slices.Clone(good)
			bad[at] ^= 1 << (at % 8)
			must(t, os.WriteFile(filepath.Join(dir, string(name)), bad, fileMode))
		}
		tried++
		r, report, err := ReadMirror(dir)
		if err != nil || r.Progress != nil || report.Source != SourceNone || report.Fallbacks != 2 || len(report.Damage) != 2 || !strings.Contains(report.Note(), "no progress could be read") {
			t.Fatalf("byte %d of both: %v, %+v", at, err, report)
		}
		if at%16 > 0 {
			continue
		}
		d, err := Describe(dir)
		if diff := recordtest.Diff(l.newest, d.Record); err != nil || diff != "" || d.Source != SourceDatabase || len(d.Damage) != 2 {
			t.Fatalf("byte %d of both, beside a database: %v, %+v\n%s", at, err, d.LoadReport, diff)
		}
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "both slots of the mirror damaged at once", Tried: tried, Unit: "corruptions",
		Detail: "nothing is read from it, which is said; the database stands by itself",
	})
}
