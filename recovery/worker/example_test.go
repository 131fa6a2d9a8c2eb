package worker_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards/provider"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

func ExampleWorker() {
	// The network has certified three blobs, and a peer has them.
	certified, neighbour := catalog.NewMemory("example"), mempeer.New("neighbour")
	for _, text := range []string{"one", "two", "three"} {
		id := recovery.BlobID(sha256.Sum256([]byte(text)))
		certified.Add(recovery.Row{Blob: recovery.Blob{ID: id, Size: int64(len(text))}})
		neighbour.Put(id, 0, []byte(text))
	}
	// This node owns every shard and has nothing yet.
	ownership := provider.NewLedger("the example", time.Now)
	ownership.Document([]byte(`{epoch: 1, total_shards: 4, owned: "0-3"}`))
	store, err := mem.Open(mem.NewDisk(), mem.Config{})
	check(err)
	progress := checkpoint.NewKeeper(&checkpoint.Nop{})

	pool, err := peer.New(peer.Config{}, neighbour)
	check(err)
	handler, err := syncer.New(syncer.Config{Store: store, Fetcher: pool})
	check(err)
	w, err := worker.New(worker.Config{
		Checkpoint: progress, Ownership: ownership, Catalog: certified, Follower: certified, Store: store,
		Syncer: handler, Peers: pool, Delays: &syncer.Retry{}, ExitWhenComplete: true,
	})
	check(err)
	result, err := w.Run(context.Background())
	check(err)
	fmt.Printf("%v: %d blobs stored, cursor %v\n", result.Phase, w.Status().Counters.Stored, progress.Durable().Cursor)

	check(handler.Close()) // before what it uses
	check(pool.Close())
	check(progress.Close())
	check(store.Close())
	// Output: complete: 3 blobs stored, cursor end
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
