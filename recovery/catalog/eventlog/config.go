package eventlog

import (
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// Config says where a followed catalog lies and when it makes snapshots.
type Config struct {
	// Dir is the catalog's directory. It is made if it is missing; its parent must
	// be there.
	Dir string
	// Network is whose events they are. It must be given for a directory that has
	// neither log nor snapshot, and agree with one that has.
	Network string
	// BatchEvents is the most events that one transaction applies; default 1,000,
	// at most 100,000.
	BatchEvents int
	// EpochSnapshots makes a full snapshot at the beginning of every epoch, before
	// anything else of it is applied.
	EpochSnapshots bool
	// FullEvery and IncrEvery are the positions between two full and two
	// incremental snapshots; they are made at multiples of these. Default 25,000
	// and 100; negative: none are made for that reason.
	FullEvery, IncrEvery int64
	// MakeAll: what is applied waits for every snapshot that is due, also those of
	// FullEvery and IncrEvery, so that none is left out because another one is being
	// made. Without it only those of epochs are waited for.
	MakeAll bool
	// StopAt is the position after which no event is applied. A full snapshot is
	// made there. 0: there is none.
	StopAt uint64
	// RetryEvery is how long after a snapshot could not be made the next is tried
	// where no event comes that would be a reason; default 1 min.
	RetryEvery time.Duration
	// Retain says which snapshots are kept.
	Retain archive.Policy
	// MinFree is what making a snapshot leaves free in the file system, in bytes;
	// default: the larger of 5 % and 1 GiB; negative: nothing.
	MinFree int64
	// MaxChunk is the size of a file above which a snapshot is cut into several, in
	// bytes; 0: never.
	MaxChunk int64
	// LockTimeout is how long Open waits for another process to leave the
	// directory; default 2 s.
	LockTimeout time.Duration
	// Observer is told what happens; nil: nobody is.
	Observer Observer

	// step is called between two changes that a kill can come between; nil: it is
	// not. Tests look at the directory then.
	step func(name string)
	// noSync leaves transactions to the page cache, for tests that cut no power.
	noSync bool
}

// between calls step.
func (c *Config) between(name string) {
	if c.step != nil {
		c.step(name)
	}
}

const maxBatch = 100_000

func (c Config) withDefaults() Config {
	if c.BatchEvents == 0 {
		c.BatchEvents = 1000
	}
	if c.FullEvery == 0 {
		c.FullEvery = 25_000
	}
	if c.IncrEvery == 0 {
		c.IncrEvery = 100
	}
	if c.RetryEvery == 0 {
		c.RetryEvery = time.Minute
	}
	if c.LockTimeout == 0 {
		c.LockTimeout = 2 * time.Second
	}
	return c
}

// Validate reports the first value that makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("eventlog: no directory is named")
	case len(c.Network) > snapshot.MaxNetwork:
		return fmt.Errorf("eventlog: the network's name has %d bytes, at most %d are allowed", len(c.Network), snapshot.MaxNetwork)
	case c.BatchEvents < 0 || c.BatchEvents > maxBatch:
		return fmt.Errorf("eventlog: %d events a transaction, want 1 to %d", c.BatchEvents, maxBatch)
	case c.RetryEvery < 0 || c.LockTimeout < 0:
		return errors.New("eventlog: a time is negative")
	}
	return errors.Join(c.Retain.Validate(), snapshot.Options{MaxChunk: c.MaxChunk}.Validate())
}
