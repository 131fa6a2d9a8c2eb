package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/erasure"
	"github.com/recoverd/recoverd/syncer/store"
)

// tree is a store of plain files in directories.
type tree string

func (d tree) path(place uint32, id recovery.BlobID) string {
	return filepath.Join(string(d), store.DirName(place), id.String())
}

func (d tree) Open(place uint32, id recovery.BlobID) (*os.File, int64, error) {
	f, err := os.Open(d.path(place, id))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	return f, info.Size(), err
}

func (d tree) put(t *testing.T, place uint32, id recovery.BlobID, data []byte) {
	t.Helper()
	path := d.path(place, id)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

const stripedTotal = 5

// newTree stores n blobs, any 3 of 5 pieces, and returns their rows in order.
func newTree(t *testing.T, n int) (tree, []recovery.Row) {
	t.Helper()
	d := tree(t.TempDir())
	var rows []recovery.Row
	for i := range n {
		blob := bytes.Repeat(fmt.Appendf(nil, "blob %d ", i), 100)
		m, err := erasure.Split(t.Context(), erasure.Code{K: 3, N: stripedTotal}, bytes.NewReader(blob), int64(len(blob)))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, d.store(t, m, blob))
	}
	slices.SortFunc(rows, func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
	return d, rows
}

func (d tree) store(t *testing.T, m *erasure.Manifest, blob []byte) recovery.Row {
	t.Helper()
	encoded, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := erasure.IDOf(encoded)
	d.put(t, store.Manifests, id, encoded)
	for shard := range uint32(m.N) {
		var piece bytes.Buffer
		index := int(shards.Striped.PieceOf(id, shard, uint32(m.N)))
		if err := erasure.WritePieces(t.Context(), m, bytes.NewReader(blob), []erasure.Target{{Index: index, Writer: &piece}}); err != nil {
			t.Fatal(err)
		}
		d.put(t, shard, id, piece.Bytes())
	}
	return recovery.Row{Blob: erasure.BlobOf(encoded, int64(len(blob))), EndEpoch: 10}
}

func (d tree) config() Config {
	return Config{Store: d, Placement: shards.Striped, TotalShards: stripedTotal, Owned: shards.SetOf(1, 2, 4), Epoch: 5}
}

func findings(t *testing.T, cfg Config, rows []recovery.Row) (found []string, pieces int) {
	t.Helper()
	err := Run(t.Context(), cfg, yielding(rows, nil), func(c Checked) error {
		pieces += c.Pieces
		for _, f := range c.Findings {
			i := slices.IndexFunc(rows, func(r recovery.Row) bool { return r.ID == f.ID })
			found = append(found, fmt.Sprintf("%d in %s: %s", i, store.Place(f.Place()), f.Kind))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, pieces
}

// Every piece is held against the stored manifest, and that against the id.
func TestStripedPiecesAreProven(t *testing.T) {
	d, rows := newTree(t, 12)
	if found, pieces := findings(t, d.config(), rows); len(found) > 0 || pieces != 12*(3+1) {
		t.Fatalf("of %d pieces: %v", pieces, found)
	}
	spoil := func(place uint32, row int, change func([]byte) []byte) {
		t.Helper()
		data, err := os.ReadFile(d.path(place, rows[row].ID))
		if err != nil {
			t.Fatal(err)
		}
		d.put(t, place, rows[row].ID, change(data))
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	spoil(1, 0, flip)
	spoil(2, 1, cut)
	spoil(3, 2, flip) // of a shard that is not owned
	spoil(store.Manifests, 3, flip)
	spoil(store.Manifests, 4, cut)
	spoil(store.Manifests, 5, func([]byte) []byte { return nil })
	spoil(store.Manifests, 6, func(b []byte) []byte { return append(b, make([]byte, 100_000)...) })
	for _, path := range []string{d.path(4, rows[7].ID), d.path(store.Manifests, rows[8].ID), d.path(2, rows[8].ID)} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	// A piece at another one's place has a right digest, and not the one it must have.
	other, err := os.ReadFile(d.path(1, rows[9].ID))
	if err != nil {
		t.Fatal(err)
	}
	d.put(t, 2, rows[9].ID, other)
	want := []string{
		"0 in shard 1: rotten", "1 in shard 2: wrong_size",
		"3 in the directory of the manifests: rotten", "4 in the directory of the manifests: rotten",
		"5 in the directory of the manifests: rotten", "6 in the directory of the manifests: rotten",
		"7 in shard 4: missing",
		"8 in the directory of the manifests: missing", "8 in shard 2: missing",
		"9 in shard 2: rotten",
	}
	found, _ := findings(t, d.config(), rows)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A manifest that has its id and contradicts the catalog or the number of shards.
func TestManifestThatContradicts(t *testing.T) {
	d, rows := newTree(t, 2)
	blob := []byte("striped over four")
	m, err := erasure.Split(t.Context(), erasure.Code{K: 2, N: 4}, bytes.NewReader(blob), int64(len(blob)))
	if err != nil {
		t.Fatal(err)
	}
	rows = append(rows, d.store(t, m, blob))
	slices.SortFunc(rows, func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
	for i := range rows {
		if rows[i].Size != int64(len(blob)) {
			rows[i].Size++
		}
	}
	junk := []byte("no manifest at all")
	id := recovery.BlobID(sha256.Sum256(junk))
	d.put(t, store.Manifests, id, junk)
	for _, shard := range []uint32{1, 2, 4} {
		d.put(t, shard, id, junk)
	}
	rows = append(rows, recovery.Row{Blob: recovery.Blob{ID: id, Size: 1, Encoding: recovery.Striped, Digest: id}, EndEpoch: 10})
	slices.SortFunc(rows, func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
	found, _ := findings(t, d.config(), rows)
	unreadable := 0
	for _, f := range found {
		if f[2:] == "in the directory of the manifests: unreadable" {
			unreadable++
		}
	}
	if unreadable != len(rows) {
		t.Errorf("of %d manifests %d are found to contradict: %v", len(rows), unreadable, found)
	}
}

func TestNeedlessManifests(t *testing.T) {
	_, rows := newTree(t, 3)
	ids := []recovery.BlobID{rows[0].ID, rows[1].ID, rows[2].ID}
	stored := lists{1: ids, 2: ids, 3: ids[:1], store.Manifests: ids}
	cfg := tree("").config()
	var got []string
	err := FindNeedless(t.Context(), cfg, stored, yielding(rows[1:], nil), func(f Finding) error {
		if f.Kind != Stray {
			got = append(got, fmt.Sprintf("%s: %s", store.Place(f.Place()), f.Kind))
		}
		if f.Kind != Stray && f.ID != ids[0] {
			t.Errorf("blob %v, which is certified: %+v", f.ID, f)
		}
		return nil
	})
	slices.Sort(got)
	want := []string{"shard 1: not_certified", "shard 2: not_certified", "shard 3: not_owned", "the directory of the manifests: not_certified"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if err := FindNeedless(t.Context(), Config{Store: tree(""), Placement: shards.Striped, TotalShards: 257}, stored, nil, nil); err == nil {
		t.Error("striped over 257 shards")
	}
}
