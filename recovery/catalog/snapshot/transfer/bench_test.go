package transfer

import (
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// BenchmarkFetch brings a snapshot of 1 M blobs over loopback, proven and
// flushed; BenchmarkCopy copies the same file and flushes it.
func BenchmarkFetch(b *testing.B) {
	_, e, server := benchServer(b)
	b.SetBytes(e.Size)
	for b.Loop() {
		fetchAll(b, Config{Archive: newArchive(b), Peers: []string{server.URL}, Target: archive.Latest})
	}
}

func BenchmarkCopy(b *testing.B) {
	from, e, _ := benchServer(b)
	b.SetBytes(e.Size)
	for b.Loop() {
		src, err := os.Open(filepath.Join(from.Dir(), e.Files()[0].String()))
		if err != nil {
			b.Fatal(err)
		}
		dst, err := os.Create(filepath.Join(b.TempDir(), "copy"))
		if err != nil {
			b.Fatal(err)
		}
		// Through memory, as a fetch has to.
		if _, err := io.Copy(struct{ io.Writer }{dst}, struct{ io.Reader }{src}); err != nil {
			b.Fatal(err)
		}
		if err := dst.Sync(); err != nil {
			b.Fatal(err)
		}
		src.Close()
		dst.Close()
	}
}

func benchServer(b *testing.B) (*archive.Archive, archive.Entry, *httptest.Server) {
	from := newArchive(b)
	e := full(b, from, 1_000_000)
	h, err := NewHandler(from, HandlerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	return from, e, server
}
