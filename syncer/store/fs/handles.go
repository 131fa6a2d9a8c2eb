package fs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/syncer/store"
)

// handle is the descriptor of a directory in which names are used that are a single
// component each, none of them followed if it is a symbolic link: so nothing beyond
// the directory is reached, as with an os.Root, for one system call in place of
// three. It is opened when it is first used. Its methods may be called from many
// goroutines.
type handle struct {
	mu     sync.RWMutex // held while the descriptor is in use
	file   *os.File
	closed bool
}

// use calls do with the descriptor, which is do's until it returns.
func (h *handle) use(open func() (*os.File, error), do func(dir int) error) error {
	h.mu.RLock()
	if h.file == nil {
		h.mu.RUnlock()
		if err := h.open(open); err != nil {
			return err
		}
		h.mu.RLock()
	}
	defer h.mu.RUnlock()
	if h.file == nil { // closed meanwhile, or let go of
		return fs.ErrClosed
	}
	return do(int(h.file.Fd()))
}

func (h *handle) open(open func() (*os.File, error)) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return fs.ErrClosed
	case h.file == nil:
		h.file, err = open()
	}
	return err
}

// letGo closes the descriptor; the next use opens it again.
func (h *handle) letGo() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return nil
	}
	err := h.file.Close()
	h.file = nil
	return err
}

// close closes it for good.
func (h *handle) close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	return h.letGo()
}

// inShard calls do with the descriptor of the shard's directory.
func (d *shardDir) inShard(do func(dir int) error) error {
	return d.own.use(func() (*os.File, error) { return d.root.Open(".") }, do)
}

// inTemps calls do with that of the directory for temporary names, which is made if
// it is not there.
func (d *shardDir) inTemps(do func(dir int) error) error {
	return d.temps.use(func() (*os.File, error) {
		f, err := openDir(d.root, store.TempDir)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		if err := d.root.Mkdir(store.TempDir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		return openDir(d.root, store.TempDir)
	}, do)
}

// inFan calls do with that of the directory that final names lie in; fan is the
// sub-directory, or -1.
func (d *shardDir) inFan(fan int, do func(dir int) error) error {
	if fan < 0 {
		return d.inShard(do)
	}
	return d.inShard(func(dir int) error {
		var sub int
		err := retryEINTR(func() (err error) {
			sub, err = unix.Openat(dir, fanName(byte(fan)), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			return err
		})
		if err != nil {
			return &fs.PathError{Op: "openat", Path: joined(d.root, fanName(byte(fan))), Err: err}
		}
		defer func() { _ = unix.Close(sub) }() // nothing is written through it
		return do(sub)
	})
}

// newTemp makes a file under a temporary name.
func (d *shardDir) newTemp() (name string, fd int, err error) {
	for range 8 {
		name = tempName()
		err = d.inTemps(func(dir int) error {
			return retryEINTR(func() (err error) {
				fd, err = unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(fileMode))
				return err
			})
		})
		switch {
		case err == nil:
			return name, fd, nil
		case errors.Is(err, unix.ENOENT): // somebody removed the directory
			err = d.temps.letGo()
		case errors.Is(err, unix.EEXIST):
			err = nil
		}
		if err != nil {
			return "", 0, fmt.Errorf("make a temporary file: %w", err)
		}
	}
	return "", 0, fmt.Errorf("no temporary file could be made in %s", joined(d.root, store.TempDir))
}

// tempName makes a name that isTemp knows.
func tempName() string {
	const digits = "0000000000000000"
	name := strconv.FormatUint(rand.Uint64(), 16)
	return digits[len(name):] + name
}

// close closes the shard's directory.
func (d *shardDir) close() error {
	return errors.Join(d.own.close(), d.temps.close(), d.root.Close())
}
