package fs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// nameless says whether the drafts of a volume are written to files without a name
// (O_TMPFILE), which get their final one by linking. Nothing is left of them when the
// process or the machine dies, and a directory is changed once and not three times.
//
// A new link changes the file's inode too. fsync of its directory makes that durable
// where there is a journal; on ext4 without one the name would point to an inode that
// is free. So it is done on ext4 with a journal, on xfs, and where nothing is durable
// anyway. What refuses it once is asked no more.
type nameless struct{ refused atomic.Bool }

// look looks at a volume, by a directory on it.
func (n *nameless) look(dir *os.File) error {
	var fs unix.Statfs_t
	var st unix.Stat_t
	err := errors.Join(
		retryEINTR(func() error { return unix.Fstatfs(int(dir.Fd()), &fs) }),
		retryEINTR(func() error { return unix.Fstat(int(dir.Fd()), &st) }),
	)
	runtime.KeepAlive(dir)
	if err != nil {
		return fmt.Errorf("look at the file system of %s: %w", dir.Name(), err)
	}
	able := fs.Type == unix.XFS_SUPER_MAGIC || fs.Type == unix.TMPFS_MAGIC ||
		fs.Type == unix.EXT4_SUPER_MAGIC && hasJournal(st.Dev)
	_, err = os.Stat("/proc/self/fd") // links may have to be made through it
	n.refused.Store(!able || err != nil)
	return nil
}

// hasJournal reports whether an ext4 is known to have a journal.
func hasJournal(device uint64) bool {
	const inode = "-8" // of every journal that lies on its own volume
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(device), unix.Minor(device)))
	if err != nil {
		return false
	}
	_, err = os.Stat("/proc/fs/jbd2/" + filepath.Base(link) + inode)
	return err == nil
}

// create makes a file without a name in a directory; ok is false where it had better
// have one.
func (n *nameless) create(dir int) (fd int, ok bool, err error) {
	if n.refused.Load() {
		return 0, false, nil
	}
	err = retryEINTR(func() (err error) {
		fd, err = unix.Openat(dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, uint32(fileMode))
		return err
	})
	switch {
	case err == nil:
		return fd, true, nil
	case n.refuses(err):
		return 0, false, nil
	}
	return 0, false, os.NewSyscallError("openat", err)
}

// refuses reports whether an error says that this is not had here, and remembers it.
func (n *nameless) refuses(err error) bool {
	no := unsupported(err) || slices.ContainsFunc([]error{unix.EISDIR, unix.ENOENT, unix.EACCES, unix.EXDEV},
		func(e error) bool { return errors.Is(err, e) })
	if no {
		n.refused.Store(true)
	}
	return no
}
