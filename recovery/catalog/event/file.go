package event

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// FilesConfig says where events lie as text.
type FilesConfig struct {
	// Path is a file of lines that grows, or a directory: its files named *.ndjson,
	// in the order of their names, are one. The directory, or the file's, must be
	// there when the source is made; files may come later.
	Path string
	// Network is whose events they must be: a header that names another network is
	// an error. Empty: any.
	Network string
	// PollInterval is how often Changed wakes besides when the directory changes,
	// which network file systems and links do not tell; default 2 s.
	PollInterval time.Duration
}

// Validate reports the first value that makes no sense.
func (c FilesConfig) Validate() error {
	switch {
	case c.Path == "":
		return errors.New("event: the source has no path")
	case c.PollInterval < 0:
		return fmt.Errorf("event: poll interval %v is negative", c.PollInterval)
	}
	return nil
}

func (c FilesConfig) withDefaults() FilesConfig {
	if c.PollInterval == 0 {
		c.PollInterval = 2 * time.Second
	}
	return c
}

// segmentPattern are the files of a directory that count.
const segmentPattern = "*.ndjson"

// Files is a file, or a directory of files, that events are appended to, one a
// line; a first line may be a Header. A last line without an end is not an event
// yet. Reading goes on where it stopped; anywhere else it finds its place by
// bisection, so that nothing is read from the beginning. Files may be removed
// from the front, and a file may be replaced by one that holds the same.
type Files struct {
	cfg   FilesConfig
	dir   bool // Path is a directory
	watch *fsnotify.Watcher
	once  sync.Once
	stop  chan struct{} // closed by Close

	at segment // where the last Read stopped
}

// NewFiles returns a source. The caller closes it.
func NewFiles(cfg FilesConfig) (*Files, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	f := &Files{cfg: cfg.withDefaults(), stop: make(chan struct{})}
	watched := filepath.Dir(cfg.Path)
	if info, err := os.Stat(cfg.Path); err == nil && info.IsDir() {
		f.dir, watched = true, cfg.Path
	}
	var err error
	if f.watch, err = fsnotify.NewWatcher(); err != nil {
		return nil, fmt.Errorf("watch events: %w", err)
	}
	if err := f.watch.Add(watched); err != nil {
		return nil, errors.Join(fmt.Errorf("watch events: %w", err), f.watch.Close())
	}
	return f, nil
}

// Close implements Source. No Read may be under way.
func (f *Files) Close() (err error) {
	f.once.Do(func() {
		close(f.stop)
		err = errors.Join(f.at.close(), f.watch.Close())
	})
	return err
}

func (f *Files) closed() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// Changed implements Source. Whatever happens in the directory wakes it.
func (f *Files) Changed(ctx context.Context) error {
	timer := time.NewTimer(f.cfg.PollInterval)
	defer timer.Stop()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-f.watch.Events:
	case _, open := <-f.watch.Errors: // something was lost: look
		if !open {
			return ErrClosed
		}
	case <-timer.C:
	case <-ctx.Done():
	case <-f.stop:
	}
	switch {
	case f.closed():
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	for { // a burst of writes is one change
		select {
		case <-f.watch.Events:
		default:
			return nil
		}
	}
}

// Read implements Source.
func (f *Files) Read(ctx context.Context, after uint64, limit int) (events []Event, tip uint64, err error) {
	switch {
	case f.closed():
		return nil, 0, ErrClosed
	case ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	}
	paths, err := f.paths()
	if err != nil {
		return nil, 0, fmt.Errorf("list events: %w", err)
	}
	if err := f.seek(ctx, paths, after+1); err != nil {
		return nil, 0, err
	}
	events, err = f.collect(ctx, paths, after+1, limit)
	if err != nil {
		return nil, 0, err
	}
	tip, err = f.tip(paths)
	if len(events) > 0 { // what the end is like shows when it is reached
		return events, max(tip, events[len(events)-1].Position), nil
	}
	return nil, tip, err
}

// paths lists the files, in order.
func (f *Files) paths() ([]string, error) {
	if f.dir {
		return filepath.Glob(filepath.Join(globQuote(f.cfg.Path), segmentPattern))
	}
	switch _, err := os.Stat(f.cfg.Path); {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []string{f.cfg.Path}, nil
}

// seek opens the file that holds the event with that number, or will, and finds
// its place in it.
func (f *Files) seek(ctx context.Context, paths []string, want uint64) error {
	if f.at.next == want && f.at.same() {
		f.at.moveTo(f.at.offset) // what was read ahead may be another by now: a torn line, a bad one
		return nil
	}
	if err := f.at.close(); err != nil {
		return err
	}
	found := uint64(0) // the lowest number there is
	for i := len(paths) - 1; i >= 0; i-- {
		s, err := openSegment(paths[i], f.cfg.Network)
		if err != nil {
			return err
		}
		if s.first == 0 || s.first > want {
			if s.first != 0 {
				found = s.first
			}
			if err := s.close(); err != nil {
				return err
			}
			continue
		}
		if err := s.seek(ctx, want); err != nil {
			return errors.Join(err, s.close())
		}
		f.at = s
		return nil
	}
	if found != 0 {
		return &MissingError{Source: f.cfg.Path, First: want, Found: found}
	}
	return nil // nothing there yet
}

// collect reads on from where f.at stands.
func (f *Files) collect(ctx context.Context, paths []string, want uint64, limit int) (events []Event, err error) {
	for f.at.file != nil && len(events) < limit {
		if len(events)%256 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e, more, err := f.at.read(want)
		if err == nil && !more {
			if more, err = f.advance(paths); err == nil && !more {
				return events, nil
			}
			if err == nil {
				continue
			}
		}
		if err != nil {
			if len(events) > 0 {
				return events, nil // the next Read meets it again
			}
			return nil, err
		}
		events = append(events, e)
		want++
	}
	return events, nil
}

// advance goes on to the file after the present one, if there is one with events.
func (f *Files) advance(paths []string) (bool, error) {
	for _, path := range paths {
		if path <= f.at.path {
			continue
		}
		s, err := openSegment(path, f.cfg.Network)
		if err != nil {
			return false, err
		}
		if s.first == 0 {
			if err := s.close(); err != nil {
				return false, err
			}
			continue
		}
		if f.at.torn() {
			return false, errors.Join(f.at.bad(f.at.offset, fmt.Errorf("%w: the last line has no end, and %s follows", ErrMalformed, path)), s.close())
		}
		s.next = f.at.next
		if err := f.at.close(); err != nil {
			return false, errors.Join(err, s.close())
		}
		f.at = s
		return true, nil
	}
	return false, nil
}

// tip returns the highest number in any file, or that a header tells of.
func (f *Files) tip(paths []string) (tip uint64, err error) {
	for i := len(paths) - 1; i >= 0; i-- {
		s, err := openSegment(paths[i], f.cfg.Network)
		if err != nil {
			return 0, err
		}
		last, err := s.last()
		tip = max(tip, last, s.head.Tip)
		if err = errors.Join(err, s.close()); err != nil || last != 0 {
			return tip, err
		}
	}
	return tip, nil
}

// globQuote makes a path stand for itself in a pattern.
func globQuote(path string) string {
	var quoted []byte
	for _, c := range []byte(path) {
		switch c {
		case '*', '?', '[', '\\':
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, c)
	}
	return string(quoted)
}
