package main

import (
	"errors"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// statusConfig says where the status API gets its views from.
func (n *node) statusConfig() statusapi.Config {
	return statusapi.Config{
		Worker: n.worker, Loop: n.worker.Loop, Peers: n.peerViews, Checkpoint: n.keeper.snapshot, Store: n.storeView,
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
			Name: s.Name, State: string(s.State), Fetched: s.Fetched, FetchedBytes: s.FetchedBytes, Absent: s.Absent,
			WrongBytes: s.WrongBytes, Failed: s.Failed, Unreachable: s.Unreachable, LastError: s.LastError,
			LastErrorAt: s.LastErrorAt, BytesPerSecond: s.BytesPerSecond, InFlight: s.InFlight,
		})
	}
	return views
}

func (n *node) storeView() statusapi.StoreView {
	return statusapi.StoreView{Root: n.cfg.Store, Durability: n.cfg.Durability}
}
