package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

func (f *followed) view() statusapi.CatalogView {
	c, err := f.get()
	if err != nil {
		view := viewFollowed(eventlog.Status{}, f.cfg.followConfig, nil)
		view.Trouble = err.Error()
		return view
	}
	return viewFollowed(c.Status(), f.cfg.followConfig, f.found)
}

// viewFollowed tells how a followed catalog stands. found are the snapshots that were
// there when it was opened.
func viewFollowed(s eventlog.Status, cfg followConfig, found map[snapshot.Kind]statusapi.SnapshotView) statusapi.CatalogView {
	view := statusapi.CatalogView{Followed: &statusapi.FollowedView{
		Position: s.Position, Epoch: s.Epoch, AtTip: s.AtTip, Base: s.Base.Position, FirstEvent: s.First, Failures: s.Failures,
		Full:        viewMade(s.Full, found[snapshot.Full], cfg.FullEvery),
		Incremental: viewMade(s.Incremental, found[snapshot.Incremental], cfg.IncrEvery),
	}}
	if s.Tip != 0 {
		view.Followed.Tip = &s.Tip
	}
	for _, err := range []error{s.Trouble, s.Full.Err, s.Incremental.Err, s.Tidy} {
		if err != nil {
			view.Trouble = err.Error()
			break
		}
	}
	return view
}

func viewMade(s eventlog.SnapshotStatus, found statusapi.SnapshotView, every int64) statusapi.SnapshotView {
	v := found
	if s.Position > 0 {
		v.Position, v.At = s.Position, s.At
	}
	v.Every, v.Failures = uint64(max(every, 0)), s.Failures
	if s.Err != nil {
		v.Trouble = s.Err.Error()
	}
	return v
}

// newestOf looks at the newest complete snapshot of each kind in a directory.
func newestOf(ctx context.Context, dir string) map[snapshot.Kind]statusapi.SnapshotView {
	found := map[snapshot.Kind]statusapi.SnapshotView{}
	a, err := archive.Open(archive.Config{Dir: dir})
	if err != nil {
		return found
	}
	listing, err := a.List(ctx)
	if err != nil {
		return found
	}
	for _, e := range listing.Entries {
		info, err := os.Stat(filepath.Join(dir, e.Files()[0].String()))
		if err == nil && e.Status == archive.Complete && e.Position >= found[e.Kind].Position {
			found[e.Kind] = statusapi.SnapshotView{Position: e.Position, At: info.ModTime()}
		}
	}
	return found
}
