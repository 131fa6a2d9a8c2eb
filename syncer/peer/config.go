package peer

import (
	"fmt"
	"time"
)

const (
	// RestMin and RestMax bound every time a peer is left alone, whoever asks
	// for it: the peer itself, or the doubling after failures.
	RestMin = time.Second
	RestMax = 30 * time.Second
	// RestAfter is the number of failures in a row, with no answer about a piece
	// between them, after which a peer rests.
	RestAfter = 5
	// MaxPeers is the most peers a pool takes.
	MaxPeers = 64
)

// Config sets the limits of a Pool. The zero value of a field means its
// default. Time spent waiting for the sink counts towards none of them.
type Config struct {
	// MinSpeed is the least that a peer may send over a Window, in bytes a
	// second; default 1 KiB/s.
	MinSpeed int64
	// Window is the time over which the speed is averaged; default 10 s.
	Window time.Duration
	// TryGrace and TrySpeed bound one try with one peer: it may take TryGrace,
	// and a second more for each TrySpeed bytes of the piece. Defaults 30 s and
	// 16 KiB/s.
	TryGrace time.Duration
	TrySpeed int64
	// Resumes is how often a try goes on after a cut; default 3, none if
	// negative.
	Resumes int
	// HedgePercent is how many more requests may be made, for a hundred, to race peers
	// that keep a transfer waiting; default 5, none if negative.
	HedgePercent int
	// ProbeTimeout bounds one probe of an unreachable peer; default 3 s.
	ProbeTimeout time.Duration
	// LiarMemory is how long a peer that sent wrong bytes for an id is asked
	// last for that id; default 10 min.
	LiarMemory time.Duration
	// BufferSize is the size of a copy buffer in bytes, one for each transfer under way
	// of a piece that is as large; those of smaller ones have 64 KiB. Default 256 KiB.
	BufferSize int
}

func (c Config) withDefaults() Config {
	setDefault(&c.MinSpeed, 1<<10)
	setDefault(&c.Window, 10*time.Second)
	setDefault(&c.TryGrace, 30*time.Second)
	setDefault(&c.TrySpeed, 16<<10)
	setDefault(&c.Resumes, 3)
	setDefault(&c.HedgePercent, 5)
	setDefault(&c.ProbeTimeout, 3*time.Second)
	setDefault(&c.LiarMemory, 10*time.Minute)
	setDefault(&c.BufferSize, 256<<10)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports, wrapping ErrConfig, the first limit that makes no sense.
func (c Config) Validate() error {
	c = c.withDefaults()
	for _, l := range []struct {
		name      string
		value     int64
		low, high int64
	}{
		{"minimum speed (B/s)", c.MinSpeed, 1, 1 << 30},
		{"window (ms)", c.Window.Milliseconds(), 1, 3_600_000},
		{"try grace (ms)", c.TryGrace.Milliseconds(), 1, 86_400_000},
		{"try speed (B/s)", c.TrySpeed, 1, 1 << 40},
		{"resumes", int64(max(c.Resumes, 0)), 0, 1_000},
		{"hedges (percent)", int64(max(c.HedgePercent, 0)), 0, 100},
		{"probe timeout (ms)", c.ProbeTimeout.Milliseconds(), 1, 60_000},
		{"liar memory (s)", int64(c.LiarMemory / time.Second), 1, 7 * 86_400},
		{"buffer size (B)", int64(c.BufferSize), 512, 16 << 20},
	} {
		if l.value < l.low || l.value > l.high {
			return fmt.Errorf("%w: %s is %d, want %d to %d", ErrConfig, l.name, l.value, l.low, l.high)
		}
	}
	return nil
}

// clampRest keeps a rest within its limits.
func clampRest(d time.Duration) time.Duration { return min(max(d, RestMin), RestMax) }

// restAfter returns the n-th rest in a row, n >= 1: RestMin, doubling up to
// RestMax.
func restAfter(n int) time.Duration {
	d := RestMin
	for ; n > 1 && d < RestMax; n-- {
		d *= 2
	}
	return clampRest(d)
}
