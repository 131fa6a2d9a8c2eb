package fs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// draftState is how far a draft has come. It only grows.
type draftState uint8

const (
	isWriting   draftState = iota
	isBroken               // Seal failed; only Discard follows
	isSealed               // written
	isDurable              // a flush covered its bytes
	isPublished            // it has its final name
	isDiscarded
)

func (s draftState) String() string {
	return [...]string{"being written", "broken", "sealed", "durable", "published", "discarded"}[s]
}

// draft implements syncer.Draft: a file in its shard's own directory, and so on the
// same volume as its final name. It has no name until it is published, or a temporary
// one. It stays open until then, so that its flush sees every error of writing it back;
// if too many are open, one that has a name is closed when it is sealed.
type draft struct {
	vol  *volume
	dir  *shardDir
	key  pieceKey
	temp string // among the shard's temporary names; "": it has no name
	fan  int    // the sub-directory of the final name; -1 in the flat layout
	size int64

	sheet   sheet
	written int64
	dirty   int64 // bytes of its pages that are counted in the store's unflushed
	started int64 // writeback has been asked for up to here
	state   draftState
}

// create makes the file.
func (d *draft) create(b *budget) (err error) {
	if b.take() {
		d.sheet.kept = b
		err = d.dir.inShard(func(dir int) error {
			d.sheet.fd, d.sheet.open, err = d.vol.nameless.create(dir)
			return err
		})
	}
	if err == nil && !d.sheet.open {
		d.temp, d.sheet.fd, err = d.dir.newTemp()
		d.sheet.open = err == nil
	}
	if err != nil && d.sheet.kept != nil {
		b.giveBack()
	}
	return err
}

// Write implements io.Writer. Errors of a full volume wrap syscall.ENOSPC.
func (d *draft) Write(p []byte) (int, error) {
	if d.state != isWriting {
		return 0, fmt.Errorf("fs: write to a draft that is %s", d.state)
	}
	n, err := d.sheet.write(p)
	d.written += int64(n)
	if err == nil && d.size >= largeFile && d.written-d.started >= largeFile {
		err = startWriteback(d.sheet.fd, d.started, d.written)
		d.started = d.written
	}
	d.countDirty()
	if err != nil {
		return n, fmt.Errorf("write draft: %w", err)
	}
	return n, nil
}

// Reset implements syncer.Draft.
func (d *draft) Reset() error {
	if d.state != isWriting {
		return fmt.Errorf("fs: reset of a draft that is %s", d.state)
	}
	if d.written == 0 {
		return nil
	}
	if err := d.sheet.rewind(); err != nil {
		return fmt.Errorf("reset draft: %w", err)
	}
	d.written, d.started = 0, 0
	d.settleDirty()
	return d.reserve()
}

// countDirty counts the pages that the draft made dirty among the store's. What is
// being written back counts as others': a syncfs would wait for it in vain.
func (d *draft) countDirty() {
	const page = 4096
	pages := (d.written - d.started + page - 1) &^ (page - 1)
	d.vol.unflushed.Add(pages - d.dirty)
	d.dirty = pages
}

// settleDirty says that none of its pages is dirty any more.
func (d *draft) settleDirty() {
	d.vol.unflushed.Add(-d.dirty)
	d.dirty = 0
}

// reserve takes the room of a large piece beforehand: it lies in one stretch,
// and a full volume is known before the bytes are fetched.
func (d *draft) reserve() error {
	if d.size < largeFile {
		return nil
	}
	if err := preallocate(d.sheet.fd, d.size); err != nil {
		return fmt.Errorf("reserve room for a draft: %w", err)
	}
	return nil
}

// Seal implements syncer.Draft. It fails if another number of bytes was written
// than announced, or if closing reports that some were lost (hazard 47). What stays
// open is closed when nothing can be lost any more.
func (d *draft) Seal() error {
	if d.state != isWriting {
		return fmt.Errorf("fs: seal of a draft that is %s", d.state)
	}
	var err error
	if d.sheet.kept == nil {
		err = d.sheet.close()
	}
	if err == nil && d.size != recovery.SizeUnknown && d.written != d.size {
		err = fmt.Errorf("%d of %d bytes were written", d.written, d.size)
	}
	if err != nil {
		d.state = isBroken
		return fmt.Errorf("seal draft: %w", err)
	}
	d.state = isSealed
	return nil
}

// Volume implements syncer.Draft.
func (d *draft) Volume() syncer.Volume { return d.vol }

// beginFlush opens a sealed draft, if it is not open, and begins to write what is
// left of it.
func (d *draft) beginFlush() error {
	if !d.sheet.open {
		if err := d.reopen(); err != nil {
			return fmt.Errorf("flush draft: %w", err)
		}
	}
	if err := startWriteback(d.sheet.fd, d.started, d.written); err != nil {
		return fmt.Errorf("flush draft: %w", err)
	}
	return nil
}

func (d *draft) reopen() error {
	f, _, err := openRegular(d.dir.root, store.TempDir+"/"+d.temp)
	if err != nil {
		return err
	}
	d.sheet.fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	d.sheet.open = err == nil
	return errors.Join(os.NewSyscallError("fcntl", err), f.Close())
}

// flushData makes the bytes of a draft durable whose flush has begun.
func (d *draft) flushData() error {
	if err := d.sheet.datasync(); err != nil {
		return fmt.Errorf("flush draft: %w", err)
	}
	return nil
}

// endFlush closes what beginFlush opened. The flush has reported every error.
func (d *draft) endFlush() {
	if d.sheet.kept == nil {
		_ = d.sheet.close()
	}
}

// Publish implements syncer.Draft. A draft whose bytes no flush covered is
// refused (hazard 76).
func (d *draft) Publish() error {
	if d.state != isDurable {
		return fmt.Errorf("fs: publish of a draft that is %s", d.state)
	}
	if d.temp != "" {
		if err := d.release(); err != nil {
			return fmt.Errorf("publish in shard %d: %w", d.dir.number, err)
		}
	}
	d.vol.pending.add(d)
	err := d.name()
	if d.fan >= 0 && errors.Is(err, fs.ErrNotExist) { // somebody removed the sub-directory
		d.dir.fans.forget(byte(d.fan))
		err = d.name()
	}
	if err != nil {
		d.vol.pending.done(d)
		return fmt.Errorf("publish in %s: %w", store.Place(d.dir.number), err)
	}
	d.state = isPublished
	_ = d.sheet.close() // its bytes are durable
	return nil
}

// release closes a draft that is to be renamed, once its name is seen to be its own.
func (d *draft) release() error {
	if !d.sheet.open {
		return nil
	}
	is := false
	err := d.dir.inTemps(func(dir int) error { is = d.sheet.isAt(dir, d.temp); return nil })
	switch {
	case err != nil:
		return err
	case is:
		return d.sheet.close()
	}
	name := store.TempDir + "/" + d.temp
	info, err := d.dir.root.Lstat(name)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s is a %s that somebody put there", joined(d.dir.root, name), kindOf(info))
}

// name gives the draft its final name, in place of whatever has it.
func (d *draft) name() error {
	if d.fan >= 0 {
		if err := d.dir.needFan(byte(d.fan)); err != nil {
			return err
		}
	}
	final := d.key.id.String()
	return d.dir.inFan(d.fan, func(dir int) error {
		if d.temp == "" {
			err := d.sheet.linkAt(dir, final)
			switch {
			case err == nil:
				return nil
			case errors.Is(err, unix.EEXIST):
				err = d.nameTemp() // links replace nothing, renaming does
			case d.vol.nameless.refuses(err): // the next one gets a name at once
			}
			if err != nil {
				return os.NewSyscallError("linkat", err)
			}
		}
		return d.dir.inTemps(func(temps int) error {
			return os.NewSyscallError("renameat", retryEINTR(func() error { return unix.Renameat(temps, d.temp, dir, final) }))
		})
	})
}

// nameTemp gives a draft without a name a temporary one.
func (d *draft) nameTemp() error {
	name := tempName()
	if err := d.dir.inTemps(func(dir int) error { return d.sheet.linkAt(dir, name) }); err != nil {
		return err
	}
	d.temp = name
	return nil
}

// Discard implements syncer.Draft.
func (d *draft) Discard() error {
	if d.state == isPublished || d.state == isDiscarded {
		return nil
	}
	closing := d.sheet.close()
	d.state = isDiscarded
	d.settleDirty()
	if d.temp == "" {
		return closing
	}
	if err := d.dir.root.Remove(store.TempDir + "/" + d.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("discard draft: %w", err), closing)
	}
	return closing
}
