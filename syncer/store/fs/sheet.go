package fs

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// sheet is the open file of a draft. It is used by its descriptor: an os.File asks
// the poller about each file first, in vain for regular ones (five system calls of
// eleven for a small piece). One goroutine uses it at a time.
type sheet struct {
	fd   int
	open bool
	// kept counts it among the files that stay open until they are published; nil: it
	// is closed when it is sealed.
	kept *budget
}

// budget bounds how many files stay open at one time.
type budget struct {
	now  atomic.Int64
	most int64
}

// newBudget takes half of the files that the process may open: connections and
// directories want some too.
func newBudget() *budget {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return &budget{}
	}
	return &budget{most: int64(min(limit.Cur, 1<<20) / 2)}
}

// take counts one more, if there is room.
func (b *budget) take() bool {
	if b.now.Add(1) <= b.most {
		return true
	}
	b.now.Add(-1)
	return false
}

func (b *budget) giveBack() { b.now.Add(-1) }

// write writes all of p, or says why not.
func (s *sheet) write(p []byte) (written int, err error) {
	for written < len(p) {
		var n int
		err := retryEINTR(func() (err error) { n, err = unix.Write(s.fd, p[written:]); return err })
		switch {
		case err != nil:
			return written, os.NewSyscallError("write", err)
		case n == 0:
			return written, io.ErrShortWrite
		}
		written += n
	}
	return written, nil
}

// rewind empties it.
func (s *sheet) rewind() error {
	if err := retryEINTR(func() error { return unix.Ftruncate(s.fd, 0) }); err != nil {
		return os.NewSyscallError("ftruncate", err)
	}
	_, err := unix.Seek(s.fd, 0, io.SeekStart)
	return os.NewSyscallError("lseek", err)
}

func (s *sheet) datasync() error {
	return os.NewSyscallError("fdatasync", retryEINTR(func() error { return unix.Fdatasync(s.fd) }))
}

// isAt reports whether a name in a directory is this file's. A symbolic link is not
// followed.
func (s *sheet) isAt(dir int, name string) bool {
	var have, there unix.Stat_t
	err := errors.Join(
		retryEINTR(func() error { return unix.Fstat(s.fd, &have) }),
		retryEINTR(func() error { return unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW) }),
	)
	return err == nil && have.Dev == there.Dev && have.Ino == there.Ino
}

// linkAt gives the file, which may have none, a name in a directory. It replaces
// nothing: EEXIST.
func (s *sheet) linkAt(dir int, name string) error {
	err := retryEINTR(func() error { return unix.Linkat(s.fd, "", dir, name, unix.AT_EMPTY_PATH) })
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	// Before Linux 6.10 that takes CAP_DAC_READ_SEARCH; a way through /proc takes
	// nothing, and twice as long.
	path := "/proc/self/fd/" + strconv.Itoa(s.fd)
	return retryEINTR(func() error { return unix.Linkat(unix.AT_FDCWD, path, dir, name, unix.AT_SYMLINK_FOLLOW) })
}

// close closes it. A second close does nothing.
func (s *sheet) close() error {
	if !s.open {
		return nil
	}
	s.open = false
	err := unix.Close(s.fd) // never again, also after EINTR: Linux has closed it
	if s.kept != nil {
		s.kept.giveBack()
	}
	return os.NewSyscallError("close", err)
}
