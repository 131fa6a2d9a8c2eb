package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// TestFaultsStopped stops recoverd in the middle, as a debugger, a paused virtual machine
// or a full swap does: clocks jump, and its peers hang up. Continued, it says the truth
// and completes. Stopped means stopped: nothing answers meanwhile.
func TestFaultsStopped(t *testing.T) {
	stop := 5 * time.Second
	if everyFault(t) {
		stop = time.Minute
	}
	t.Parallel()
	f := newFleet(t, 80, 600)
	tr := f.trial(t, "trial", f.rows())
	tr.source.newLife(40)
	p, address := tr.served("--concurrency", fmt.Sprint(trialFlight), "--group-blobs", fmt.Sprint(trialGroup))
	tr.hangs(trialFlight)
	client := &http.Client{Timeout: time.Second}
	if code, answer := talk(t, client, http.MethodGet, address+"/livez", ""); code != http.StatusOK {
		t.Fatalf("/livez before: %d %s", code, answer)
	}
	p.signal(syscall.SIGSTOP)
	until(t, "a stopped process is silent", func() bool {
		code, _ := talk(t, client, http.MethodGet, address+"/livez", "")
		return code == 0
	})
	tr.source.server.CloseClientConnections()
	time.Sleep(stop)
	before := saved(t, tr.path("state")).Record.Progress
	p.signal(syscall.SIGCONT)
	tr.source.newLife(-1)
	tr.source.letGo()
	until(t, "/livez is good again", func() bool {
		code, _ := talk(t, client, http.MethodGet, address+"/livez", "")
		return code == http.StatusOK
	})
	tr.reaches(recovery.PhaseComplete)
	if p.hasEnded() {
		t.Errorf("it ended with %d: %s", p.wait(), p.stderr.String())
	}
	p.kill()
	tr.claims()
	tr.whole()
	if again := tr.source.redone(); again > trialFlight+trialGroup {
		t.Errorf("%d blobs were fetched again", again)
	}
	proved(t, "SIGSTOP in the middle, and SIGCONT", "stops", 1, "for %v; the saved cursor was %v when it went on", stop, before.Cursor)
}

// TestFaultsStoppedPeer stops one of two peers, and the only one: the other serves what
// is asked for, and the only one is waited for.
//
// Hazard 91: outage-parks-all.
func TestFaultsStoppedPeer(t *testing.T) {
	everyFault(t)
	t.Parallel()
	f := newFleet(t, 80, 600)
	rows := f.rows()
	serve := func(t *testing.T) (p *process, template string) {
		address := freePort(t)
		p = start(t, "serve", "--store", f.path("source"), "--listen", address)
		until(t, "the peer serves", func() bool {
			code, _ := talk(t, &http.Client{Timeout: time.Second}, http.MethodGet, "http://"+address+"/", "")
			return code != 0
		})
		return p, "http://" + address + "/{shard}/{id}"
	}
	run := func(tr *trial, templates ...string) []string {
		args := append(tr.args[:len(tr.args):len(tr.args)], "--concurrency", fmt.Sprint(trialFlight))
		for _, template := range templates {
			args = append(args, "--peer", template)
		}
		return args
	}
	t.Run("each", func(t *testing.T) {
		t.Run("one of two", func(t *testing.T) {
			t.Parallel()
			tr := f.trial(t, "two", rows)
			stopped, first := serve(t)
			_, second := serve(t)
			stopped.signal(syscall.SIGSTOP)
			start(t, run(tr, first, second)...)
			tr.reaches(recovery.PhaseComplete)
			tr.whole()
		})
		t.Run("the only one", func(t *testing.T) {
			t.Parallel()
			tr := f.trial(t, "one", rows)
			stopped, only := serve(t)
			stopped.signal(syscall.SIGSTOP)
			p := start(t, run(tr, only)...)
			until(t, "it says that no peer can be reached", func() bool { return strings.Contains(p.stderr.String(), "no peer can be reached") })
			stopped.signal(syscall.SIGCONT)
			tr.reaches(recovery.PhaseComplete)
			if doc, ok := status(t, tr.path("state")); !ok || doc.Unsettled.Parked > 0 {
				t.Errorf("parked %d", doc.Unsettled.Parked)
			}
			tr.whole()
		})
	})
	proved(t, "SIGSTOP of a peer", "stops", 2, "of one of two, and of the only one")
}
