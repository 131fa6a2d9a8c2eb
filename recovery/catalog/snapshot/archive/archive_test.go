package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

func TestCreateAndOpen(t *testing.T) {
	a := newArchive(t, "")
	e10 := create(t, a, state{position: 10}, 0)
	i20 := createOver(t, a, e10, state{position: 20})
	e20 := create(t, a, state{position: 20}, 0)
	verify(t, a, "full-10 full-20 incr-10-20")
	for _, e := range []Entry{e10, i20, e20} {
		if got := list(t, a).Find(e.Name); got == nil || cmp.Diff(*got, e) != "" {
			t.Errorf("created %+v, listed %+v", e, got)
		}
		if info, err := os.Stat(a.paths(e)[0]); err != nil || info.Size() != e.Size {
			t.Errorf("%v: size %d, %v", e.Name, e.Size, err)
		}
	}
	if i20.BaseDigest != e10.Bound.Digest || i20.Base != 10 {
		t.Errorf("%+v", i20)
	}
	if files := inDir(t, a); len(files) != 3 {
		t.Errorf("the directory holds %q", files)
	}

	// The incremental over its base is the very state.
	h, err := a.OpenState(t.Context(), Route{Full: &e10, Incremental: &i20})
	if err != nil {
		t.Fatal(err)
	}
	b := newArchive(t, "")
	again, err := b.CreateFull(t.Context(), h, CreateOptions{})
	if err = errors.Join(err, h.Close()); err != nil {
		t.Fatal(err)
	}
	if again.Name != e20.Name || !bytes.Equal(read(t, b, again.Files()[0].String()), read(t, a, e20.Files()[0].String())) {
		t.Errorf("%v over %v is %v, want %v", i20.Name, e10.Name, again.Name, e20.Name)
	}
	// Others do not fit.
	var base *snapshot.BaseError
	if _, err := a.OpenState(t.Context(), Route{Full: &e20, Incremental: &i20}); !errors.As(err, &base) {
		t.Errorf("another base: %v", err)
	}
	if h, err = a.OpenState(t.Context(), Route{Full: &e20}); err != nil || h.Close() != nil {
		t.Error(err)
	}
}

// The same state is the same snapshot: it is not written twice.
func TestCreateAgain(t *testing.T) {
	a := newArchive(t, "")
	e := create(t, a, state{position: 10}, 0)
	before, err := os.Stat(a.paths(e)[0])
	if err != nil {
		t.Fatal(err)
	}
	if again := create(t, a, state{position: 10}, 0); cmp.Diff(again, e) != "" {
		t.Errorf("%+v, then %+v", e, again)
	}
	if after, err := os.Stat(a.paths(e)[0]); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced: %v", err)
	}
	verify(t, a, "full-10")

	// Unless what is there is damaged.
	content := read(t, a, e.Files()[0].String())
	write(t, a, e.Files()[0].String(), content[:len(content)/2])
	create(t, a, state{position: 10}, 0)
	verify(t, a, "full-10")
}

// Hazard 52: a label taken from the trigger, the data from later. The name is
// that of the written rows, whatever anybody meant to write.
func TestLabelIsThatOfTheData(t *testing.T) {
	a := newArchive(t, "")
	triggered, later := state{position: 10}, state{position: 14}
	e := create(t, a, later, 0)
	if e.Position != later.position || e.Position == triggered.position {
		t.Errorf("%+v", e)
	}
	h := hold(t, a, e)
	defer h.Close()
	if n := h.Totals().Rows.Blobs; n != later.position || h.Header().Position != e.Position {
		t.Errorf("%d blobs in %v", n, e.Name)
	}
	// And a file under a name of another position is no snapshot of it.
	wrong := e.Name
	wrong.Position = triggered.position
	write(t, a, File{Name: wrong}.String(), read(t, a, e.Files()[0].String()))
	got := list(t, a).Find(wrong)
	misnamed := check[*MisnamedError](t, got.Err)
	if got.Status != Damaged || misnamed.What != "position" || misnamed.Holds.Position != later.position {
		t.Errorf("%+v", got)
	}
	if _, err := a.OpenEntry(t.Context(), Entry{Name: wrong}); !errors.As(err, &misnamed) {
		t.Errorf("open: %v", err)
	}
	i := createOver(t, a, e, state{position: 20})
	for what, change := range map[string]func(n *Name){
		"digest": func(n *Name) { n.Digest[7] ^= 1 },
		"base":   func(n *Name) { n.Base++ },
		"kind":   func(n *Name) { n.Kind, n.Base = snapshot.Full, 0 },
	} {
		n := i.Name
		change(&n)
		write(t, a, File{Name: n}.String(), read(t, a, i.Files()[0].String()))
		got := list(t, a).Find(n)
		if misnamed := check[*MisnamedError](t, got.Err); got.Status != Damaged || misnamed.What != what {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestRivalIsNotPublished(t *testing.T) {
	a := newArchive(t, "")
	e := create(t, a, state{position: 10}, 0)
	_, err := a.CreateFull(t.Context(), state{position: 10, variant: 1}, CreateOptions{})
	rival := check[*RivalError](t, err)
	if rival.There != e.Name || rival.New == e.Name || !strings.Contains(err.Error(), rival.New.String()) || !strings.Contains(err.Error(), e.Name.String()) {
		t.Errorf("%v", err)
	}
	verify(t, a, "full-10")
	if files := inDir(t, a); len(files) != 1 {
		t.Errorf("the directory holds %q", files)
	}
}

func TestListTellsApart(t *testing.T) {
	a := newArchive(t, "")
	e10 := create(t, a, state{position: 10}, 0)
	set := create(t, a, state{position: chunkBlobs}, chunkMax)
	if set.Chunks < 3 {
		t.Fatalf("%d chunks", set.Chunks)
	}
	if h := hold(t, a, set); h.Size() != set.Size || h.Verify(t.Context()) != nil || h.Close() != nil {
		t.Error("the set is not whole")
	}
	content := read(t, a, e10.Files()[0].String())
	other := e10.Name
	other.Position = 11
	write(t, a, File{Name: other}.String(), content)
	other.Position = 12
	write(t, a, File{Name: other}.String(), content[:100])
	other.Position = 13
	newer := bytes.Clone(content)
	newer[9] = 99 // a version to come
	write(t, a, File{Name: other}.String(), newer)
	other.Position = 14
	write(t, a, File{Name: other}.String(), []byte("<html>"))
	other.Position = 15
	write(t, a, File{Name: other, Chunk: 1, Chunks: 3}.String(), content)
	other.Position = 16
	write(t, a, File{Name: other, Chunk: 2, Chunks: 3}.String(), content)
	write(t, a, "catalog.rsnap", content)
	write(t, a, "log.db", content)
	write(t, a, ".full-7.X.rsnap-tmp", content)
	if err := os.Symlink("full", a.path("full-1-0000000000000000.rsnap")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(a.path("full-2-0000000000000000.rsnap"), 0o755); err != nil {
		t.Fatal(err)
	}

	l := list(t, a)
	var got []string
	for _, e := range l.Entries {
		got = append(got, fmt.Sprintf("%d %s", e.Position, e.Status))
	}
	want := []string{"10 complete", "11 damaged", "12 damaged", "13 unreadable", "14 damaged", "15 incomplete", fmt.Sprint(chunkBlobs, " complete")}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	other.Position = 16
	if want := []string{".full-7.X.rsnap-tmp", File{Name: other, Chunk: 2, Chunks: 3}.String()}; !slices.Equal(l.Leftovers, want) {
		t.Errorf("leftovers %q, want %q", l.Leftovers, want)
	}
	if want := []string{"catalog.rsnap", "full-1-0000000000000000.rsnap", "full-2-0000000000000000.rsnap"}; !slices.Equal(l.Others, want) {
		t.Errorf("others %q, want %q", l.Others, want)
	}
	if _, err := a.OpenEntry(t.Context(), Entry{Name: Name{Kind: snapshot.Full, Position: 99}}); !errors.Is(err, ErrGone) {
		t.Errorf("what is not there: %v", err)
	}
}

// Only files of the network that is wanted can be used, and they are all told.
func TestOtherNetwork(t *testing.T) {
	dir := t.TempDir()
	create(t, newArchive(t, dir), state{position: 10}, 0)
	a, err := Open(Config{Dir: dir, Network: "main", MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	if e := list(t, a).Entries[0]; e.Status != Unreadable || !strings.Contains(e.Err.Error(), `"test"`) {
		t.Errorf("%+v", e)
	}
	if _, err := a.CreateFull(t.Context(), state{position: 11}, CreateOptions{}); err == nil || len(inDir(t, a)) != 1 {
		t.Errorf("created: %v, %q", err, inDir(t, a))
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, file + "y"} {
		if a, err := Open(Config{Dir: dir}); err == nil {
			t.Errorf("%q: %+v", dir, a)
		}
	}
}

// One attempt at a time, whoever makes it.
func TestOneAttemptAtATime(t *testing.T) {
	a, b := newArchive(t, ""), (*Archive)(nil)
	b = newArchive(t, a.Dir())
	rows, other := 0, error(nil)
	_, err := a.CreateFull(t.Context(), state{position: 10, rows: &rows, onRow: func(row int) error {
		if row == 5 {
			_, other = b.CreateFull(t.Context(), state{position: 9}, CreateOptions{})
		}
		return nil
	}}, CreateOptions{})
	if err != nil || !errors.Is(other, ErrBusy) {
		t.Errorf("%v, and the other: %v", err, other)
	}
	verify(t, a, "full-10")
	// Being busy is no failure: what was pruned may be pruned.
	create(t, b, state{position: 9}, 0)
	if v, err := b.Prune(t.Context(), Policy{Fulls: 1}); err != nil || verdicts(v) != "-full-9 +full-10" {
		t.Errorf("%v, %v", verdicts(v), err)
	}
}

// Hazard 53: the old snapshot deleted before the new one is durable; pruning
// after a failed creation.
func TestTheOldSnapshotDeletedBeforeTheNewOneIsDurable(t *testing.T) {
	a := newArchive(t, "")
	for p := uint64(1); p < 5; p++ {
		create(t, a, state{position: p}, 0)
	}
	rows := 0
	broken := state{position: 9, rows: &rows, onRow: func(int) error { return errTest }}
	if _, err := a.CreateFull(t.Context(), broken, CreateOptions{}); !errors.Is(err, errTest) {
		t.Fatal(err)
	}
	v, err := a.Prune(t.Context(), Policy{})
	if err != nil || verdicts(v) != "+full-1 +full-2 +full-3 +full-4" || v[0].Reason != KeepFailed {
		t.Errorf("%v, %v", verdicts(v), err)
	}
	verify(t, a, "full-1 full-2 full-3 full-4")
	create(t, a, state{position: 9}, 0)
	if v, err = a.Verdicts(t.Context(), Policy{}); err != nil || verdicts(v) != "-full-1 -full-2 -full-3 +full-4 +full-9" {
		t.Errorf("%v, %v", verdicts(v), err)
	}
	verify(t, a, "full-1 full-2 full-3 full-4 full-9")
	if _, err = a.Prune(t.Context(), Policy{}); err != nil {
		t.Error(err)
	}
	verify(t, a, "full-4 full-9")
}

// Hazard 67: what is open is not deleted, in whatever process, nor is what it
// is relative to.
func TestPruneSparesWhatIsRead(t *testing.T) {
	a, other := newArchive(t, ""), (*Archive)(nil)
	other = newArchive(t, a.Dir())
	e1 := create(t, a, state{position: chunkBlobs}, chunkMax)
	i2 := createOver(t, a, e1, state{position: chunkBlobs + 1})
	createOver(t, a, e1, state{position: chunkBlobs + 2})
	e3 := create(t, a, state{position: chunkBlobs + 3}, 0)
	create(t, a, state{position: chunkBlobs + 4}, 0)
	create(t, a, state{position: chunkBlobs + 5}, 0)

	open := hold(t, other, i2)
	file, err := other.OpenFile(t.Context(), e3.Files()[0])
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.Prune(t.Context(), Policy{Fulls: 1})
	want := fmt.Sprintf("+full-4500/%d +incr-4500-4501 -incr-4500-4502 +full-4503 -full-4504 +full-4505", e1.Chunks)
	if err != nil || verdicts(v) != want {
		t.Errorf("%v, %v", verdicts(v), err)
	}
	if err := errors.Join(open.Verify(t.Context()), open.Close(), file.Close()); err != nil {
		t.Error(err)
	}
	if _, err = a.Prune(t.Context(), Policy{Fulls: 1}); err != nil {
		t.Error(err)
	}
	verify(t, a, "full-4505")
	if files := inDir(t, a); len(files) != 1 {
		t.Errorf("the directory holds %q", files)
	}
	if _, err := other.OpenFile(t.Context(), e3.Files()[0]); !errors.Is(err, ErrGone) {
		t.Errorf("what was pruned: %v", err)
	}
}

// Who opens a snapshot while it is being removed waits, and is told that it is
// gone; or gets it, where it stays after all.
func TestOpenDuringPrune(t *testing.T) {
	for _, goes := range []bool{true, false} {
		a := newArchive(t, "")
		e := create(t, a, state{position: 1}, 0)
		synctest.Test(t, func(t *testing.T) {
			c := &claims{a: a}
			if c.inUse(e) {
				t.Fatal("nobody uses it")
			}
			opened := make(chan error)
			go func() {
				h, err := a.OpenEntry(context.Background(), e)
				if err == nil {
					err = h.Close()
				}
				opened <- err
			}()
			synctest.Wait() // it waits for its turn
			if goes {
				if err := a.remove(e); err != nil {
					t.Error(err)
				}
			}
			c.release()
			if err := <-opened; goes != errors.Is(err, ErrGone) || !goes && err != nil {
				t.Errorf("goes %v: %v", goes, err)
			}
		})
	}
}

// A lock that others hold is waited for as long as the context lasts.
func TestLockIsWaitedFor(t *testing.T) {
	a := newArchive(t, "")
	unlock, err := a.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	if _, err := a.Prune(ctx, Policy{}); !errors.Is(err, errTest) {
		t.Errorf("prune: %v", err)
	}
	if _, err := a.CreateFull(ctx, state{position: 1}, CreateOptions{}); !errors.Is(err, errTest) || len(inDir(t, a)) != 0 {
		t.Errorf("create: %v, %q", err, inDir(t, a))
	}
}

// A directory that changes is read again until two readings agree on what is
// not whole.
func TestListSettles(t *testing.T) {
	whole := Listing{Entries: []Entry{full(1)}}
	half := Listing{Entries: []Entry{in(3, as(Incomplete, full(1)))}}
	otherHalf := Listing{Entries: []Entry{in(3, as(Incomplete, full(2)))}}
	gone := fmt.Errorf("open: %w", os.ErrNotExist)
	type reading struct {
		l   Listing
		err error
	}
	for name, c := range map[string]struct {
		readings []reading // the last one again and again
		want     Listing
		err      error
		reads    int
	}{
		"at once":             {[]reading{{whole, nil}}, whole, nil, 1},
		"published meanwhile": {[]reading{{half, nil}, {whole, nil}, {whole, nil}}, whole, nil, 3},
		"removed meanwhile":   {[]reading{{Listing{}, gone}, {whole, nil}}, whole, nil, 2},
		"really incomplete":   {[]reading{{half, nil}}, half, nil, 2},
		"one after another":   {[]reading{{half, nil}, {otherHalf, nil}, {Listing{}, gone}, {otherHalf, nil}}, otherHalf, nil, 4},
		"cannot be read":      {[]reading{{Listing{}, errTest}}, Listing{}, errTest, 1},
		"never the same":      {[]reading{{Listing{}, gone}}, Listing{}, os.ErrNotExist, listTries},
	} {
		reads := 0
		l, err := settled(t.Context(), func(context.Context) (Listing, error) {
			r := c.readings[min(reads, len(c.readings)-1)]
			reads++
			return r.l, r.err
		})
		if names(l.Entries) != names(c.want.Entries) || !errors.Is(err, c.err) || reads != c.reads {
			t.Errorf("%s: %s, %v, after %d", name, names(l.Entries), err, reads)
		}
	}
}

// Whoever lists while others publish and prune sees whole snapshots only.
func TestListDuringChanges(t *testing.T) {
	a := newArchive(t, "")
	create(t, a, state{position: 1}, 0)
	stop, seen := make(chan struct{}), make(chan int)
	for range 2 {
		go func() {
			sets := 0
			for {
				select {
				case <-stop:
					seen <- sets
					return
				default:
				}
				l, err := a.List(context.Background())
				if err != nil {
					t.Error(err)
				}
				for _, e := range l.Entries {
					if e.Status != Complete {
						t.Errorf("%v is %s: %v", e.Name, e.Status, e.Err)
					}
					if e.Chunks > 0 {
						sets++
					}
				}
			}
		}()
	}
	for i := range 15 {
		e := create(t, a, state{position: chunkBlobs}, chunkMax)
		if i%2 == 0 {
			create(t, a, state{position: chunkBlobs + 1}, 0)
			if _, err := a.Prune(t.Context(), Policy{Fulls: 1}); err != nil {
				t.Error(err)
			}
		}
		unlock, err := a.lock(t.Context())
		if err == nil {
			for _, e := range list(t, a).Entries {
				err = errors.Join(err, a.remove(e))
			}
			unlock()
		}
		if err != nil || e.Chunks < 2 {
			t.Fatal(err)
		}
	}
	close(stop)
	if n := <-seen + <-seen; n == 0 {
		t.Error("no set was ever seen")
	}
}

func TestFreeSpaceGuard(t *testing.T) {
	dir := t.TempDir()
	create(t, newArchive(t, dir), state{position: 10}, 0)
	a, err := Open(Config{Dir: dir, MinFree: math.MaxInt64})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.CreateFull(t.Context(), state{position: 11}, CreateOptions{})
	space := check[*SpaceError](t, err)
	if space.MinFree != math.MaxInt64 || space.Need == 0 || space.Free == 0 || space.Dir != dir {
		t.Errorf("%+v", space)
	}
	a = newArchive(t, dir)
	_, err = a.CreateFull(t.Context(), state{position: 11}, CreateOptions{Estimate: math.MaxInt64})
	check[*SpaceError](t, err)
	verify(t, a, "full-10")
	if len(inDir(t, a)) != 1 {
		t.Errorf("the directory holds %q", inDir(t, a))
	}
}
