package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
)

// bbolt's structures, as far as these tests spoil them.
const (
	pageHeader   = 16 // id u64, flags u16, count u16, overflow u32
	leafElement  = 16
	metaLen      = 64
	metaSummed   = metaLen - 8 // what the checksum covers
	flagLeaf     = 0x02
	flagFreelist = 0x10
)

func countOf(page []byte) uint16 { return binary.NativeEndian.Uint16(page[10:]) }

// life is a state directory as a worker left it, and all that was ever saved.
type life struct {
	files  map[string][]byte
	saved  map[uint64]recovery.Record // by sequence
	newest recovery.Record
}

// newLife lets a store live through a history.
func newLife(t testing.TB, seed uint64, writes, longest int) life {
	t.Helper()
	dir := t.TempDir()
	s, err := open(Config{Dir: dir}, (&faultFS{}).fsys())
	if err != nil {
		t.Fatal(err)
	}
	l := life{saved: map[uint64]recovery.Record{}, files: map[string][]byte{}}
	h := recordtest.NewHistory(seed, longest)
	for i := 0; i < writes || l.newest.Progress == nil; i++ {
		step := h.Next()
		if err := s.save(step.Record, step.Less); err != nil {
			t.Fatal(err)
		}
		l.newest = step.Record
		l.saved[s.report.Seq] = step.Record
		if p, err := s.ledger.plan(step.Record, step.Less); err == nil && p.less {
			l.saved[s.report.Seq-1] = step.Record
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{databaseName, string(SourceMirrorA), string(SourceMirrorB)} {
		if l.files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// corrupt returns a damaged copy of a database, and says how.
func corrupt(rng *rand.Rand, db []byte) ([]byte, string) {
	b := slices.Clone(db)
	pages := len(b) / boltfile.PageSize
	used := min(pages, int(binary.NativeEndian.Uint64(newestMetaOf(b)[40:]))+1)
	at := rng.IntN(used) * boltfile.PageSize
	page := func(i int) []byte { return b[i*boltfile.PageSize : (i+1)*boltfile.PageSize] }
	i, j := rng.IntN(used), rng.IntN(used)
	switch rng.IntN(8) {
	case 0:
		off := at + rng.IntN(boltfile.PageSize)
		b[off] ^= 1 << rng.IntN(8)
		return b, fmt.Sprintf("bit flipped at %d", off)
	case 1: // where bbolt's own structures are
		off := at + rng.IntN(pageHeader+metaLen)
		b[off] = byte(rng.Uint32())
		return b, fmt.Sprintf("byte changed at %d", off)
	case 2:
		off, n := rng.IntN(len(b)), rng.IntN(3*boltfile.PageSize)
		clear(b[off:min(len(b), off+n)])
		return b, fmt.Sprintf("%d bytes zeroed at %d", n, off)
	case 3:
		n := rng.IntN(len(b))
		return b[:n], fmt.Sprintf("cut to %d bytes", n)
	case 4:
		return append(b, bytes.Repeat([]byte{0xA5}, 1+rng.IntN(3*boltfile.PageSize))...), "junk appended"
	case 5:
		first := slices.Clone(page(i))
		copy(page(i), page(j))
		copy(page(j), first)
		return b, fmt.Sprintf("pages %d and %d swapped", i, j)
	case 6:
		copy(page(i), page(j))
		binary.NativeEndian.PutUint64(page(i), uint64(i))
		return b, fmt.Sprintf("page %d overwritten with %d, under its own number", i, j)
	default: // a meta page that is intact and points elsewhere
		m := page(rng.IntN(2))[pageHeader:]
		field := 8 * rng.IntN(5)
		binary.NativeEndian.PutUint64(m[8+field:], rng.Uint64N(uint64(2*pages)))
		sealMetas(b)
		return b, fmt.Sprintf("meta field %d changed", field)
	}
}

// sealMetas makes the checksums of both meta pages right.
func sealMetas(b []byte) {
	for i := range 2 {
		start := i*boltfile.PageSize + pageHeader
		if len(b) < start+metaLen {
			return
		}
		m := b[start:]
		sum := fnv.New64a()
		sum.Write(m[:metaSummed])
		binary.NativeEndian.PutUint64(m[metaSummed:], sum.Sum64())
	}
}

func TestScanReadsWhatWasWritten(t *testing.T) {
	for seed := range uint64(6) {
		l := newLife(t, seed, 30, []int{0, 3, 30, 300, 900, 3}[seed])
		s := scanBytes(t, l.files[databaseName])
		if diff := recordtest.Diff(l.newest, s.record()); diff != "" {
			t.Errorf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
}

// A freelist that is longer than a page's count can say begins with its length.
func TestScanReadsALongFreelist(t *testing.T) {
	l := newLife(t, 1, 10, 3)
	db := l.files[databaseName]
	const more = 0x10010 // pages
	highWater := binary.NativeEndian.Uint64(newestMetaOf(db)[40:])
	b := make([]byte, (highWater+more)*boltfile.PageSize) // hardly any of it is touched
	copy(b, db)
	var free []uint64
	old := b[boltfile.PageSize*binary.NativeEndian.Uint64(newestMetaOf(b)[32:]):]
	for i := range uint64(countOf(old)) {
		free = append(free, binary.NativeEndian.Uint64(old[pageHeader+8*i:]))
	}
	free = append(free, binary.NativeEndian.Uint64(old))
	slices.Sort(free)
	const overflow = (more + 100) * 8 / boltfile.PageSize
	for id := highWater + overflow + 1; id < highWater+more; id++ {
		free = append(free, id)
	}
	page := b[highWater*boltfile.PageSize:]
	binary.NativeEndian.PutUint64(page, highWater)
	binary.NativeEndian.PutUint16(page[8:], flagFreelist)
	binary.NativeEndian.PutUint16(page[10:], 0xFFFF)
	binary.NativeEndian.PutUint32(page[12:], overflow)
	for i, v := range append([]uint64{uint64(len(free))}, free...) {
		binary.NativeEndian.PutUint64(page[pageHeader+8*i:], v)
	}
	m := newestMetaOf(b)
	binary.NativeEndian.PutUint64(m[32:], highWater)
	binary.NativeEndian.PutUint64(m[40:], highWater+more)
	sealMetas(b)
	if diff := recordtest.Diff(l.newest, scanBytes(t, b).record()); diff != "" {
		t.Error(diff)
	}
	binary.NativeEndian.PutUint64(page[pageHeader:], 1<<61)
	if _, _, err := scanPages(bytes.NewReader(b), int64(len(b))); !isDamage(err) {
		t.Errorf("a length beyond all bounds: %v", err)
	}
}

// newestMetaOf returns the newer meta of an intact database.
func newestMetaOf(b []byte) []byte {
	first, second := b[pageHeader:pageHeader+metaLen], b[boltfile.PageSize+pageHeader:boltfile.PageSize+pageHeader+metaLen]
	if binary.NativeEndian.Uint64(first[48:]) > binary.NativeEndian.Uint64(second[48:]) {
		return first
	}
	return second
}

// Whatever is wrong with a file, the scan returns; what it accepts is the newest
// record, and bbolt can work with it.
func TestScanOfDamagedPages(t *testing.T) {
	t.Parallel()
	const rounds = 3_000
	var lives []life
	for seed := range uint64(5) {
		lives = append(lives, newLife(t, seed, 40, []int{0, 3, 30, 300, 900}[seed]))
	}
	refused, opened := 0, 0
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 2))
		l := lives[seed%uint64(len(lives))]
		b, how := corrupt(rng, l.files[databaseName])
		head, list, err := scanPages(bytes.NewReader(b), int64(len(b)))
		if err != nil && !isDamage(err) {
			t.Fatalf("seed %d, %s: %v", seed, how, err)
		}
		var s stored
		if err == nil {
			s, err = decodeStored(head, list)
		}
		switch {
		case err != nil || s.lost != nil:
			refused++
		case !recordtest.Equal(l.newest, s.record()):
			t.Fatalf("seed %d, %s: an older record was found", seed, how)
		case !bytes.Equal(b, l.files[databaseName]) && opened < 80:
			opened++
			openWithBolt(t, b)
		}
	}
	if refused < rounds/4 || opened < 50 {
		t.Errorf("of %d damaged files %d were refused, %d opened: the test does not test", rounds, refused, opened)
	}
}

// openWithBolt hands a file to bbolt, writes to it and has bbolt check it.
func openWithBolt(t *testing.T, b []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), databaseName)
	if err := os.WriteFile(path, b, fileMode); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatalf("bbolt refuses a file that passed: %v", err)
	}
	defer db.Close()
	for range 3 {
		if err := db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketName).Put(listKey, make([]byte, 3*boltfile.PageSize))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt's check of a file that passed: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestScanReturnsOSErrors(t *testing.T) {
	l := newLife(t, 1, 10, 3)
	db := l.files[databaseName]
	for at := 1; ; at++ {
		r := &failingReader{data: bytes.NewReader(db), failAt: at}
		if _, _, err := scanPages(r, int64(len(db))); err == nil {
			break
		} else if isDamage(err) {
			t.Errorf("read %d: an EIO was taken for damage: %v", at, err)
		}
	}
}

type failingReader struct {
	data          *bytes.Reader
	reads, failAt int
}

func (r *failingReader) ReadAt(b []byte, off int64) (int, error) {
	if r.reads++; r.reads == r.failAt {
		return 0, syscall.EIO
	}
	return r.data.ReadAt(b, off)
}

func FuzzScanPages(f *testing.F) {
	for seed, longest := range []int{0, 2, 40} {
		db := newLife(f, uint64(seed), 12, longest).files[databaseName]
		highWater := binary.NativeEndian.Uint64(newestMetaOf(db)[40:])
		f.Add(db[:(highWater+1)*boltfile.PageSize])
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		b := slices.Clone(given)
		sealMetas(b)
		head, list, err := scanPages(bytes.NewReader(b), int64(len(b)))
		switch {
		case err != nil && !isDamage(err):
			t.Errorf("not damage: %v", err)
		case err == nil && (head == nil || list == nil):
			t.Error("fit, but without values")
		case err == nil:
			openWithBolt(t, b)
		}
	})
}

func scanBytes(t *testing.T, b []byte) stored {
	t.Helper()
	head, list, err := scanPages(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := decodeStored(head, list)
	if err != nil || s.lost != nil {
		t.Fatal(err, s.lost)
	}
	return s
}
