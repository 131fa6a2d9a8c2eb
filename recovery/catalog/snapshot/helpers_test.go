package snapshot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// open opens a file for the length of the test.
func open(t testing.TB, path string) *Reader {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// tables is a whole state in memory, in key order.
type tables struct {
	head   Header
	blobs  []Blob
	regs   []Registration
	pooled []Pooled
	pools  []Pool
}

// put writes all rows to w.
func (s *tables) put(w *Writer) error {
	return errors.Join(
		each(s.blobs, w.Blob), each(s.regs, w.Registration), each(s.pooled, w.Pooled), each(s.pools, w.Pool))
}

func each[R any](rows []R, put func(*R) error) error {
	for i := range rows {
		if err := put(&rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// write publishes the state in a new directory and returns the path.
func (s *tables) write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.rsnap")
	w, err := Create(path, s.head)
	if err == nil {
		err = errors.Join(s.put(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// rows works the certified blobs out the slow way, from the rules alone.
func (s *tables) rows() []recovery.Row {
	own, pooled := map[recovery.BlobID][]Registration{}, map[recovery.BlobID][]Pooled{}
	for _, r := range s.regs {
		own[r.Key.Blob()] = append(own[r.Key.Blob()], r)
	}
	for _, p := range s.pooled {
		pooled[p.Key.Blob()] = append(pooled[p.Key.Blob()], p)
	}
	var rows []recovery.Row
	for _, b := range s.blobs {
		row, live := recovery.Row{Blob: b.Blob}, false
		add := func(certified, end uint32, gained ...uint64) {
			live = true
			row.CertifiedEpoch = max(row.CertifiedEpoch, certified)
			row.EndEpoch = max(row.EndEpoch, end)
			for _, g := range gained {
				row.Gained = max(row.Gained, cmp.Or(g, s.head.Position))
			}
		}
		for _, r := range own[b.ID] {
			if r.Certified && !r.Deleted && r.EndEpoch > s.head.Epoch {
				add(r.CertifiedEpoch, r.EndEpoch, r.Gained)
			}
		}
		for _, p := range pooled[b.ID] {
			i := slices.IndexFunc(s.pools, func(q Pool) bool { return q.ID == p.Pool })
			if p.Certified && s.pools[i].EndEpoch > s.head.Epoch {
				add(p.CertifiedEpoch, s.pools[i].EndEpoch, p.Gained, s.pools[i].Gained)
			}
		}
		if live && b.Invalidated == 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// readAll reads every table back.
func readAll(r *Reader) (s tables, err error) {
	s.head = r.Header()
	s.pools = slices.Clone(r.Pools())
	if s.blobs, err = collect(r.Blobs()); err != nil {
		return s, err
	}
	if s.regs, err = collect(r.Registrations()); err != nil {
		return s, err
	}
	s.pooled, err = collect(r.Pooled())
	return s, err
}

func collect[R any](c Cursor[R]) (rows []R, err error) {
	for {
		row, err := c.Next()
		if row == nil || err != nil {
			return rows, err
		}
		rows = append(rows, *row)
	}
}

// scanAll reads the certified blobs beyond after.
func scanAll(t testing.TB, s *Scan, after recovery.Mark) ([]recovery.Row, error) {
	t.Helper()
	if err := s.Seek(after); err != nil {
		return nil, err
	}
	var all []recovery.Row
	for rows := make([]recovery.Row, 7); ; {
		n, end, err := s.Fill(t.Context(), rows)
		if err != nil {
			return all, err
		}
		all = append(all, rows[:n]...)
		if end {
			return all, nil
		}
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// inMemory opens the bytes of a snapshot's files.
func inMemory(files ...[]byte) (*Reader, error) {
	var sources []*source
	for i, raw := range files {
		name := "memory"
		if len(files) > 1 {
			name = ChunkName(name, Chunk{uint32(i), uint32(len(files))})
		}
		s, err := readEnds(name, bytes.NewReader(raw), int64(len(raw)))
		if err == nil {
			err = s.readIndex()
		}
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return newReader(sources)
}

// reseal makes the sums of an edited file right again: of header, index and
// trailer, and over the file. The blocks' own are left alone.
func reseal(raw []byte) []byte {
	crc := func(from, to int) {
		sum := checksum(raw[from : to-crcLength])
		binary.BigEndian.PutUint32(raw[to-crcLength:], sum)
	}
	if n := int(binary.BigEndian.Uint32(raw[headerLength:])); n >= headerMinLength && n <= len(raw) {
		crc(0, n)
	}
	at := len(raw) - trailerLength
	if index := binary.BigEndian.Uint64(raw[at+8:]); index <= uint64(at-crcLength) {
		crc(int(index), at)
	}
	crc(at, len(raw)-sumLength)
	binary.BigEndian.PutUint64(raw[len(raw)-sumLength:], fileSum(raw[:len(raw)-sumLength]))
	return raw
}

// state returns a state with n blobs, one registration each, enough for any
// number of blocks.
func state(n int) *tables {
	s := &tables{head: Header{Stamp: recovery.Stamp{Network: "test", Epoch: 5, Position: uint64(n)}}}
	c := SynthConfig{Blobs: uint64(n), Seed: 3}
	for i := range uint64(n) {
		id := c.id(i)
		s.blobs = append(s.blobs, Blob{Blob: recovery.Blob{ID: id, Size: int64(i), Encoding: recovery.Raw, Digest: id}})
		s.regs = append(s.regs, Registration{Key: KeyOf(id, id), Certified: true, CertifiedEpoch: 5, EndEpoch: 9, Gained: i + 1})
	}
	return s
}

func isCorrupt(err error) bool {
	var c *CorruptError
	return errors.As(err, &c)
}
