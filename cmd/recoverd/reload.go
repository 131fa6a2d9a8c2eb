package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// reloader reads the configuration again at SIGHUP and when its file changes, and
// puts in force what can be. A file that is bad leaves everything as it is.
type reloader struct {
	node    *node
	now     *settings // in force, but for what needs a restart
	hangups <-chan os.Signal
	watch   *fsnotify.Watcher // of the file's directory; nil without a file
	seen    string            // the file's content when it was read last

	stop   context.CancelFunc
	joined sync.WaitGroup
}

const (
	settleTime  = 200 * time.Millisecond // without an event, after one: writers take several steps
	rereadEvery = 15 * time.Second       // for links and network file systems, which tell nothing
	limitsTime  = 10 * time.Second       // for limits to be in force
)

func startReloader(n *node, s *settings, hangups <-chan os.Signal) (*reloader, error) {
	r := &reloader{node: n, now: s, hangups: hangups, seen: s.content()}
	if s.cfg.Config != "" {
		watch, err := fsnotify.NewWatcher()
		if err == nil {
			err = watch.Add(filepath.Dir(s.cfg.Config))
		}
		if err != nil {
			return nil, fmt.Errorf("watch the configuration: %w", err)
		}
		r.watch = watch
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.joined.Go(func() { r.loop(ctx) })
	return r, nil
}

func (r *reloader) close() {
	r.stop()
	r.joined.Wait()
	if r.watch != nil {
		_ = r.watch.Close() // nothing is lost
	}
}

func (r *reloader) loop(ctx context.Context) {
	var events chan fsnotify.Event
	var lost chan error
	if r.watch != nil {
		events, lost = r.watch.Events, r.watch.Errors
	}
	tick := time.NewTicker(rereadEvery)
	defer tick.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.hangups:
			r.reload(ctx, true)
		case <-events:
			settled = time.After(settleTime)
		case err := <-lost: // events were: look
			_ = err
			settled = time.After(settleTime)
		case <-settled:
			settled = nil
			r.reload(ctx, false)
		case <-tick.C:
			r.reload(ctx, false)
		}
	}
}

// reload reads the configuration again; unasked only if the file is another one.
func (r *reloader) reload(ctx context.Context, asked bool) {
	content := r.now.content()
	if content == r.seen && !asked {
		return
	}
	r.seen = content
	log := r.node.log.With().Str("path", r.now.cfg.Config).Logger()
	if r.now.cfg.Config == "" {
		log.Info().Msg("there is no configuration file to read again")
		return
	}
	next, err := r.now.again()
	if err == nil {
		err = next.cfg.validate()
	}
	if err == nil {
		err = next.cfg.limits().Validate()
	}
	if err == nil {
		_, err = parseLevel(next.cfg.LogLevel)
	}
	if err != nil {
		log.Error().Err(err).Msg("configuration is bad, the one before it stays in force")
		return
	}
	changed := next.changed(r.now)
	if len(changed) == 0 {
		log.Info().Msg("configuration read again, nothing has changed")
	}
	for _, name := range changed {
		r.apply(ctx, name, next)
	}
	r.now = next
}

// limitFlags are put in force together.
func limitFlags() []string {
	return []string{"concurrency", "concurrency-max", "bytes-in-flight", "bwlimit"}
}

// apply puts one change in force, or says that it needs a restart. The values of
// others than those named here may be secret.
func (r *reloader) apply(ctx context.Context, name string, next *settings) {
	old, value := r.now.flags.Lookup(name).Value.String(), next.flags.Lookup(name).Value.String()
	log := r.node.log.With().Str("key", name).Logger()
	switch {
	case name == "log-level":
		r.node.level.SetLevel(value)
	case slices.Contains(limitFlags(), name):
		ctx, cancel := context.WithTimeout(ctx, limitsTime)
		defer cancel()
		if err := r.node.worker.SetDefaultLimits(ctx, next.cfg.limits()); err != nil {
			log.Error().Err(err).Str("from", old).Str("to", value).Msg("configuration changed, and cannot be put in force")
			return
		}
		if r.node.worker.LimitsSet() {
			log.Warn().Str("from", old).Str("to", value).Msg("configuration changed, limits set at run time stay in force")
			return
		}
	default:
		log.Warn().Msg("configuration changed, this needs a restart")
		return
	}
	log.Info().Str("from", old).Str("to", value).Msg("configuration changed, in force")
}
