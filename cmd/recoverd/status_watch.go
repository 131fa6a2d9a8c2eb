package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// statusView shows one status after the other.
type statusView interface {
	// every is the time between two of them.
	every() time.Duration
	show(statusapi.Document) error
	// end shows the last one, which no daemon made.
	end(statusapi.Document) error
	// close joins what the view started. It may be called after end.
	close() error
}

const (
	liveEvery = time.Second
	lineEvery = 10 * time.Second
)

// textLines prints a line each time: for logs and pipes.
type textLines struct{ out io.Writer }

func (textLines) every() time.Duration { return lineEvery }
func (textLines) close() error         { return nil }

func (v textLines) show(d statusapi.Document) error {
	_, err := fmt.Fprintln(v.out, printable(statusLine(d)))
	return err
}

func (v textLines) end(d statusapi.Document) error { return writeStatus(v.out, d) }

// statusLine is a status in one line.
func statusLine(d statusapi.Document) string {
	state := d.Phase
	switch {
	case d.Paused:
		state += " (paused)"
	case d.Blocked != "":
		state += " (" + d.Blocked + ")"
	}
	share := settledText(d)
	if share == "" {
		share = "?"
	}
	u := d.Unsettled
	return fmt.Sprintf("%s %s: %s settled, %s stored, %s unsettled of which %s retrying and %s parked, %s blobs/s, %s/s, remaining %s",
		d.At.UTC().Format(time.RFC3339), state, share, count(d.Counters.Stored), count(u.Total), count(u.Retrying), count(u.Parked),
		rate(d.BlobsPerSecond), size(int64(d.BytesPerSecond)), remainingText(d))
}

// jsonLines prints one document a line.
type jsonLines struct{ out io.Writer }

func (jsonLines) every() time.Duration { return lineEvery }
func (jsonLines) close() error         { return nil }

func (v jsonLines) show(d statusapi.Document) error { return json.NewEncoder(v.out).Encode(d) }
func (v jsonLines) end(d statusapi.Document) error  { return v.show(d) }

// liveView redraws a bar and the table below it in place, on a terminal.
type liveView struct {
	out    io.Writer
	latest atomic.Pointer[statusapi.Document]
	bars   *mpb.Progress
	bar    *mpb.Bar
}

func newLiveView(out io.Writer) *liveView {
	v := &liveView{out: out, bars: mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh(), mpb.WithRefreshRate(liveEvery))}
	share := decor.Any(func(decor.Statistics) string {
		if d := v.latest.Load(); d != nil {
			return settledText(*d)
		}
		return ""
	}, decor.WC{W: 7})
	// A total of 0 keeps the bar from completing by itself.
	v.bar = v.bars.New(0, mpb.BarStyle(), mpb.AppendDecorators(share), mpb.BarExtender(mpb.BarFillerFunc(v.fill), false))
	v.bar.SetTotal(1_000, false)
	return v
}

// fill writes the lines below the bar; the bars' goroutine calls it.
func (v *liveView) fill(w io.Writer, s decor.Statistics) error {
	if d := v.latest.Load(); d != nil {
		return statusTable(*d).write(w, s.AvailableWidth)
	}
	return nil
}

func (*liveView) every() time.Duration { return liveEvery }

func (v *liveView) show(d statusapi.Document) error {
	v.latest.Store(&d)
	permille, _ := settledPermille(d)
	v.bar.SetCurrent(int64(permille))
	return nil
}

// end takes the bar away and leaves the last status in its place.
func (v *liveView) end(d statusapi.Document) error {
	if err := v.close(); err != nil {
		return err
	}
	return writeStatus(v.out, d)
}

func (v *liveView) close() error {
	v.bar.Abort(true)
	v.bars.Wait()
	return nil
}
