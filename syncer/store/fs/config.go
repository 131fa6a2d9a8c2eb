package fs

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// Config says where a store lies and what it may do. The zero value of a field
// means its default, but for Root.
type Config struct {
	// Root is a path that resolves to a directory, or to a name in an existing
	// one where the directory is made.
	Root string
	// Create lets the store make its root and shard directories while no saved
	// progress claims them (--store-create, whose default is true).
	Create bool
	// Layout is for new stores; default store.Auto.
	Layout store.Layout
	// ExpectedPerShard is the number of blobs expected in a shard; it decides
	// about Auto.
	ExpectedPerShard uint64
	// MinFree is the free space in bytes below which the scan waits, on every
	// volume; default the larger of 5 % of the volume and 1 GiB.
	MinFree uint64
	// Durability says how groups are flushed; default DurabilityAuto.
	Durability Durability
	// PieceSize returns the exact size in bytes of a piece, recovery.SizeUnknown, or
	// store.SizeNone. Foreign files are held against it, and so are those of raw
	// blobs. Default: the size of a raw blob, unknown for any other.
	PieceSize func(syncer.Piece) int64
	// ListingMemory bounds the ids kept of directory listings, in bytes; default
	// 32 MiB. Reading one may need half as much again for a moment.
	ListingMemory int
	// Listers is the number of directories read at the same time; default 2 to
	// 4, by the number of CPUs.
	Listers int

	named bool // drafts have temporary names also where they need none; for tests
}

func (c Config) withDefaults() Config {
	if c.PieceSize == nil {
		c.PieceSize = store.RawSize
	}
	if c.ListingMemory == 0 {
		c.ListingMemory = 32 << 20
	}
	if c.Listers == 0 {
		c.Listers = min(max(runtime.GOMAXPROCS(0), 2), 4)
	}
	return c
}

// sizeOf is what a piece's size is held against. What is not raw costs more to find
// out, and the names of our own files prove it already.
func (c Config) sizeOf(p syncer.Piece, foreign bool) int64 {
	if foreign || p.Blob.Encoding == recovery.Raw {
		return c.PieceSize(p)
	}
	return recovery.SizeUnknown
}

// ErrConfig reports a setting outside of its range.
var ErrConfig = errors.New("fs: bad configuration")

// Validate reports, wrapping ErrConfig, the first setting that makes no sense.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Root == "":
		return fmt.Errorf("%w: the store has no root", ErrConfig)
	case c.Layout > store.Fanout:
		return fmt.Errorf("%w: layout is %s", ErrConfig, c.Layout)
	case c.Durability > Fdatasync:
		return fmt.Errorf("%w: durability is %s", ErrConfig, c.Durability)
	case c.ListingMemory < 64<<10 || c.ListingMemory > 1<<32:
		return fmt.Errorf("%w: listing memory is %d bytes, want 64 KiB to 4 GiB", ErrConfig, c.ListingMemory)
	case c.Listers < 1 || c.Listers > 64:
		return fmt.Errorf("%w: %d listers, want 1 to 64", ErrConfig, c.Listers)
	}
	return nil
}

// Durability says how a group of pieces is made durable.
type Durability uint8

const (
	// DurabilityAuto chooses for each group of each volume, by what the volume looks
	// like and what the groups before took. It is Fdatasync where syncfs reports no
	// errors (before Linux 5.8).
	DurabilityAuto Durability = iota
	// Syncfs flushes the whole volume once a group: best for small files where the
	// volume is the store's own, bad where a neighbour writes a lot.
	Syncfs
	// Fdatasync flushes each file and each changed directory.
	Fdatasync
)

// ErrDurability reports an unknown durability name.
var ErrDurability = errors.New("fs: unknown durability")

// ParseDurability reads "auto", "syncfs" or "fdatasync".
func ParseDurability(name string) (Durability, error) {
	for _, d := range []Durability{DurabilityAuto, Syncfs, Fdatasync} {
		if d.String() == name {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%w %.40q (want auto, syncfs or fdatasync)", ErrDurability, name)
}

func (d Durability) String() string {
	switch d {
	case DurabilityAuto:
		return "auto"
	case Syncfs:
		return "syncfs"
	case Fdatasync:
		return "fdatasync"
	}
	return fmt.Sprintf("durability(%d)", uint8(d))
}

// MarshalText writes the name.
func (d Durability) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Durability) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDurability(string(text))
	return err
}

// syncfsIsDeaf reports whether syncfs of the running kernel reports no write errors.
func syncfsIsDeaf() (bool, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false, fmt.Errorf("ask for the kernel's version: %w", err)
	}
	return !syncfsReports(unix.ByteSliceToString(name.Release[:])), nil
}

// syncfsReports tells whether syncfs of a kernel release returns write errors.
// A release that cannot be read is taken for an old one.
func syncfsReports(release string) bool {
	var major, minor int
	if n, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || n != 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}
