package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// Config says what a worker works with. Checkpoint, Ownership, Catalog, Store,
// Syncer and Delays are required.
type Config struct {
	Machine    recovery.Config
	Checkpoint Checkpoint
	Ownership  Ownership
	Catalog    Catalog
	Follower   Follower // nil: the catalog never changes
	Store      Store
	Syncer     Syncer
	Peers      Peers // nil: peers are taken to be reachable
	Delays     Delays
	Observers  []Observer

	// ExitWhenComplete ends Run at the first complete or incomplete.
	ExitWhenComplete bool
	// StopGrace is how long syncs under way may go on after ctx has ended before
	// they are cancelled; default 10 s.
	StopGrace time.Duration
	// RoomEvery is the time between two looks at the free space; default 1 s.
	RoomEvery time.Duration
}

func (c Config) withDefaults() Config {
	if c.StopGrace == 0 {
		c.StopGrace = 10 * time.Second
	}
	if c.RoomEvery == 0 {
		c.RoomEvery = time.Second
	}
	return c
}

// ErrConfig reports a worker that cannot be made from its Config.
var ErrConfig = errors.New("worker: bad configuration")

// Validate reports, wrapping ErrConfig, the first thing that is missing.
func (c Config) Validate() error {
	for _, port := range []struct {
		name    string
		missing bool
	}{
		{"Checkpoint", c.Checkpoint == nil}, {"Ownership", c.Ownership == nil}, {"Catalog", c.Catalog == nil},
		{"Store", c.Store == nil}, {"Syncer", c.Syncer == nil}, {"Delays", c.Delays == nil},
	} {
		if port.missing {
			return fmt.Errorf("%w: %s is missing", ErrConfig, port.name)
		}
	}
	return c.Machine.Validate()
}
