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

// openFile is one open snapshot, closed when its last user lets go of it, and
// the scans that pages left in it.
type openFile struct {
	reader *snapshot.Reader
	info   os.FileInfo // of the very file that is open
	refs   atomic.Int64
	scans  scanCache
}

// openCatalog opens the file with one reference, the caller's.
func openCatalog(path string) (*openFile, error) {
	r, err := snapshot.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	if r.Header().Kind() != snapshot.Full {
		return nil, errors.Join(fmt.Errorf("%w: %s is incremental, and no catalog by itself", snapshot.ErrUnsupported, path), r.Close())
	}
	info, err := r.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog: %w", err), r.Close())
	}
	o := &openFile{reader: r, info: info}
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
		_ = o.reader.Close()
	}
}

func (o *openFile) tip() recovery.Tip {
	totals := o.reader.Totals()
	return recovery.Tip{
		Bound: o.reader.Bound(), Blobs: totals.Certified, Bytes: totals.Bytes(),
		Ancestors: o.reader.Header().Ancestors, Static: true, AtTip: true,
	}
}

func (o *openFile) page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	scan, err := o.scans.take(o.reader, after)
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
	return recovery.PageInfo{Stamp: o.reader.Header().Stamp, N: n, End: end}, nil
}

// lookup finds ids in rising order.
func (o *openFile) lookup(ctx context.Context, ids []recovery.BlobID) (rows []recovery.Row, err error) {
	scan := o.reader.Scan()
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
func (c *scanCache) take(r *snapshot.Reader, after recovery.Mark) (*snapshot.Scan, error) {
	c.mu.Lock()
	for i, idle := range c.idle {
		if idle.at == after {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			c.mu.Unlock()
			return idle.scan, nil
		}
	}
	c.mu.Unlock()
	scan := r.Scan()
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
