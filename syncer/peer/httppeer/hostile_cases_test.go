package httppeer_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

const length = "Content-Length: 20000" // wantedSize

// says answers 200 with these header lines, and what change makes of the content.
func says(header string, change func(string) string) func(*exchange, string) {
	return func(x *exchange, content string) {
		if change != nil {
			content = change(content)
		}
		x.answer(200, header, content)
	}
}

// flood sends text until the client has had enough.
func flood(x *exchange, text string) {
	text = strings.Repeat(text, 1+10_000/len(text))
	for {
		if _, err := fmt.Fprint(x, text); err != nil {
			return
		}
	}
}

// Hazard 28: whatever way a source is dead, the others are used.
func TestDeadSource(t *testing.T) {
	const hung = 300 * time.Millisecond
	checkHostile(t, "dead peers", []hostile{
		{name: "refuses", start: refusing, want: recovery.Unreachable, text: "connection refused"},
		{name: "accepts and hangs", script: func(x *exchange, _ string) { <-x.gone }, want: recovery.Unreachable, text: "timeout awaiting response headers", answer: hung},
		{name: "accepts TLS and hangs", start: func(t *testing.T) string {
			return strings.Replace(newMuteServer(t).URL, "http:", "https:", 1)
		}, want: recovery.Unreachable, text: "TLS handshake timeout", answer: hung},
		{name: "closes", script: func(*exchange, string) {}, want: recovery.PeerFailed, text: "EOF"},
		{name: "resets", script: func(x *exchange, _ string) { x.reset() }, want: recovery.PeerFailed, text: "reset"},
		{name: "speaks another protocol", script: func(x *exchange, _ string) {
			fmt.Fprint(x, "SSH-2.0-OpenSSH_9.2\r\n")
		}, want: recovery.PeerFailed, text: "malformed HTTP"},
	})
}

func TestCut(t *testing.T) {
	cutAt := func(n int, reset bool) func(*exchange, string) {
		return func(x *exchange, content string) {
			x.answer(200, length, content[:n])
			if reset {
				x.reset()
			}
		}
	}
	checkHostile(t, "answers that are cut", []hostile{
		{name: "reset before the first byte", script: cutAt(0, true), want: recovery.PeerFailed, text: "reset by peer"},
		{name: "reset in the middle", script: cutAt(wantedSize/2, true), want: recovery.PeerFailed, text: "cut off after"},
		{name: "reset before the last byte", script: cutAt(wantedSize-1, true), want: recovery.PeerFailed, text: "cut off after"},
		{name: "ends before the first byte", script: cutAt(0, false), want: recovery.PeerFailed, text: "cut off after 0 bytes: unexpected EOF"},
		{name: "ends in the middle", script: cutAt(wantedSize/2, false), want: recovery.PeerFailed, text: "cut off after 10000 bytes: unexpected EOF"},
		{name: "ends before the last byte", script: cutAt(wantedSize-1, false), want: recovery.PeerFailed, text: "cut off after 19999 bytes: unexpected EOF"},
		{name: "chunks end in the middle", script: func(x *exchange, content string) {
			x.answer(200, "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", wantedSize, content[:10_000]))
		}, want: recovery.PeerFailed, text: "cut off after 10000 bytes"},
		{name: "garbled chunks", script: func(x *exchange, content string) {
			x.answer(200, "Transfer-Encoding: chunked", fmt.Sprintf("2710\r\n%s\r\n\x00\xffzz\r\n%s", content[:10_000], content[10_000:]))
		}, want: recovery.PeerFailed, text: "cut off after 10000 bytes: invalid byte in chunk length"},
		{name: "garbled trailers", script: func(x *exchange, content string) { // all bytes are there
			x.answer(200, "Transfer-Encoding: chunked\nTrailer: Digest", fmt.Sprintf("4e20\r\n%s\r\n0\r\n\x00Digest\xff;;\r\n: x\r\n\r\n", content))
		}},
	})
}

// A rest that was asked for is not the rest.
func TestWrongRange(t *testing.T) {
	half := func(rest func(x *exchange, content string)) func(*exchange, string) {
		return func(x *exchange, content string) {
			if x.request.Header.Get("Range") == "" {
				first(x, content, `"v1"`)
			} else {
				rest(x, content)
			}
		}
	}
	_, other := peertest.NewPiece(1<<40, wantedSize)
	checkHostile(t, "wrong ranges", []hostile{
		{name: "wrong range", script: half(func(x *exchange, content string) {
			x.answer(206, rangeHeader(5_000), content[5_000:])
		}), want: recovery.PeerFailed, text: `asked for the bytes from 10000, it answers "bytes 5000-19999/20000"`},
		{name: "ignores Range", script: half(func(x *exchange, content string) {
			x.answer(200, length, content[:wantedSize/2])
		}), want: recovery.PeerFailed, text: "cut off after 10000 bytes"},
		{name: "swaps on retry", script: half(func(x *exchange, _ string) {
			x.answer(206, rangeHeader(10_000), string(other[10_000:]))
		}), want: recovery.WrongBytes, text: "sha-256 begins with"},
	})
}

// Hazard 69: a short body without Content-Length ends without an error.
func TestAShortBodyWithoutContentLength(t *testing.T) {
	checkHostile(t, "short bodies without a length", []hostile{
		{name: "until close", script: says("Connection: close", func(s string) string { return s[:wantedSize/2] }),
			want: recovery.WrongBytes, text: "10000 bytes, want 20000"},
		{name: "chunked", script: func(x *exchange, content string) {
			x.answer(200, "Transfer-Encoding: chunked", fmt.Sprintf("2710\r\n%s\r\n0\r\n\r\n", content[:10_000]))
		}, want: recovery.WrongBytes, text: "10000 bytes, want 20000"},
		{name: "empty", script: says("Connection: close", func(string) string { return "" }), want: recovery.WrongBytes, text: "0 bytes, want 20000"},
	})
}

// Hazard 70: 65 KB that inflate to 67 MB; an endless body; a huge header.
func Test65KBThatInflate(t *testing.T) {
	zipped := func(content []byte, times int) string {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		for range times {
			if _, err := zip.Write(content); err != nil {
				t.Fatal(err)
			}
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	bomb := zipped(make([]byte, 64<<10), 1024)
	checkHostile(t, "too much", []hostile{
		{name: "gzip bomb", script: says("Content-Encoding: gzip\nConnection: close", func(string) string { return bomb }),
			want: recovery.WrongBytes, text: "goes on after 20000 bytes"},
		{name: "gzip is not inflated", script: says("Content-Encoding: gzip\nConnection: close", func(s string) string { return zipped([]byte(s), 1) }),
			want: recovery.WrongBytes, text: "goes on after 20000 bytes"},
		{name: "too long", script: says("Connection: close", func(s string) string { return s + "!" }),
			want: recovery.WrongBytes, text: "goes on after 20000 bytes"},
		{name: "endless body", script: func(x *exchange, content string) {
			x.answer(200, "Connection: close", content)
			flood(x, "0123456789")
		}, want: recovery.WrongBytes, text: "goes on after 20000 bytes"},
		{name: "endless chunk", script: func(x *exchange, content string) {
			x.answer(200, "Transfer-Encoding: chunked", "7fffffffffffffff\r\n"+content+"more")
			<-x.gone
		}, want: recovery.WrongBytes, text: "goes on after 20000 bytes"},
		{name: "endless header", script: func(x *exchange, _ string) {
			fmt.Fprint(x, "HTTP/1.1 200 OK\r\nX: ")
			flood(x, "0123456789")
		}, want: recovery.PeerFailed, text: "headers exceeded"},
		{name: "many headers", script: func(x *exchange, content string) {
			x.answer(200, strings.Repeat("X-Y: z\n", 20_000), content)
		}, want: recovery.PeerFailed, text: "headers exceeded"},
		{name: "1xx flood", script: func(x *exchange, _ string) {
			flood(x, "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n")
		}, want: recovery.PeerFailed, text: "headers exceeded"},
		{name: "endless error page", script: func(x *exchange, _ string) {
			x.answer(404, "Connection: close", "")
			flood(x, "0123456789")
		}, want: recovery.Absent},
	})
}

func TestWrongLength(t *testing.T) {
	said := func(n string) func(*exchange, string) { return says("Content-Length: "+n, nil) }
	checkHostile(t, "wrong lengths", []hostile{
		{name: "one less", script: said("19999"), want: recovery.WrongBytes, text: "says 19999 bytes, want 20000"},
		{name: "one more", script: said("20001"), want: recovery.WrongBytes, text: "says 20001 bytes, want 20000"},
		{name: "zero", script: says("Content-Length: 0", func(string) string { return "" }), want: recovery.WrongBytes, text: "says 0 bytes, want 20000"},
		{name: "huge", script: said("9223372036854775807"), want: recovery.WrongBytes, text: "says 9223372036854775807 bytes"},
		{name: "past int64", script: said("9223372036854775808"), want: recovery.PeerFailed, text: "Content-Length"},
		{name: "negative", script: said("-1"), want: recovery.PeerFailed, text: "Content-Length"},
		{name: "two of them", script: said("20000\nContent-Length: 20001"), want: recovery.PeerFailed, text: "Content-Length"},
	})
}

func TestWrongBytes(t *testing.T) {
	_, other := peertest.NewPiece(1<<40, wantedSize)
	flipped := func(at int) func(string) string {
		return func(s string) string { return s[:at] + string([]byte{s[at] ^ 0x10}) + s[at+1:] }
	}
	wrong := func(name string, change func(string) string) hostile {
		return hostile{name: name, script: says(length, change), want: recovery.WrongBytes, text: "sha-256 begins with"}
	}
	cases := []hostile{
		wrong("first bit flipped", flipped(0)), wrong("a bit in the middle flipped", flipped(wantedSize/2)), wrong("last bit flipped", flipped(wantedSize-1)),
		wrong("another blob", func(string) string { return string(other) }),
		wrong("another piece's index", func(s string) string { return s[wantedSize/4:] + s[:wantedSize/4] }),
		wrong("stale", func(s string) string { return s[:wantedSize/2] + strings.Repeat("\x00", wantedSize/2) }),
		{name: "good then bad", script: func(x *exchange, content string) {
			if x.n > 1 {
				content = flipped(7)(content)
			}
			x.answer(200, length, content)
		}, want: recovery.WrongBytes, text: "sha-256 begins with", fickle: true},
	}
	checkHostile(t, "wrong bytes", cases)
}

// Hazard 75: a page for the browser, served with status 200, in place of the blob.
func TestPageForTheBrowser(t *testing.T) {
	page := "<!doctype html><title>Sign in</title>" + strings.Repeat(" ", wantedSize)
	serve := func(header string, n int) func(*exchange, string) {
		return says("Content-Type: text/html\n"+header, func(string) string { return page[:n] })
	}
	checkHostile(t, "pages for the browser", []hostile{
		{name: "with its length", script: serve("Content-Length: 37", 37), want: recovery.WrongBytes, text: "says 37 bytes, want 20000"},
		{name: "without", script: serve("Connection: close", 37), want: recovery.WrongBytes, text: "37 bytes, want 20000"},
		{name: "of the very size", script: serve("Connection: close", wantedSize), want: recovery.WrongBytes, text: "sha-256 begins with"},
	})
}

func TestStatus(t *testing.T) {
	var cases []hostile
	for _, status := range []int{201, 204, 206, 304, 400, 401, 403, 404, 409, 410, 416, 429, 500, 502, 503, 599, 999} {
		c := hostile{
			name: fmt.Sprint(status), want: recovery.PeerFailed, text: fmt.Sprint("status ", status),
			script: func(x *exchange, content string) {
				header := length + fmt.Sprintf("\nContent-Range: bytes 0-%d/%d", wantedSize-1, wantedSize)
				if status == 204 || status == 304 {
					header, content = "", "" // they have no body
				}
				x.answer(status, header, content)
			},
		}
		switch status {
		case 304:
			c.text = "redirect refused (status 304"
		case 404, 410:
			c.want, c.text = recovery.Absent, ""
		case 429, 503:
			c.text += " " + map[int]string{429: "Too Many Requests", 503: "Service Unavailable"}[status] + ", to be left alone for 1s"
		}
		cases = append(cases, c)
	}
	checkHostile(t, "statuses", cases)
}

// Hazard 73: a drip of one byte a second. Hazard 74: a peer that is right but slow.
func TestDrip(t *testing.T) {
	drip := func(perSecond float64) func(*exchange, string) {
		return func(x *exchange, content string) {
			x.answer(200, length, "")
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for began := time.Now(); content != ""; {
				select {
				case <-tick.C:
				case <-x.gone:
					return
				}
				n := int(time.Since(began).Seconds()*perSecond) - (wantedSize - len(content))
				n = min(n, len(content))
				fmt.Fprint(x, content[:n])
				content = content[n:]
			}
		}
	}
	checkHostile(t, "slow answers", []hostile{
		{name: "drip", script: drip(200), want: recovery.PeerFailed, text: "too slow", limits: quick},
		{name: "stall", script: func(x *exchange, content string) {
			x.answer(200, length, content[:1])
			<-x.gone
		}, want: recovery.PeerFailed, text: "too slow", limits: quick},
		{name: "right but too slow", script: drip(4_000), want: recovery.Deadline, text: "took too long",
			limits: peer.Config{TryGrace: 1200 * time.Millisecond, TrySpeed: 1 << 20}},
		{name: "drip of an error page", script: func(x *exchange, _ string) {
			x.answer(404, "Content-Length: 4000", "")
			<-x.gone
		}, want: recovery.Absent},
	})
}

// Hazard 71: redirects into the machine's own network, with the credentials attached.
func TestRedirectsIntoTheMachinesOwnNetwork(t *testing.T) {
	inside := newRawServer(t, func(x *exchange) { x.answer(200, length, strings.Repeat("x", wantedSize)) })
	var cases []hostile
	for _, status := range []int{301, 302, 303, 307, 308} {
		to := func(location func(x *exchange) string) func(*exchange, string) {
			return func(x *exchange, _ string) {
				x.answer(status, "Location: "+location(x)+"\nContent-Length: 0", "")
			}
		}
		text := fmt.Sprintf("redirect refused (status %d", status)
		cases = append(cases,
			hostile{name: fmt.Sprintf("%d in a loop", status), script: to(func(x *exchange) string { return x.request.URL.Path }), want: recovery.PeerFailed, text: text},
			hostile{name: fmt.Sprintf("%d inside", status), script: to(func(x *exchange) string { return inside.URL + x.request.URL.Path }), want: recovery.PeerFailed, text: text})
	}
	checkHostile(t, "redirects", cases)
	if n := len(inside.seen()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}
