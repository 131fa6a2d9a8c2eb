package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
)

// sample makes a file with branches, pages of overflow, an inline bucket, an empty one
// and free pages, and returns its bytes and its content as bbolt reads it.
func sample(t *testing.T) (file []byte, content []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, _, err := Open(path, 0o600, 0)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		if err := db.Update(func(tx *bbolt.Tx) error { return fill(tx, round) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				content = append(content, fmt.Sprintf("%s %x %x", name, key, value))
				return nil
			})
		})
	}); err != nil {
		t.Fatal(err)
	}
	if err := Close(db, nil, false); err != nil {
		t.Fatal(err)
	}
	if file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return file, content
}

func fill(tx *bbolt.Tx, round int) error {
	for name, keys := range map[string]int{"empty": 0, "inline": 2, "tree": 3_000} {
		b, err := tx.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		for i := round; i < keys; i += 2 {
			key := binary.BigEndian.AppendUint32(nil, uint32(i*7))
			size := 20
			if i%500 == 0 && keys > 2 {
				size = 3 * PageSize
			}
			if err := b.Put(key, bytes.Repeat([]byte{byte(round)}, size)); err != nil {
				return err
			}
		}
	}
	return nil
}

func walk(file []byte) (content []string, txid uint64, err error) {
	txid, err = Walk(bytes.NewReader(file), int64(len(file)), func(bucket, key, value []byte) error {
		content = append(content, fmt.Sprintf("%s %x %x", bucket, key, value))
		return nil
	})
	return content, txid, err
}

func TestWalkVisitsWhatBoltReads(t *testing.T) {
	file, want := sample(t)
	got, txid, err := walk(file)
	if diff := cmp.Diff(want, got); err != nil || diff != "" || len(want) < 3_000 {
		t.Errorf("%v, %d values (-bbolt +walk):\n%s", err, len(want), diff)
	}
	if txid != 6 { // bbolt begins with 1, its first page's transaction
		t.Errorf("transaction %d, want 6", txid)
	}
}

// Whatever is changed among the pages in use, the walk ends; it refuses the file, or
// the change was in a key's or a value's bytes, which prove themselves.
func TestWalkOfDamagedPages(t *testing.T) {
	file, want := sample(t)
	refused := 0
	for seed := range uint64(2_000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := slices.Clone(file)
		page := rng.IntN(len(b)/PageSize) * PageSize
		switch rng.IntN(3) {
		case 0:
			b[page+rng.IntN(80)] ^= 1 << rng.IntN(8)
		case 1:
			copy(b[page:page+PageSize], file[rng.IntN(len(b)/PageSize)*PageSize:])
		default:
			b = b[:page+rng.IntN(PageSize)]
		}
		got := 0
		_, err := Walk(bytes.NewReader(b), int64(len(b)), func(_, _, _ []byte) error { got++; return nil })
		var d *Damage
		switch {
		case errors.As(err, &d):
			refused++
		case err != nil:
			t.Fatalf("seed %d: not damage: %v", seed, err)
		case got != len(want):
			t.Fatalf("seed %d: %d values of %d, and nothing said", seed, got, len(want))
		}
	}
	if refused < 1_000 {
		t.Errorf("only %d of 2,000 damaged files were refused", refused)
	}
}

// A disk that cannot be read is not a damaged file (hazard 43), and the visitor's
// error is its own.
func TestWalkReturnsErrorsOfOthers(t *testing.T) {
	file, _ := sample(t)
	for failAt := 0; ; failAt++ {
		r := &failing{data: bytes.NewReader(file), failAt: failAt}
		_, err := Walk(r, int64(len(file)), func(_, _, _ []byte) error { return nil })
		if r.reads <= failAt {
			break
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("read %d: %v", failAt, err)
		}
	}
	stop := errors.New("stop")
	if _, err := Walk(bytes.NewReader(file), int64(len(file)), func(_, _, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the visitor's error became %v", err)
	}
}

type failing struct {
	data          *bytes.Reader
	reads, failAt int
}

func (r *failing) ReadAt(b []byte, off int64) (int, error) {
	if r.reads++; r.reads > r.failAt {
		return 0, syscall.EIO
	}
	return r.data.ReadAt(b, off)
}

// A fault in memory that is mapped, and a panic, are errors.
func TestGuard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(path, make([]byte, 2*PageSize), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped, err := syscall.Mmap(int(f.Fd()), 0, 2*PageSize, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(mapped) }()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	if err := Guard(func() error { sum += mapped[PageSize]; return nil }); !errors.Is(err, ErrPanicked) {
		t.Errorf("a fault: %v", err)
	}
	if err := Guard(func() error { panic("x") }); !errors.Is(err, ErrPanicked) || sum != 0 {
		t.Errorf("a panic: %v", err)
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, file, err := Open(path, 0o600, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path, 0o600, 1); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	// After a panic only the file can be closed, and that is enough for others.
	if err := Close(db, file, true); err != nil {
		t.Fatal(err)
	}
	again, _, err := Open(path, 0o600, 1)
	if err != nil {
		t.Fatalf("the lock was kept: %v", err)
	}
	if err := Close(again, nil, false); err != nil {
		t.Fatal(err)
	}
}

// Whatever a file holds, behind right checksums of its meta pages: the walk ends, and
// what is wrong with the file is damage.
func FuzzWalk(f *testing.F) {
	path := filepath.Join(f.TempDir(), "x.db")
	db, _, err := Open(path, 0o600, 0)
	if err != nil {
		f.Fatal(err)
	}
	for round := range 3 {
		if err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte{byte(round)})
			if err != nil {
				return err
			}
			return b.Put([]byte("key"), bytes.Repeat([]byte{1}, round*PageSize))
		}); err != nil {
			f.Fatal(err)
		}
	}
	if err := Close(db, nil, false); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	if _, _, err := walk(file); err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Fuzz(func(t *testing.T, given []byte) {
		b := slices.Clone(given)
		for at := 0; at <= PageSize; at += PageSize {
			if len(b) >= at+pageHeader+metaLen {
				meta, sum := b[at+pageHeader:], fnv.New64a()
				sum.Write(meta[:metaSummed])
				binary.NativeEndian.PutUint64(meta[metaSummed:], sum.Sum64())
			}
		}
		var d *Damage
		if _, _, err := walk(b); err != nil && !errors.As(err, &d) {
			t.Fatal(err)
		}
	})
}
