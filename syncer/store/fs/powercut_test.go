package fs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// The way of flushing changes at random from group to group, and the power fails in
// the midst of it: whatever was acknowledged is there, and no final name has wrong
// bytes (I5).
//
// Hazards 14, 46, 76: data-after-cursor, names without a directory fsync,
// name-before-data.
func TestPowerCutBetweenWays(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	for _, tool := range []string{"mkfs.ext4", "mkfs.xfs", "mount", "umount", "xfs_io"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	ext4, xfs := []string{"mkfs.ext4", "-q", "-F"}, []string{"mkfs.xfs", "-q", "-f"}
	for name, c := range map[string]struct {
		mkfs   []string
		layout store.Layout
		named  bool
	}{
		"ext4":            {ext4, store.Flat, false},
		"ext4, fanned":    {ext4, store.Fanout, false},
		"ext4, by rename": {ext4, store.Flat, true},
		"xfs":             {xfs, store.Flat, false},
		"xfs, by rename":  {xfs, store.Fanout, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newCutDisk(t, c.mkfs)
			w := cutWorld{t: t, disk: d, layout: c.layout, named: c.named, rnd: rand.New(rand.NewPCG(7, uint64(c.layout))), acked: map[syncer.Piece]bool{}}
			for range 6 {
				w.live(1 + w.rnd.IntN(8))
				d.remount()
				w.check()
			}
		})
	}
}

// cutWorld is a store on a disk whose power fails.
type cutWorld struct {
	t      *testing.T
	disk   *cutDisk
	layout store.Layout
	named  bool
	rnd    *rand.Rand
	made   uint64
	acked  map[syncer.Piece]bool
}

func (w *cutWorld) open() *Store {
	s, err := Open(Config{Root: filepath.Join(w.disk.mount, "store"), Create: true, Layout: w.layout, MinFree: 1, named: w.named})
	check(w.t, err)
	_, err = s.Prepare(w.t.Context(), recovery.StoreRequest{Network: "n", TotalShards: 2, Placement: shards.Striped, Owned: shards.Range(0, 1)})
	check(w.t, err)
	return s
}

// live does what a lane of the barrier does. At the end the power is cut during the
// flush of a group, or right after its names were flushed alone, as in a lull.
func (w *cutWorld) live(groups int) {
	s := w.open()
	var named []syncer.Draft
	for range groups {
		group := w.group(s)
		check(w.t, w.flush(s, group, named))
		for _, d := range group {
			check(w.t, d.Publish())
		}
		named = group
	}
	if w.rnd.IntN(2) == 0 {
		check(w.t, w.flush(s, nil, named))
		w.disk.cut()
	} else {
		group, cut := w.group(s), make(chan struct{})
		go func() { defer close(cut); w.disk.cut() }()
		if err := w.flush(s, group, named); err == nil {
			for _, d := range group {
				_ = d.Publish() // fails when the power has
			}
		}
		<-cut
		for _, d := range group {
			_ = d.Discard() // closes what a process that ends would
		}
	}
	_ = s.Close()
}

func (w *cutWorld) group(s *Store) []syncer.Draft {
	group := make([]syncer.Draft, 1+w.rnd.IntN(20))
	for i := range group {
		group[i] = w.draft(s)
	}
	return group
}

// flush flushes in a way that is drawn, and acknowledges.
func (w *cutWorld) flush(s *Store, group, named []syncer.Draft) error {
	v := s.view.Load().volumes[0]
	v.chooser.setting = []Durability{Syncfs, Fdatasync}[w.rnd.IntN(2)]
	err := v.Flush(group, named)
	if err == nil {
		for _, d := range named {
			w.acked[w.pieceOf(d)] = true
		}
	}
	return err
}

// draft makes a sealed one, of a piece whose content follows from its id.
func (w *cutWorld) draft(s *Store) syncer.Draft {
	w.made++
	p := cutPiece(w.made)
	d, err := s.Create(w.t.Context(), p, p.Blob.Size)
	check(w.t, err)
	if named := d.(*draft).temp != ""; named != w.named {
		w.t.Fatalf("a draft with a name: %v", named)
	}
	_, err = d.Write(cutContent(p))
	check(w.t, err)
	check(w.t, d.Seal())
	return d
}

func (w *cutWorld) pieceOf(d syncer.Draft) syncer.Piece {
	own := d.(*draft)
	return syncer.Piece{Shard: own.key.place, Blob: recovery.Blob{ID: own.key.id, Size: own.size, Encoding: recovery.Raw}}
}

// cutPiece is the n-th piece; every fiftieth is a large one.
func cutPiece(n uint64) syncer.Piece {
	p := piece(n, uint32(n%2))
	p.Blob.Size = 1 + int64(n*7919%20_000)
	if n%50 == 0 {
		p.Blob.Size = largeFile + 4321
	}
	return p
}

// cutContent are the bytes of a piece.
func cutContent(p syncer.Piece) []byte {
	data := bytes.Repeat([]byte(p.Blob.ID.String()), int(p.Blob.Size)/64+1)
	return data[:p.Blob.Size]
}

// check looks at everything that is there, and for everything that must be.
func (w *cutWorld) check() {
	s := w.open()
	defer func() { check(w.t, s.Close()) }()
	for p := range w.acked {
		if ok, err := s.Has(w.t.Context(), p); err != nil || !ok {
			w.t.Errorf("shard %d: %s was acknowledged and is not there: %v", p.Shard, p.Blob.ID, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(w.disk.mount, "store", "[01]", "*"))
	check(w.t, err)
	more, err := filepath.Glob(filepath.Join(w.disk.mount, "store", "[01]", "*", "*"))
	check(w.t, err)
	seen := 0
	for _, path := range append(files, more...) {
		var id recovery.BlobID
		if !parseID([]byte(filepath.Base(path)), &id) {
			continue
		}
		data, err := os.ReadFile(path)
		check(w.t, err)
		seen++
		if p := cutPiece(binary.BigEndian.Uint64(id[:]) >> 40); !bytes.Equal(data, cutContent(p)) {
			w.t.Errorf("%s has %d bytes, which are not those of the piece, of %d", path, len(data), p.Blob.Size)
		}
	}
	if seen < len(w.acked) || len(w.acked) == 0 {
		w.t.Errorf("%d pieces are there, %d were acknowledged", seen, len(w.acked))
	}
}

// cutDisk is a file system in a file, mounted.
type cutDisk struct {
	t            *testing.T
	image, mount string
}

func newCutDisk(t *testing.T, mkfs []string) *cutDisk {
	dir := t.TempDir()
	d := &cutDisk{t: t, image: filepath.Join(dir, "image"), mount: filepath.Join(dir, "mount")}
	check(t, os.Mkdir(d.mount, 0o755))
	check(t, os.WriteFile(d.image, nil, 0o600))
	check(t, os.Truncate(d.image, 512<<20))
	d.run(mkfs[0], append(mkfs[1:], d.image)...)
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.mount).CombinedOutput(); err != nil {
		t.Skipf("no loop mounts here: %s", out)
	}
	t.Cleanup(func() { _ = unix.Unmount(d.mount, unix.MNT_DETACH) })
	return d
}

func (d *cutDisk) run(name string, args ...string) {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Error(fmt.Errorf("%s %v: %w: %s", name, args, err, out))
	}
}

// cut stops the file system without letting it write anything more.
func (d *cutDisk) cut() { d.run("xfs_io", "-x", "-c", "shutdown", d.mount) }

func (d *cutDisk) remount() {
	d.t.Helper()
	d.run("umount", d.mount)
	d.run("mount", "-o", "loop", d.image, d.mount)
}
