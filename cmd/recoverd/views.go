package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// statusConfig says where the status API gets its views from.
func (n *node) statusConfig() statusapi.Config {
	return statusapi.Config{
		Worker: n.worker, Control: n.worker, Inspector: n.worker, Limiter: n.worker, LogLevel: n.level, Token: n.token, Pprof: n.cfg.Pprof,
		Loop: n.worker.Loop, Peers: n.peerViews, Checkpoint: n.keeper.snapshot, Store: n.storeView, Catalog: n.catalog.view,
		Ready: n.ready, Version: version, AllowedHosts: n.cfg.AllowedHosts,
	}
}

func (n *node) ready() error {
	if n.worker.Status().Phase == recovery.PhaseHalted {
		return errors.New("halted")
	}
	return nil
}

func (n *node) peerViews() []statusapi.PeerView {
	var views []statusapi.PeerView
	for _, s := range n.pool.Status() {
		views = append(views, statusapi.PeerView{
			Name: s.Name, State: string(s.State), Why: s.Why, Fetched: s.Fetched, FetchedBytes: s.FetchedBytes, Absent: s.Absent,
			WrongBytes: s.WrongBytes, Failed: s.Failed, Unreachable: s.Unreachable, LastError: s.LastError,
			LastErrorAt: s.LastErrorAt, BytesPerSecond: s.BytesPerSecond, InFlight: s.InFlight,
			Hedges: s.Hedges, HedgeWins: s.HedgeWins, Beaten: s.Beaten, Failovers: s.Failovers,
			AnswerP50Seconds: s.AnswerP50.Seconds(), AnswerP99Seconds: s.AnswerP99.Seconds(),
		})
	}
	return views
}

func (n *node) storeView() statusapi.StoreView {
	report, volumes := n.store.report(), volumeViews(n.store.Volumes())
	return statusapi.StoreView{
		Root: n.cfg.Store, Layout: n.store.Layout().String(), Identity: report.Identity, Foreign: report.Foreign,
		Durability: durabilityText(n.store.Durability(), volumes), Volumes: volumes,
	}
}

func volumeViews(volumes []fs.VolumeStatus) []statusapi.VolumeView {
	views := make([]statusapi.VolumeView, len(volumes))
	for i, v := range volumes {
		views[i] = statusapi.VolumeView{
			Path: v.Path, Durability: v.Way.String(), Why: v.Why,
			LastFlushMS: float64(v.LastFlush.Microseconds()) / 1e3, GroupBlobs: v.Files, GroupBytes: v.Bytes,
		}
		for _, way := range []fs.Durability{fs.Syncfs, fs.Fdatasync} {
			views[i].Flushes = append(views[i].Flushes, statusapi.FlushesView{
				Way: way.String(), Count: v.Flushes[way], Seconds: v.Flushing[way].Seconds(),
			})
		}
	}
	return views
}

// durabilityText is the setting, and what it has come to.
func durabilityText(setting fs.Durability, volumes []statusapi.VolumeView) string {
	var ways []string
	for _, v := range volumes {
		if !slices.Contains(ways, v.Durability) {
			ways = append(ways, v.Durability)
		}
	}
	if setting != fs.DurabilityAuto || len(ways) == 0 {
		return setting.String()
	}
	slices.Sort(ways)
	return setting.String() + ", now " + strings.Join(ways, " and ")
}

// watchedStore remembers what the store reported last, for status.
type watchedStore struct {
	*fs.Store
	last atomic.Pointer[recovery.StoreReport]
}

// Prepare opens the store for an ownership and notes the report.
func (w *watchedStore) Prepare(ctx context.Context, r recovery.StoreRequest) (recovery.StoreReport, error) {
	report, err := w.Store.Prepare(ctx, r)
	if err == nil {
		w.last.Store(&report)
	}
	return report, err
}

func (w *watchedStore) report() recovery.StoreReport {
	if r := w.last.Load(); r != nil {
		return *r
	}
	return recovery.StoreReport{}
}
