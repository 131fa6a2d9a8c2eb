package eventlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// damaged is a directory with a snapshot at 60 and events up to 100.
type damagedDir struct {
	cfg  Config
	seed uint64
	log  []byte // log.db as it should be
}

func newDamaged(t *testing.T) damagedDir {
	d := damagedDir{cfg: quiet(filepath.Join(tempDir(t), "catalog")), seed: 77}
	c := openIn(t, d.cfg)
	events := historyEvents(d.seed, 100)
	apply(t, c, events[:60])
	_, err := c.Snapshot(t.Context(), snapshot.Full)
	must(t, err)
	for i := 60; i < 100; i += 10 {
		apply(t, c, events[i:i+10])
		_, err := c.Pin(t.Context())
		must(t, err)
	}
	must(t, c.Close())
	d.log, err = os.ReadFile(d.path())
	must(t, err)
	return d
}

func (d damagedDir) path() string { return filepath.Join(d.cfg.Dir, logName) }

// edit changes the database with bbolt.
func (d damagedDir) edit(t *testing.T, fn func(*buckets) error) {
	t.Helper()
	must(t, os.WriteFile(d.path(), d.log, 0o600))
	db, err := openDatabase(d.path())
	must(t, err)
	must(t, change(db, fn))
	must(t, db.close(false))
}

// reopen opens the catalog and returns what was found, and where it stands.
func (d damagedDir) reopen(t *testing.T) Opened {
	t.Helper()
	c := openIn(t, d.cfg)
	defer c.Close()
	o := c.Opened()
	agrees(t, c, modelAt(d.seed, o.At.Position))
	sameState(t, c, modelAt(d.seed, o.At.Position))
	if o.Damage != nil {
		if o.SetAside == "" || !o.Rebuilt || o.At.Position != 60 {
			t.Fatalf("%+v", o)
		}
		must(t, os.Remove(o.SetAside))
	}
	return o
}

// TestTornTailIsCut: events that nothing was made of, whatever they are, go.
func TestTornTailIsCut(t *testing.T) {
	d := newDamaged(t)
	d.edit(t, func(b *buckets) error {
		return errors.Join(b.events.Put(positionKey(101), []byte("half an ev")), b.events.Put(positionKey(105), nil))
	})
	if o := d.reopen(t); o.Torn != 2 || o.At.Position != 100 || o.Damage != nil {
		t.Errorf("%+v", o)
	}
	if o := d.reopen(t); o.Torn != 0 || o.At.Position != 100 {
		t.Errorf("the second time: %+v", o)
	}
	c := open(t, d.cfg)
	apply(t, c, historyEvents(d.seed, 120))
	agrees(t, c, modelAt(d.seed, 120))
}

// TestHoleAmongEvents: an event that is missing, or is not what it was, is named by
// its number, and the state is not built upon.
func TestHoleAmongEvents(t *testing.T) {
	d := newDamaged(t)
	remove := func(numbers ...uint64) func(*buckets) error {
		return func(b *buckets) (err error) {
			for _, n := range numbers {
				err = errors.Join(err, b.events.Delete(positionKey(n)))
			}
			return err
		}
	}
	for name, c := range map[string]struct {
		edit    func(*buckets) error
		missing uint64
		says    string
	}{
		"inside":  {remove(80, 85), 80, "event 80 is missing: 81 stands in its place"},
		"first":   {remove(61), 61, "event 61 is missing"},
		"last":    {remove(99, 100), 99, "event 99 is missing"},
		"all":     {func(b *buckets) error { return remove(sequence(61, 100)...)(b) }, 61, "event 61 is missing"},
		"garbled": {func(b *buckets) error { return b.events.Put(positionKey(90), []byte("nonsense, of some length")) }, 0, "event 90"},
		"swapped": {func(b *buckets) error {
			return b.events.Put(positionKey(90), bytes.Clone(b.events.Get(positionKey(91))))
		}, 0, "event 90 calls itself 91"},
		"another": {func(b *buckets) error {
			e := event.Event{Position: 90, Kind: event.Invalidate, Blob: recovery.BlobID{3}}
			return b.events.Put(positionKey(90), event.AppendBinary(nil, &e))
		}, 0, "the events up to 100 do not lead to the state"},
	} {
		d.edit(t, c.edit)
		o := d.reopen(t)
		var missing *event.MissingError
		switch {
		case o.Damage == nil || !strings.Contains(o.Damage.Error(), c.says):
			t.Errorf("%s: %v, want %q", name, o.Damage, c.says)
		case c.missing != 0 && (!errors.As(o.Damage, &missing) || missing.First != c.missing):
			t.Errorf("%s: %v", name, o.Damage)
		}
	}
}

func sequence(first, last uint64) (all []uint64) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

// TestDeltaThatIsNotTheLast: a record that is gone, or an older one that stands for
// it, is noticed although each by itself is fine. Hazard 42: a record whose checksum
// is right and whose content is not is damage, and nobody dies of it.
func TestDeltaThatIsNotTheLast(t *testing.T) {
	d := newDamaged(t)
	for name, edit := range map[string]func(*buckets) error{
		"a record gone": func(b *buckets) error { return b.delta[1].Delete(firstKey(b.delta[1])) },
		"an older one": func(b *buckets) error {
			key := firstKey(b.delta[1])
			var rec record[snapshot.Registration]
			if err := parseRecord[snapshot.Registration](&rec, key, b.delta[1].Get(key)); err != nil {
				return err
			}
			rec.touched, rec.row.EndEpoch = 61, 77
			return b.delta[1].Put(key, appendRecord[snapshot.Registration](nil, &rec))
		},
		"an empty row": func(b *buckets) error {
			key := firstKey(b.delta[0])
			raw := []byte{recordRow, 61, 0}
			sum := recordSum(key, raw)
			return b.delta[0].Put(key, append(raw, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)))
		},
		"no description": func(b *buckets) error { return b.meta.Delete(metaKey()) },
		"a bad bound":    func(b *buckets) error { return b.pins.Put([]byte("x"), nil) },
	} {
		d.edit(t, edit)
		if o := d.reopen(t); o.Damage == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
}

// TestEveryKindOfRot: whatever happens to the bytes of log.db, the process lives,
// and the state is the right one, of the log or of the snapshot before it.
func TestEveryKindOfRot(t *testing.T) {
	d := newDamaged(t)
	rng := rand.New(rand.NewPCG(1, 2))
	noticed, tries := 0, 350
	for range tries {
		raw := bytes.Clone(d.log)
		switch page := rng.IntN(len(raw)/boltfile.PageSize) * boltfile.PageSize; rng.IntN(6) {
		case 0:
			raw = raw[:rng.IntN(len(raw))]
		case 1: // a write that went elsewhere
			copy(raw[page:page+boltfile.PageSize], d.log[rng.IntN(len(raw)/boltfile.PageSize)*boltfile.PageSize:])
		case 2: // a page that never arrived
			clear(raw[page : page+boltfile.PageSize])
		case 3: // a page's pointers
			raw[page+rng.IntN(64)] ^= byte(1 << rng.IntN(8))
		default:
			raw[rng.IntN(len(raw))] ^= byte(1 << rng.IntN(8))
		}
		must(t, os.WriteFile(d.path(), raw, 0o600))
		if o := d.reopen(t); o.Damage != nil {
			noticed++
		} else if o.At.Position != 100 {
			t.Fatalf("went back to %d unnoticed", o.At.Position)
		}
	}
	if noticed < tries/4 || noticed == tries {
		t.Errorf("%d of %d damages were noticed", noticed, tries)
	}
}

// TestPageThatIsFreeAndInUse would be given out while it is read.
func TestPageThatIsFreeAndInUse(t *testing.T) {
	d := newDamaged(t)
	raw := bytes.Clone(d.log)
	u64 := binary.NativeEndian.Uint64
	const pageHeader = 16
	newest := raw[pageHeader:]
	if other := raw[boltfile.PageSize+pageHeader:]; u64(other[48:]) > u64(newest[48:]) {
		newest = other
	}
	root, list := u64(newest[16:]), raw[u64(newest[32:])*boltfile.PageSize:][:boltfile.PageSize]
	count := binary.NativeEndian.Uint16(list[10:])
	ids := []uint64{root}
	for i := range int(count) {
		ids = append(ids, u64(list[pageHeader+8*i:]))
	}
	slices.Sort(ids)
	binary.NativeEndian.PutUint16(list[10:], count+1)
	for i, id := range ids {
		binary.NativeEndian.PutUint64(list[pageHeader+8*i:], id)
	}
	must(t, os.WriteFile(d.path(), raw, 0o600))
	if o := d.reopen(t); o.Damage == nil || !strings.Contains(o.Damage.Error(), "is used twice") {
		t.Errorf("%v", o.Damage)
	}
}

// Hazard 43: what cannot be read is not damaged, and stays where it is.
func TestOSErrorIsNotDamage(t *testing.T) {
	d := newDamaged(t)
	must(t, os.Remove(d.path()))
	must(t, os.Mkdir(d.path(), 0o700))
	if _, err := Open(t.Context(), d.cfg); err == nil || isDamage(err) {
		t.Errorf("a directory in its place: %v", err)
	}
	must(t, os.Remove(d.path())) // it is still there
	d.edit(t, func(b *buckets) error {
		raw := bytes.Clone(b.meta.Get(metaKey()))
		raw[0] = metaVersion + 1
		raw = raw[:len(raw)-crcLength]
		return b.meta.Put(metaKey(), appendSum(raw))
	})
	before, err := os.ReadFile(d.path())
	must(t, err)
	if _, err := Open(t.Context(), d.cfg); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer version: %v", err)
	}
	after, err := os.ReadFile(d.path())
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("it was touched")
	}
}

// Hazards 44 and 48: a commit that fails ends the catalog; whether it is on disk or
// not, the next process goes on from what is, and takes the same events again.
func TestFailedCommit(t *testing.T) {
	for _, onDisk := range []bool{false, true} {
		cfg := quiet(filepath.Join(tempDir(t), "catalog"))
		events := historyEvents(3, 60)
		c := openIn(t, cfg)
		apply(t, c, events[:30])
		_, err := c.Pin(t.Context())
		must(t, err)
		broken := errors.New("fsync: input/output error")
		c.db.commit = func(tx *bbolt.Tx) error {
			if onDisk {
				must(t, tx.Commit())
			} else {
				must(t, tx.Rollback())
			}
			return broken
		}
		err = c.Apply(t.Context(), events[30:40], 0)
		if !errors.Is(err, ErrFailed) || !errors.Is(err, broken) {
			t.Errorf("the commit's error: %v", err)
		}
		_, pinErr := c.Pin(t.Context())
		_, pageErr := c.Page(t.Context(), recovery.Mark{}, make([]recovery.Row, 3))
		_, _, lookErr := c.Lookup(t.Context(), nil)
		_, snapErr := c.Snapshot(t.Context(), snapshot.Full)
		for _, err := range []error{c.Apply(t.Context(), events[30:40], 0), pinErr, pageErr, lookErr, snapErr, c.Changed(t.Context()), c.Status().Failed} {
			if !errors.Is(err, ErrFailed) {
				t.Errorf("afterwards: %v", err)
			}
		}
		must(t, c.Close())
		c = openIn(t, cfg)
		if at := c.Opened().At.Position; at != 30 && !onDisk || at != 40 && onDisk {
			t.Errorf("on disk %v: position %d", onDisk, at)
		}
		apply(t, c, events[30:])
		agrees(t, c, modelAt(3, 60))
		must(t, c.Close())
	}
}

// TestPanicOfBBolt: a panic inside a transaction is an error, and so is everything
// after it.
func TestPanicOfBBolt(t *testing.T) {
	c := openIn(t, quiet(filepath.Join(tempDir(t), "catalog")))
	err := c.update(func(*buckets, *meta) error { panic("page 7 already freed") })
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "page 7 already freed") {
		t.Errorf("%v", err)
	}
	if _, err := c.Pin(context.Background()); !errors.Is(err, ErrFailed) {
		t.Errorf("afterwards: %v", err)
	}
	must(t, c.Close())
}
