package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Verdicts returns what Prune would do now, and does nothing.
func (a *Archive) Verdicts(ctx context.Context, policy Policy) ([]Verdict, error) {
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	c := &claims{a: a}
	defer c.release()
	return a.judge(ctx, policy, c)
}

// Prune removes what the policy does not keep, and returns all verdicts. What is
// kept is made durable first, and what was in use stays. After a creation of
// this Archive that failed it removes nothing until one has succeeded (hazard
// 53). It waits for the directory's lock. An error may leave some of what was to
// be removed; a set of chunks is never left looking whole.
func (a *Archive) Prune(ctx context.Context, policy Policy) ([]Verdict, error) {
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c := &claims{a: a}
	defer c.release()
	verdicts, err := a.judge(ctx, policy, c)
	if err != nil || a.failed.Load() {
		return verdicts, err
	}
	if err := a.secure(verdicts); err != nil {
		return verdicts, err
	}
	// The newest go first, so that none is left without its base.
	for _, v := range slices.Backward(verdicts) {
		if v.Keep {
			continue
		}
		if err := a.remove(v.Entry); err != nil {
			return verdicts, err
		}
	}
	// Fetches of what lies behind the newest are over.
	at := newest(verdicts)
	if err := a.dropParts(func(n Name) bool { return n.Position > at }); err != nil {
		return verdicts, err
	}
	return verdicts, a.sync(a.cfg.Dir)
}

// newest is the highest position that stays.
func newest(verdicts []Verdict) (position uint64) {
	for _, v := range verdicts {
		if v.Keep && v.Status == Complete {
			position = max(position, v.Position)
		}
	}
	return position
}

func (a *Archive) judge(ctx context.Context, policy Policy, c *claims) ([]Verdict, error) {
	l, err := a.List(ctx)
	if err != nil {
		return nil, err
	}
	if !a.failed.Load() {
		return Retain(l.Entries, policy, c.inUse), nil
	}
	verdicts := make([]Verdict, len(l.Entries))
	for i, e := range l.Entries {
		verdicts[i] = Verdict{e, true, KeepFailed}
	}
	return verdicts, nil
}

// secure makes durable what the removals rely on: names that a killed process
// did not flush, and files that were copied here.
func (a *Archive) secure(verdicts []Verdict) error {
	if !slices.ContainsFunc(verdicts, func(v Verdict) bool { return !v.Keep }) {
		return nil
	}
	for _, v := range verdicts {
		if !v.Keep || v.Status != Complete {
			continue
		}
		for _, path := range a.paths(v.Entry) {
			if err := a.sync(path); err != nil {
				return err
			}
		}
	}
	return a.sync(a.cfg.Dir)
}

// Clean removes what killed processes left, and returns the names. What a living
// one holds stays, and so do parts of a fetch, which it goes on with. Chunks
// without the first of their set count as left: who copies a set here by hand
// has to begin with the first. It waits for the directory's lock.
func (a *Archive) Clean(ctx context.Context) (removed []string, err error) {
	unlock, err := a.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	l, err := a.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range l.Leftovers {
		if isPart(name) {
			continue
		}
		gone, err := a.clear(name)
		if err != nil {
			return removed, fmt.Errorf("clean %s: %w", a.cfg.Dir, err)
		}
		if gone {
			removed = append(removed, name)
		}
	}
	files, err := snapshot.RemoveLeftovers(a.cfg.Dir)
	return append(removed, files...), err
}

// clear removes one leftover, unless somebody holds it. Draft files of package
// snapshot are left to it.
func (a *Archive) clear(name string) (gone bool, err error) {
	info, err := os.Lstat(a.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.IsDir():
		if IsDraft(name) {
			return false, nil
		}
		return true, a.disk.Remove(a.path(name))
	}
	d, err := a.takeDraft(name)
	switch {
	case errors.Is(err, ErrBusy):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, d.drop()
}
