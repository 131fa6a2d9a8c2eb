package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// FileConfig says where a file catalog lies, and what it is.
type FileConfig struct {
	// Path is the snapshot file. Its directory must be there when the catalog is
	// made; the file may come later. A new state is published by renaming a file
	// to Path; writing into the present one is damage.
	Path string
	// PollInterval is how often the file is looked at besides waking up when its
	// directory changes, which network file systems and links do not tell;
	// default 15 s.
	PollInterval time.Duration
	// WatchAfter is how long after NewFile the directory is watched at the earliest; what
	// changes before is seen then. Default 0: from the beginning, or NewFile fails. To
	// close a watch takes the kernel about 10 ms, which a process that ends at once can
	// do without.
	WatchAfter time.Duration
	// Accept looks at a file that is proven whole before it replaces the pinned
	// one, and returns an error that wraps recovery.ErrMisconfigured to refuse it;
	// nil: all are accepted. The first file is not looked at: whoever makes the
	// catalog does.
	Accept func(ctx context.Context, c Content) error
	// Open opens what lies at a path; default: a snapshot. Its errors say which
	// file, and wrap ErrDamaged or ErrForeign where the file is at fault.
	Open func(path string) (Content, error)
}

func (c FileConfig) withDefaults() FileConfig {
	if c.PollInterval == 0 {
		c.PollInterval = 15 * time.Second
	}
	if c.Open == nil {
		c.Open = openSnapshot
	}
	return c
}

// Validate reports the first value that makes no sense.
func (c FileConfig) Validate() error {
	switch {
	case c.Path == "":
		return errors.New("catalog: the file has no path")
	case c.PollInterval < 0:
		return fmt.Errorf("catalog: poll interval %v is negative", c.PollInterval)
	case c.WatchAfter < 0:
		return fmt.Errorf("catalog: the watch begins after %v, which is negative", c.WatchAfter)
	}
	return nil
}

// File is a file that holds one state, by default a snapshot, as a catalog, read
// in place with a few blocks of memory, whatever its size. It is static: complete
// as itself.
//
// The first Pin opens the file by its ends only, so that a restart costs the
// same with any number of blobs; every block is proven when it is read. A file
// that replaces it is proven whole before the open one is left; a bad one is
// remembered for Rejected, and the catalog stays where it is. Pages and look-ups
// under way keep the file they began with.
type File struct {
	cfg   FileConfig
	watch *watcher

	pinning sync.Mutex // one Pin at a time; not held by anything that answers

	mu       sync.Mutex
	open     *openFile // what is pinned; nil before the first Pin and after Close
	rejected Rejection
	bad      os.FileInfo // what was rejected last
	closed   bool
}

// Rejection tells about files that could not replace the pinned one.
type Rejection struct {
	Count uint64 // how many, since the catalog was made
	Err   error  // why the one that now lies at the path was; nil: it is pinned
}

// NewFile returns the catalog at cfg.Path. The caller closes it.
func NewFile(cfg FileConfig) (*File, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	w, err := newWatcher(cfg)
	if err != nil {
		return nil, fmt.Errorf("watch catalog: %w", err)
	}
	return &File{cfg: cfg, watch: w}, nil
}

// Close ends the watch and, once the answers under way are given, closes the
// file.
func (f *File) Close() error {
	f.mu.Lock()
	open, was := f.open, f.closed
	f.open, f.closed = nil, true
	f.mu.Unlock()
	if was {
		return nil
	}
	if open != nil {
		open.release()
	}
	return f.watch.Close()
}

// Rejected tells about replacements that were refused.
func (f *File) Rejected() Rejection {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rejected
}

// Pin implements Source. On the first call an error that wraps
// recovery.ErrMisconfigured says that the path holds something else than a
// snapshot that can be read. Later it returns an error only for ctx and after
// Close; a replacement that is bad, or gone, leaves the pinned state as it is.
func (f *File) Pin(ctx context.Context) (recovery.Tip, error) {
	f.pinning.Lock()
	defer f.pinning.Unlock()
	if ctx.Err() != nil {
		return recovery.Tip{}, context.Cause(ctx)
	}
	open, err := f.acquire()
	switch {
	case errors.Is(err, ErrNotPinned):
		return f.first()
	case err != nil:
		return recovery.Tip{}, err
	}
	defer open.release()
	next, err := f.replacement(ctx, open)
	if err != nil {
		return recovery.Tip{}, err
	}
	if next == nil {
		return open.tip(), nil
	}
	return next.tip(), f.install(next)
}

// first opens the file without reading all of it.
func (f *File) first() (recovery.Tip, error) {
	open, err := openCatalog(f.cfg.Path, f.cfg.Open)
	switch {
	case foreign(err):
		return recovery.Tip{}, fmt.Errorf("%w: %w", recovery.ErrMisconfigured, err)
	case err != nil:
		return recovery.Tip{}, err
	}
	return open.tip(), f.install(open)
}

// replacement returns the file that now lies at the path, proven whole, or nil
// where it is the pinned one or no better.
func (f *File) replacement(ctx context.Context, open *openFile) (*openFile, error) {
	there, err := os.Stat(f.cfg.Path)
	if err != nil {
		f.reject(nil, fmt.Errorf("look at catalog: %w", err))
		return nil, nil
	}
	if sameFile(open.info, there) {
		f.settle()
		return nil, nil
	}
	if f.wasRejected(there) {
		return nil, nil
	}
	next, err := openCatalog(f.cfg.Path, f.cfg.Open)
	if err != nil {
		f.reject(there, err)
		return nil, nil
	}
	if err := f.prove(ctx, next.content); err != nil {
		next.release()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		f.reject(next.info, err)
		return nil, nil
	}
	return next, nil
}

// prove reads all of a file, and asks whether it is accepted.
func (f *File) prove(ctx context.Context, c Content) error {
	if err := c.Verify(ctx); err != nil {
		return fmt.Errorf("verify catalog: %w", err)
	}
	if f.cfg.Accept == nil {
		return nil
	}
	if err := f.cfg.Accept(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", f.cfg.Path, err)
	}
	return nil
}

// install makes next the pinned file, taking over the caller's reference.
func (f *File) install(next *openFile) error {
	f.mu.Lock()
	old := f.open
	if f.closed {
		f.mu.Unlock()
		next.release()
		return ErrClosed
	}
	f.open, f.bad, f.rejected.Err = next, nil, nil
	f.mu.Unlock()
	if old != nil {
		old.release()
	}
	return nil
}

// reject remembers that what lies at the path is no replacement, once for each
// file; info is nil where nothing does. A file that could not be read is not
// known to be bad, and is tried again (hazard 43).
func (f *File) reject(info os.FileInfo, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if provenBad(err) {
		f.bad = info
	} else {
		f.bad = nil
	}
	if f.bad != nil || f.rejected.Err == nil {
		f.rejected.Count++
	}
	f.rejected.Err = err
}

// settle forgets a rejected file after the pinned one came back.
func (f *File) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rejected.Err, f.bad = nil, nil
}

func (f *File) wasRejected(there os.FileInfo) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bad != nil && sameFile(f.bad, there)
}

// acquire returns the pinned file with a reference that the caller releases.
func (f *File) acquire() (*openFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, ErrClosed
	case f.open == nil:
		return nil, ErrNotPinned
	}
	f.open.retain()
	return f.open, nil
}

// Page implements Source. It allocates nothing once a scan is warm; pages that
// follow one another go on where the last one ended.
func (f *File) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	open, err := f.acquire()
	if err != nil {
		return recovery.PageInfo{}, err
	}
	defer open.release()
	switch {
	case ctx.Err() != nil:
		return recovery.PageInfo{}, context.Cause(ctx)
	case len(rows) == 0:
		return recovery.PageInfo{}, errNoRoom
	}
	return open.page(ctx, after, rows)
}

// Lookup implements Source. It reads up to a block of each table for an id.
func (f *File) Lookup(ctx context.Context, ids []recovery.BlobID) (recovery.Stamp, []recovery.Row, error) {
	open, err := f.acquire()
	if err != nil {
		return recovery.Stamp{}, nil, err
	}
	defer open.release()
	rows, err := open.lookup(ctx, sortedOnce(ids))
	return open.content.Header().Stamp, rows, err
}

// Changed implements Source: another file lies at the path than the pinned one
// or one proven bad. One that could not be read is worth another Pin only after
// something happened, or the poll interval has passed (hazard 27).
func (f *File) Changed(ctx context.Context) error {
	for woken := false; ; woken = true {
		wake := f.watch.changed()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch found, err := f.look(); {
		case err != nil:
			return err
		case found == lookNewer, found == lookUnreadable && woken:
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}

type looked int

const (
	lookKnown looked = iota // pinned, proven bad, or not there
	lookNewer
	lookUnreadable // the last Pin could not read what is there
)

func (f *File) look() (looked, error) {
	there, err := os.Stat(f.cfg.Path)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return lookKnown, ErrClosed
	case err != nil:
		return lookKnown, nil // nothing newer; Pin says what is wrong
	case f.bad != nil && sameFile(f.bad, there):
		return lookKnown, nil
	case f.open == nil || f.rejected.Err == nil && !sameFile(f.open.info, there):
		return lookNewer, nil
	case f.rejected.Err == nil:
		return lookKnown, nil
	case f.bad == nil && !sameFile(f.open.info, there):
		return lookUnreadable, nil
	}
	return lookNewer, nil // another file than the bad one, perhaps the pinned one again
}

// sameFile reports whether nothing tells the two apart.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
