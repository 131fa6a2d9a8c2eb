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
	Pieces     Pieces    // nil: Explain does not know what is stored
	Liars      Liars     // nil: nor who lied
	Bandwidth  Bandwidth // nil: bytes a second cannot be limited
	Load       Load      // nil: the concurrency cannot govern itself

	// BytesPerSecond, Auto and ConcurrencyMax (0: DefaultConcurrencyMax) are default
	// limits; BytesPerSecond 0 is no limit. The other defaults are those of Machine.
	BytesPerSecond int64
	Auto           bool
	ConcurrencyMax int
	// Limits are those that were set at run time of an earlier process; nil: none
	// were. KeepLimits makes such ones durable, or with nil that there are none any
	// more; a nil function keeps none.
	Limits     *Limits
	KeepLimits func(*Limits) error
	// History is that of earlier processes, newest first. KeepHistory replaces it, on
	// a goroutine of its own, with a slice that it must not change; a nil function
	// keeps none.
	History     []RunEvent
	KeepHistory func([]RunEvent) error

	// ExitWhenComplete ends Run at the first complete or incomplete.
	ExitWhenComplete bool
	// StopGrace is how long syncs under way may go on after ctx has ended before
	// they are cancelled; default 10 s.
	StopGrace time.Duration
	// NodeSlots bounds the blobs that the node itself asks for at one time (Sync), apart
	// from those that join a flight; default 8.
	NodeSlots int
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
	if c.NodeSlots == 0 {
		c.NodeSlots = 8
	}
	if c.ConcurrencyMax == 0 {
		c.ConcurrencyMax = DefaultConcurrencyMax
	}
	c.Machine = c.Machine.WithDefaults()
	return c
}

// limits are the default ones.
func (c Config) limits() Limits {
	return Limits{
		Concurrency: c.Machine.Slots, Auto: c.Auto, ConcurrencyMax: c.ConcurrencyMax,
		BytesInFlight: c.Machine.BytesInFlight, BytesPerSecond: c.BytesPerSecond,
	}
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
	if err := c.Machine.Validate(); err != nil {
		return err
	}
	limits := []Limits{c.withDefaults().limits()}
	if c.Limits != nil {
		limits = append(limits, *c.Limits)
	}
	for _, l := range limits {
		if err := l.check(&c); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	if c.NodeSlots < 0 || c.NodeSlots > MaxConcurrency {
		return fmt.Errorf("%w: %d node slots, want 1 to %d", ErrConfig, c.NodeSlots, MaxConcurrency)
	}
	return nil
}
