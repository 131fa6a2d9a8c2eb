package main

import (
	"errors"
	"fmt"
	"strings"

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

// checkTemplates refuses peers that would be asked for every piece of a striped blob,
// and for its manifest, under one URL: none of them could be the right answer to all.
func (n *node) checkTemplates() error {
	if n.placement != shards.Striped {
		return nil
	}
	var problems []error
	for _, text := range n.cfg.Peers {
		t, _, err := peerTemplate(text)
		if err == nil && !strings.Contains(text, "{shard}") && !strings.Contains(text, "{piece}") {
			problems = append(problems, fmt.Errorf("peer %s: with --placement striped its template needs {shard} or {piece}, as in http://host:8080/{shard}/{id}", t.Name()))
		}
	}
	return errors.Join(problems...)
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
