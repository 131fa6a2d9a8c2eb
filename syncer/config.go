package syncer

import (
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// Config is what a Handler works with. The zero value of a limit means its
// default.
type Config struct {
	Store   Store
	Fetcher Fetcher
	Barrier BarrierConfig
	// Deadline and MinSpeed give each piece its time: Deadline plus its size
	// divided by MinSpeed, for all peers and tries together (hazard 73). Waiting
	// for the barrier does not count. Default 30 s and 64 KiB a second.
	Deadline time.Duration
	MinSpeed int64 // bytes per second
	// Verifiers judge pieces of encodings that the catalog's size and digest
	// cannot. Raw blobs need none and may have none; a blob of an encoding
	// without one is unverifiable. The map is not changed after New.
	Verifiers map[recovery.Encoding]Verifier
}

// BarrierConfig sets the sizes of the groups in which durability is bought.
// The zero value of a field means its default.
type BarrierConfig struct {
	// Blobs and Bytes bound the drafts that are handed in and not yet
	// published, over all volumes: what a kill can cost on top of what was in
	// flight (DESIGN 1, redone). Handing in waits while they are used up; a
	// larger draft goes alone (hazard 90). A volume's group closes at half of
	// either, so that the next one fills while it is flushed. Default 1,000 and
	// 64 MiB.
	Blobs int
	Bytes int64
	// Delay is how long a group waits for more after its first member; default
	// 50 ms.
	Delay time.Duration
	// Idle closes a group sooner, when nothing was being fetched for so long, so
	// that a lone blob is not held up; default 2 ms. It is not zero because a
	// fast run is idle for moments too, and small groups cost it dearly.
	Idle time.Duration
}

// ErrConfig reports a missing part or a limit outside of its range.
var ErrConfig = errors.New("syncer: bad configuration")

func (c Config) withDefaults() Config {
	setDefault(&c.Deadline, 30*time.Second)
	setDefault(&c.MinSpeed, 64<<10)
	c.Barrier = c.Barrier.withDefaults()
	return c
}

func (c BarrierConfig) withDefaults() BarrierConfig {
	setDefault(&c.Blobs, 1_000)
	setDefault(&c.Bytes, 64<<20)
	setDefault(&c.Delay, 50*time.Millisecond)
	setDefault(&c.Idle, 2*time.Millisecond)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports, wrapping ErrConfig, the first thing that makes no sense.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Store == nil:
		return fmt.Errorf("%w: no store", ErrConfig)
	case c.Fetcher == nil:
		return fmt.Errorf("%w: no fetcher", ErrConfig)
	case c.Verifiers[recovery.Raw] != nil:
		return fmt.Errorf("%w: raw blobs are judged by their size and digest, not by a verifier", ErrConfig)
	}
	for _, l := range []struct {
		name      string
		value     int64
		low, high int64
	}{
		{"deadline (ms)", c.Deadline.Milliseconds(), 1, 86_400_000},
		{"minimum speed (bytes/s)", c.MinSpeed, 1, 1 << 40},
		{"barrier blobs", int64(c.Barrier.Blobs), 1, 65_536},
		{"barrier bytes", c.Barrier.Bytes, 1, 1 << 40},
		{"barrier delay (us)", c.Barrier.Delay.Microseconds(), 1, 1_000_000},
		{"barrier idle (us)", c.Barrier.Idle.Microseconds(), 1, 1_000_000},
	} {
		if l.value < l.low || l.value > l.high {
			return fmt.Errorf("%w: %s is %d, want %d to %d", ErrConfig, l.name, l.value, l.low, l.high)
		}
	}
	return nil
}

// timeFor is how long fetching a piece of size bytes may take.
func (c Config) timeFor(size int64) time.Duration {
	seconds := size / c.MinSpeed
	if seconds > maxFetchSeconds {
		seconds = maxFetchSeconds
	}
	return c.Deadline + time.Duration(seconds)*time.Second
}

// maxFetchSeconds keeps timeFor from overflowing: a piece gets a year at most.
const maxFetchSeconds = 365 * 86_400
