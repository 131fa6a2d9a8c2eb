package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Content is an open file that holds one state. *snapshot.Reader is one. Its
// methods may be called by many goroutines, a Scan used by one.
type Content interface {
	Header() snapshot.Header
	Bound() recovery.Bound
	Totals() snapshot.Totals
	// Scan returns a scan that begins before the first blob.
	Scan() *snapshot.Scan
	// Verify reads and proves everything.
	Verify(ctx context.Context) error
	// Stat describes the very file that is open.
	Stat() (os.FileInfo, error)
	// Close ends it; no scan is in use.
	Close() error
}

// Errors of a file's content, which a FileConfig.Open and what it returns wrap,
// so that they are told from those of reading it (hazard 43). Those of package
// snapshot are known without.
var (
	// ErrDamaged: the file contradicts itself or its format.
	ErrDamaged = errors.New("catalog: damaged")
	// ErrForeign: the file is no catalog, or none that this program reads.
	ErrForeign = errors.New("catalog: not a catalog that can be read")
)

// foreign reports whether the path was given a file of another kind.
func foreign(err error) bool {
	return errors.Is(err, ErrForeign) || errors.Is(err, snapshot.ErrNotSnapshot) || errors.Is(err, snapshot.ErrUnsupported) ||
		errors.Is(err, snapshot.ErrChunk)
}

// provenBad reports whether an error is the file's fault, and will stay.
func provenBad(err error) bool {
	var corrupt *snapshot.CorruptError
	return foreign(err) || errors.Is(err, ErrDamaged) || errors.Is(err, recovery.ErrMisconfigured) || errors.As(err, &corrupt)
}

// openSnapshot is how a File opens a snapshot.
func openSnapshot(path string) (Content, error) {
	r, err := snapshot.Open(path)
	if err != nil {
		return nil, err
	}
	if r.Header().Kind() != snapshot.Full {
		return nil, errors.Join(fmt.Errorf("%w: %s is incremental, and no catalog by itself", snapshot.ErrUnsupported, path), r.Close())
	}
	return r, nil
}

// openFile is one open file, closed when its last user lets go of it, and the
// scans that pages left in it.
type openFile struct {
	content Content
	info    os.FileInfo // of the very file that is open
	refs    atomic.Int64
	scans   scanCache
}

// openCatalog opens the file with one reference, the caller's.
func openCatalog(path string, open func(path string) (Content, error)) (*openFile, error) {
	c, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	info, err := c.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog: %w", err), c.Close())
	}
	o := &openFile{content: c, info: info}
	o.refs.Store(1)
	return o, nil
}

// retain adds a reference. The caller holds one, or the lock under which the
// first one is given up.
func (o *openFile) retain() { o.refs.Add(1) }

// release gives a reference up. Closing a file that was only read has nothing to
// lose, so its error is nobody's concern.
func (o *openFile) release() {
	if o.refs.Add(-1) == 0 {
		_ = o.content.Close()
	}
}

func (o *openFile) tip() recovery.Tip {
	totals := o.content.Totals()
	return recovery.Tip{
		Bound: o.content.Bound(), Blobs: totals.Certified, Bytes: totals.Bytes(),
		Ancestors: o.content.Header().Ancestors, Static: true, AtTip: true,
	}
}

func (o *openFile) page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	scan, err := o.scans.take(o.content, after)
	if err != nil {
		return recovery.PageInfo{}, fmt.Errorf("seek in catalog: %w", err)
	}
	n, end, err := scan.Fill(ctx, rows)
	if err != nil {
		return recovery.PageInfo{}, fmt.Errorf("read catalog: %w", err)
	}
	if n > 0 && !end {
		o.scans.put(scan, recovery.MarkAt(rows[n-1].ID))
	}
	return recovery.PageInfo{Stamp: o.content.Header().Stamp, N: n, End: end}, nil
}

// lookup finds ids in rising order.
func (o *openFile) lookup(ctx context.Context, ids []recovery.BlobID) (rows []recovery.Row, err error) {
	scan := o.content.Scan()
	var row recovery.Row
	for _, id := range ids {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		certified, err := scan.Find(id, &row)
		if err != nil {
			return nil, fmt.Errorf("look up in catalog: %w", err)
		}
		if certified {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// scanCache keeps the scans of pages that may be followed by another, so that
// the next one neither seeks nor reads a block twice.
type scanCache struct {
	mu   sync.Mutex
	idle []idleScan // least recently used first
}

type idleScan struct {
	scan *snapshot.Scan
	at   recovery.Mark
}

// idleScans is how many readers may take turns without seeking; a scan holds up
// to 192 KiB.
const idleScans = 4

// take returns a scan that goes on after a mark.
func (c *scanCache) take(from Content, after recovery.Mark) (*snapshot.Scan, error) {
	c.mu.Lock()
	for i, idle := range c.idle {
		if idle.at == after {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			c.mu.Unlock()
			return idle.scan, nil
		}
	}
	c.mu.Unlock()
	scan := from.Scan()
	return scan, scan.Seek(after)
}

func (c *scanCache) put(scan *snapshot.Scan, at recovery.Mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == idleScans {
		c.idle = append(c.idle[:0], c.idle[1:]...)
	}
	c.idle = append(c.idle, idleScan{scan, at})
}
