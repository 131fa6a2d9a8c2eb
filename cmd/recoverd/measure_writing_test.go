package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// writing compares the syncer over a store, fed from memory, with the least that a
// program can do for the same: hash, write under a temporary name, flush the group,
// rename, flush. Both write the same tree, each round into a file system that was
// just made: nothing is ever deleted between rounds.
func (m *measurement) writing(t *testing.T) {
	needRoot(t)
	for _, kind := range []struct{ name, options string }{
		{"ext4", ""}, {"ext4 without a journal", "^has_journal"},
	} {
		const rounds = 5
		plain, store := newWritten(t, 50_000, kind.options), newWritten(t, 50_000, kind.options)
		took := takeTurns(rounds, plain.fresh(plain.plain), store.fresh(func(root string) { store.sync(root, func() {}) }))
		m.add(t, finding{
			what: "50,000 x 4 KiB durable on " + kind.name + ": syncer and store against a plain program with the same flushes", value: took[1].over(took[0]).times(), target: "at most 1.25", rounds: rounds,
			detail: fmt.Sprintf("plain %v, store %v; CPU %v and %v, %s", took[0], took[1], plain.cpu, store.cpu, store.cpu.over(plain.cpu).times()),
		})
	}
}

// neighbour looks at how long the slowest of 2,000 blobs takes to become durable
// while 1 GiB that somebody else wrote to the volume waits to be written.
func (m *measurement) neighbour(t *testing.T) {
	needRoot(t)
	const rounds = 3
	var slowest [fs.Fdatasync + 1]series
	for range rounds {
		for _, way := range []fs.Durability{fs.DurabilityAuto, fs.Syncfs, fs.Fdatasync} {
			w := newWritten(t, 2_000, "")
			w.durability = way
			w.fresh(func(root string) {
				w.sync(root, func() {
					if err := os.WriteFile(filepath.Join(root, "..", "neighbour"), make([]byte, 1<<30), 0o600); err != nil {
						t.Fatal(err)
					}
				})
			})()
			slowest[way] = append(slowest[way], w.slowest)
		}
	}
	auto, syncfs, fdatasync := slowest[fs.DurabilityAuto], slowest[fs.Syncfs], slowest[fs.Fdatasync]
	m.add(t, finding{
		what: "1 GiB of a neighbour's dirty pages: the slowest of 2,000 blobs by auto against fdatasync", value: auto.over(fdatasync).times(), rounds: rounds,
		detail: fmt.Sprintf("auto %v, fdatasync %v; syncfs %v, %s auto", auto, fdatasync, syncfs, syncfs.over(auto).times()),
	})
}

// large looks at how much of the time that a blob of 1 GiB takes is spent in the
// flushes at its end.
func (m *measurement) large(t *testing.T) {
	needRoot(t)
	const rounds, size = 3, 1 << 30
	w := &written{t: t, dir: t.TempDir(), blobs: []recovery.Blob{zeroBlob(size)}, fetcher: zeroFetcher{}}
	whole := takeTurns(rounds, w.fresh(func(root string) { w.sync(root, func() {}) }))[0]
	m.add(t, finding{
		what: "1 GiB in one blob: the part of the time that is spent in flushes, after its last byte came", value: w.flushing.over(whole).percent(), rounds: rounds,
		detail: fmt.Sprintf("all of it %v, flushes %v", whole, w.flushing),
	})
}

// zeroBlob is a blob of nothing but zeros.
func zeroBlob(size int64) recovery.Blob {
	hash, chunk := sha256.New(), make([]byte, 1<<20)
	for left := size; left > 0; left -= int64(len(chunk)) {
		_, _ = hash.Write(chunk[:min(left, int64(len(chunk)))]) // a hash takes everything
	}
	id := recovery.BlobID(hash.Sum(nil))
	return recovery.Blob{ID: id, Size: size, Encoding: recovery.Raw, Digest: id}
}

// zeroFetcher has every blob of zeros.
type zeroFetcher struct{}

func (zeroFetcher) Fetch(ctx context.Context, p syncer.Piece, sink syncer.Sink) (string, error) {
	if err := sink.Reset(); err != nil {
		return "", err
	}
	chunk := make([]byte, 64<<10)
	for left := p.Blob.Size; left > 0; left -= int64(len(chunk)) {
		if _, err := sink.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
			return "", err
		}
	}
	return "zeros", errors.Join(ctx.Err(), sink.Verify())
}

func needRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("no measurement: only root may mount a file system")
	}
	need(t, "mkfs.ext4", "mount", "umount")
}

// written is a set of blobs in memory, and how they are written to a file system.
type written struct {
	t          *testing.T
	dir        string
	options    string // mkfs.ext4 -O
	durability fs.Durability
	blobs      []recovery.Blob // in rising order
	bytes      map[recovery.BlobID][]byte
	fetcher    syncer.Fetcher
	disks      int

	cpu      series // of the process, in each round
	flushing series // spent in flushes, with their names
	mu       sync.Mutex
	slowest  time.Duration // from the request until it is durable
}

const writtenShards = 4

func newWritten(t *testing.T, n int, options string) *written {
	memory := mempeer.New("memory")
	w := &written{t: t, dir: t.TempDir(), options: options, bytes: map[recovery.BlobID][]byte{}}
	for i := range n {
		data := make([]byte, 4<<10)
		for at := 0; at < len(data); at += 8 {
			binary.BigEndian.PutUint64(data[at:], uint64(i)*0x9e3779b97f4a7c15+uint64(at))
		}
		id := recovery.BlobID(sha256.Sum256(data))
		w.blobs = append(w.blobs, recovery.Blob{ID: id, Size: int64(len(data)), Encoding: recovery.Raw, Digest: id})
		w.bytes[id] = data
		memory.Put(id, 0, data)
	}
	slices.SortFunc(w.blobs, func(a, b recovery.Blob) int { return a.ID.Compare(b.ID) })
	pool, err := peer.New(peer.Config{}, memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() }) // nothing is left in it
	w.fetcher = pool
	return w
}

// fresh gives each run of a task a file system of its own.
func (w *written) fresh(task func(root string)) func() time.Duration {
	return func() time.Duration {
		w.disks++
		mount := filepath.Join(w.dir, fmt.Sprint(w.disks))
		args := []string{"-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"}
		if w.options != "" {
			args = append(args, "-O", w.options)
		}
		disk := &loopDisk{t: w.t, image: mount + ".img", mount: mount}
		disk.run("truncate", "-s", "3G", disk.image)
		disk.run("mkfs.ext4", append(args, disk.image)...)
		disk.run("mkdir", mount)
		disk.run("mount", "-o", "loop", disk.image, mount)
		defer func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) }()
		disk.run("sync")
		runtime.GC()
		used, began := cpuTime(w.t), time.Now()
		task(filepath.Join(mount, "store"))
		took := time.Since(began)
		w.cpu = append(w.cpu, cpuTime(w.t)-used)
		return took
	}
}

// plain is the limit.
func (w *written) plain(root string) {
	var dirs []string
	for shard := range uint32(writtenShards) {
		dirs = append(dirs, shardPath(root, shard))
		if err := os.MkdirAll(dirs[shard]+"/.tmp", 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	volume, err := os.Open(root)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = volume.Close() }()
	const group = 1_000
	for first := range slices.Chunk(w.blobs, group) {
		temp := func(i int) string { return fmt.Sprintf("%s/.tmp/%016x", dirs[home(first[i])], i) }
		var g errgroup.Group
		g.SetLimit(16)
		for i, b := range first {
			g.Go(func() error {
				if sha256.Sum256(w.bytes[b.ID]) != b.ID {
					return errors.New("wrong bytes")
				}
				return os.WriteFile(temp(i), w.bytes[b.ID], 0o644)
			})
		}
		err := g.Wait()
		if err == nil {
			err = unix.Syncfs(int(volume.Fd()))
		}
		for i := 0; i < len(first) && err == nil; i++ {
			err = os.Rename(temp(i), dirs[home(first[i])]+"/"+first[i].ID.String())
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if err := unix.Syncfs(int(volume.Fd())); err != nil {
		w.t.Fatal(err)
	}
}

func home(b recovery.Blob) uint32 { return shards.Home(b.ID, writtenShards) }

// sync is what a node does, without its machine. before is called once the store is
// open.
func (w *written) sync(root string, before func()) {
	s, err := fs.Open(fs.Config{Root: root, Create: true, MinFree: 1, Durability: w.durability})
	if err != nil {
		w.t.Fatal(err)
	}
	owned := shards.Range(0, writtenShards-1)
	if _, err := s.Prepare(w.t.Context(), recovery.StoreRequest{Network: "n", TotalShards: writtenShards, Placement: shards.Hashed, Owned: owned}); err != nil {
		w.t.Fatal(err)
	}
	before()
	h, err := syncer.New(syncer.Config{Store: s, Fetcher: w.fetcher})
	if err != nil {
		w.t.Fatal(err)
	}
	const slots = 64
	free := make(chan struct{}, slots)
	var g errgroup.Group
	for _, b := range w.blobs {
		free <- struct{}{}
		began := time.Now()
		watch := h.Sync(syncer.Request{Run: 1, Blob: b, Covers: recovery.Covers{Total: writtenShards, Owned: owned}, Placement: shards.Hashed})
		g.Go(func() error {
			for changed := watch.Changed(); watch.Status().Stage < syncer.Stored; changed = watch.Changed() {
				<-changed
			}
			<-free
			if o, err := watch.Wait(context.Background()); err != nil || o.Result != recovery.Success {
				return fmt.Errorf("%v, %w", o, err)
			}
			w.took(time.Since(began))
			return nil
		})
	}
	err = errors.Join(g.Wait(), h.Close())
	for _, v := range s.Volumes() {
		w.flushing = append(w.flushing, v.Flushing[fs.Fdatasync]+v.Flushing[fs.Syncfs])
	}
	if err := errors.Join(err, s.Close()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *written) took(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slowest = max(w.slowest, d)
}

// cpuTime is what the process used so far.
func cpuTime(t testing.TB) time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
