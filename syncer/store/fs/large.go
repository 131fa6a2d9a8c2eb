package fs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// largeFile is the size in bytes from which a piece's room is reserved, and the
// stretch after which its writeback is started, so that the flush of its group
// finds little left to do (DESIGN 11).
const largeFile = 8 << 20

// preallocate reserves size bytes without changing the file's length, where the
// file system can. A full volume is an error that wraps syscall.ENOSPC.
func preallocate(fd int, size int64) error {
	err := retryEINTR(func() error {
		return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, size)
	})
	if unsupported(err) {
		return nil
	}
	return os.NewSyscallError("fallocate", err)
}

// startWriteback asks the kernel to begin writing a stretch and does not wait.
func startWriteback(fd int, from, to int64) error {
	err := retryEINTR(func() error {
		return unix.SyncFileRange(fd, from, to-from, unix.SYNC_FILE_RANGE_WRITE)
	})
	if unsupported(err) {
		return nil
	}
	return os.NewSyscallError("sync_file_range", err)
}

// unsupported reports that a file system, or a sandbox, lacks a call.
func unsupported(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL, unix.ESPIPE, unix.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
