// Package storetest is the contract of a store as tests. Every store of pieces
// runs it.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// Store is what the contract is about.
type Store interface {
	syncer.Store
	Prepare(context.Context, recovery.StoreRequest) (recovery.StoreReport, error)
	Accept(context.Context, recovery.StoreRequest) (recovery.StoreReport, error)
	Mark(context.Context, []recovery.Row) error
	Room(context.Context) (recovery.Room, error)
	OpenPiece(context.Context, syncer.Piece) (io.ReadCloser, int64, error)
	Close() error
}

// Medium is what a store lies on, from the outside. It begins without a root.
type Medium struct {
	// Open opens a store, as a process does when it starts.
	Open func(t *testing.T, s Settings) Store
	// Kill ends the process that opened it; drafts are not discarded.
	Kill func()
	// Crash cuts the power; nil where that cannot be tried.
	Crash func()
	// Unmount leaves an empty directory in place of the root, Mount undoes it.
	Unmount, Mount func()
	// Wipe empties a shard's directory, its marker included; Remove removes it.
	Wipe, Remove func(shard uint32)
	// Swap exchanges two directories; nil where that cannot be tried.
	Swap func(a, b uint32)
	// Plant puts a piece there as another program would. Shards by number, here and
	// above, may be store.Manifests.
	Plant func(shard uint32, id recovery.BlobID, data []byte)
	// Read returns what is there under a piece's final name.
	Read func(shard uint32, id recovery.BlobID) (data []byte, ok bool)
}

// Settings are those that a test varies.
type Settings struct {
	NoCreate bool // the store makes neither root nor shards
}

// Run runs the whole contract; medium makes a new one for each test.
func Run(t *testing.T, medium func(t *testing.T) Medium) {
	t.Run("Draft", func(t *testing.T) { runDraft(t, medium) })
	t.Run("Prepare", func(t *testing.T) { runPrepare(t, medium) })
	t.Run("Mark", func(t *testing.T) { runMark(t, medium) })
	t.Run("Crash", func(t *testing.T) { runCrash(t, medium) })
	t.Run("Striped", func(t *testing.T) { runStriped(t, medium) })
}

const network = "testnet"

// request owns the given shards of four, hashed.
func request(owned ...uint32) recovery.StoreRequest {
	return recovery.StoreRequest{Network: network, TotalShards: 4, Placement: shards.Hashed, Owned: shards.SetOf(owned...)}
}

// claiming is the request of a process whose progress was made under report.
func claiming(req recovery.StoreRequest, report recovery.StoreReport) recovery.StoreRequest {
	req.Identity, req.Claimed, req.Settled = report.Identity, req.Owned, 812_334
	return req
}

// content returns the bytes of the n-th test blob.
func content(n int) []byte {
	return binary.BigEndian.AppendUint64([]byte("a blob for tests, number "), uint64(n))
}

// blobs returns n blobs that the shards hold, hashed, in rising order.
func blobs(n int, total uint32, owned shards.Set) []recovery.Blob {
	var all []recovery.Blob
	for i := 0; len(all) < n; i++ {
		if b := blobOf(content(i)); owned.Contains(shards.Home(b.ID, total)) {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b recovery.Blob) int { return a.ID.Compare(b.ID) })
	return all
}

func blobOf(data []byte) recovery.Blob {
	id := sha256.Sum256(data)
	return recovery.Blob{ID: id, Size: int64(len(data)), Encoding: recovery.Raw, Digest: id}
}

// bytesOf finds a test blob's bytes again.
func bytesOf(b recovery.Blob) []byte {
	for i := 0; ; i++ {
		if data := content(i); sha256.Sum256(data) == b.ID {
			return data
		}
	}
}

// pieceOf returns the piece of a blob, hashed over four shards.
func pieceOf(b recovery.Blob) syncer.Piece {
	return syncer.Piece{Blob: b, Shard: shards.Home(b.ID, 4)}
}

func rowsOf(all []recovery.Blob) []recovery.Row {
	rows := make([]recovery.Row, len(all))
	for i, b := range all {
		rows[i].Blob = b
	}
	return rows
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func prepare(t *testing.T, s Store, req recovery.StoreRequest) recovery.StoreReport {
	t.Helper()
	report, err := s.Prepare(t.Context(), req)
	must(t, err)
	return report
}

// seal writes a draft of the piece and seals it.
func seal(t *testing.T, s Store, p syncer.Piece) syncer.Draft {
	t.Helper()
	d, err := s.Create(t.Context(), p, p.Blob.Size)
	must(t, err)
	_, err = d.Write(bytesOf(p.Blob))
	must(t, err)
	must(t, d.Seal())
	return d
}

// publish stores the piece up to its final name, which is not durable yet.
func publish(t *testing.T, s Store, p syncer.Piece) syncer.Draft {
	t.Helper()
	d := seal(t, s, p)
	must(t, d.Volume().Flush([]syncer.Draft{d}, nil))
	must(t, d.Publish())
	return d
}

// put stores the piece durably.
func put(t *testing.T, s Store, p syncer.Piece) {
	t.Helper()
	d := publish(t, s, p)
	must(t, d.Volume().Flush(nil, []syncer.Draft{d}))
}

// wantHas checks what Has and Mark say of a piece.
func wantHas(t *testing.T, s Store, p syncer.Piece, want bool) {
	t.Helper()
	got, err := s.Has(t.Context(), p)
	must(t, err)
	if got != want {
		t.Errorf("Has is %v, want %v", got, want)
	}
	rows := rowsOf([]recovery.Blob{p.Blob})
	must(t, s.Mark(t.Context(), rows))
	if rows[0].Stored != want {
		t.Errorf("Stored is %v, want %v", rows[0].Stored, want)
	}
}
