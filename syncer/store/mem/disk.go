// Package mem keeps pieces in memory. It is a real store with the contract of
// syncer.Store and the rules of package store, on a Disk that can lose what was
// not flushed. It does no more than the contract promises: a flush makes durable
// the drafts that it names and nothing else.
package mem

import (
	"bytes"
	"sync"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// Disk is what stays when a process ends. One Store at a time is open on it. Its
// methods may be called from many goroutines, also while a Store is in use.
type Disk struct {
	mu       sync.Mutex
	mounted  *medium
	away     *medium // set while unmounted
	user     *Store  // nil: no process has it
	used     int64   // bytes of drafts and pieces
	capacity int64
	failing  error // what every flush returns
}

// medium is one file system tree.
type medium struct {
	root   bool // the root directory is there
	marker *store.RootMarker
	shards map[uint32]*shard
}

// shard is a shard's directory.
type shard struct {
	number  uint32
	marker  *store.ShardMarker
	live    map[recovery.BlobID]*file // names as a process sees them
	lasting map[recovery.BlobID]*file // names that a power cut leaves
}

// file is the bytes of a draft or a piece.
type file struct {
	bytes   []byte
	lasting bool // the bytes, under whatever name, survive a power cut
}

// NewDisk returns a disk of 1 TiB without a root directory.
func NewDisk() *Disk { return &Disk{mounted: &medium{}, capacity: 1 << 40} }

// Crash cuts the power: names and bytes that no flush covered are gone, and so is
// the process. A name that outlived its bytes is left with none (hazard 76).
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	for _, m := range []*medium{d.mounted, d.away} {
		if m == nil {
			continue
		}
		for _, s := range m.shards {
			s.live = map[recovery.BlobID]*file{}
			for id, f := range s.lasting {
				if !f.lasting {
					f.bytes = nil
				}
				s.live[id] = f
			}
		}
	}
	d.count()
}

// Kill ends the process: its drafts are gone, what it published stays as it is.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	d.count()
}

func (d *Disk) end() {
	if d.user != nil {
		d.user.ended = true
		d.user = nil
	}
}

// count adds up what is used once there are no drafts.
func (d *Disk) count() {
	d.used = 0
	for _, s := range d.mounted.shards {
		for _, f := range s.live {
			d.used += int64(len(f.bytes))
		}
	}
}

// Unmount leaves an empty directory in place of the root; Mount undoes it.
func (d *Disk) Unmount() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away == nil {
		d.away, d.mounted = d.mounted, &medium{root: true}
	}
}

// Mount brings back what Unmount took away.
func (d *Disk) Mount() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away != nil {
		d.mounted, d.away = d.away, nil
	}
}

// Wipe empties a shard's directory, its marker included.
func (d *Disk) Wipe(number uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mounted.make(number)
}

// Remove removes a shard's directory.
func (d *Disk) Remove(number uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mounted.shards, number)
}

// Plant puts a durable piece there as another program would, with whatever
// directories it needs and without markers.
func (d *Disk) Plant(number uint32, id recovery.BlobID, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mounted.root = true
	s := d.mounted.shards[number]
	if s == nil {
		s = d.mounted.make(number)
	}
	f := &file{bytes: bytes.Clone(data), lasting: true}
	s.live[id], s.lasting[id] = f, f
	d.used += int64(len(data))
}

// Lose takes a piece away, as another program would.
func (d *Disk) Lose(number uint32, id recovery.BlobID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.mounted.shards[number]; s != nil {
		delete(s.live, id)
		delete(s.lasting, id)
	}
}

// Read returns what a process sees under a piece's final name.
func (d *Disk) Read(number uint32, id recovery.BlobID) (data []byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.mounted.shards[number]; s != nil && s.live[id] != nil {
		return bytes.Clone(s.live[id].bytes), true
	}
	return nil, false
}

// SetCapacity changes the disk's size in bytes; writing beyond it fails.
func (d *Disk) SetCapacity(size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = size
}

// FailFlushes makes every flush from now on fail with err; nil ends that, though
// not for a process that has seen a failure.
func (d *Disk) FailFlushes(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing = err
}

func (m *medium) make(number uint32) *shard {
	s := &shard{number: number, live: map[recovery.BlobID]*file{}, lasting: map[recovery.BlobID]*file{}}
	if m.shards == nil {
		m.shards = map[uint32]*shard{}
	}
	m.shards[number] = s
	return s
}
