package sim

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// content is what stands under a name.
type content uint8

const (
	missing content = iota
	right
	wrong  // rotten; the network knows other bytes
	hollow // the right name, and bytes that never reached the disk
)

// pieceKey is a final name.
type pieceKey struct {
	id    recovery.BlobID
	shard uint32
}

// file is what is under a final name: what processes see, in the page cache, and what
// a power cut would leave.
type file struct{ seen, kept content }

// naming is a name that was given and is not durable yet.
type naming struct {
	key   pieceKey
	draft *draft
}

// volume is one file system of a store.
type volume struct {
	disk  *disk
	files map[pieceKey]*file
	dirty []naming // in the order they were given
}

// root is one store's root, with what is mounted below it.
type root struct {
	marker  *store.RootMarker
	shards  map[uint32]*store.ShardMarker // nil: the directory has no marker
	volumes []*volume
}

// disk is what outlives a process: the checkpoint's copies and the store. It does one
// operation at a time; a process can die in any of them.
type disk struct {
	w       *world
	medium  medium
	root    *root // what is mounted at the store's path; an unmounted one is bare
	away    *root // what is not mounted now, and will be again
	full    bool
	fuse    int  // operations until the process dies in one; 0: it does not
	dead    bool // it did; nothing more of it happens
	markers byte // for ids
}

var (
	errDead = errors.New("sim: the process is dead")
	errIO   = fmt.Errorf("sim: %w", syscall.EIO)
	errFull = fmt.Errorf("sim: %w", syscall.ENOSPC)
)

func newRoot(d *disk, volumes int) *root {
	r := &root{shards: map[uint32]*store.ShardMarker{}}
	for range volumes {
		r.volumes = append(r.volumes, &volume{disk: d, files: map[pieceKey]*file{}})
	}
	return r
}

func (r *root) volumeOf(shard uint32) *volume { return r.volumes[int(shard)%len(r.volumes)] }

func (r *root) file(key pieceKey) *file {
	v := r.volumeOf(key.shard)
	f := v.files[key]
	if f == nil {
		f = &file{}
		v.files[key] = f
	}
	return f
}

// op is one operation. halfway reports that the process dies in it: the caller does
// a part of it, or all, or nothing, and returns errDead.
func (d *disk) op() (halfway bool, err error) {
	if d.dead {
		return false, errDead
	}
	if d.fuse > 0 {
		if d.fuse--; d.fuse == 0 {
			d.dead = true
			d.w.count(DeadInside)
			d.w.note("dead inside")
			return true, errDead
		}
	}
	return false, nil
}

// write is an operation that needs a disk that works and has room.
func (d *disk) write() error {
	if _, err := d.op(); err != nil {
		return err
	}
	switch {
	case d.w.fault(WriteError):
		return errIO
	case d.full:
		return errFull
	}
	return nil
}

func (d *disk) read() error {
	if _, err := d.op(); err != nil {
		return err
	}
	if d.w.fault(ReadError) {
		return errIO
	}
	return nil
}

// flush makes the bytes of drafts and the names of others durable, and nothing else
// that it could have covered.
func (v *volume) flush(data, names []*draft) error {
	d := v.disk
	halfway, err := d.op()
	fails := !halfway && err == nil && d.w.fault(FlushFails)
	if err != nil && !halfway {
		return err
	}
	partly := halfway || fails
	for _, f := range data {
		switch {
		case f.durable:
		case partly && d.w.coin():
		case fails && d.w.coin():
			f.dropped = true // the kernel marks such pages clean
		default:
			f.durable = !f.dropped
		}
	}
	for _, n := range names {
		if !partly || d.w.coin() {
			v.settleName(n)
		}
	}
	if fails {
		d.w.doubt("a flush failed")
		return errIO
	}
	return err
}

// settleName makes the names that a draft was given durable.
func (v *volume) settleName(of *draft) {
	v.dirty = slices.DeleteFunc(v.dirty, func(n naming) bool {
		if n.draft != of {
			return false
		}
		v.files[n.key].kept = of.kept()
		return true
	})
}

// sync is a flush of all that processes left behind.
func (v *volume) sync() error {
	drafts := make([]*draft, 0, len(v.dirty))
	for _, n := range v.dirty {
		drafts = append(drafts, n.draft)
	}
	return v.flush(drafts, drafts)
}

// powerCut leaves of what is not durable any part, in any order.
func (d *disk) powerCut() {
	for _, r := range []*root{d.root, d.away} {
		if r == nil {
			continue
		}
		for _, v := range r.volumes {
			for _, n := range v.dirty {
				switch {
				case !d.w.coin():
					d.w.count(NameLost)
				case n.draft.durable:
					v.files[n.key].kept = n.draft.content
				default:
					v.files[n.key].kept = hollow
				}
			}
			v.dirty = nil
			for _, f := range v.files {
				f.seen = f.kept
			}
		}
	}
	d.medium.powerCut()
}

// wipe replaces a shard's disk by an empty one.
func (r *root) wipe(shard uint32) {
	delete(r.shards, shard)
	r.empty(shard)
}

// empty deletes a shard's pieces, durably; its marker stays.
func (r *root) empty(shard uint32) {
	v := r.volumeOf(shard)
	for key := range v.files {
		if key.shard == shard {
			delete(v.files, key)
		}
	}
	v.dirty = slices.DeleteFunc(v.dirty, func(n naming) bool { return n.key.shard == shard })
}

// remove deletes one piece, durably.
func (r *root) remove(key pieceKey) {
	v := r.volumeOf(key.shard)
	delete(v.files, key)
	v.dirty = slices.DeleteFunc(v.dirty, func(n naming) bool { return n.key == key })
}

// markerID numbers markers.
func (d *disk) markerID() store.MarkerID {
	d.markers++
	return store.MarkerID{1, d.markers}
}
