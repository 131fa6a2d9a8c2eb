package httppeer_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// rangeHeader is the header of a right 206 for the bytes from first on.
func rangeHeader(first int) string {
	return fmt.Sprintf("Etag: \"v1\"\nContent-Range: bytes %d-%d/%d\nContent-Length: %d",
		first, wantedSize-1, wantedSize, wantedSize-first)
}

// first answers with half of the content, and is cut.
func first(x *exchange, content, etag string) {
	x.answer(200, fmt.Sprintf("Etag: %s\nContent-Length: %d", etag, wantedSize), content[:wantedSize/2])
}

func TestResumeAfterCut(t *testing.T) {
	piece, raw := peertest.NewPiece(1, wantedSize)
	content := string(raw)
	_, otherRaw := peertest.NewPiece(2, wantedSize)
	other := string(otherRaw)
	for _, c := range []struct {
		name   string
		etag   string
		second func(x *exchange)
		want   recovery.Reason // empty: served
		asked  int
	}{
		{"from where it stopped", `"v1"`, func(x *exchange) { x.answer(206, rangeHeader(10_000), content[10_000:]) }, "", 2},
		{"range is ignored", `"v1"`, func(x *exchange) {
			x.answer(200, fmt.Sprintf("Content-Length: %d", wantedSize), content)
		}, "", 2},
		{"no length", `"v1"`, func(x *exchange) {
			x.answer(206, "Content-Range: bytes 10000-19999/*\nConnection: close", content[10_000:])
		}, "", 2},
		{"no etag", "", func(x *exchange) { x.answer(206, rangeHeader(10_000), content[10_000:]) }, "", 2},
		{"a weak etag", `W/"v1"`, func(x *exchange) { x.answer(206, rangeHeader(10_000), content[10_000:]) }, "", 2},
		{"an unquoted etag", `v1`, func(x *exchange) { x.answer(206, rangeHeader(10_000), content[10_000:]) }, "", 2},
		// What two answers make up is wrong, and it may have changed in between: it is
		// asked once more for the whole, and cut again.
		{"no etag, of another blob", "", func(x *exchange) { x.answer(206, rangeHeader(10_000), other[10_000:]) }, recovery.PeerFailed, 3},
		{"another range", `"v1"`, func(x *exchange) { x.answer(206, rangeHeader(9_999), content[9_999:]) }, recovery.PeerFailed, 2},
		{"a range from the beginning", `"v1"`, func(x *exchange) { x.answer(206, rangeHeader(0), content) }, recovery.PeerFailed, 2},
		{"a range that ends early", `"v1"`, func(x *exchange) {
			x.answer(206, "Content-Range: bytes 10000-14999/20000\nContent-Length: 5000", content[10_000:15_000])
		}, recovery.PeerFailed, 2},
		{"a range past the end", `"v1"`, func(x *exchange) {
			x.answer(206, "Content-Range: bytes 10000-29999/30000\nContent-Length: 20000", content)
		}, recovery.WrongBytes, 2},
		{"a range without numbers", `"v1"`, func(x *exchange) {
			x.answer(206, "Content-Range: bytes */20000\nContent-Length: 10000", content[10_000:])
		}, recovery.PeerFailed, 2},
		{"two lengths", `"v1"`, func(x *exchange) {
			x.answer(206, "Content-Range: bytes 10000-19999/20000\nContent-Length: 9000", content[10_000:])
		}, recovery.PeerFailed, 2},
		{"of another blob", `"v1"`, func(x *exchange) { x.answer(206, rangeHeader(10_000), other[10_000:]) }, recovery.WrongBytes, 2},
		{"416", `"v1"`, func(x *exchange) { x.answer(416, "Content-Length: 0", "") }, recovery.PeerFailed, 2},
		{"gone meanwhile", `"v1"`, func(x *exchange) { x.answer(404, "Content-Length: 0", "") }, recovery.Absent, 2},
		{"no progress", `"v1"`, func(x *exchange) { x.answer(206, rangeHeader(10_000), "") }, recovery.PeerFailed, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newRawServer(t, func(x *exchange) {
				if x.request.Header.Get("Range") == "" {
					first(x, content, c.etag)
				} else {
					c.second(x)
				}
			})
			pool := peertest.NewPool(t, quick, newPeer(t, server.URL+"/{id}"))
			sink := peertest.NewSink(piece)
			_, err := pool.Fetch(t.Context(), piece, sink)
			checkResumed(t, err, sink, c.want, raw)
			seen := server.seen()
			if len(seen) != c.asked {
				t.Fatalf("asked %d times, want %d", len(seen), c.asked)
			}
			ifRange := ""
			if c.etag == `"v1"` {
				ifRange = c.etag
			}
			if c.asked > 1 && (seen[1].Header.Get("Range") != "bytes=10000-" || seen[1].Header.Get("If-Range") != ifRange) {
				t.Errorf("asked again with %v", seen[1].Header)
			}
		})
	}
}

func checkResumed(t *testing.T, err error, sink *peertest.Sink, want recovery.Reason, raw []byte) {
	t.Helper()
	if want == "" {
		if err != nil || !bytes.Equal(sink.Accepted(), raw) {
			t.Errorf("not served: %v", err)
		}
		return
	}
	failed, ok := err.(*syncer.FetchError)
	if !ok || failed.Reason() != want || sink.Accepted() != nil {
		t.Errorf("%v, want %s", err, want)
	}
}

// A server that cuts again and again is asked a bounded number of times.
func TestResumesAreBounded(t *testing.T) {
	piece, raw := peertest.NewPiece(1, wantedSize)
	server := newRawServer(t, func(x *exchange) {
		from := 0
		status := 200
		if r := x.request.Header.Get("Range"); r != "" {
			status = 206
			if _, err := fmt.Sscanf(r, "bytes=%d-", &from); err != nil {
				t.Errorf("range %q: %v", r, err)
			}
		}
		x.answer(status, rangeHeader(from), string(raw[from:from+100]))
	})
	cfg := quick
	cfg.Resumes = 5
	pool := peertest.NewPool(t, cfg, newPeer(t, server.URL+"/{id}"))
	_, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
	if err == nil || !strings.Contains(err.Error(), "cut off after 600 bytes") {
		t.Errorf("%v", err)
	}
	if n := len(server.seen()); n != 6 {
		t.Errorf("asked %d times, want 6", n)
	}
}

// Bytes that are all there are judged by what they are, not by how the
// connection ended.
func TestCutAfterTheLastByte(t *testing.T) {
	piece, raw := peertest.NewPiece(1, wantedSize)
	server := newRawServer(t, func(x *exchange) {
		x.answer(200, "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", wantedSize, raw))
	})
	pool := peertest.NewPool(t, peer.Config{}, newPeer(t, server.URL+"/{id}"))
	sink := peertest.NewSink(piece)
	_, err := pool.Fetch(t.Context(), piece, sink)
	checkResumed(t, err, sink, "", raw)
}
