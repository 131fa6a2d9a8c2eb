package fs

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func request(n uint32) recovery.StoreRequest {
	return recovery.StoreRequest{Network: "testnet", TotalShards: 8, Placement: shards.Striped, Owned: shards.Range(0, n-1)}
}

// recorded opens a store whose syncfs calls go to record.
func recorded(t *testing.T, cfg Config, record func(fd int) error) *Store {
	t.Helper()
	cfg.Create = true
	s, err := Open(cfg)
	check(t, err)
	s.syncfs = record
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

func piece(n uint64, shard uint32) syncer.Piece {
	var id recovery.BlobID
	binary.BigEndian.PutUint64(id[:], n<<40)
	return syncer.Piece{Shard: shard, Blob: recovery.Blob{ID: id, Size: 1, Encoding: recovery.Raw}}
}

func sealedDraft(t *testing.T, s *Store, p syncer.Piece) syncer.Draft {
	t.Helper()
	d, err := s.Create(t.Context(), p, 1)
	check(t, err)
	_, err = d.Write([]byte("x"))
	check(t, err)
	check(t, d.Seal())
	return d
}

// Hazard 77: the first preparation flushes the volume before anything is listed,
// and later ones do not.
func TestSkippedFromPageCache(t *testing.T) {
	for _, durability := range []Durability{Syncfs, Fdatasync} {
		flushes := 0
		s := recorded(t, Config{Root: filepath.Join(t.TempDir(), "store"), Durability: durability}, func(fd int) error {
			flushes++
			return unix.Syncfs(fd)
		})
		for range 3 {
			_, err := s.Prepare(t.Context(), request(3))
			check(t, err)
		}
		if flushes != 1 {
			t.Errorf("%s: %d flushes for one volume", durability, flushes)
		}
	}
}

// Hazard 45.
func TestOpeningFlushFails(t *testing.T) {
	fail := syscall.EIO
	s := recorded(t, Config{Root: filepath.Join(t.TempDir(), "store")}, func(int) error {
		if fail != 0 {
			return fail
		}
		return nil
	})
	if _, err := s.Prepare(t.Context(), request(1)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("prepared: %v", err)
	}
	fail = 0
	if _, err := s.Prepare(t.Context(), request(1)); !errors.Is(err, syscall.EIO) {
		t.Errorf("prepared after a flush had failed: %v", err)
	}
}

// Hazard 45: a second fsync lies.
func TestFlushFailureSticks(t *testing.T) {
	fail := syscall.Errno(0)
	s := recorded(t, Config{Root: filepath.Join(t.TempDir(), "store"), Durability: Syncfs}, func(int) error {
		if fail != 0 {
			return fail
		}
		return nil
	})
	_, err := s.Prepare(t.Context(), request(1))
	check(t, err)
	d := sealedDraft(t, s, piece(1, 0))
	fail = syscall.EIO
	if err := d.Volume().Flush([]syncer.Draft{d}, nil); !errors.Is(err, syscall.EIO) {
		t.Fatalf("flush: %v", err)
	}
	fail = 0
	if err := d.Volume().Flush([]syncer.Draft{d}, nil); !errors.Is(err, syscall.EIO) {
		t.Errorf("a second flush: %v", err)
	}
	if err := d.Publish(); err == nil {
		t.Error("it was published")
	}
}

// One flush a group, and none for an empty one.
func TestFlushesPerGroup(t *testing.T) {
	flushes := 0
	s := recorded(t, Config{Root: filepath.Join(t.TempDir(), "store"), Durability: Syncfs}, func(int) error { flushes++; return nil })
	_, err := s.Prepare(t.Context(), request(4))
	check(t, err)
	flushes = 0
	var group []syncer.Draft
	for i := range 100 {
		group = append(group, sealedDraft(t, s, piece(uint64(i), uint32(i%4))))
	}
	v := group[0].Volume()
	check(t, v.Flush(nil, nil))
	check(t, v.Flush(group, nil))
	for _, d := range group {
		check(t, d.Publish())
	}
	check(t, v.Flush(nil, group))
	if flushes != 2 {
		t.Errorf("%d flushes for a group's bytes and names", flushes)
	}
	if n := s.pending.count.Load(); n != 0 {
		t.Errorf("%d names are still taken for not durable", n)
	}
}

// tmpfs mounts a small file system, or skips the test.
func tmpfs(t *testing.T, path, options string) {
	t.Helper()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, options); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { check(t, unix.Unmount(path, unix.MNT_DETACH)) })
}

// Hazard 85: a shard that is a mount of its own is flushed by itself.
func TestOtherVolumeFlush(t *testing.T) {
	root := t.TempDir()
	mount := filepath.Join(root, "1")
	check(t, os.Mkdir(mount, 0o755))
	tmpfs(t, mount, "size=1m")
	var flushed []uint64
	s := recorded(t, Config{Root: root, Durability: Syncfs}, func(fd int) error {
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		flushed = append(flushed, st.Dev)
		return err
	})
	_, err := s.Prepare(t.Context(), request(3))
	check(t, err)
	if len(flushed) != 2 || flushed[0] == flushed[1] {
		t.Fatalf("the opening flushed the volumes %v", flushed)
	}
	flushed = nil
	here, there := sealedDraft(t, s, piece(1, 0)), sealedDraft(t, s, piece(1, 1))
	if here.Volume() == there.Volume() || here.Volume() != sealedDraft(t, s, piece(2, 2)).Volume() {
		t.Fatal("volumes are not told apart by their device")
	}
	if err := here.Volume().Flush([]syncer.Draft{there}, nil); err == nil {
		t.Error("one volume flushed a draft of the other")
	}
	check(t, there.Volume().Flush([]syncer.Draft{there}, nil))
	var st unix.Stat_t
	check(t, unix.Stat(mount, &st))
	if len(flushed) != 1 || flushed[0] != st.Dev {
		t.Errorf("flushed %v, the shard lies on %d", flushed, st.Dev)
	}
	check(t, there.Publish())
}

// Hazard 51: at every step that takes room, a full disk is a clear error, and
// when there is room again the work goes on.
func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	tmpfs(t, root, "size=12m,nr_inodes=64")
	s := recorded(t, Config{Root: root, Layout: store.Fanout, MinFree: 1 << 20}, unix.Syncfs)
	_, err := s.Prepare(t.Context(), request(1))
	check(t, err)
	filler := filepath.Join(root, "filler")
	if _, err := s.Create(t.Context(), piece(1, 0), 64<<20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("room for a large piece: %v", err)
	}
	check(t, os.WriteFile(filler, make([]byte, 12<<20-64<<10), 0o600))
	room, err := s.Room(t.Context())
	if err != nil || !room.Low || room.Min != 1<<20 || room.Free >= room.Min {
		t.Errorf("room on a full disk: %+v, %v", room, err)
	}
	d, err := s.Create(t.Context(), piece(1, 0), 1<<20)
	check(t, err)
	if _, err := d.Write(make([]byte, 1<<20)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write: %v", err)
	}
	check(t, d.Discard())
	if left, err := filepath.Glob(filepath.Join(root, "0", ".tmp", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	check(t, os.Remove(filler))

	published := sealedDraft(t, s, piece(1, 0))
	check(t, published.Volume().Flush([]syncer.Draft{published}, nil))
	fillInodes(t, root)
	if _, err := s.Create(t.Context(), piece(2, 0), 1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("create without inodes: %v", err)
	}
	if room, err := s.Room(t.Context()); err != nil || !room.Low {
		t.Errorf("room without inodes: %+v, %v", room, err)
	}
	if err := published.Publish(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("publish, which needs a directory: %v", err)
	}
	if n := s.pending.count.Load(); n != 0 {
		t.Errorf("%d names are taken for published", n)
	}
	check(t, os.RemoveAll(filepath.Join(root, "inodes")))
	check(t, published.Publish())
	check(t, published.Volume().Flush(nil, []syncer.Draft{published}))
}

func fillInodes(t *testing.T, root string) {
	dir := filepath.Join(root, "inodes")
	check(t, os.Mkdir(dir, 0o755))
	for i := range 1000 {
		err := os.Mkdir(filepath.Join(dir, strconv.Itoa(i)), 0o755)
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		check(t, err)
	}
	t.Fatal("the inodes do not run out")
}

// A large piece is reserved and written back as it goes, and reset all the same.
func TestLargePiece(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := recorded(t, Config{Root: root}, unix.Syncfs)
	_, err := s.Prepare(t.Context(), request(1))
	check(t, err)
	const size = 2*largeFile + 5
	p := piece(1, 0)
	p.Blob.Size = size
	d, err := s.Create(t.Context(), p, size)
	check(t, err)
	chunk := []byte(strings.Repeat("recover!", 1<<17))
	for _, total := range []int{largeFile + 1<<20, size} {
		check(t, d.Reset())
		for left := total; left > 0; {
			n, err := d.Write(chunk[:min(len(chunk), left)])
			check(t, err)
			left -= n
		}
	}
	check(t, d.Seal())
	check(t, d.Volume().Flush([]syncer.Draft{d}, nil))
	check(t, d.Publish())
	check(t, d.Volume().Flush(nil, []syncer.Draft{d}))
	if info, err := os.Stat(filepath.Join(root, "0", p.Blob.ID.String())); err != nil || info.Size() != size {
		t.Errorf("stored %v, %v", info, err)
	}
	if ok, err := s.Has(t.Context(), p); err != nil || !ok {
		t.Errorf("Has: %v, %v", ok, err)
	}
}

// Status tells how the last group of each volume was flushed, and why.
func TestVolumes(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := recorded(t, Config{Root: root, Durability: Fdatasync}, unix.Syncfs)
	if got := s.Volumes(); got != nil {
		t.Errorf("before it was prepared: %+v", got)
	}
	_, err := s.Prepare(t.Context(), request(2))
	check(t, err)
	before := s.Volumes()
	if len(before) != 1 || before[0].Way != Fdatasync || before[0].Why != bySetting.text(work{}) || before[0].LastFlush != 0 {
		t.Errorf("before the first flush: %+v", before)
	}
	group := []syncer.Draft{sealedDraft(t, s, piece(1, 0)), sealedDraft(t, s, piece(2, 1))}
	if n := s.unflushed.Load(); n != 2*4096 {
		t.Errorf("%d bytes of two small drafts are dirty", n)
	}
	check(t, group[0].Volume().Flush(group, nil))
	after := s.Volumes()[0]
	if !strings.HasPrefix(after.Path, root) || after.Files != 2 || after.Bytes != 2 || after.LastFlush <= 0 || after.Flushes[Fdatasync] != 1 || after.Flushing[Fdatasync] != after.LastFlush {
		t.Errorf("after it: %+v", after)
	}
	unfinished := sealedDraft(t, s, piece(3, 0))
	check(t, unfinished.Discard())
	if n := s.unflushed.Load(); n != 0 {
		t.Errorf("%d bytes are taken for dirty", n)
	}
}

// Hazard 45, in both ways: an error of syncfs halts also where fdatasync was the way
// until then, and one of fdatasync the other way round.
func TestFlushFailureSticksAcrossWays(t *testing.T) {
	s := recorded(t, Config{Root: filepath.Join(t.TempDir(), "store")}, unix.Syncfs)
	_, err := s.Prepare(t.Context(), request(1))
	check(t, err)
	d := sealedDraft(t, s, piece(1, 0))
	v := d.Volume().(*volume)
	v.chooser.setting = Fdatasync
	check(t, d.(*draft).sheet.close())
	d.(*draft).sheet.open = true
	if err := v.Flush([]syncer.Draft{d}, nil); !errors.Is(err, syscall.EBADF) {
		t.Fatalf("a draft that is gone was flushed: %v", err)
	}
	d.(*draft).sheet.open = false
	v.chooser.setting = Syncfs
	if err := v.Flush([]syncer.Draft{d}, nil); err == nil {
		t.Error("the other way was taken after a failure")
	}
}
