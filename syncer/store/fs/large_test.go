package fs_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// A blob goes through the syncer in pieces of a buffer: however large it is, memory
// does not grow with it.
func TestMemoryDoesNotGrowWithTheBlob(t *testing.T) {
	const size, limit = 128 << 20, 4 << 20
	s := openStore(t, fs.Config{Root: filepath.Join(t.TempDir(), "store"), MinFree: 1}, request(1))
	source := &zeros{size: size}
	h, err := syncer.New(syncer.Config{Store: s, Fetcher: source})
	check(t, err)
	id := source.id()
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	outcome, err := h.Sync(syncer.Request{
		Run: 1, Blob: recovery.Blob{ID: id, Size: size, Encoding: recovery.Raw, Digest: id},
		Covers: recovery.Covers{Total: 1, Owned: shards.SetOf(0)}, Placement: shards.Hashed,
	}).Wait(t.Context())
	check(t, errors.Join(err, h.Close()))
	if outcome.Result != recovery.Success {
		t.Fatal(outcome)
	}
	if grown := int64(source.most) - int64(before.HeapInuse); grown > limit {
		t.Errorf("the heap grew by %d KiB for a blob of %d MiB", grown>>10, size>>20)
	}
}

// zeros is a Fetcher of one blob, who watches the heap.
type zeros struct {
	size int64
	most uint64 // bytes of heap in use
}

func (z *zeros) id() (id recovery.BlobID) {
	hash := sha256.New()
	check := z.each(func(chunk []byte) error { _, err := hash.Write(chunk); return err })
	if check != nil {
		panic(check)
	}
	hash.Sum(id[:0])
	return id
}

func (z *zeros) each(do func([]byte) error) error {
	chunk := make([]byte, 64<<10)
	for left := z.size; left > 0; left -= int64(len(chunk)) {
		if err := do(chunk[:min(left, int64(len(chunk)))]); err != nil {
			return err
		}
	}
	return nil
}

func (z *zeros) Fetch(_ context.Context, _ syncer.Piece, sink syncer.Sink) (string, error) {
	if err := sink.Reset(); err != nil {
		return "", err
	}
	n := 0
	err := z.each(func(chunk []byte) error {
		if n++; n%256 == 0 {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			z.most = max(z.most, now.HeapInuse)
		}
		_, err := sink.Write(chunk)
		return err
	})
	return "zeros", errors.Join(err, sink.Verify())
}
