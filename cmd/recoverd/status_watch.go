package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// statusView shows one status after the other.
type statusView interface {
	// always reports whether it takes each status; otherwise one each lineEvery,
	// and each with another phase.
	always() bool
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

// watched is where a watcher gets the status from.
type watched interface {
	// follow calls show with each status until ctx ends, show returns an error, or
	// no daemon listens any more, which is statusapi.ErrNotRunning.
	follow(ctx context.Context, show func(statusapi.Document) error) error
	// read returns what is known then.
	read(ctx context.Context) (statusapi.Document, error)
}

// watchStatus shows the status until the daemon has ended, which is no error, or
// until ctx does. A daemon that starts or ends meanwhile is waited for.
func watchStatus(ctx context.Context, source watched, view statusView) (err error) {
	defer func() { err = firstError(err, view.close()) }()
	for ctx.Err() == nil {
		err := watchDaemon(ctx, source, view)
		if !errors.Is(err, statusapi.ErrNotRunning) {
			return err
		}
		doc, err := source.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case doc.Phase == statusapi.PhaseNotRunning:
			return view.end(doc)
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
		}
	}
	return nil
}

// watchDaemon shows the status of one daemon until it ends.
func watchDaemon(ctx context.Context, source watched, view statusView) error {
	ctx, cancel := context.WithCancel(ctx)
	var joined sync.WaitGroup
	defer joined.Wait()
	defer cancel()
	docs, ended := make(chan statusapi.Document), make(chan error, 1)
	joined.Go(func() {
		ended <- source.follow(ctx, func(d statusapi.Document) error {
			select {
			case docs <- d:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	var newest *statusapi.Document
	for {
		show := true
		select {
		case d := <-docs:
			show = view.always() || newest == nil || newest.Phase != d.Phase
			newest = &d
		case <-tick.C:
			show = newest != nil
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if !show {
			continue
		}
		if err := view.show(*newest); err != nil {
			return err
		}
	}
}

// textLines prints a line each time: for logs and pipes.
type textLines struct{ out io.Writer }

func (textLines) always() bool { return false }
func (textLines) close() error { return nil }

func (v textLines) show(d statusapi.Document) error {
	_, err := fmt.Fprintln(v.out, printable(statusLine(d)))
	return err
}

func (v textLines) end(d statusapi.Document) error { return writeStatus(v.out, d) }

// stateText is the phase and what holds it up.
func stateText(d statusapi.Document) string {
	switch {
	case d.Paused:
		return d.Phase + " (paused)"
	case d.Blocked != "":
		return d.Phase + " (" + d.Blocked + ")"
	}
	return d.Phase
}

// statusLine is a status in one line.
func statusLine(d statusapi.Document) string {
	share := settledText(d)
	if share == "" {
		share = "?"
	}
	u := d.Unsettled
	return fmt.Sprintf("%s %s: %s settled, %s stored, %s unsettled of which %s retrying and %s parked, %s blobs/s, %s/s, remaining %s",
		d.At.UTC().Format(time.RFC3339), stateText(d), share, count(d.Counters.Stored), count(u.Total), count(u.Retrying), count(u.Parked),
		rate(d.BlobsPerSecond), size(int64(d.BytesPerSecond)), remainingText(d))
}

// jsonLines prints one document a line.
type jsonLines struct{ out io.Writer }

func (jsonLines) always() bool { return false }
func (jsonLines) close() error { return nil }

func (v jsonLines) show(d statusapi.Document) error { return json.NewEncoder(v.out).Encode(d) }
func (v jsonLines) end(d statusapi.Document) error  { return v.show(d) }
