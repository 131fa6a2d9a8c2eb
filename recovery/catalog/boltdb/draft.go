package boltdb

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// disk is what makes a file and its name durable, in this order.
type disk interface {
	sync(f *os.File) error
	rename(from, to string) error
	syncDir(dir string) error
}

type realDisk struct{}

func (realDisk) sync(f *os.File) error        { return f.Sync() }
func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// draft is the file under its temporary name, written from front to back behind
// room for the meta pages.
type draft struct {
	file    *os.File
	buf     *bufio.Writer
	written int64
	started int64 // bytes that the kernel was told to write out
}

const (
	draftBuffer = 1 << 20
	// writeOut is how many bytes are left to the page cache before the kernel is
	// told to begin writing them to the disk, which shortens the flush.
	writeOut = 8 << 20
)

// createDraft makes the file, which must not be there.
func createDraft(path string) (*draft, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	d := &draft{file: f}
	d.buf = bufio.NewWriterSize(fileWriter{d}, draftBuffer)
	if _, err := d.buf.Write(make([]byte, metaPages*pageSize)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

// fileWriter is where a draft's buffer goes.
type fileWriter struct{ d *draft }

// Write implements io.Writer.
func (w fileWriter) Write(b []byte) (int, error) {
	d := w.d
	n, err := d.file.Write(b)
	d.written += int64(n)
	if err != nil {
		return n, fmt.Errorf("write: %w", err)
	}
	if d.written-d.started >= writeOut {
		// Only a hint: whether the bytes are durable is sync's to find out.
		_ = unix.SyncFileRange(int(d.file.Fd()), d.started, d.written-d.started, unix.SYNC_FILE_RANGE_WRITE)
		d.started = d.written
	}
	return n, nil
}

// finish writes what is buffered, and then the meta pages, without which the file
// is nobody's.
func (d *draft) finish(metas []byte) error {
	if err := d.buf.Flush(); err != nil {
		return err
	}
	if _, err := d.file.WriteAt(metas, 0); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
