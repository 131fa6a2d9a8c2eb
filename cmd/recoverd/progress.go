package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recoverd/recoverd/recovery"
)

// leading returns what idShare takes.
func leading(id recovery.BlobID) uint64 { return binary.BigEndian.Uint64(id[:8]) }

// idShare is how far along the id space an id lies: ids are hashes, and so blobs lie
// evenly in it.
func idShare(leading uint64) float64 { return float64(leading) / math.MaxUint64 }

// meter shows how far a verb is while it works: a bar on a terminal, else a line
// every 10 s. Close joins what it started.
type meter struct {
	stop, ended chan struct{}
}

// startMeter shows what look says: the share done, and a few words. look is called
// from another goroutine.
func startMeter(out io.Writer, what string, look func() (share float64, text string)) *meter {
	m := &meter{stop: make(chan struct{}), ended: make(chan struct{})}
	if isTerminal(out) {
		go m.bar(out, what, look)
	} else {
		go m.lines(out, what, look)
	}
	return m
}

func (m *meter) close() {
	close(m.stop)
	<-m.ended
}

// percent never says 100 of what is still under way.
func percent(share float64) int { return int(min(max(share, 0)*100, 99)) }

func (m *meter) lines(out io.Writer, what string, look func() (float64, string)) {
	defer close(m.ended)
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			share, text := look()
			fmt.Fprintf(out, "%s: %d %%, %s\n", what, percent(share), text)
		case <-m.stop:
			return
		}
	}
}

func (m *meter) bar(out io.Writer, what string, look func() (float64, string)) {
	defer close(m.ended)
	bars := mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh(), mpb.WithRefreshRate(liveEvery))
	words := decor.Any(func(decor.Statistics) string {
		share, text := look()
		return fmt.Sprintf(" %2d %%  %s", percent(share), text)
	})
	bar := bars.New(0, mpb.BarStyle(), mpb.PrependDecorators(decor.Name(what+" ")), mpb.AppendDecorators(words))
	bar.SetTotal(1_000, false)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			share, _ := look()
			bar.SetCurrent(int64(percent(share)) * 10)
		case <-m.stop:
			bar.Abort(true)
			bars.Wait()
			return
		}
	}
}
