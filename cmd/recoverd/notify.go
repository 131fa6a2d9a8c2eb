package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/dustin/go-humanize"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// notifier tells a service manager that the process serves, what it does, and
// that its main loop turns; and the log, every 10 s, how far it is.
type notifier struct {
	node     *node
	ended    chan struct{}
	joined   sync.WaitGroup
	rejected uint64 // new catalogs that were refused and told of
}

func startNotifier(n *node) *notifier {
	t := &notifier{node: n, ended: make(chan struct{})}
	tell(daemon.SdNotifyReady)
	t.joined.Go(t.loop)
	return t
}

func (t *notifier) close() {
	close(t.ended)
	t.joined.Wait()
	tell(daemon.SdNotifyStopping)
}

// tell is best effort: without a service manager nobody listens.
func tell(state string) { _, _ = daemon.SdNotify(false, state) }

// maxSilence is how long the loop may not have turned and still count as alive.
const maxSilence = 30 * time.Second

func (t *notifier) loop() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	logged := time.Now()
	for {
		select {
		case <-t.ended:
			return
		case now := <-tick.C:
			s := t.node.worker.Status()
			tell("STATUS=" + oneLine(s))
			if now.Sub(t.node.worker.LastTurn()) < maxSilence {
				tell(daemon.SdNotifyWatchdog)
			}
			t.tellRejected()
			if now.Sub(logged) >= progressEvery && s.Phase != recovery.PhaseComplete {
				logged = now
				t.logProgress(s)
			}
		}
	}
}

// tellRejected tells of a catalog that was put in place and is bad; the one
// before it stays in use.
func (t *notifier) tellRejected() {
	if r := t.node.catalog.Rejected(); r.Count != t.rejected {
		t.rejected = r.Count
		t.node.log.Warn().Err(r.Err).Str("path", t.node.cfg.Catalog).Msg("new catalog refused, the old one stays in use")
	}
}

func (t *notifier) logProgress(s worker.Status) {
	t.node.log.Info().Stringer("phase", s.Phase).Uint64("looked", s.Counters.Looked).Uint64("catalog_blobs", s.CatalogBlobs).
		Uint64("stored", s.Counters.Stored).Int("unsettled", s.Unsettled.Total).Int("parked", s.Unsettled.Parked).
		Float64("blobs_per_second", s.BlobsPerSecond).Str("blocked", s.Blocked).Msg("progress")
}

func oneLine(s worker.Status) string {
	return fmt.Sprintf("%s: %s of %s looked at, %s fetched, %d unsettled", s.Phase, humanize.Comma(int64(s.Counters.Looked)),
		humanize.Comma(int64(s.CatalogBlobs)), humanize.Comma(int64(s.Counters.Stored)), s.Unsettled.Total)
}
