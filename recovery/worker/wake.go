package worker

import (
	"context"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// askAgain is the time between two questions to a port whose answer may be the
// same at once again (hazard 27).
const askAgain = time.Second

// watchOwnership turns new ownerships into events. A bad version keeps the old
// one in force; it is counted, shown, and told to observers when it reads
// differently from the last.
func (w *Worker) watchOwnership(ctx context.Context) {
	for ctx.Err() == nil {
		own, err := w.cfg.Ownership.Next(ctx)
		switch {
		case err == nil:
			w.trouble.ends()
			w.deliver(ctx, recovery.OwnershipSeen{Ownership: own})
		case ctx.Err() == nil:
			if w.trouble.fails(err.Error()) {
				w.notices.tell(OwnershipRefused{Err: err.Error()})
			}
			pause(ctx, askAgain)
		}
	}
}

// watchCatalog repeats the hint until the catalog was pinned anew: a follower
// goes on saying that there is something newer, and a pass may take hours.
func (w *Worker) watchCatalog(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.cfg.Follower.Changed(ctx); err == nil {
			w.deliver(ctx, recovery.CatalogChanged{})
		}
		pause(ctx, askAgain)
	}
}

func (w *Worker) watchPeers(ctx context.Context) {
	w.deliver(ctx, recovery.PeersSeen{Health: w.cfg.Peers.Health()})
	for ctx.Err() == nil {
		if err := w.cfg.Peers.Changed(ctx); err == nil {
			w.deliver(ctx, recovery.PeersSeen{Health: w.cfg.Peers.Health()})
		} else {
			pause(ctx, askAgain)
		}
	}
}

// watchRoom looks at the free space again and again. A look that fails leaves
// the last answer standing: a store that cannot be looked at fails elsewhere,
// with a better message.
func (w *Worker) watchRoom(ctx context.Context) {
	for ctx.Err() == nil {
		if room, err := w.cfg.Store.Room(ctx); err == nil {
			w.deliver(ctx, recovery.RoomSeen{Room: room})
		}
		pause(ctx, w.cfg.RoomEvery)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// portTrouble remembers how a port last failed; it is written by its watcher and
// read by the loop.
type portTrouble struct {
	mu    sync.Mutex
	text  string
	count uint64
}

// fails counts a failure, and reports whether it reads differently from the last.
func (t *portTrouble) fails(text string) (news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	news = t.text != text
	t.text = text
	t.count++
	return news
}

func (t *portTrouble) ends() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = ""
}

func (t *portTrouble) get() (text string, count uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text, t.count
}
