package fs

import (
	"path/filepath"
	"time"

	"github.com/recoverd/recoverd/syncer/store"
)

// Layout returns how the shards are laid out; store.Auto before the first
// Prepare that succeeded.
func (s *Store) Layout() store.Layout {
	if v := s.view.Load(); v != nil {
		return v.layout
	}
	return store.Auto
}

// Durability returns how groups are to be made durable, as configured.
func (s *Store) Durability() Durability { return s.cfg.Durability }

// VolumeStatus is how groups are made durable on one volume.
type VolumeStatus struct {
	Path string // a directory of the store on it
	// Way is how the last group was flushed (Syncfs or Fdatasync), and Why; before the
	// first one, how it would be.
	Way Durability
	Why string
	// LastFlush is what that took, and Files and Bytes what it made durable.
	LastFlush time.Duration
	Files     int
	Bytes     int64
	// Flushes and Flushing count the flushes in each way since the start, and the time
	// spent in them, by Durability.
	Flushes  [Fdatasync + 1]uint64
	Flushing [Fdatasync + 1]time.Duration
}

// Volumes tells of every volume that owned shards lie on; of none before the first
// Prepare that succeeded.
func (s *Store) Volumes() []VolumeStatus {
	v := s.view.Load()
	if v == nil {
		return nil
	}
	all := make([]VolumeStatus, len(v.volumes))
	for i, vol := range v.volumes {
		all[i] = vol.record.get()
		all[i].Path = filepath.Clean(vol.dir.Name())
	}
	return all
}
