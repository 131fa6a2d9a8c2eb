package fs

import "github.com/recoverd/recoverd/syncer/store"

// Layout returns how the shards are laid out; store.Auto before the first
// Prepare that succeeded.
func (s *Store) Layout() store.Layout {
	if v := s.view.Load(); v != nil {
		return v.layout
	}
	return store.Auto
}

// Durability returns how groups are made durable: never DurabilityAuto.
func (s *Store) Durability() Durability { return s.cfg.Durability }
