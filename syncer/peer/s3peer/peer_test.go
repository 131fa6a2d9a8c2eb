package s3peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
	"github.com/recoverd/recoverd/syncer/peer/s3peer"
	"github.com/recoverd/recoverd/syncer/peer/s3peer/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// writeKeys makes a shared credentials file.
func writeKeys(t testing.TB, path, access, secret string) {
	t.Helper()
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret)
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// newPeer returns a peer for a bucket at an endpoint, with the gateway's keys.
func newPeer(t testing.TB, endpoint, key string) peer.Peer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, path, s3test.AccessKey, s3test.SecretKey)
	return newPeerWith(t, "s3://blobs/"+key+"?endpoint="+endpoint+"&keys="+path)
}

func newPeerWith(t testing.TB, text string) peer.Peer {
	t.Helper()
	l, err := s3peer.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := s3peer.NewSigner(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := httppeer.New(l.Template(), httppeer.Config{
		DialTimeout: 2 * time.Second, AnswerTimeout: time.Second, Concurrency: 8, Name: l.Name(), Wrap: signer.Wrap,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bucket is a server that does with objects what S3 does, and notes the requests.
type bucket struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func serveBucket(t testing.TB, answer http.HandlerFunc) *bucket {
	b := &bucket{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r.Clone(context.WithoutCancel(r.Context())))
		b.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *bucket) requests() []*http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen
}

func objects(far peertest.Far) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := recovery.ParseBlobID(strings.TrimPrefix(r.URL.Path, "/blobs/"))
		content, ok := far[id]
		if err != nil || !ok {
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("Etag", fmt.Sprintf("%q", id))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// fail answers with an error as S3 words them.
func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>What it means</Message></Error>", code)
}

func TestConformance(t *testing.T) {
	peertest.Run(t, func(t *testing.T, far peertest.Far) peer.Peer {
		return newPeer(t, serveBucket(t, objects(far)).URL, "{id}")
	})
}

func TestServersConformance(t *testing.T) {
	g := s3test.Start(t)
	peertest.Run(t, func(t *testing.T, far peertest.Far) peer.Peer {
		for id, content := range far {
			g.Put(t, "some/where+else/"+t.Name()+"/"+id.String(), content)
		}
		return newPeer(t, g.URL, "some/where%2Belse/"+t.Name()+"/{id}")
	})
}

// A real gateway says no to wrong keys, a wrong region and a bucket that is not there,
// and none of it is taken for a word about a blob.
func TestServersRefusals(t *testing.T) {
	g := s3test.Start(t)
	piece, content := peertest.NewPiece(1, 100)
	g.Put(t, piece.Blob.ID.String(), content)
	right, wrong := filepath.Join(t.TempDir(), "right"), filepath.Join(t.TempDir(), "wrong")
	writeKeys(t, right, s3test.AccessKey, s3test.SecretKey)
	writeKeys(t, wrong, s3test.AccessKey, "hush")
	for _, c := range []struct{ name, text, code string }{
		{"wrong keys", "s3://blobs/{id}?endpoint=" + g.URL + "&keys=" + wrong, "SignatureDoesNotMatch"},
		{"no keys", "s3://blobs/{id}?endpoint=" + g.URL + "&keys=none", "AccessDenied"},
		{"another region", "s3://blobs/{id}?endpoint=" + g.URL + "&region=eu-west-1&keys=" + right, "AuthorizationHeaderMalformed"},
		{"no such bucket", "s3://none/{id}?endpoint=" + g.URL + "&keys=" + right, "NoSuchBucket"},
	} {
		pool := peertest.NewPool(t, peer.Config{}, newPeerWith(t, c.text))
		_, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
		var failed *syncer.FetchError
		if !errors.As(err, &failed) || failed.Reason() != recovery.PeerFailed || !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
}
