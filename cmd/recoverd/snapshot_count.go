package main

import "github.com/recoverd/recoverd/recovery/catalog/snapshot"

// countedState counts the rows that are read of a state, so that "the same" says
// of how much (hazard 64).
type countedState struct {
	snapshot.State
	rows *uint64
}

func (s *countedState) Blobs() snapshot.Cursor[snapshot.Blob] {
	return countedCursor[snapshot.Blob]{s.State.Blobs(), s.rows}
}

func (s *countedState) Registrations() snapshot.Cursor[snapshot.Registration] {
	return countedCursor[snapshot.Registration]{s.State.Registrations(), s.rows}
}

func (s *countedState) Pooled() snapshot.Cursor[snapshot.Pooled] {
	return countedCursor[snapshot.Pooled]{s.State.Pooled(), s.rows}
}

func (s *countedState) Pools() []snapshot.Pool {
	pools := s.State.Pools()
	*s.rows += uint64(len(pools))
	return pools
}

type countedCursor[R any] struct {
	snapshot.Cursor[R]
	rows *uint64
}

func (c countedCursor[R]) Next() (*R, error) {
	row, err := c.Cursor.Next()
	if row != nil {
		*c.rows++
	}
	return row, err
}
