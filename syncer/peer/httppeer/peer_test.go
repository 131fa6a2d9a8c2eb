package httppeer_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPeer returns a peer for a template's text, with short timeouts.
func newPeer(t testing.TB, template string) *httppeer.Peer {
	t.Helper()
	return newPatientPeer(t, template, time.Second)
}

// newPatientPeer returns a peer that waits so long for an answer; 0: 30 s.
func newPatientPeer(t testing.TB, template string, answer time.Duration) *httppeer.Peer {
	t.Helper()
	answer = cmp.Or(answer, 30*time.Second)
	tmpl, err := peer.ParseTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	p, err := httppeer.New(tmpl, httppeer.Config{
		DialTimeout: 10 * time.Second, TLSTimeout: answer, AnswerTimeout: answer, Concurrency: 8,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serveBlobs answers /<id> as a plain web server does, with ETag and Range.
func serveBlobs(find func(recovery.BlobID) ([]byte, bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := recovery.ParseBlobID(strings.TrimPrefix(r.URL.Path, "/"))
		content, ok := find(id)
		if err != nil || !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Etag", fmt.Sprintf("%q", id))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}

// from finds blobs that do not change.
func from(far peertest.Far) func(recovery.BlobID) ([]byte, bool) {
	return func(id recovery.BlobID) ([]byte, bool) {
		content, ok := far[id]
		return content, ok
	}
}

func TestConformance(t *testing.T) {
	peertest.Run(t, func(t *testing.T, far peertest.Far) peer.Peer {
		server := httptest.NewServer(serveBlobs(from(far)))
		t.Cleanup(server.Close)
		return newPeer(t, server.URL+"/{id}")
	})
}

// The same over TLS.
func TestConformanceTLS(t *testing.T) {
	peertest.Run(t, func(t *testing.T, far peertest.Far) peer.Peer {
		server := httptest.NewUnstartedServer(serveBlobs(from(far)))
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // it reports handshakes that nobody needed any more
		server.StartTLS()
		t.Cleanup(server.Close)
		tmpl, err := peer.ParseTemplate(server.URL + "/{id}")
		if err != nil {
			t.Fatal(err)
		}
		p, err := httppeer.New(tmpl, httppeer.Config{TLS: server.Client().Transport.(*http.Transport).TLSClientConfig})
		if err != nil {
			t.Fatal(err)
		}
		return p
	})
}

// One connection serves many pieces, also past absent ones.
func TestKeepsConnection(t *testing.T) {
	piece, content := peertest.NewPiece(1, 4096)
	missing, _ := peertest.NewPiece(2, 4096)
	conns := make(chan struct{}, 100)
	server := httptest.NewUnstartedServer(serveBlobs(from(peertest.Far{piece.Blob.ID: content})))
	server.Config.ConnState = countNew(conns)
	server.Start()
	t.Cleanup(server.Close)
	pool := peertest.NewPool(t, peer.Config{}, newPeer(t, server.URL+"/{id}"))
	for range 20 {
		if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Fetch(t.Context(), missing, peertest.NewSink(missing)); err == nil {
			t.Fatal("a missing piece was served")
		}
	}
	if n := len(conns); n != 1 {
		t.Errorf("%d connections for 40 requests, want 1", n)
	}
}

// The request says what it should, and no more.
func TestRequest(t *testing.T) {
	piece, content := peertest.NewPiece(1, 10)
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(t.Context())
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	p := newPeer(t, "http://node:hush@"+address+"/b%2F1/{aa}/{id}?shard={shard}&key=hush")
	pool := peertest.NewPool(t, peer.Config{}, p)
	piece.Shard = 3
	for range 2 {
		if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
			t.Fatal(err)
		}
	}
	id := piece.Blob.ID.String()
	if want := "/b%2F1/" + id[:2] + "/" + id + "?shard=3&key=hush"; got.RequestURI != want {
		t.Errorf("asked for %s, want %s", got.RequestURI, want)
	}
	if user, password, ok := got.BasicAuth(); !ok || user != "node" || password != "hush" {
		t.Errorf("authorization %q", got.Header.Get("Authorization"))
	}
	for name, want := range map[string]string{"Cookie": "", "Range": "", "If-Range": "", "Accept-Encoding": "identity", "User-Agent": "recoverd"} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if want := "http://" + address + "/b%2F1/{aa}/{id}"; p.Name() != want {
		t.Errorf("name %q, want %q", p.Name(), want)
	}
}

func countNew(conns chan<- struct{}) func(c net.Conn, s http.ConnState) {
	return func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns <- struct{}{}
		}
	}
}
