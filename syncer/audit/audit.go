package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// Store opens pieces, and manifests in the place of store.Manifests. Errors wrap
// fs.ErrNotExist where nothing is there, and store.ErrIrregular where no regular file
// is. It is called by many goroutines.
type Store interface {
	Open(shard uint32, id recovery.BlobID) (*os.File, int64, error)
}

// Config says what an audit looks at, and how fast.
type Config struct {
	Store Store
	// Placement, TotalShards and Owned say which pieces this node holds. Whole blobs
	// are proven by their digest; pieces of striped ones by the digests in the stored
	// manifest, and that by the blob's id.
	Placement   shards.Placement
	TotalShards uint32
	Owned       shards.Set
	// Epoch is the present one: what ends with it or before need not be stored.
	Epoch uint32
	// Concurrency is how many pieces are read at the same time; default 4.
	Concurrency int
	// BytesPerSecond bounds what all readers together read; 0: no limit.
	BytesPerSecond int64
	// Uncache makes the kernel forget what it keeps of a file, before and after it
	// is read, so that the disk is read and not the memory; nil: nothing does.
	Uncache func(*os.File)
}

// chunk is how many bytes are read at once; the limiter's burst.
const chunk = 256 << 10

// maxConcurrency bounds the readers, and with them the memory: a chunk each.
const maxConcurrency = 256

// ErrConfig reports a setting that makes no sense.
var ErrConfig = errors.New("audit: bad configuration")

func (c Config) withDefaults() Config {
	if c.Concurrency == 0 {
		c.Concurrency = 4
	}
	if c.Uncache == nil {
		c.Uncache = func(*os.File) {}
	}
	return c
}

// Validate reports, wrapping ErrConfig, the first setting that makes no sense.
func (c Config) Validate() error {
	c = c.withDefaults()
	top, some := c.Owned.Max()
	total := c.Placement.CheckTotal(c.TotalShards)
	switch {
	case c.Store == nil:
		return fmt.Errorf("%w: there is no store", ErrConfig)
	case c.Placement != shards.Hashed && c.Placement != shards.Striped:
		return fmt.Errorf("%w: %v", ErrConfig, c.Placement)
	case total != nil:
		return fmt.Errorf("%w: %w", ErrConfig, total)
	case some && top >= c.TotalShards:
		return fmt.Errorf("%w: shard %d of %d", ErrConfig, top, c.TotalShards)
	case c.Concurrency < 1 || c.Concurrency > maxConcurrency:
		return fmt.Errorf("%w: %d at the same time, want 1 to %d", ErrConfig, c.Concurrency, maxConcurrency)
	case c.BytesPerSecond < 0:
		return fmt.Errorf("%w: %d bytes a second", ErrConfig, c.BytesPerSecond)
	}
	return nil
}

// Checked is one blob that was looked at.
type Checked struct {
	ID recovery.BlobID
	// Expired: its end epoch has come, and it was not read.
	Expired bool
	// Pieces and Bytes are what was read, manifests included.
	Pieces   int
	Bytes    int64
	Findings []Finding
}

// Run looks at the blobs that rows yields in rising order, and calls report for
// every one of which an owned shard holds a piece, in that order: when it is called
// everything before has been looked at. Several pieces are read at the same time;
// memory is bounded by that. An error of rows, of report or of ctx ends it, and so
// does one of the system that says nothing about a piece, such as too many open
// files; the goroutines have ended when it returns.
func Run(ctx context.Context, cfg Config, rows iter.Seq2[recovery.Row, error], report func(Checked) error) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	g, ctx := errgroup.WithContext(ctx)
	const ahead = 8 // blobs that may wait for an earlier one, for each reader
	work, order := make(chan *task), make(chan *task, ahead*cfg.Concurrency)
	g.Go(func() error {
		defer close(work)
		defer close(order)
		return handOut(ctx, cfg, rows, work, order)
	})
	var limiter *rate.Limiter
	if cfg.BytesPerSecond > 0 {
		limiter = rate.NewLimiter(rate.Limit(cfg.BytesPerSecond), chunk)
	}
	for range cfg.Concurrency {
		g.Go(func() error {
			r := reader{cfg: cfg, limiter: limiter, buf: make([]byte, chunk)}
			for t := range work {
				if err := r.check(ctx, t); err != nil {
					return err
				}
				close(t.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for t := range order {
			select {
			case <-t.done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := report(t.checked); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// task is one blob on its way through the readers.
type task struct {
	row     recovery.Row
	checked Checked       // the reader's, until done is closed
	done    chan struct{} // closed when it was looked at
}

// handOut gives every blob that concerns this node a place in the order and a
// reader.
func handOut(ctx context.Context, cfg Config, rows iter.Seq2[recovery.Row, error], work, order chan<- *task) error {
	for row, err := range rows {
		if err != nil {
			return fmt.Errorf("read the catalog: %w", err)
		}
		if !cfg.Placement.Concerns(row.ID, cfg.TotalShards, cfg.Owned) {
			continue
		}
		t := &task{row: row, checked: Checked{ID: row.ID}, done: make(chan struct{})}
		t.checked.Expired = row.EndEpoch <= cfg.Epoch
		select {
		case order <- t:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if t.checked.Expired {
			close(t.done)
			continue
		}
		select {
		case work <- t:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
