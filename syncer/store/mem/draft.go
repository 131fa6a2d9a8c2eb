package mem

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// draft implements syncer.Draft. The disk's lock guards it.
type draft struct {
	vol   *volume
	dir   *shard
	id    recovery.BlobID
	size  int64
	file  *file
	state draftState
}

// draftState is how far a draft has come. It only grows.
type draftState uint8

const (
	isWriting draftState = iota
	isBroken
	isSealed
	isDurable
	isPublished
	isDiscarded
)

func (s draftState) String() string {
	return [...]string{"being written", "broken", "sealed", "durable", "published", "discarded"}[s]
}

// enter locks the disk and checks that the draft may do what is asked of it.
func (d *draft) enter(what string, want draftState) (leave func(), err error) {
	disk := d.vol.store.disk
	disk.mu.Lock()
	switch {
	case d.vol.store.ended:
		err = ErrEnded
	case d.state != want:
		err = fmt.Errorf("mem: %s of a draft that is %s", what, d.state)
	}
	return disk.mu.Unlock, err
}

// Write implements io.Writer. On a full disk it writes what fits.
func (d *draft) Write(p []byte) (int, error) {
	leave, err := d.enter("write", isWriting)
	defer leave()
	if err != nil {
		return 0, err
	}
	disk := d.vol.store.disk
	n := int(min(int64(len(p)), max(disk.capacity-disk.used, 0)))
	d.file.bytes = append(d.file.bytes, p[:n]...)
	disk.used += int64(n)
	if n < len(p) {
		return n, fmt.Errorf("write draft: %w", syscall.ENOSPC)
	}
	return n, nil
}

// Reset implements syncer.Draft.
func (d *draft) Reset() error {
	leave, err := d.enter("reset", isWriting)
	defer leave()
	if err != nil {
		return err
	}
	d.drop()
	return nil
}

func (d *draft) drop() {
	d.vol.store.disk.used -= int64(len(d.file.bytes))
	d.file = &file{}
}

// Seal implements syncer.Draft.
func (d *draft) Seal() error {
	leave, err := d.enter("seal", isWriting)
	defer leave()
	if err != nil {
		return err
	}
	if n := int64(len(d.file.bytes)); d.size != recovery.SizeUnknown && n != d.size {
		d.state = isBroken
		return fmt.Errorf("seal draft: %d of %d bytes were written", n, d.size)
	}
	d.state = isSealed
	return nil
}

// Volume implements syncer.Draft.
func (d *draft) Volume() syncer.Volume { return d.vol }

// Publish implements syncer.Draft. A draft whose bytes no flush covered is
// refused (hazard 76).
func (d *draft) Publish() error {
	leave, err := d.enter("publish", isDurable)
	defer leave()
	if err != nil {
		return err
	}
	if old := d.dir.live[d.id]; old != nil {
		d.vol.store.disk.used -= int64(len(old.bytes))
	}
	d.dir.live[d.id] = d.file
	d.state = isPublished
	return nil
}

// Discard implements syncer.Draft.
func (d *draft) Discard() error {
	d.vol.store.disk.mu.Lock()
	defer d.vol.store.disk.mu.Unlock()
	if d.vol.store.ended {
		return ErrEnded
	}
	if d.state == isPublished || d.state == isDiscarded {
		return nil
	}
	d.drop()
	d.state = isDiscarded
	return nil
}

// volume implements syncer.Volume.
type volume struct {
	store  *Store
	failed error // the first failure; it sticks (hazard 45)
}

// Flush implements syncer.Volume. It covers the named drafts and nothing else.
func (v *volume) Flush(data, names []syncer.Draft) error {
	disk := v.store.disk
	disk.mu.Lock()
	defer disk.mu.Unlock()
	if v.store.ended {
		return ErrEnded
	}
	sealed, err := v.own(data, isSealed, isDurable)
	if err != nil {
		return err
	}
	named, err := v.own(names, isPublished, isPublished)
	if err != nil || len(sealed)+len(named) == 0 {
		return err
	}
	if v.failed == nil && disk.failing != nil {
		v.failed = fmt.Errorf("flush: %w", disk.failing)
	}
	if v.failed != nil {
		return v.failed
	}
	for _, d := range sealed {
		d.file.lasting, d.state = true, isDurable
	}
	for _, d := range named {
		if d.dir.live[d.id] == d.file {
			d.dir.lasting[d.id] = d.file
		}
	}
	return nil
}

// own returns the drafts, all of this volume and in one of two states.
func (v *volume) own(drafts []syncer.Draft, a, b draftState) ([]*draft, error) {
	own := make([]*draft, len(drafts))
	for i, any := range drafts {
		d, ok := any.(*draft)
		if !ok || d.vol != v {
			return nil, errors.New("mem: flush of a draft that lies on another volume")
		}
		if d.state != a && d.state != b {
			return nil, fmt.Errorf("mem: flush of a draft that is %s", d.state)
		}
		own[i] = d
	}
	return own, nil
}
