package fs

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/syncer"
)

// parallelFlushes is how many files of a group are flushed at the same time: a
// journal commits many for the price of one.
const parallelFlushes = 32

// volume is one file system that shards lie on. There is one value for each
// device, so drafts can be grouped by it (hazard 85).
type volume struct {
	// dir is a directory on the volume, opened before anything was written
	// there: syncfs reports errors from the time its descriptor was opened.
	dir       *os.File
	device    uint64
	pending   *pending
	unflushed *atomic.Int64 // the store's
	syncfs    func(fd int) error
	began     time.Time // what the chooser's times count from
	chooser   chooser   // who flushes has it
	record    flushRecord
	nameless  nameless
	// flushed: what an earlier process wrote is durable. Only Prepare looks at it.
	flushed bool

	mu     sync.Mutex
	failed error // the first failure; it sticks
}

// Flush implements syncer.Volume. After a failure it fails for ever: the kernel
// drops what it could not write, and a second flush lies (hazard 45).
func (v *volume) Flush(data, names []syncer.Draft) error {
	sealed, err := v.own(data, isSealed)
	if err != nil {
		return err
	}
	named, err := v.own(names, isPublished)
	if err != nil {
		return err
	}
	if len(sealed)+len(named) == 0 {
		return nil
	}
	if err := v.once(func() error { return v.flush(sealed, named) }); err != nil {
		return err
	}
	for _, d := range sealed {
		d.state = isDurable
		d.settleDirty()
	}
	for _, d := range named {
		v.pending.done(d)
	}
	return nil
}

// own returns the drafts, all of this volume and in the given state.
func (v *volume) own(drafts []syncer.Draft, state draftState) ([]*draft, error) {
	own := make([]*draft, len(drafts))
	for i, any := range drafts {
		d, ok := any.(*draft)
		if !ok || d.vol != v {
			return nil, errors.New("fs: flush of a draft that lies on another volume")
		}
		if d.state != state && !(state == isSealed && d.state == isDurable) {
			return nil, fmt.Errorf("fs: flush of a draft that is %s, not %s", d.state, state)
		}
		own[i] = d
	}
	return own, nil
}

// once runs a flush unless one failed before.
func (v *volume) once(flush func() error) error {
	v.mu.Lock()
	failed := v.failed
	v.mu.Unlock()
	if failed != nil {
		return failed
	}
	if failed = flush(); failed != nil {
		v.mu.Lock()
		v.failed = failed
		v.mu.Unlock()
	}
	return failed
}

// flush makes a group durable in the way that the chooser says. Each way covers all
// that went before, whichever way that was flushed: syncfs because it covers the
// volume, fdatasync because it takes just those files and directories that no flush
// covered yet. So the ways may alternate.
func (v *volume) flush(sealed, named []*draft) error {
	w := workOf(sealed, named)
	total, err := dirtyPages()
	ours := v.unflushed.Load()
	w.others = othersOf(total, err, ours)
	written, told := writtenTo(v.device)
	began := time.Since(v.began)
	way, why := v.chooser.next(began, w)
	if way == Syncfs {
		err = v.flushAll()
	} else if err = flushData(sealed); err == nil {
		err = flushNames(named)
	}
	if err != nil {
		return err
	}
	now := time.Since(v.began)
	if after, ok := writtenTo(v.device); told && ok {
		w.foreign = max(after-written-ours-metadataOf(w), 0)
	}
	v.chooser.note(now, w, way, now-began)
	v.record.note(w, way, why, now-began)
	return nil
}

// metadataOf is how many bytes besides its own a group may well write: a journal,
// tables, directories.
func metadataOf(w work) int64 { return 1<<20 + int64(w.files+w.names)*16<<10 }

// open is the flush before anything is listed: syncfs, whatever the way of groups,
// since nobody knows which files an earlier process left.
func (v *volume) open() error {
	began := time.Since(v.began)
	if err := v.flushAll(); err != nil {
		return err
	}
	now := time.Since(v.began)
	v.chooser.opened(now, now-began)
	way, why := v.chooser.next(now, work{})
	v.record.begin(way, why)
	return nil
}

func workOf(sealed, named []*draft) work {
	w := work{files: len(sealed), names: len(named), foreign: foreignUnknown}
	for _, d := range sealed {
		w.bytes += d.written
	}
	return w
}

// flushAll flushes everything written to the volume so far, by anybody.
func (v *volume) flushAll() error {
	err := retryEINTR(func() error { return v.syncfs(int(v.dir.Fd())) })
	runtime.KeepAlive(v.dir)
	if err != nil {
		return fmt.Errorf("flush the volume of %s: %w", v.dir.Name(), err)
	}
	return nil
}

// flushData flushes the bytes of each draft. Writeback of all of them is begun first:
// then the disk has them at once, and one commit of a journal serves many (2 to 3
// times faster, for 4 KiB files on ext4 and xfs).
func flushData(sealed []*draft) error {
	defer func() {
		for _, d := range sealed {
			d.endFlush()
		}
	}()
	if err := each(sealed, (*draft).beginFlush); err != nil {
		return err
	}
	return each(sealed, (*draft).flushData)
}

// changed is a directory in which pieces got their final names.
type changed struct {
	shard *shardDir
	name  string
}

// flushNames fsyncs each changed directory once, and each shard's directory in
// which a sub-directory is new.
func flushNames(named []*draft) error {
	seen := map[changed]bool{}
	var dirs []changed
	add := func(c changed) {
		if !seen[c] {
			seen[c] = true
			dirs = append(dirs, c)
		}
	}
	for _, d := range named {
		if d.fan < 0 {
			add(changed{d.dir, "."})
			continue
		}
		add(changed{d.dir, fanName(byte(d.fan))})
		if d.dir.fans.get(byte(d.fan)) != fanDurable {
			add(changed{d.dir, "."})
		}
	}
	if err := each(dirs, func(c changed) error { return c.shard.flush(c.name) }); err != nil {
		return err
	}
	for _, d := range named {
		if d.fan >= 0 {
			d.dir.fans.set(byte(d.fan), fanDurable)
		}
	}
	return nil
}

// each calls do for every item, a few at a time, and returns the first error.
func each[T any](items []T, do func(T) error) error {
	var g errgroup.Group
	g.SetLimit(parallelFlushes)
	for _, item := range items {
		g.Go(func() error { return do(item) })
	}
	return g.Wait()
}

// flushRecord is what status tells about the flushes of a volume.
type flushRecord struct {
	mu   sync.Mutex
	work work
	why  reason
	kept VolumeStatus // but for Path and Why
}

func (r *flushRecord) begin(way Durability, why reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept.Way, r.why = way, why
}

func (r *flushRecord) note(w work, way Durability, why reason, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.work, r.why = w, why
	r.kept.Way, r.kept.LastFlush, r.kept.Files, r.kept.Bytes = way, took, w.files, w.bytes
	r.kept.Flushes[way]++
	r.kept.Flushing[way] += took
}

func (r *flushRecord) get() VolumeStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.kept
	s.Why = r.why.text(r.work)
	return s
}
