package file

import (
	"fmt"

	"github.com/fsnotify/fsnotify"
)

// watch is the kernel's watch on one directory, as far as it can be had. The
// directory may be missing, moved and made again; a machine may have no watches
// left. One goroutine uses it.
type watch struct {
	dir string
	fs  *fsnotify.Watcher // nil until one could be made
}

// arm makes the watch, or makes it again where the directory is another one than
// before. It changes nothing where all is well.
func (w *watch) arm() error {
	if w.fs == nil {
		fs, err := fsnotify.NewWatcher()
		if err != nil {
			return fmt.Errorf("make a watch: %w", err)
		}
		w.fs = fs
	}
	if err := w.fs.Add(w.dir); err != nil {
		return fmt.Errorf("watch %s: %w", w.dir, err)
	}
	return nil
}

// events is what happens in the directory; nil, which never happens, without a watch.
func (w *watch) events() <-chan fsnotify.Event {
	if w.fs == nil {
		return nil
	}
	return w.fs.Events
}

// errors are the watch's own troubles, a lost event among them; nil without one.
func (w *watch) errors() <-chan error {
	if w.fs == nil {
		return nil
	}
	return w.fs.Errors
}

// close ends the watch and its goroutine.
func (w *watch) close() {
	if w.fs != nil {
		_ = w.fs.Close() // nothing is lost with it
	}
}
