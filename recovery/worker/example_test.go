package worker_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// membership is the node's own source of ownership: a channel that its consensus
// writes to.
type membership chan shards.Ownership

// Next implements worker.Ownership.
func (m membership) Next(ctx context.Context) (shards.Ownership, error) {
	select {
	case o := <-m:
		return o, nil
	case <-ctx.Done():
		return shards.Ownership{}, ctx.Err()
	}
}

// A node is the host of a worker: the catalog, the store, the peers and the ownership
// are its own. While the worker recovers, the node needs one blob now.
func ExampleWorker_Sync() {
	// The network has certified three blobs, and a neighbour has two of them.
	certified, neighbour := catalog.NewMemory("example"), mempeer.New("neighbour")
	ids := map[string]recovery.BlobID{}
	for _, text := range []string{"one", "two", "three"} {
		ids[text] = sha256.Sum256([]byte(text))
		certified.Add(recovery.Row{Blob: recovery.Blob{ID: ids[text], Size: int64(len(text))}})
		if text != "three" {
			neighbour.Put(ids[text], 0, []byte(text))
		}
	}
	members := make(membership, 1)
	store, err := mem.Open(mem.NewDisk(), mem.Config{})
	check(err)
	progress := checkpoint.NewKeeper(&checkpoint.Nop{})
	pool, err := peer.New(peer.Config{}, neighbour)
	check(err)
	handler, err := syncer.New(syncer.Config{Store: store, Fetcher: pool})
	check(err)
	w, err := worker.New(worker.Config{
		Checkpoint: progress, Ownership: members, Catalog: certified, Follower: certified, Store: store,
		Syncer: handler, Peers: pool, Delays: &syncer.Retry{},
	})
	check(err)

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := w.Run(ctx)
		ended <- err
	}()
	// The node joins the network: this one owns every shard.
	members <- shards.Ownership{Epoch: 1, TotalShards: 4, Owned: shards.Range(0, 3), Node: shards.Active}

	unknown := recovery.BlobID(sha256.Sum256([]byte("four")))
	for _, wanted := range []struct {
		name string
		id   recovery.BlobID
	}{{"two", ids["two"]}, {"four", unknown}} {
		outcome, err := w.Sync(ctx, wanted.id)
		for err == nil && outcome.Reason == recovery.NotReady { // the run begins
			time.Sleep(time.Millisecond)
			outcome, err = w.Sync(ctx, wanted.id)
		}
		check(err)
		here := outcome.Result == recovery.Success || outcome.Reason == recovery.AlreadyStored
		fmt.Printf("%s: here %t, not certified %t\n", wanted.name, here, outcome.Reason == recovery.NotCertified)
	}

	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		panic(err)
	}
	check(handler.Close()) // before what it uses
	check(pool.Close())
	check(progress.Close())
	check(store.Close())
	// Output:
	// two: here true, not certified false
	// four: here false, not certified true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
