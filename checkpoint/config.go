package checkpoint

import (
	"fmt"
	"time"
)

// Config says where the checkpoint is kept.
type Config struct {
	// Dir is the state directory. It and its parents are made if need be.
	Dir string
	// LockTimeout is how long to wait for another process to leave; default
	// 250 ms, at most a minute. It covers a predecessor's last moments and a
	// Describe that looks on.
	LockTimeout time.Duration
	// Now gives the time that names a file set aside; default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.LockTimeout == 0 {
		c.LockTimeout = 250 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate reports, wrapping ErrConfig, the first field that makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return fmt.Errorf("%w: the state directory is not named", ErrConfig)
	case c.LockTimeout < 0 || c.LockTimeout > time.Minute:
		return fmt.Errorf("%w: lock timeout is %v, want 0 to 1m", ErrConfig, c.LockTimeout)
	}
	return nil
}
