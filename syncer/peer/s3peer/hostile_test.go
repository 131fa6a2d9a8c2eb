package s3peer_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
	"github.com/recoverd/recoverd/syncer/peer/s3peer/s3test"
)

const wantedSize = 20_000

// quick makes a slow peer fail within a second.
var quick = peer.Config{Window: 300 * time.Millisecond, MinSpeed: 3_000, TryGrace: 5 * time.Second}

// half answers with the first half of an object, and is cut off.
func half(w http.ResponseWriter, content []byte, etag string) {
	w.Header().Set("Etag", etag)
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content[:len(content)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// fetch gets a piece from a bucket that answers like this, and from it alone. It fails
// on a secret in what is told, and on more bytes than the piece has.
func fetch(t *testing.T, piece syncer.Piece, b *bucket) ([]byte, error) {
	t.Helper()
	pool := peertest.NewPool(t, quick, newPeer(t, b.URL, "{id}"))
	sink := peertest.NewSink(piece)
	_, err := pool.Fetch(t.Context(), piece, sink)
	s := pool.Status()[0]
	for _, secret := range []string{s3test.AccessKey, s3test.SecretKey, "Signature=", "hush"} {
		if strings.Contains(fmt.Sprint(err)+s.Name+s.LastError, secret) {
			t.Errorf("%q is told: %v; %+v", secret, err, s)
		}
	}
	if sink.Most() > piece.Blob.Size+1 {
		t.Errorf("the sink took %d bytes", sink.Most())
	}
	return sink.Accepted(), err
}

// Whatever an answer is, it is taken for what it is, in bounded time and memory, and
// leads to no other request. Hazards 70, 71 and 75.
func TestHostileBucket(t *testing.T) {
	piece, content := peertest.NewPiece(1, wantedSize)
	_, other := peertest.NewPiece(2, wantedSize)
	var most atomic.Int64 // bytes that were got rid of in one answer
	endless := func(status int, begin string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			n, err := fmt.Fprint(w, begin)
			for sum := int64(n); err == nil; sum += int64(n) {
				n, err = w.Write(bytes.Repeat([]byte("<x>hush</x>"), 1000))
				most.Store(max(most.Load(), sum))
			}
		}
	}
	refuse := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fail(w, status, code) }
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   recovery.Reason
		text   string
	}{
		{"another object", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other) }, recovery.WrongBytes, "another digest"},
		{"an error with status 200", refuse(200, "NoSuchKey"), recovery.WrongBytes, "want 20000"},
		{"inflated by nobody", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("\x1f\x8b\x08"))
		}, recovery.WrongBytes, "3 bytes, want 20000"},
		{"an endless object", endless(200, ""), recovery.WrongBytes, "goes on after 20000 bytes"},
		{"no such key", refuse(404, "NoSuchKey"), recovery.Absent, "status 404"},
		{"no such bucket", refuse(404, "NoSuchBucket"), recovery.PeerFailed, "status 404 Not Found (NoSuchBucket)"},
		{"a page with 404", endless(404, "<html>"), recovery.Absent, "status 404"},
		{"an endless error", endless(403, "<Error><Code>AccessDenied</Code>"), recovery.PeerFailed, "status 403 Forbidden (AccessDenied)"},
		{"an endless error without a code", endless(403, ""), recovery.PeerFailed, "status 403 Forbidden"},
		{"an error that does not come", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "4000")
			w.WriteHeader(403)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, recovery.PeerFailed, "status 403 Forbidden"},
		{"a code of its own making", refuse(400, "hush hush\x1b[2J"), recovery.PeerFailed, "status 400 Bad Request"},
		{"another region", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
			fail(w, 400, "AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region><Code>")
		}, recovery.PeerFailed, "AuthorizationHeaderMalformed"},
		{"a clock that is wrong", refuse(403, "RequestTimeTooSkewed"), recovery.PeerFailed, "RequestTimeTooSkewed"},
		{"416", refuse(416, "InvalidRange"), recovery.PeerFailed, "InvalidRange"},
		{"412 that nobody asked for", refuse(412, "PreconditionFailed"), recovery.PeerFailed, "PreconditionFailed"},
		{"500", refuse(500, "InternalError"), recovery.PeerFailed, "InternalError"},
		{"headers without end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 200_000))
		}, recovery.PeerFailed, "headers exceeded"},
	} {
		b := serveBucket(t, c.answer)
		_, err := fetch(t, piece, b)
		var failed *syncer.FetchError
		if !errors.As(err, &failed) || failed.Reason() != c.want || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s, %q", c.name, err, c.want, c.text)
		}
		if n := len(b.requests()); n != 1 {
			t.Errorf("%s: asked %d times", c.name, n)
		}
		if n := most.Swap(0); n > 16<<20 { // the sockets hold some of it
			t.Errorf("%s: %d bytes were taken", c.name, n)
		}
	}
	if _, err := fetch(t, piece, serveBucket(t, objects(peertest.Far{piece.Blob.ID: content}))); err != nil {
		t.Errorf("an honest one: %v", err)
	}
}

// Hazard 71: a redirect to another region or host is not followed, whatever it says.
func TestRedirectsOfABucket(t *testing.T) {
	piece, content := peertest.NewPiece(1, wantedSize)
	inside := serveBucket(t, objects(peertest.Far{piece.Blob.ID: content}))
	for region, want := range map[string]string{
		"eu-west-1": "redirect refused (status 307 Temporary Redirect): the bucket is in region eu-west-1",
		"":          "redirect refused (status 307 Temporary Redirect)", "hush\"": "redirect refused (status 307 Temporary Redirect)",
	} {
		b := serveBucket(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", region)
			w.Header().Set("Location", inside.URL+r.URL.Path)
			fail(w, http.StatusTemporaryRedirect, "TemporaryRedirect</Code><Endpoint>"+strings.TrimPrefix(inside.URL, "http://")+"</Endpoint><Code>")
		})
		_, err := fetch(t, piece, b)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("region %q: %v", region, err)
		}
	}
	if n := len(inside.requests()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// Hazard 72: a gateway that asks to slow down is left alone, no longer than the pool
// allows.
func TestSlowDown(t *testing.T) {
	piece, _ := peertest.NewPiece(1, 10)
	for _, c := range []struct {
		status int
		code   string
		after  string
		want   time.Duration
	}{
		{503, "SlowDown", "", peer.RestMin},
		{503, "SlowDown", "1000000000", peer.RestMax},
		{429, "TooManyRequests", "7", 7 * time.Second},
		{500, "SlowDown", "", peer.RestMin},
		{500, "InternalError", "", 0},
	} {
		b := serveBucket(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.after)
			fail(w, c.status, c.code)
		})
		p := newPeer(t, b.URL, "{id}")
		_, err := p.Get(t.Context(), piece, peer.Resume{})
		var failed *peer.Error
		if !errors.As(err, &failed) || failed.Reason != recovery.PeerFailed || failed.Rest != c.want {
			t.Errorf("%d %s: %+v, want a rest of %v", c.status, c.code, err, c.want)
		}
		p.Close()
	}
}

// A cut transfer goes on with If-Match. Where the object is another one by then, it is
// asked for whole; bytes of two objects are never taken for one.
func TestResumeOfABucket(t *testing.T) {
	piece, content := peertest.NewPiece(1, wantedSize)
	_, other := peertest.NewPiece(2, wantedSize)
	serve := func(etag string, content []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", etag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}
	}
	for _, c := range []struct {
		name  string
		later http.HandlerFunc
		want  recovery.Reason // empty: served
		asked int
	}{
		{"from where it stopped", serve(`"v1"`, content), "", 2},
		{"another entity tag, the same bytes", serve(`"v2"`, content), "", 3},
		{"another object by now", serve(`"v2"`, other), recovery.WrongBytes, 3},
		{"another object, and If-Match is ignored", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Match")
			serve(`"v1"`, other)(w, r)
		}, recovery.WrongBytes, 2},
		{"gone meanwhile", func(w http.ResponseWriter, _ *http.Request) { fail(w, 404, "NoSuchKey") }, recovery.Absent, 2},
		{"412 for ever", func(w http.ResponseWriter, _ *http.Request) { fail(w, 412, "PreconditionFailed") }, recovery.PeerFailed, 3},
		{"cut again and again", func(w http.ResponseWriter, r *http.Request) { half(w, content, `"v1"`) }, recovery.PeerFailed, 2},
	} {
		var b *bucket
		b = serveBucket(t, func(w http.ResponseWriter, r *http.Request) {
			if len(b.requests()) == 1 {
				half(w, content, `"v1"`)
			}
			c.later(w, r)
		})
		got, err := fetch(t, piece, b)
		var failed *syncer.FetchError
		switch {
		case c.want == "" && (err != nil || !bytes.Equal(got, content)):
			t.Errorf("%s: not served: %v", c.name, err)
		case c.want != "" && (!errors.As(err, &failed) || failed.Reason() != c.want || got != nil):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		seen := b.requests()
		if len(seen) != c.asked {
			t.Fatalf("%s: asked %d times, want %d", c.name, len(seen), c.asked)
		}
		if h := seen[1].Header; h.Get("Range") != "bytes=10000-" || h.Get("If-Match") != `"v1"` || h.Get("If-Range") != "" {
			t.Errorf("%s: asked again with %v", c.name, h)
		}
		if len(seen) == 3 && (seen[2].Header.Get("Range") != "" || seen[2].Header.Get("If-Match") != "") {
			t.Errorf("%s: asked for the whole with %v", c.name, seen[2].Header)
		}
	}
}

// A request holds what S3 wants and nothing more; with keys=none it is not signed.
func TestRequestToABucket(t *testing.T) {
	piece, content := peertest.NewPiece(1, 10)
	b := serveBucket(t, objects(peertest.Far{piece.Blob.ID: content}))
	path := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, path, "AKIA", "hush\naws_session_token = session")
	for _, text := range []string{"?region=eu-west-1&keys=" + path, "?keys=none"} {
		pool := peertest.NewPool(t, peer.Config{}, newPeerWith(t, "s3://blobs/{id}"+text+"&endpoint="+b.URL))
		if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
			t.Fatal(err)
		}
	}
	signed, plain := b.requests()[0].Header, b.requests()[1].Header
	auth := signed.Get("Authorization")
	if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKIA/") || !strings.Contains(auth, "/eu-west-1/s3/aws4_request") || signed.Get("X-Amz-Security-Token") != "session" {
		t.Errorf("signed with %q", auth)
	}
	for _, h := range []http.Header{signed, plain} {
		if h.Get("User-Agent") != "recoverd" || h.Get("Accept-Encoding") != "identity" || h.Get("Cookie") != "" || h.Get("Range") != "" {
			t.Errorf("sent %v", h)
		}
	}
	if plain.Get("Authorization") != "" || plain.Get("X-Amz-Date") != "" {
		t.Errorf("not to be signed, and sent %v", plain)
	}
}
