package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// ErrConfig reports a Config that cannot be used.
var ErrConfig = errors.New("file: bad config")

// Config says which file to read and how eagerly.
type Config struct {
	// Path is the ownership document. It may be a symbolic link; it need not be
	// there yet.
	Path string
	// Debounce is how long the directory must be quiet before the file is read
	// again; default 100 ms. While it is never quiet, the file is read every ten
	// times as long.
	Debounce time.Duration
	// Reread is how often the file is read though nothing seems to have happened;
	// default 30 s. Notifications get lost: on network file systems, when the
	// kernel's queue overflows, where a link leads to another directory.
	Reread time.Duration
	// WatchAfter is how long after Open the directory is watched at the earliest; what
	// changes before is seen then. Default 0: from the beginning. To close a watch takes
	// the kernel about 10 ms, which a process that ends at once can do without.
	WatchAfter time.Duration
	// Now is asked for Status.Loaded only; default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Debounce == 0 {
		c.Debounce = 100 * time.Millisecond
	}
	if c.Reread == 0 {
		c.Reread = 30 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate reports, wrapping ErrConfig, the first thing that is wrong. Zero
// durations stand for their defaults.
func (c Config) Validate() error {
	switch {
	case c.Path == "":
		return fmt.Errorf("%w: no path", ErrConfig)
	case c.Debounce < 0:
		return fmt.Errorf("%w: debounce is %v", ErrConfig, c.Debounce)
	case c.Reread < 0:
		return fmt.Errorf("%w: reread is %v", ErrConfig, c.Reread)
	case c.WatchAfter < 0:
		return fmt.Errorf("%w: the watch begins after %v", ErrConfig, c.WatchAfter)
	}
	return nil
}

// dir is the directory that is watched: the one the path names, not the one a
// link at the path leads to.
func (c Config) dir() string { return filepath.Dir(c.Path) }
