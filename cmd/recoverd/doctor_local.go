package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// facts holds ownership, catalog, saved progress and store against each other. What
// cannot be read of them is among the problems already.
func (d *doctor) facts(ctx context.Context) {
	own, err := loadOwnership(ctx, d.cfg)
	if err != nil {
		return
	}
	if why := recovery.PreviewWait(own); why != "" {
		d.add("ownership", verdictWarn, why, "a run waits until that changes")
	}
	r, err := openReading(ctx, d.cfg)
	if err != nil {
		return
	}
	defer func() { _ = r.Close() }() // only read
	if r.note == "" && r.tip.Epoch < own.Epoch {
		d.add("catalog", verdictWarn, fmt.Sprintf("it is of epoch %d, the ownership of epoch %d", r.tip.Epoch, own.Epoch),
			"a run is not complete before a catalog of the ownership's epoch is there")
	}
	saved, err := readSaved(d.cfg.StateDir)
	if err != nil {
		return
	}
	placement, err := d.cfg.placement()
	if err != nil {
		return
	}
	prev := saved.Record.Progress
	f := recovery.Facts{Ownership: own, Placement: placement, Tip: joined(r, prev), LastRun: saved.LastRun, Note: saved.Note()}
	f.Store, err = previewStore(ctx, d.cfg, recovery.PreviewStore(prev, f))
	switch {
	case errors.Is(err, store.ErrEmpty), errors.Is(err, store.ErrMissing):
		d.add("store", verdictFail, err.Error(), "mount it; if it is meant to be empty: recoverd store accept")
		return
	case err != nil:
		d.add("store", verdictFail, err.Error(), "--store, --catalog and --ownership do not fit together")
		return
	}
	next, err := recovery.Preview(prev, f)
	switch {
	case err != nil:
		d.add("progress", verdictFail, err.Error(), "a run would end with exit code 78")
	case next.Origin.Decision == recovery.Discard:
		d.add("progress", verdictWarn, "a run would discard it: "+next.Origin.Why, "if that is not meant, mend it before the daemon starts; recoverd plan says what it would fetch")
	case next.Origin.Decision == recovery.Relook:
		d.add("progress", verdictWarn, "a run would look at everything again: "+next.Origin.Why, "recoverd plan says what it would fetch")
	default:
		d.ok("progress", "%s: %s", next.Origin.Decision, next.Origin.Why)
	}
}

// volumes tells a place that a reboot empties.
func (d *doctor) volumes() {
	for what, dir := range map[string]string{"store": d.cfg.Store, "state-dir": d.cfg.StateDir} {
		var fs unix.Statfs_t
		if dir == "" || unix.Statfs(dir, &fs) != nil {
			continue // it is not there yet
		}
		if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
			d.add(what, verdictWarn, dir+" is in memory (tmpfs)", "what is there is gone after a reboot: is its disk mounted?")
		}
	}
}

// clockHere looks for times that have not come yet: then the clock has gone back.
func (d *doctor) clockHere() {
	late := func(what string, at time.Time) {
		if ahead := time.Until(at).Round(time.Second); ahead > maxSkew {
			d.add("clock", verdictWarn, fmt.Sprintf("%s is of %s, %v from now", what, at.UTC().Format(time.RFC3339), ahead),
				"look at the time service: the clock of this machine, or of the one that wrote it, is wrong")
		}
	}
	for _, path := range []string{d.cfg.Catalog, d.cfg.Ownership} {
		if info, err := os.Stat(path); err == nil {
			late(path, info.ModTime())
		}
	}
	if saved, err := readSaved(d.cfg.StateDir); err == nil && saved.Record.Progress != nil {
		late("the saved progress", saved.Record.Progress.SavedAt)
	}
}
