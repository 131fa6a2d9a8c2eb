package httppeer_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

const wantedSize = 20_000

// hostile is a server that does not do what it should.
type hostile struct {
	name   string
	script func(x *exchange, content string)
	want   recovery.Reason
	text   string // part of the error
}

// quick makes a slow peer fail within a second.
var quick = peer.Config{Window: 300 * time.Millisecond, MinSpeed: 3_000, TryGrace: 5 * time.Second}

// checkHostile fetches from the bad server alone, and from it and a good one.
func checkHostile(t *testing.T, cases []hostile) {
	piece, raw := peertest.NewPiece(1, wantedSize)
	good := httptest.NewServer(serveBlobs(peertest.Far{piece.Blob.ID: raw}))
	t.Cleanup(good.Close)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bad := newRawServer(t, func(x *exchange) { c.script(x, string(raw)) })
			checkFetch(t, piece, raw, bad.URL, good.URL, c.want, c.text)
		})
	}
}

func checkFetch(t *testing.T, piece syncer.Piece, raw []byte, bad, good string, want recovery.Reason, text string) {
	t.Helper()
	const login = "node:hush@"
	bad = strings.Replace(bad, "://", "://"+login, 1) + "/{id}?key=hush"

	sink := peertest.NewSink(piece)
	alone := peertest.NewPool(t, quick, newPeer(t, bad))
	name, err := alone.Fetch(t.Context(), piece, sink)
	var failed *syncer.FetchError
	if !errors.As(err, &failed) || len(failed.Answers) != 1 {
		t.Fatalf("alone: served by %q, %v", name, err)
	}
	if failed.Reason() != want || !strings.Contains(err.Error(), text) {
		t.Errorf("alone: %s: %v; want %s, %q", failed.Reason(), err, want, text)
	}
	if sink.Accepted() != nil || sink.Most() > wantedSize+1 {
		t.Errorf("alone: the sink took %d bytes and accepted %d", sink.Most(), len(sink.Accepted()))
	}
	if s := alone.Status()[0]; strings.Contains(err.Error()+s.Name+s.LastError, "hush") {
		t.Errorf("a secret is shown: %v; %+v", err, s)
	}

	both := peertest.NewPool(t, quick, newPeer(t, bad), newPeer(t, good+"/{id}"))
	name, err = both.Fetch(t.Context(), piece, sink)
	if err != nil || name != good+"/{id}" || !bytes.Equal(sink.Accepted(), raw) {
		t.Errorf("with a good one: served by %q, %v", name, err)
	}
}

// Hazard 28: whatever way a source is dead, the others are used.
func TestDeadSource(t *testing.T) {
	checkHostile(t, []hostile{
		{"accepts and hangs", func(x *exchange, _ string) { <-x.gone }, recovery.Unreachable, "timeout awaiting response headers"},
		{"closes", func(*exchange, string) {}, recovery.PeerFailed, "EOF"},
		{"resets", func(x *exchange, _ string) { x.reset() }, recovery.PeerFailed, "reset"},
		{"speaks another protocol", func(x *exchange, _ string) {
			fmt.Fprint(x, "SSH-2.0-OpenSSH_9.2\r\n")
		}, recovery.PeerFailed, "malformed HTTP"},
	})
	t.Run("refuses", func(t *testing.T) {
		piece, raw := peertest.NewPiece(1, wantedSize)
		good := httptest.NewServer(serveBlobs(peertest.Far{piece.Blob.ID: raw}))
		t.Cleanup(good.Close)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		checkFetch(t, piece, raw, "http://"+listener.Addr().String(), good.URL, recovery.Unreachable, "connection refused")
	})
}

func TestCut(t *testing.T) {
	length := fmt.Sprintf("Content-Length: %d", wantedSize)
	cutAt := func(n int, header string, reset bool) func(*exchange, string) {
		return func(x *exchange, content string) {
			x.answer(200, header, content[:n])
			if reset {
				x.reset()
			}
		}
	}
	checkHostile(t, []hostile{
		{"reset before the first byte", cutAt(0, length, true), recovery.PeerFailed, ""},
		{"reset in the middle", cutAt(wantedSize/2, length, true), recovery.PeerFailed, "cut off"},
		{"reset before the last byte", cutAt(wantedSize-1, length, true), recovery.PeerFailed, "cut off"},
		{"ends before the first byte", cutAt(0, length, false), recovery.PeerFailed, "cut off after 0 bytes: unexpected EOF"},
		{"ends in the middle", cutAt(wantedSize/2, length, false), recovery.PeerFailed, "cut off after 10000 bytes: unexpected EOF"},
		{"ends before the last byte", cutAt(wantedSize-1, length, false), recovery.PeerFailed, "cut off after 19999 bytes: unexpected EOF"},
		{"chunks end in the middle", func(x *exchange, content string) {
			x.answer(200, "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", wantedSize, content[:10_000]))
		}, recovery.PeerFailed, "cut off"},
	})
}

// Hazard 69.
func TestShortBodyWithoutLength(t *testing.T) {
	checkHostile(t, []hostile{
		{"until close", func(x *exchange, content string) {
			x.answer(200, "Connection: close", content[:wantedSize/2])
		}, recovery.WrongBytes, "10000 bytes, want 20000"},
		{"chunked", func(x *exchange, content string) {
			x.answer(200, "Transfer-Encoding: chunked", fmt.Sprintf("2710\r\n%s\r\n0\r\n\r\n", content[:10_000]))
		}, recovery.WrongBytes, "10000 bytes, want 20000"},
		{"empty", func(x *exchange, _ string) { x.answer(200, "Connection: close", "") }, recovery.WrongBytes, "0 bytes, want 20000"},
	})
}

// Hazard 70.
func TestTooMuch(t *testing.T) {
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	for range 1024 {
		if _, err := zip.Write(make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	endless := strings.Repeat("0123456789", 10_000)
	checkHostile(t, []hostile{
		{"gzip bomb", func(x *exchange, _ string) {
			x.answer(200, "Content-Encoding: gzip\nConnection: close", bomb.String())
		}, recovery.WrongBytes, "goes on after 20000 bytes"},
		{"gzip is not inflated", func(x *exchange, content string) {
			var honest bytes.Buffer
			zip := gzip.NewWriter(&honest)
			_, _ = zip.Write([]byte(content))
			_ = zip.Close()
			x.answer(200, "Content-Encoding: gzip\nConnection: close", honest.String())
		}, recovery.WrongBytes, "goes on after 20000 bytes"},
		{"endless body", func(x *exchange, content string) {
			x.answer(200, "Connection: close", content)
			for {
				if _, err := fmt.Fprint(x, endless); err != nil {
					return
				}
			}
		}, recovery.WrongBytes, "goes on after 20000 bytes"},
		{"endless chunk", func(x *exchange, content string) {
			x.answer(200, "Transfer-Encoding: chunked", "7fffffffffffffff\r\n"+content+"more")
			<-x.gone
		}, recovery.WrongBytes, "goes on after 20000 bytes"},
		{"endless header", func(x *exchange, _ string) {
			fmt.Fprint(x, "HTTP/1.1 200 OK\r\nX: ")
			for {
				if _, err := fmt.Fprint(x, endless); err != nil {
					return
				}
			}
		}, recovery.PeerFailed, "headers exceeded"},
		{"many headers", func(x *exchange, content string) {
			x.answer(200, strings.Repeat("X-Y: z\n", 20_000), content)
		}, recovery.PeerFailed, "headers exceeded"},
		{"endless interim answers", func(x *exchange, _ string) {
			for {
				if _, err := fmt.Fprint(x, "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"); err != nil {
					return
				}
			}
		}, recovery.PeerFailed, ""},
		{"endless error page", func(x *exchange, _ string) {
			x.answer(404, "Connection: close", "")
			for {
				if _, err := fmt.Fprint(x, endless); err != nil {
					return
				}
			}
		}, recovery.Absent, "404"},
	})
}

func TestWrongLength(t *testing.T) {
	says := func(n string) func(*exchange, string) {
		return func(x *exchange, content string) {
			x.answer(200, "Content-Length: "+n, content)
		}
	}
	checkHostile(t, []hostile{
		{"one less", says("19999"), recovery.WrongBytes, "says 19999 bytes, want 20000"},
		{"one more", says("20001"), recovery.WrongBytes, "says 20001 bytes, want 20000"},
		{"zero", func(x *exchange, _ string) { x.answer(200, "Content-Length: 0", "") }, recovery.WrongBytes, "says 0 bytes, want 20000"},
		{"huge", says("9223372036854775807"), recovery.WrongBytes, "says 9223372036854775807 bytes"},
		{"past int64", says("9223372036854775808"), recovery.PeerFailed, "Content-Length"},
		{"negative", says("-1"), recovery.PeerFailed, "Content-Length"},
		{"two of them", says("20000\nContent-Length: 20001"), recovery.PeerFailed, "Content-Length"},
	})
}

func TestWrongBytes(t *testing.T) {
	_, other := peertest.NewPiece(2, wantedSize)
	serve := func(change func(string) string) func(*exchange, string) {
		return func(x *exchange, content string) {
			content = change(content)
			x.answer(200, fmt.Sprintf("Content-Length: %d", len(content)), content)
		}
	}
	checkHostile(t, []hostile{
		{"a flipped bit", serve(func(s string) string {
			return s[:777] + string([]byte{s[777] ^ 0x10}) + s[778:]
		}), recovery.WrongBytes, "another digest"},
		{"another blob", serve(func(string) string { return string(other) }), recovery.WrongBytes, "another digest"},
	})
}

// Hazard 75.
func TestPageForTheBrowser(t *testing.T) {
	page := "<!doctype html><title>Sign in</title>" + strings.Repeat(" ", wantedSize)
	checkHostile(t, []hostile{
		{"with its length", func(x *exchange, _ string) {
			x.answer(200, "Content-Type: text/html\nContent-Length: 37", page[:37])
		}, recovery.WrongBytes, "says 37 bytes, want 20000"},
		{"without", func(x *exchange, _ string) {
			x.answer(200, "Content-Type: text/html\nConnection: close", page[:37])
		}, recovery.WrongBytes, "37 bytes, want 20000"},
		{"of the very size", func(x *exchange, _ string) {
			x.answer(200, "Content-Type: text/html\nConnection: close", page[:wantedSize])
		}, recovery.WrongBytes, "another digest"},
	})
}

func TestStatus(t *testing.T) {
	var cases []hostile
	for status, want := range map[int]recovery.Reason{
		201: recovery.PeerFailed, 204: recovery.PeerFailed, 206: recovery.PeerFailed, 304: recovery.PeerFailed,
		400: recovery.PeerFailed, 401: recovery.PeerFailed, 403: recovery.PeerFailed, 404: recovery.Absent,
		409: recovery.PeerFailed, 410: recovery.Absent, 416: recovery.PeerFailed, 429: recovery.PeerFailed,
		500: recovery.PeerFailed, 502: recovery.PeerFailed, 503: recovery.PeerFailed, 599: recovery.PeerFailed,
		999: recovery.PeerFailed,
	} {
		cases = append(cases, hostile{
			name: fmt.Sprint(status),
			script: func(x *exchange, content string) {
				header := fmt.Sprintf("Content-Length: %d\nContent-Range: bytes 0-19999/20000", wantedSize)
				if status == 204 || status == 304 {
					header, content = "", "" // they have no body
				}
				x.answer(status, header, content)
			},
			want: want, text: fmt.Sprint("status ", status),
		})
	}
	checkHostile(t, cases)
}

// Hazard 73.
func TestDrip(t *testing.T) {
	drip := func(x *exchange, header, content string) {
		x.answer(200, header, "")
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := range content {
			select {
			case <-tick.C:
			case <-x.gone:
				return
			}
			fmt.Fprint(x, content[i:i+1])
		}
	}
	checkHostile(t, []hostile{
		{"of the body", func(x *exchange, content string) {
			drip(x, fmt.Sprintf("Content-Length: %d", wantedSize), content)
		}, recovery.PeerFailed, "too slow"},
		{"and then nothing", func(x *exchange, content string) {
			x.answer(200, fmt.Sprintf("Content-Length: %d", wantedSize), content[:1])
			<-x.gone
		}, recovery.PeerFailed, "too slow"},
		{"of an error page", func(x *exchange, content string) {
			x.answer(404, "Content-Length: 4000", "")
			<-x.gone
		}, recovery.Absent, "404"},
	})
}

// Hazard 71.
func TestRedirectIntoTheMachinesNetwork(t *testing.T) {
	piece, raw := peertest.NewPiece(1, wantedSize)
	inside := newRawServer(t, func(x *exchange) {
		x.answer(200, fmt.Sprintf("Content-Length: %d", wantedSize), string(raw))
	})
	good := httptest.NewServer(serveBlobs(peertest.Far{piece.Blob.ID: raw}))
	t.Cleanup(good.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{inside.URL + "/" + piece.Blob.ID.String(), "/" + piece.Blob.ID.String()} {
			bad := newRawServer(t, func(x *exchange) {
				x.answer(status, "Location: "+location+"\nContent-Length: 0", "")
			})
			checkFetch(t, piece, raw, bad.URL, good.URL, recovery.PeerFailed, "redirect refused (status")
			if n := len(bad.seen()); n != 2 {
				t.Errorf("%d to %s: asked %d times for two fetches", status, location, n)
			}
		}
	}
	if n := len(inside.seen()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// Hazard 72.
func TestRetryAfter(t *testing.T) {
	piece, _ := peertest.NewPiece(1, 10)
	for _, c := range []struct {
		header string
		status int
		want   time.Duration
	}{
		{"Retry-After: 1000000000", 503, peer.RestMax},
		{"Retry-After: 99999999999999999999999", 429, peer.RestMax},
		{"Retry-After: 0", 429, peer.RestMin},
		{"Retry-After: -5", 503, peer.RestMin},
		{"Retry-After: 7", 503, 7 * time.Second},
		{"Retry-After: soon", 503, peer.RestMin},
		{"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", 503, peer.RestMax},
		{"Retry-After: Sat, 01 Jan 2000 00:00:00 GMT", 503, peer.RestMin},
		{"X: y", 503, peer.RestMin},
		{"Retry-After: 7", 500, 0},
	} {
		server := newRawServer(t, func(x *exchange) { x.answer(c.status, c.header+"\nContent-Length: 0", "") })
		p := newPeer(t, server.URL+"/{id}")
		_, err := p.Get(t.Context(), piece, peer.Resume{})
		var failed *peer.Error
		if !errors.As(err, &failed) || failed.Rest != c.want || failed.Reason != recovery.PeerFailed {
			t.Errorf("%d %s: %+v, want a rest of %v", c.status, c.header, err, c.want)
		}
		p.Close()
	}
}

// While a peer rests it is not asked.
func TestRestingIsNotAsked(t *testing.T) {
	piece, _ := peertest.NewPiece(1, 10)
	server := newRawServer(t, func(x *exchange) {
		x.answer(http.StatusTooManyRequests, "Retry-After: 1000000000\nContent-Length: 0", "")
	})
	pool := peertest.NewPool(t, quick, newPeer(t, server.URL+"/{id}"))
	for range 3 {
		if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err == nil {
			t.Fatal("fetched")
		}
	}
	if n, h := len(server.seen()), pool.Health(); n != 1 || h.Reachable != 0 {
		t.Errorf("asked %d times, health %+v", n, h)
	}
}
