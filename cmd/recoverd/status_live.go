package main

import (
	"io"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// liveView redraws bars and the table below them in place, on a terminal.
type liveView struct {
	out    io.Writer
	latest atomic.Pointer[statusapi.Document]
	bars   *mpb.Progress
	rows   []liveBar
	drain  drainage
}

// liveBar is one bar: how many thousandths, and what is said beside it.
type liveBar struct {
	bar  *mpb.Bar
	text *atomic.Pointer[string]
}

// The bars, from top to bottom.
const (
	barScanning = iota
	barDraining
	barSettled
	bars
)

const maxPermille = 1_000

func newLiveView(out io.Writer) *liveView {
	v := &liveView{out: out, bars: mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh(), mpb.WithRefreshRate(liveEvery))}
	for i, name := range [bars]string{"scanning", "draining", "settled"} {
		text := &atomic.Pointer[string]{}
		beside := decor.Any(func(decor.Statistics) string {
			if s := text.Load(); s != nil {
				return *s
			}
			return ""
		}, decor.WC{W: 26, C: decor.DindentRight})
		options := []mpb.BarOption{
			mpb.PrependDecorators(decor.Name(name, decor.WC{W: 9, C: decor.DindentRight})), mpb.AppendDecorators(beside),
		}
		if i == bars-1 {
			options = append(options, mpb.BarExtender(mpb.BarFillerFunc(v.fill), false))
		}
		// A total of 0 keeps the bar from completing by itself.
		bar := v.bars.New(0, mpb.BarStyle(), options...)
		bar.SetTotal(maxPermille, false)
		v.rows = append(v.rows, liveBar{bar, text})
	}
	return v
}

// fill writes the lines below the bars; the bars' goroutine calls it.
func (v *liveView) fill(w io.Writer, s decor.Statistics) error {
	if d := v.latest.Load(); d != nil {
		return statusTable(*d).write(w, s.AvailableWidth)
	}
	return nil
}

// always: the bars take each status, and redraw at their own rate.
func (*liveView) always() bool { return true }

func (v *liveView) show(d statusapi.Document) error {
	v.latest.Store(&d)
	looked, total, known := lookedAt(d)
	text := count(looked)
	permille := 0
	if known {
		text += " of " + count(total)
		permille = int(maxPermille * min(1, float64(looked)/float64(total)))
	}
	v.set(barScanning, permille, text)
	permille, text = v.drain.note(d)
	v.set(barDraining, permille, text)
	permille, known = settledPermille(d)
	text = "unknown"
	if known {
		text = settledText(d)
	}
	if d.ETA != nil {
		text += ", " + remainingText(d) + " left"
	}
	v.set(barSettled, permille, text)
	return nil
}

func (v *liveView) set(i, permille int, text string) {
	v.rows[i].text.Store(&text)
	v.rows[i].bar.SetCurrent(int64(permille))
}

// end takes the bars away and leaves the last status in their place.
func (v *liveView) end(d statusapi.Document) error {
	if err := v.close(); err != nil {
		return err
	}
	return writeStatus(v.out, d)
}

func (v *liveView) close() error {
	for _, row := range v.rows {
		row.bar.Abort(true)
	}
	v.bars.Wait()
	return nil
}

// drainage is how much of what was unsettled when a pass had handed out everything
// is settled by now.
type drainage struct{ most int }

// note returns thousandths and a text. What is parked stays unsettled, so that the
// bar is full only when nothing is.
func (g *drainage) note(d statusapi.Document) (permille int, text string) {
	switch {
	case d.Phase == recovery.PhaseComplete.String() && d.Unsettled.Total == 0:
		g.most = 0
		return maxPermille, "done"
	case !passDone(d):
		g.most = 0
		return 0, "not yet"
	}
	g.most = max(g.most, d.Unsettled.Total)
	text = count(d.Unsettled.Total) + " unsettled"
	if g.most == 0 {
		return maxPermille - 1, text
	}
	return min(maxPermille-1, maxPermille*(g.most-d.Unsettled.Total)/g.most), text
}
