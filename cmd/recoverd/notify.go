package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/dustin/go-humanize"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/syncer/peer"
)

// notifier tells a service manager that the process serves, what it does, and
// that its main loop turns; and the log, every 10 s, how far it is.
type notifier struct {
	node   *node
	ended  chan struct{}
	joined sync.WaitGroup
	told   map[string]string // the trouble that the log knows of
}

func startNotifier(n *node) *notifier {
	t := &notifier{node: n, ended: make(chan struct{}), told: map[string]string{}}
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
			t.tellTrouble(s)
			if now.Sub(logged) >= progressEvery && s.Phase != recovery.PhaseComplete {
				logged = now
				t.logProgress(s)
			}
		}
	}
}

// tellTrouble logs what an operator should know of when it begins, changes or
// ends: nothing is repeated while it lasts.
func (t *notifier) tellTrouble(s worker.Status) {
	for what, text := range map[string]string{
		"handing out blobs": s.Blocked,
		"catalog":           t.node.catalog.view().Trouble,
		"peers":             poolTrouble(t.node.pool.Status()),
	} {
		switch {
		case text == t.told[what]:
		case text == "":
			t.node.log.Info().Str("what", what).Msg("trouble has ended")
		default:
			t.node.log.Warn().Str("what", what).Str("why", text).Msg("trouble")
		}
		t.told[what] = text
	}
}

// poolTrouble names the peers that cannot be reached, and those that answer and do not
// serve; one whose error only reads differently is not news.
func poolTrouble(peers []peer.PeerStatus) string {
	var away, fail []string
	for _, p := range peers {
		switch {
		case p.State == peer.Unreachable:
			away = append(away, p.Name)
		case p.Why != asked: // resting, or asked one thing to see whether it serves again
			fail = append(fail, p.Name)
		}
	}
	var parts []string
	if len(away) > 0 {
		parts = append(parts, "cannot be reached: "+strings.Join(away, ", "))
	}
	if len(fail) > 0 {
		parts = append(parts, "answer with failures: "+strings.Join(fail, ", "))
	}
	return strings.Join(parts, "; ")
}

func (t *notifier) logProgress(s worker.Status) {
	t.node.log.Info().Stringer("phase", s.Phase).Uint64("looked", s.Counters.Looked).Uint64("catalog_blobs", s.CatalogBlobs).
		Uint64("stored", s.Counters.Stored).Int("unsettled", s.Unsettled.Total).Int("parked", s.Unsettled.Parked).
		Float64("blobs_per_second", s.BlobsPerSecond).Str("why", s.Why).Str("blocked", s.Blocked).Msg("progress")
}

func oneLine(s worker.Status) string {
	return fmt.Sprintf("%s: %s of %s looked at, %s fetched, %d unsettled", s.Phase, humanize.Comma(int64(s.Counters.Looked)),
		humanize.Comma(int64(s.CatalogBlobs)), humanize.Comma(int64(s.Counters.Stored)), s.Unsettled.Total)
}
