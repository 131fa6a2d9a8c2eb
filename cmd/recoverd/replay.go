package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// reached is a state that a plan leads to, and what it lies in.
type reached struct {
	snapshot.State
	closers []func() error // last to first
}

func (r *reached) Close() error {
	var problems []error
	for i := len(r.closers) - 1; i >= 0; i-- {
		problems = append(problems, r.closers[i]())
	}
	return errors.Join(problems...)
}

// replayIn says where events are replayed when a plan asks for it.
type replayIn struct {
	dir     string // its work directory lies in here
	network string
}

// workName is the directory in which events are replayed. It is locked while it is
// used, and emptied before: a killed process leaves it behind.
const workName = ".replay"

// reach goes the way that a plan says. Without events the snapshots are read in
// place; else a catalog of its own is made of them, which the events are applied to.
func reach(ctx context.Context, a *archive.Archive, plan archive.Plan, source event.Source, in replayIn) (_ *reached, err error) {
	r := &reached{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	var begin *archive.HeldState
	if plan.Full != nil {
		if begin, err = a.OpenState(ctx, plan.Route); err != nil {
			return nil, err
		}
		r.closers = append(r.closers, begin.Close)
		r.State = begin
	}
	if plan.Replay.Empty() {
		if r.State == nil {
			return nil, errors.New("there is neither a snapshot nor an event to begin with")
		}
		return r, nil
	}
	work, lock, err := takeWork(in.dir)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, lock.Close, func() error { return os.RemoveAll(work) })
	return r, r.replay(ctx, work, begin, plan, source, in.network)
}

func takeWork(dir string) (work string, lock io.Closer, err error) {
	work = filepath.Join(dir, workName)
	f, err := os.OpenFile(work+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", nil, withCreateCode(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return "", nil, errors.Join(withCode(exitTryAgain, fmt.Errorf("another process replays events in %s: %w", dir, err)), f.Close())
	}
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o700)); err != nil {
		return "", nil, errors.Join(withCreateCode(err), f.Close())
	}
	return work, f, nil
}

func (r *reached) replay(ctx context.Context, work string, begin *archive.HeldState, plan archive.Plan, source event.Source, network string) error {
	cfg := eventlog.Config{
		Dir: filepath.Join(work, "catalog"), Network: network, FullEvery: -1, IncrEvery: -1, StopAt: plan.Position, MinFree: -1,
	}
	if begin != nil {
		seed := filepath.Join(work, "seed.rsnap")
		if _, err := snapshot.Write(ctx, seed, begin, snapshot.Options{}); err != nil {
			return err
		}
		if _, err := eventlog.Seed(ctx, cfg, seed); err != nil {
			return err
		}
	}
	c, err := eventlog.Open(ctx, cfg)
	if err != nil {
		return err
	}
	r.closers = append(r.closers, c.Close)
	if err := applyAll(ctx, c, source, plan.Position); err != nil {
		return err
	}
	frozen, err := c.Freeze(ctx)
	if err != nil {
		return err
	}
	r.closers = append(r.closers, frozen.Close)
	r.State = frozen
	return nil
}
