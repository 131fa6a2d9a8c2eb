package main

import (
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/erasure"
)

// placement reads --placement.
func (c *runConfig) placement() (shards.Placement, error) {
	p, err := shards.ParsePlacement(c.Placement)
	if err != nil {
		return 0, fmt.Errorf("--placement: %w (want hashed or striped)", err)
	}
	return p, nil
}

// stripedFetcher puts a rebuilding fetcher around the pool, which also judges pieces by
// their manifests. Whole blobs it leaves to the pool.
func (n *node) stripedFetcher() (syncer.Fetcher, map[recovery.Encoding]syncer.Verifier, error) {
	if n.placement != shards.Striped {
		return n.pool, nil, nil
	}
	f, err := erasure.New(erasure.Config{
		Peers: n.pool, Local: n.store,
		Outlook: func(p syncer.Piece) erasure.Outlook { return erasure.Outlook(n.pool.Outlook(p)) },
	})
	if err != nil {
		return nil, nil, err
	}
	return f, map[recovery.Encoding]syncer.Verifier{recovery.Striped: f}, nil
}
