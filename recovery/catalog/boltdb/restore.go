package boltdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Config says how a state is restored.
type Config struct {
	// Progress is called now and then with the rows loaded so far, from the
	// goroutine that loads; nil: it is not.
	Progress func(rows uint64)

	step func(step string) // tests: what was just done
	disk disk              // tests: faults
}

func (c Config) withDefaults() Config {
	if c.Progress == nil {
		c.Progress = func(uint64) {}
	}
	if c.step == nil {
		c.step = func(string) {}
	}
	if c.disk == nil {
		c.disk = realDisk{}
	}
	return c
}

// Result says what was restored.
type Result struct {
	snapshot.Summary
	Bytes int64 // the file's size
	// Prepare, Load and Durable are what the phases took. The first includes
	// reading all of a state that does not know its digest, the last the proof.
	Prepare, Load, Durable time.Duration
}

// The steps of a restore, in their order.
const (
	stepPrepared = "prepared"
	stepLoading  = "loading" // before some more rows
	stepLoaded   = "loaded"
	stepProven   = "proven" // and durable, under the temporary name
	stepRenamed  = "renamed"
)

// Restore makes path hold the state. It has three phases (DESIGN 8): prepare an
// empty place beside path, under a lock; load without a flush; make that
// durable, prove it by reading it back, and rename it. So path holds what it
// held, or all of the new state with its position, at any moment; who has the
// old file open keeps it. The temporary name is the mark of an unfinished load:
// it is removed by the next Restore, which begins again.
//
// Errors wrap ErrBusy, ErrVerify or those of Summarize, or are those of reading
// the state, of writing and of ctx. After one path is as it was, except when
// only flushing its directory failed: then the new name may or may not survive
// a power cut.
func Restore(ctx context.Context, s snapshot.State, path string, c Config) (Result, error) {
	r := restore{path: path, draft: draftName(path), cfg: c.withDefaults(), from: s}
	held, err := lock(path)
	if err != nil {
		return Result{}, fmt.Errorf("restore %s: %w", path, err)
	}
	if err := r.run(ctx); err != nil {
		return Result{}, errors.Join(fmt.Errorf("restore %s: %w", path, errors.Join(err, r.removeDraft())), held.Close())
	}
	return r.result, held.Close()
}

// restore is one restore under way.
type restore struct {
	path, draft string
	cfg         Config
	from        snapshot.State
	result      Result
}

func (r *restore) run(ctx context.Context) error {
	began := time.Now()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.cfg.step(stepPrepared)
	prepared := time.Now()
	d, err := createDraft(r.draft)
	if err != nil {
		return err
	}
	if err := r.load(ctx, d); err != nil {
		return errors.Join(err, d.file.Close())
	}
	r.cfg.step(stepLoaded)
	loaded := time.Now()
	if err := r.makeDurable(ctx, d); err != nil {
		return err
	}
	r.result.Prepare, r.result.Load, r.result.Durable = prepared.Sub(began), loaded.Sub(prepared), time.Since(loaded)
	return nil
}

// prepare learns what the state comes to and makes room for it.
func (r *restore) prepare(ctx context.Context) (err error) {
	if err := r.removeDraft(); err != nil {
		return err
	}
	if r.result.Summary, err = snapshot.Summarize(ctx, r.from); err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	return r.from.Header().Validate()
}

// removeDraft removes what a killed restore left. The lock is held.
func (r *restore) removeDraft() error {
	if err := os.Remove(r.draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove leftover: %w", err)
	}
	return nil
}

// load writes all of the draft.
func (r *restore) load(ctx context.Context, d *draft) error {
	b, err := newBuilder(d.buf)
	if err != nil {
		return err
	}
	l := loader{build: b, buckets: map[string]uint64{}, progress: func(rows uint64) {
		r.cfg.Progress(rows)
		r.cfg.step(stepLoading)
	}}
	metas, err := l.state(ctx, r.from, r.result.Summary)
	if err != nil {
		return err
	}
	return d.finish(metas)
}

// makeDurable flushes the draft and proves it at the same time, gives it its name
// and makes that durable too. It closes the draft.
func (r *restore) makeDurable(ctx context.Context, d *draft) error {
	var group errgroup.Group
	group.Go(func() error {
		if err := r.cfg.disk.sync(d.file); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		return nil
	})
	group.Go(func() error { return r.verify(ctx) })
	if err := errors.Join(group.Wait(), d.file.Close()); err != nil {
		return err
	}
	r.cfg.step(stepProven)
	if err := r.cfg.disk.rename(r.draft, r.path); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	r.cfg.step(stepRenamed)
	if err := r.cfg.disk.syncDir(filepath.Dir(r.path)); err != nil {
		return fmt.Errorf("flush directory: %w", err)
	}
	return nil
}

// verify reads the draft back, as its readers will.
func (r *restore) verify(ctx context.Context) error {
	loaded, err := OpenReader(r.draft)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	r.result.Bytes = loaded.Size()
	err = loaded.Verify(ctx)
	if ctx.Err() == nil && err != nil {
		err = fmt.Errorf("%w: %w", ErrVerify, err)
	}
	return errors.Join(err, loaded.Close())
}
