package store

import (
	"errors"
	"fmt"
)

// Layout says where a piece lies within its shard's directory. It is chosen
// once for a store and kept in the root's marker.
type Layout uint8

const (
	// Auto is no layout: it asks for one to be chosen, or read from the marker.
	Auto Layout = iota
	// Flat: <root>/<shard>/<id>.
	Flat
	// Fanout: <root>/<shard>/<first two hex digits>/<id>.
	Fanout
)

// FanoutAbove is the number of blobs expected in a shard above which Auto
// becomes Fanout. Directories cost (DESIGN 6), so smaller shards go without.
const FanoutAbove = 100_000

// ErrLayout reports an unknown layout name.
var ErrLayout = errors.New("store: unknown layout")

// ParseLayout reads "auto", "flat" or "fanout".
func ParseLayout(name string) (Layout, error) {
	for _, l := range []Layout{Auto, Flat, Fanout} {
		if l.String() == name {
			return l, nil
		}
	}
	return 0, fmt.Errorf("%w %.40q (want auto, flat or fanout)", ErrLayout, name)
}

func (l Layout) String() string {
	switch l {
	case Auto:
		return "auto"
	case Flat:
		return "flat"
	case Fanout:
		return "fanout"
	}
	return fmt.Sprintf("layout(%d)", uint8(l))
}

// MarshalText writes the layout's name.
func (l Layout) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *Layout) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLayout(string(text))
	return err
}
