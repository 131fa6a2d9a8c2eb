package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// Preview says what Prepare of a store with this configuration would make and
// report. It takes no lock and changes nothing; the ids of markers that are not
// there yet are made up, and so is an identity that depends on them. Errors are
// those of Prepare.
func Preview(ctx context.Context, cfg Config, req recovery.StoreRequest) (plan store.Plan, err error) {
	policy := store.Policy{Create: cfg.Create, Layout: cfg.Layout, ExpectedPerShard: cfg.ExpectedPerShard}
	r, err := OpenReader(ctx, cfg.Root)
	if errors.Is(err, iofs.ErrNotExist) {
		plan, err = store.Decide(req, policy, store.Found{Shards: map[uint32]store.FoundShard{}}, store.NewMarkerID)
		return plan, previewError(cfg.Root, err)
	}
	if err != nil {
		return store.Plan{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	found, _, err := lookAt(ctx, r.root, req, r.shard)
	if err == nil {
		plan, err = store.Decide(req, policy, found, store.NewMarkerID)
	}
	return plan, previewError(cfg.Root, err)
}

func previewError(root string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("look at store %s: %w", root, err)
}
