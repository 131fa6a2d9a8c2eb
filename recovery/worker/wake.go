package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// watchOwnership turns new ownerships into events. A bad version keeps the old
// one in force; it is counted, shown and told to observers once.
func (w *Worker) watchOwnership(ctx context.Context) error {
	for ctx.Err() == nil {
		own, err := w.cfg.Ownership.Next(ctx)
		switch {
		case err == nil:
			w.trouble.set("")
			w.deliver(ctx, recovery.OwnershipSeen{Ownership: own})
		case ctx.Err() == nil:
			w.trouble.set(err.Error())
			w.notices.tell(OwnershipRefused{Err: err.Error()})
			if !errors.Is(err, shards.ErrOwnership) {
				pause(ctx, time.Second) // the provider itself is in trouble
			}
		}
	}
	return nil
}

func (w *Worker) watchCatalog(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.cfg.Follower.Changed(ctx); err == nil {
			w.deliver(ctx, recovery.CatalogChanged{})
		} else if ctx.Err() == nil {
			pause(ctx, time.Second)
		}
	}
	return nil
}

func (w *Worker) watchPeers(ctx context.Context) error {
	w.deliver(ctx, recovery.PeersSeen{Health: w.cfg.Peers.Health()})
	for ctx.Err() == nil {
		if err := w.cfg.Peers.Changed(ctx); err == nil {
			w.deliver(ctx, recovery.PeersSeen{Health: w.cfg.Peers.Health()})
		} else if ctx.Err() == nil {
			pause(ctx, time.Second)
		}
	}
	return nil
}

// watchRoom looks at the free space again and again. A look that fails leaves
// the last answer standing: a store that cannot be looked at fails elsewhere,
// with a better message.
func (w *Worker) watchRoom(ctx context.Context) error {
	var last recovery.Room
	for ctx.Err() == nil {
		if room, err := w.cfg.Store.Room(ctx); err == nil && room != last {
			last = room
			w.deliver(ctx, recovery.RoomSeen{Room: room})
		}
		pause(ctx, w.cfg.RoomEvery)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// portTrouble remembers what a provider last refused; it is written by its
// watcher and read by the loop.
type portTrouble struct {
	mu    sync.Mutex
	text  string
	count uint64
}

func (t *portTrouble) set(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = text
	if text != "" {
		t.count++
	}
}

func (t *portTrouble) get() (text string, count uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text, t.count
}
