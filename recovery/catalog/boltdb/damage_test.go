package boltdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// answers is what a catalog says: all of it, and what it says of some ids.
type answers struct {
	bound recovery.Bound
	rows  []recovery.Row
	found []recovery.Row
}

func (a answers) equal(b answers) bool {
	return a.bound == b.bound && slices.Equal(a.rows, b.rows) && slices.Equal(a.found, b.found)
}

// ask reads a file in all the ways in which it is read.
func ask(t testing.TB, path string, ids []recovery.BlobID) (a answers, err error) {
	t.Helper()
	r, err := OpenReader(path)
	if err != nil {
		return a, err
	}
	defer r.Close()
	a.bound = r.Bound()
	scan, rows := r.Scan(), make([]recovery.Row, 64)
	for end := false; !end; {
		var n int
		if n, end, err = scan.Fill(t.Context(), rows); err != nil {
			return a, err
		}
		a.rows = append(a.rows, rows[:n]...)
	}
	for _, id := range ids {
		find := r.Scan() // has read nothing yet
		ok, err := find.Find(id, &rows[0])
		if err != nil {
			return a, err
		}
		if ok {
			a.found = append(a.found, rows[0])
		}
	}
	return a, r.Verify(t.Context())
}

// damaged says that an error calls the file bad, and not the reading of it.
func damaged(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt) && errors.Is(err, catalog.ErrDamaged) || errors.Is(err, catalog.ErrForeign)
}

// specimen is a file of several levels, what it answers, and a path to put
// damaged copies at.
func specimen(t testing.TB) (raw []byte, ids []recovery.BlobID, want answers, path string) {
	t.Helper()
	state := catalogtest.RandomTables(4, 400)
	from := restored(t, state, Config{})
	for i := 0; i < len(state.BlobRows); i += 40 {
		id, absent := state.BlobRows[i].ID, state.BlobRows[i].ID
		absent[31]++
		ids = append(ids, id, absent)
	}
	want, err := ask(t, from, ids)
	if err != nil || len(want.rows) < 100 || len(want.found) == 0 || len(want.found) == len(ids) {
		t.Fatalf("%d rows, %d of %d found, error %v", len(want.rows), len(want.found), len(ids), err)
	}
	return readFile(t, from), ids, want, filepath.Join(t.TempDir(), "damaged.bolt")
}

// TestNoDamageIsBelieved: a file with any byte changed, any page in another's
// place, or cut anywhere, is either refused by an error that calls it damaged or
// says exactly what the good one does (damage in a page that is not in use). It
// never panics, faults or runs for ever, as bbolt itself does.
func TestNoDamageIsBelieved(t *testing.T) {
	raw, ids, want, path := specimen(t)
	random := rand.New(rand.NewPCG(1, 2))
	refused, same := 0, 0
	try := func(what string, at int, bad []byte) {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		switch got, err := ask(t, path, ids); {
		case err != nil && !damaged(err):
			t.Fatalf("%s at %d: the error calls it neither damaged nor foreign: %v", what, at, err)
		case err != nil:
			refused++
		case !got.equal(want):
			t.Fatalf("%s at %d: believed", what, at)
		default:
			same++
		}
	}
	for at := random.IntN(13); at < len(raw); at += 1 + random.IntN(200) {
		bad := slices.Clone(raw)
		bad[at] ^= 1 << random.IntN(8)
		try("a flipped bit", at, bad)
	}
	for at := 0; at < len(raw); at += pageSize {
		for _, from := range []int{random.IntN(len(raw) / pageSize), at/pageSize + 1, 0} {
			bad := slices.Clone(raw)
			copy(bad[at:at+pageSize], raw[from*pageSize%len(raw):])
			try("a page in another's place", at, bad)
			binary.NativeEndian.PutUint64(bad[at:], uint64(at/pageSize)) // that says it is in its own
			try("a page in another's name", at, bad)
		}
		bad := slices.Clone(raw)
		clear(bad[at : at+pageSize])
		try("a page of zeros", at, bad)
		try("cut", at, raw[:at])
		try("cut", at+17, raw[:at+17])
	}
	if refused < 600 || same == 0 {
		t.Errorf("%d were refused, %d in unused places were not", refused, same)
	}
	t.Logf("%d refused, %d without effect", refused, same)
}

// TestHostileTree: pointers that lead in circles, far away or nowhere, behind
// checksums that are right, end in an error.
func TestHostileTree(t *testing.T) {
	raw, ids, _, path := specimen(t)
	branches := 0
	for page := 2; page < len(raw)/pageSize; page++ {
		at := page * pageSize
		if binary.NativeEndian.Uint16(raw[at+8:]) != flagBranch {
			continue
		}
		branches++
		for _, to := range []uint64{uint64(page), 0, 1, 1 << 40, ^uint64(0)} {
			bad := slices.Clone(raw)
			for i := range int(binary.NativeEndian.Uint16(raw[at+10:])) {
				binary.NativeEndian.PutUint64(bad[at+pageHeader+i*element+8:], to)
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ask(t, path, ids); !damaged(err) && err != nil {
				t.Errorf("page %d leads to %d: %v", page, to, err)
			}
		}
	}
	if branches == 0 {
		t.Fatal("the tree has no branch")
	}
	metaChecks(t, raw, ids, path)
}

// TestTheLastRowIsMissing: a page that says it holds one element less, or one
// more, is noticed, also where nothing follows it.
func TestTheLastRowIsMissing(t *testing.T) {
	raw, ids, want, path := specimen(t)
	last := want.rows[len(want.rows)-1].ID
	for page := 3; page < len(raw)/pageSize; page++ {
		for _, by := range []int{-1, 1} {
			bad := slices.Clone(raw)
			at := page*pageSize + 10
			binary.NativeEndian.PutUint16(bad[at:], uint16(int(binary.NativeEndian.Uint16(raw[at:]))+by))
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ask(t, path, ids); !damaged(err) {
				t.Errorf("page %d has %+d elements: %v", page, by, err)
			}
			r, err := OpenReader(path)
			if err != nil {
				continue
			}
			var row recovery.Row
			if found, err := r.Scan().Find(last, &row); err == nil && !found || err != nil && !damaged(err) {
				t.Errorf("page %d has %+d elements: the last blob is certified: %v, error %v", page, by, found, err)
			}
			r.Close()
		}
	}
}

// metaChecks changes what the meta pages say, behind checksums that are right.
func metaChecks(t *testing.T, raw []byte, ids []recovery.BlobID, path string) {
	t.Helper()
	try := func(what string, change func(page int, m []byte)) {
		bad := slices.Clone(raw)
		for page := range 2 {
			m := bad[page*pageSize+pageHeader : page*pageSize+pageHeader+metaLen]
			change(page, m)
			sum := fnv.New64a()
			sum.Write(m[:metaSummed])
			binary.NativeEndian.PutUint64(m[metaSummed:], sum.Sum64())
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t, path, ids); !damaged(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, field := range []int{8, 16, 40, 48} { // page size, root, high water, transaction
		for _, v := range []uint64{0, 1, 3, 1 << 31, ^uint64(0)} {
			try(fmt.Sprintf("meta field %d is %d", field, v), func(_ int, m []byte) { binary.NativeEndian.PutUint64(m[field:], v) })
		}
	}
	try("a transaction is missing", func(page int, m []byte) { binary.NativeEndian.PutUint64(m[48:], uint64(2+3*page)) })
	try("a page size of its own", func(page int, m []byte) { binary.NativeEndian.PutUint32(m[8:], uint32(4096<<page)) })
}

// TestRefused: what a person must put right is told from damage, and both from
// what could not be read (hazard 43).
func TestRefused(t *testing.T) {
	raw, _, _, _ := specimen(t)
	otherVersion := slices.Clone(raw)
	// The description's checksum is right: only the version is another.
	reversion(t, otherVersion)
	for name, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"another file":    {[]byte("epoch: 7\n and so on, and so on"), catalog.ErrForeign},
		"another version": {otherVersion, catalog.ErrForeign},
		"empty":           {nil, catalog.ErrDamaged},
		"one page":        {raw[:pageSize], catalog.ErrDamaged},
	} {
		path := filepath.Join(t.TempDir(), "catalog.bolt")
		if err := os.WriteFile(path, c.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		f := newCatalog(t, path)
		_, err := f.Pin(t.Context())
		if !errors.Is(err, c.want) || errors.Is(err, recovery.ErrMisconfigured) != (c.want == catalog.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	if _, err := OpenReader(dir); !errors.Is(err, catalog.ErrForeign) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := OpenReader(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) || damaged(err) {
		t.Errorf("nothing: %v", err)
	}
	r := openReader(t, restored(t, catalogtest.RandomTables(1, 50), Config{}))
	r.Close()
	if _, err := r.Blobs().Next(); !errors.Is(err, os.ErrClosed) || damaged(err) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// reversion makes the state's description one of another version.
func reversion(t testing.TB, raw []byte) {
	t.Helper()
	at := indexOf(raw, []byte(`{"version":1,`))
	if at < sumLength {
		t.Fatal("no description")
	}
	end := at + indexOf(raw[at:], []byte("]}")) + 2
	raw[at+len(`{"version":`)] = '7'
	binary.BigEndian.PutUint32(raw[at-sumLength:], stateSum(raw[at:end]))
}

func indexOf(in, what []byte) int {
	for i := range in {
		if len(in)-i >= len(what) && string(in[i:i+len(what)]) == string(what) {
			return i
		}
	}
	return -1
}

// TestBadReplacement: a damaged file never takes the place of the one that is
// open.
func TestBadReplacement(t *testing.T) {
	path := restored(t, catalogtest.RandomTables(1, 300), Config{})
	f := newCatalog(t, path)
	old, err := f.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := readFile(t, restored(t, catalogtest.RandomTables(2, 3000), Config{}))
	at := indexOf(raw, catalogtest.RandomTables(2, 3000).BlobRows[1500].ID[:])
	raw[at+20] ^= 1
	if err := errors.Join(os.WriteFile(path+".bad", raw, 0o600), os.Rename(path+".bad", path)); err != nil {
		t.Fatal(err)
	}
	if tip, err := f.Pin(t.Context()); err != nil || tip.Bound != old.Bound {
		t.Errorf("pinned %v, error %v", tip.Bound, err)
	}
	if r := f.Rejected(); r.Count != 1 || !damaged(r.Err) {
		t.Errorf("rejected %+v", r)
	}
	next := mustRestore(t, catalogtest.RandomTables(3, 300), path, Config{})
	if tip, err := f.Pin(t.Context()); err != nil || tip.Bound != next.Bound {
		t.Errorf("pinned %v, error %v", tip.Bound, err)
	}
}

// TestALongReadTransaction: a pass over a file that is replaced again and again
// holds nothing but the one it began with: no transaction, no growth. Hazard 35.
func TestALongReadTransaction(t *testing.T) {
	state := catalogtest.RandomTables(1, 2000)
	path := restored(t, state, Config{})
	f := newCatalog(t, path)
	if _, err := f.Pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	rows, after := make([]recovery.Row, 100), recovery.Mark{}
	for end, seen := false, 0; !end; {
		info, err := f.Page(t.Context(), after, rows)
		if err != nil {
			t.Fatal(err)
		}
		if end, seen = info.End, seen+info.N; info.N > 0 {
			after = recovery.MarkAt(rows[info.N-1].ID)
		}
		result := mustRestore(t, state, path, Config{})
		if size != 0 && result.Bytes != size {
			t.Fatalf("the file has %d bytes, and had %d", result.Bytes, size)
		}
		size = result.Bytes
	}
	nothingLeft(t, path)
}

var _ snapshot.State = (*Reader)(nil)
