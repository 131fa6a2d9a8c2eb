package spill

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// writeBuffer is how many bytes are written at once.
const writeBuffer = 256 << 10

// spill sorts the records held and moves them to the end of the file.
func (s *Sorter) spill() (err error) {
	if len(s.order) == 0 {
		return nil
	}
	if s.file == nil {
		if s.file, err = createTemp(s.cfg.Dir); err != nil {
			return fmt.Errorf("sort in %s: %w", s.cfg.Dir, err)
		}
	}
	s.sort()
	out := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.size), writeBuffer)
	for _, slot := range s.order {
		if _, err := out.Write(s.at(slot.at)); err != nil {
			return fmt.Errorf("sort in %s: %w", s.cfg.Dir, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("sort in %s: %w", s.cfg.Dir, err)
	}
	from := s.size
	s.size += int64(len(s.order)) * int64(s.cfg.Record)
	s.runs = append(s.runs, run{from, s.size})
	s.order = s.order[:0]
	return nil
}

// createTemp opens a file in dir that has no name, so that nothing of it is left
// whatever becomes of the process (hazard 49).
func createTemp(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), filepath.Join(dir, "(sorting)")), nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR):
		return createNamed(dir)
	}
	return nil, err
}

// leftoverSuffix is that of snapshots under way: a process that is killed in the
// moment before the name is gone leaves a file that snapshot.RemoveLeftovers
// takes away.
const leftoverSuffix = ".rsnap-tmp"

// createNamed does the same on a file system that wants a name first.
func createNamed(dir string) (*os.File, error) {
	name := filepath.Join(dir, ".sorting."+rand.Text()+leftoverSuffix)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
