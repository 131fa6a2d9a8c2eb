package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider/file"
	httpprovider "github.com/recoverd/recoverd/shards/provider/http"
)

// ownershipSource is what --ownership leads to: a file or a URL that is followed.
type ownershipSource interface {
	worker.Ownership
	io.Closer
}

// isServed reports whether --ownership is a URL.
func isServed(text string) bool {
	return strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")
}

func (c *runConfig) ownershipURL() httpprovider.Config {
	return httpprovider.Config{URL: c.Ownership, TokenFile: c.OwnershipToken}
}

// loadOwnership reads the ownership as it is now.
func loadOwnership(ctx context.Context, cfg *runConfig) (shards.Ownership, error) {
	if isServed(cfg.Ownership) {
		return httpprovider.Load(ctx, cfg.ownershipURL())
	}
	return file.Load(cfg.Ownership)
}

// ownershipMayCome reports whether an error of loadOwnership is one that a run waits
// out: nothing is there yet, or the server is away. A bad document is not: there is
// no older one to keep.
func ownershipMayCome(cfg *runConfig, err error) bool {
	if !isServed(cfg.Ownership) {
		_, noDir := os.Stat(filepath.Dir(cfg.Ownership))
		return errors.Is(err, os.ErrNotExist) && noDir == nil
	}
	for _, final := range []error{shards.ErrOwnership, httpprovider.ErrConfig, httpprovider.ErrToken} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// openOwnership refuses a bad first document. One that is not there yet is waited
// for.
func (n *node) openOwnership(ctx context.Context) error {
	_, err := loadOwnership(ctx, n.cfg)
	if err != nil && !ownershipMayCome(n.cfg, err) {
		return withCode(exitConfig, fmt.Errorf("ownership: %w", err))
	}
	if isServed(n.cfg.Ownership) {
		n.ownership, err = closedLater(n, httpprovider.Open, n.cfg.ownershipURL())
	} else {
		n.ownership, err = closedLater(n, file.Open, file.Config{Path: n.cfg.Ownership, WatchAfter: watchAfter})
	}
	return withCode(exitConfig, err)
}

// closedLater opens a source, and notes it to be closed.
func closedLater[C any, S ownershipSource](n *node, open func(C) (S, error), c C) (ownershipSource, error) {
	s, err := open(c)
	if err != nil {
		return nil, err
	}
	n.closeLater(s)
	return s, nil
}

// expectedPerShard estimates the blobs of a shard, for the layout of a new
// store; 0 where it cannot.
func (n *node) expectedPerShard(ctx context.Context) uint64 {
	own, err := loadOwnership(ctx, n.cfg)
	if err != nil {
		return 0
	}
	return n.catalog.expect() / uint64(own.TotalShards)
}

func checkOwnership(ctx context.Context, cfg *runConfig) (string, error) {
	own, err := loadOwnership(ctx, cfg)
	switch {
	case err == nil:
		return fmt.Sprintf("%s of %s owned, epoch %d, node %s", count(own.Owned.Len()), plural(own.TotalShards, "shard"), own.Epoch, own.Node), nil
	case !ownershipMayCome(cfg, err):
		return "", err
	case isServed(cfg.Ownership):
		return "", fmt.Errorf("a run would wait: %w", err)
	}
	return cfg.Ownership + " is not there yet; a run waits for it", nil
}
