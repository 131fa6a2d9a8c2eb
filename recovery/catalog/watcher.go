package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher wakes whoever waits for a file to change: at every event in the
// file's directory, and every interval. It watches the directory because a
// rename replaces the file, and with it a watch on it. It wakes too often
// rather than too rarely; who is woken looks.
type watcher struct {
	dir  string
	fs   *fsnotify.Watcher // nil until there is one; the goroutine's
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	wake chan struct{} // closed and replaced to wake everyone
}

func newWatcher(cfg FileConfig) (*watcher, error) {
	w := &watcher{dir: filepath.Dir(cfg.Path), stop: make(chan struct{}), wake: make(chan struct{})}
	if cfg.WatchAfter > 0 {
		if _, err := os.Stat(w.dir); err != nil {
			return nil, err
		}
	} else if err := w.arm(); err != nil {
		return nil, err
	}
	w.done.Go(func() { w.run(cfg.PollInterval, cfg.WatchAfter) })
	return w, nil
}

// arm begins to watch the directory.
func (w *watcher) arm() error {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if err := fs.Add(w.dir); err != nil {
		return errors.Join(err, fs.Close())
	}
	w.fs = fs
	return nil
}

// Close ends the watch, wakes everyone, and waits for the goroutine.
func (w *watcher) Close() error {
	close(w.stop)
	w.done.Wait()
	w.broadcast()
	if w.fs == nil {
		return nil
	}
	return w.fs.Close()
}

// changed returns a channel that is closed at the next event.
func (w *watcher) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wake
}

func (w *watcher) broadcast() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.wake)
	w.wake = make(chan struct{})
}

// run watches from after on, or from when a watch can be had. Until then the
// interval is all there is.
func (w *watcher) run(every, after time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var begin <-chan time.Time
	if w.fs == nil {
		begin = time.After(after)
	}
	for {
		var events chan fsnotify.Event
		var lost chan error
		if w.fs != nil {
			events, lost = w.fs.Events, w.fs.Errors
		}
		select {
		case <-w.stop:
			return
		case <-begin:
			if begin = nil; w.arm() != nil {
				begin = time.After(every)
			}
		case <-tick.C:
		case <-events:
		case _, open := <-lost: // events were: look
			if !open {
				return
			}
		}
		w.broadcast()
	}
}
