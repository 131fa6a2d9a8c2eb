package fs

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/syncer"
)

// parallelFlushes is how many files of a group are flushed at the same time: a
// journal commits many for the price of one.
const parallelFlushes = 16

// volume is one file system that shards lie on. There is one value for each
// device, so drafts can be grouped by it (hazard 85).
type volume struct {
	// dir is a directory on the volume, opened before anything was written
	// there: syncfs reports errors from the time its descriptor was opened.
	dir        *os.File
	durability Durability // Syncfs or Fdatasync
	pending    *pending
	syncfs     func(fd int) error
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

func (v *volume) flush(sealed, named []*draft) error {
	if v.durability == Syncfs {
		return v.flushAll()
	}
	if err := each(sealed, (*draft).flushData); err != nil {
		return err
	}
	return flushNames(named)
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
