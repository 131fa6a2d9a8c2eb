package catalog

import (
	"errors"
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
	fs   *fsnotify.Watcher
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	wake chan struct{} // closed and replaced to wake everyone
}

func newWatcher(path string, every time.Duration) (*watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := fs.Add(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, fs.Close())
	}
	w := &watcher{fs: fs, stop: make(chan struct{}), wake: make(chan struct{})}
	w.done.Go(func() { w.run(every) })
	return w, nil
}

// Close ends the watch, wakes everyone, and waits for the goroutine.
func (w *watcher) Close() error {
	close(w.stop)
	w.done.Wait()
	w.broadcast()
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

func (w *watcher) run(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		case <-w.fs.Events:
		case _, open := <-w.fs.Errors: // events were lost: look
			if !open {
				return
			}
		}
		w.broadcast()
	}
}
