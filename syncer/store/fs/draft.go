package fs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// draftState is how far a draft has come. It only grows.
type draftState uint8

const (
	isWriting   draftState = iota
	isBroken               // Seal failed; only Discard follows
	isSealed               // written and closed
	isDurable              // a flush covered its bytes
	isPublished            // it has its final name
	isDiscarded
)

func (s draftState) String() string {
	return [...]string{"being written", "broken", "sealed", "durable", "published", "discarded"}[s]
}

// draft implements syncer.Draft: a file under a temporary name in its shard's
// own directory, and so on the same volume as its final name.
type draft struct {
	vol   *volume
	dir   *shardDir
	key   pieceKey
	temp  string
	final string
	fan   int // the sub-directory of the final name; -1 in the flat layout
	size  int64

	file    *os.File // while writing
	written int64
	started int64 // writeback has been asked for up to here
	state   draftState
}

// Write implements io.Writer. Errors of a full volume wrap syscall.ENOSPC.
func (d *draft) Write(p []byte) (int, error) {
	if d.state != isWriting {
		return 0, fmt.Errorf("fs: write to a draft that is %s", d.state)
	}
	n, err := d.file.Write(p)
	d.written += int64(n)
	if err == nil && d.size >= largeFile && d.written-d.started >= largeFile {
		err = startWriteback(d.file, d.started, d.written)
		d.started = d.written
	}
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
	if err := d.file.Truncate(0); err != nil {
		return fmt.Errorf("reset draft: %w", err)
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reset draft: %w", err)
	}
	d.written, d.started = 0, 0
	return d.reserve()
}

// reserve takes the room of a large piece beforehand: it lies in one stretch,
// and a full volume is known before the bytes are fetched.
func (d *draft) reserve() error {
	if d.size < largeFile {
		return nil
	}
	if err := preallocate(d.file, d.size); err != nil {
		return fmt.Errorf("reserve room for a draft: %w", err)
	}
	return nil
}

// Seal implements syncer.Draft. It fails if another number of bytes was written
// than announced, or if closing reports that some were lost (hazard 47).
func (d *draft) Seal() error {
	if d.state != isWriting {
		return fmt.Errorf("fs: seal of a draft that is %s", d.state)
	}
	err := d.file.Close()
	d.file = nil
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

// flushData makes the bytes of a sealed draft durable.
func (d *draft) flushData() error {
	f, _, err := openRegular(d.dir.root, d.temp)
	if err != nil {
		return fmt.Errorf("flush draft: %w", err)
	}
	err = retryEINTR(func() error { return unix.Fdatasync(int(f.Fd())) })
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("flush draft: %w", err)
	}
	return nil
}

// Publish implements syncer.Draft. A draft whose bytes no flush covered is
// refused (hazard 76).
func (d *draft) Publish() error {
	if d.state != isDurable {
		return fmt.Errorf("fs: publish of a draft that is %s", d.state)
	}
	d.vol.pending.add(d)
	err := d.rename()
	if d.fan >= 0 && errors.Is(err, fs.ErrNotExist) { // somebody removed the sub-directory
		d.dir.fans.forget(byte(d.fan))
		err = d.rename()
	}
	if err != nil {
		d.vol.pending.done(d)
		return fmt.Errorf("publish in shard %d: %w", d.dir.number, err)
	}
	d.state = isPublished
	return nil
}

func (d *draft) rename() error {
	if d.fan >= 0 {
		if err := d.dir.needFan(byte(d.fan)); err != nil {
			return err
		}
	}
	return d.dir.root.Rename(d.temp, d.final)
}

// Discard implements syncer.Draft.
func (d *draft) Discard() error {
	if d.state == isPublished || d.state == isDiscarded {
		return nil
	}
	var closing error
	if d.file != nil {
		closing = d.file.Close()
		d.file = nil
	}
	d.state = isDiscarded
	if err := d.dir.root.Remove(d.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("discard draft: %w", err), closing)
	}
	return nil
}
