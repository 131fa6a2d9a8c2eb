package recovery

import (
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/shards"
)

// Config sets the machine's limits. The zero value of a field means its
// default. Every queue of the machine is bounded by one of them (I10).
type Config struct {
	// Placement says which shards hold a blob's pieces; default Hashed.
	Placement shards.Placement
	// Slots is the number of syncs under way, retries included; default 64.
	Slots int
	// BytesInFlight bounds the declared sizes of those syncs; default 256 MiB. A
	// larger blob goes alone.
	BytesInFlight int64
	// Unsettled bounds the list, parked ids not counted; default 10,000. The scan
	// waits when it is full.
	Unsettled int
	// Parked bounds the parked ids; default 10,000. The scan waits there too.
	Parked int
	// PageRows is the size of a catalog page; default 1,024.
	PageRows int
	// ParkAfter is the number of definite failures that park a blob; default 10.
	ParkAfter uint32
	// ParkedRetry is the time between the tries of a parked blob; default 10 min.
	ParkedRetry time.Duration
	// SaveEvery and SaveSettled say how often progress is saved: default every
	// second, or after 4,096 settlements.
	SaveEvery   time.Duration
	SaveSettled int
	// FollowInterval is the least time between two looks at the catalog's newest
	// bound; default 10 s.
	FollowInterval time.Duration
}

// WithDefaults returns the configuration with every field set.
func (c Config) WithDefaults() Config {
	setDefault(&c.Placement, shards.Hashed)
	setDefault(&c.Slots, 64)
	setDefault(&c.BytesInFlight, 256<<20)
	setDefault(&c.Unsettled, 10_000)
	setDefault(&c.Parked, 10_000)
	setDefault(&c.PageRows, 1_024)
	setDefault(&c.ParkAfter, 10)
	setDefault(&c.ParkedRetry, 10*time.Minute)
	setDefault(&c.SaveEvery, time.Second)
	setDefault(&c.SaveSettled, 4_096)
	setDefault(&c.FollowInterval, 10*time.Second)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ErrConfig reports a limit outside of its range.
var ErrConfig = errors.New("recovery: bad configuration")

// Validate reports, wrapping ErrConfig, the first limit that makes no sense.
func (c Config) Validate() error {
	c = c.WithDefaults()
	for _, l := range []struct {
		name      string
		value     int64
		low, high int64
	}{
		{"slots", int64(c.Slots), 1, 4_096},
		{"bytes in flight", c.BytesInFlight, 1, 1 << 40},
		{"unsettled", int64(c.Unsettled), 1, MaxUnsettled},
		{"parked", int64(c.Parked), 1, MaxUnsettled},
		{"page rows", int64(c.PageRows), 1, 65_536},
		{"park after", int64(c.ParkAfter), 1, 1_000_000},
		{"parked retry (s)", int64(c.ParkedRetry / time.Second), 1, 7 * 86_400},
		{"save every (ms)", c.SaveEvery.Milliseconds(), 1, 60_000},
		{"save settled", int64(c.SaveSettled), 1, 1 << 30},
		{"follow interval (ms)", c.FollowInterval.Milliseconds(), 1, 86_400_000},
	} {
		if l.value < l.low || l.value > l.high {
			return fmt.Errorf("%w: %s is %d, want %d to %d", ErrConfig, l.name, l.value, l.low, l.high)
		}
	}
	return nil
}

// MaxUnsettled is the most entries that either part of the list may be
// configured to hold; a checkpoint has room for both.
const MaxUnsettled = 20_000

// Retry delays of a cancelled blob stay inside these limits (I11).
const (
	RetryMin = time.Second
	RetryMax = 30 * time.Second
)
