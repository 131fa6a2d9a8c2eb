package bench

import (
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// gate serves the first blobs of a set, and lets requests for others wait until it
// refuses them.
type gate struct {
	url     string
	want    int64
	served  atomic.Int64
	refused chan struct{}
	refuse  func()
}

func newGate(t testing.TB, root string, ids []recovery.BlobID) *gate {
	last := ids[len(ids)-1]
	g := &gate{want: int64(len(ids)), refused: make(chan struct{})}
	g.refuse = sync.OnceFunc(func() { close(g.refused) })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := recovery.ParseBlobID(path.Base(r.URL.Path))
		if err != nil || id.Compare(last) > 0 {
			<-g.refused
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		http.ServeFile(w, r, filepath.Join(root, pathOf(id)))
		g.served.Add(1)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(g.refuse) // before it: Close waits for the requests
	g.url = s.URL
	return g
}

// drained: everything that may be served was.
func (g *gate) drained() bool { return g.served.Load() >= g.want }
