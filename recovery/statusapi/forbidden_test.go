package statusapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// forbidden is a request and what it gets.
type forbidden struct {
	name string
	raw  string
	then func(net.Conn) // sends more, after raw

	before  func(*testing.T, *doorway) // what others do at the time
	metrics bool                       // asked of the metrics listener
	pprof   bool                       // profiles are served
	page    bool                       // a file of the page, which has headers of its own

	code   int    // 0: the connection is closed without an answer
	error  string // a part of the error
	closed bool   // the connection ends with the answer
	after  time.Duration
	text   bool // net/http answers in its own words
}

// what sends a request with these headers and this body.
func what(line, host, headers, body string) string {
	if headers != "" {
		headers += "\r\n"
	}
	if body != "" {
		headers += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", line, host, headers, body)
}

func reads(path string) string { return what("GET "+path, doorwayHost, "", "") }

const authorization = "Authorization: Bearer " + sampleToken

// changes posts JSON with the token.
func changes(path, body string) string {
	return what("POST "+path, doorwayHost, authorization+"\r\nContent-Type: application/json", body)
}

// with is a pause with other headers.
func with(headers string) string {
	return what("POST /api/v1/pause", doorwayHost, headers, "{}")
}

func forbiddenHosts() []forbidden {
	get := func(host string) string { return what("GET /api/v1/status", host, "", "") }
	post := func(host string) string {
		return what("POST /api/v1/pause", host, authorization+"\r\nContent-Type: application/json", "{}")
	}
	return []forbidden{
		{name: "another name", raw: get("evil.example:7070"), code: 421, error: "evil.example", closed: true},
		{name: "another name, post with the token", raw: post("evil.example:7070"), code: 421, error: "evil.example", closed: true},
		{name: "another name, metrics", raw: what("GET /metrics", "evil.example", "", ""), code: 421, error: "evil.example", closed: true},
		{name: "another name, liveness", raw: what("GET /livez", "evil.example", "", ""), code: 421, error: "evil.example", closed: true},
		{name: "another name, the page", raw: what("GET /", "evil.example:7070", "Accept: text/html", ""), code: 421, error: "evil.example", closed: true},
		{
			name: "a rebound name, from its own page", closed: true, code: 421, error: "evil.example",
			raw: what("POST /api/v1/pause", "evil.example:7070", authorization+"\r\nOrigin: http://evil.example:7070\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/json", "{}"),
		},
		{name: "the right name and another port", raw: get("localhost:1"), code: 421, error: "localhost:1", closed: true},
		{name: "the right name without a port", raw: get("localhost"), code: 421, error: "localhost", closed: true},
		{name: "the name of the socket", raw: get("recoverd"), code: 421, error: "recoverd", closed: true},
		{name: "an allowed name with another port", raw: get("node1.example"), code: 421, error: "node1.example", closed: true},
		{name: "a loopback name with a dot", raw: get("localhost.:7070"), code: 421, error: "localhost.", closed: true},
		{name: "a name in front of ours", raw: get("evil.example:7070@127.0.0.1:7070"), code: 400, text: true, closed: true, error: "Host"},
		{name: "a name in the address", raw: what("GET http://evil.example/", doorwayHost, "", ""), code: 421, error: "evil.example", closed: true},
		{name: "two names", raw: "GET / HTTP/1.1\r\nHost: " + doorwayHost + "\r\nHost: evil.example\r\n\r\n", code: 400, text: true, closed: true},
		{name: "an empty name", raw: "GET / HTTP/1.1\r\nHost:\r\n\r\n", code: 421, closed: true},
		{name: "no name", raw: "GET / HTTP/1.1\r\n\r\n", code: 400, text: true, closed: true, error: "Host"},
		{name: "HTTP/1.0 without a name", raw: "GET / HTTP/1.0\r\n\r\n", code: 421, closed: true},
	}
}

func forbiddenPages() []forbidden {
	json := "Content-Type: application/json\r\n" + authorization
	return []forbidden{
		{name: "post of another page", raw: with(json + "\r\nOrigin: http://evil.example"), code: 403, error: "origin", closed: true},
		{name: "post of a page on another port", raw: with(json + "\r\nOrigin: http://127.0.0.1:8080"), code: 403, error: "origin", closed: true},
		{name: "post of a page without origin", raw: with(json + "\r\nOrigin: null"), code: 403, error: "origin", closed: true},
		{name: "post of another site", raw: with(json + "\r\nSec-Fetch-Site: cross-site"), code: 403, error: "origin", closed: true},
		{name: "form of another site", raw: with("Content-Type: text/plain\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate"), code: 403, error: "origin", closed: true},
		{name: "read of another page", raw: what("GET /api/v1/status", doorwayHost, "Origin: http://evil.example", ""), code: 403, error: "origin"},
		{name: "image of another site", raw: what("GET /api/v1/status", doorwayHost, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors", ""), code: 403, error: "origin"},
		{name: "watch of another site", raw: what("GET /api/v1/events", doorwayHost, "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors", ""), code: 403, error: "origin"},
		{name: "preflight of another page", raw: what("OPTIONS /api/v1/pause", doorwayHost, "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST", ""), code: 405, error: "OPTIONS"},
	}
}

func forbiddenTokens() []forbidden {
	const kind = "Content-Type: application/json"
	var list []forbidden
	for _, path := range []string{"pause", "resume", "retry", "repair", "limits", "log-level", "blobs/" + idOf(1).String() + "/sync"} {
		list = append(list, forbidden{
			name: "no token, " + path, raw: what("POST /api/v1/"+path, doorwayHost, kind, "{}"), code: 401, error: "file token", closed: true,
		})
	}
	return append(list, []forbidden{
		{name: "a wrong token", raw: with(kind + "\r\nAuthorization: Bearer " + strings.ToUpper(sampleToken)), code: 403, error: "token is wrong", closed: true},
		{name: "part of the token", raw: with(kind + "\r\nAuthorization: Bearer " + sampleToken[:42]), code: 403, error: "token is wrong", closed: true},
		{name: "more than the token", raw: with(kind + "\r\n" + authorization + "A"), code: 403, error: "token is wrong", closed: true},
		{name: "an empty token", raw: with(kind + "\r\nAuthorization: Bearer "), code: 401, error: "file token", closed: true},
		{name: "another scheme", raw: with(kind + "\r\nAuthorization: Basic " + sampleToken), code: 401, error: "file token", closed: true},
		{name: "the token without a scheme", raw: with(kind + "\r\nAuthorization: " + sampleToken), code: 401, error: "file token", closed: true},
		{name: "two tokens, one of them right", raw: with(kind + "\r\n" + authorization + "\r\nAuthorization: Bearer x"), code: 401, error: "file token", closed: true},
		{name: "the token as a cookie", raw: with(kind + "\r\nCookie: token=" + sampleToken), code: 401, error: "file token", closed: true},
		{name: "the token in the address", raw: what("POST /api/v1/pause?token="+sampleToken, doorwayHost, kind, "{}"), code: 401, error: "file token", closed: true},
		{name: "the token in the address as well", raw: changes("/api/v1/pause?token="+sampleToken, "{}"), code: 400, error: "token", closed: true},
		{name: "a method on top of the method", raw: what("POST /api/v1/status", doorwayHost, "X-HTTP-Method-Override: GET", "{}"), code: 405, error: "POST", closed: true},
	}...)
}

func forbiddenBodies() []forbidden {
	id := idOf(0x41).String()
	kind := func(headers string) string { return with(authorization + headers) }
	large := `{"ids":["` + strings.Repeat("a", maxBody) + `"]}`
	endless := func(conn net.Conn) {
		for {
			if _, err := io.WriteString(conn, "1000\r\n"+strings.Repeat(" ", 0x1000)+"\r\n"); err != nil {
				return
			}
		}
	}
	chunked := "POST /api/v1/retry HTTP/1.1\r\nHost: " + doorwayHost + "\r\n" + authorization + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	return []forbidden{
		{name: "no type", raw: kind(""), code: 415, error: "Content-Type", closed: true},
		{name: "a form", raw: kind("\r\nContent-Type: application/x-www-form-urlencoded"), code: 415, error: "form", closed: true},
		{name: "text", raw: kind("\r\nContent-Type: text/plain"), code: 415, error: "text/plain", closed: true},
		{name: "JSON in another charset", raw: kind("\r\nContent-Type: application/json; charset=utf-16"), code: 415, error: "utf-16", closed: true},
		{name: "JSON with another parameter", raw: kind("\r\nContent-Type: application/json; v=2"), code: 415, error: "v=2", closed: true},
		{name: "two types", raw: kind("\r\nContent-Type: application/json\r\nContent-Type: text/plain"), code: 415, error: "application/json", closed: true},
		{name: "a compressed body", raw: kind("\r\nContent-Type: application/json\r\nContent-Encoding: gzip"), code: 415, error: "compressed", closed: true},
		{name: "an unknown encoding of the transfer", raw: kind("\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip"), code: 501, text: true, closed: true},

		{name: "no body", raw: changes("/api/v1/pause", ""), code: 400, error: "not a JSON object"},
		{name: "a list", raw: changes("/api/v1/pause", "[]"), code: 400, error: "not a JSON object"},
		{name: "half an object", raw: changes("/api/v1/pause", "{"), code: 400, error: "not a JSON object"},
		{name: "an unknown key", raw: changes("/api/v1/pause", `{"until":"noon"}`), code: 400, error: `"until"`},
		{name: "a key in other letters", raw: changes("/api/v1/retry", `{"ALL":true}`), code: 400, error: `"ALL"`},
		{name: "a key twice", raw: changes("/api/v1/retry", `{"ids":["`+id+`"],"ids":[]}`), code: 400, error: "twice"},
		{name: "something behind", raw: changes("/api/v1/pause", "{}x"), code: 400, error: "follows"},
		{name: "two objects", raw: changes("/api/v1/pause", "{}{}"), code: 400, error: "follows"},
		{name: "bytes that are no text", raw: changes("/api/v1/pause", "{\"\xff\":1}"), code: 400, error: "UTF-8"},
		{name: "a deep hole", raw: changes("/api/v1/retry", `{"ids":`+strings.Repeat("[", 20_000)), code: 400, error: "not a JSON object"},
		{name: "no ids", raw: changes("/api/v1/retry", "{}"), code: 400, error: "either"},
		{name: "an empty list of ids", raw: changes("/api/v1/retry", `{"ids":[]}`), code: 400, error: "empty"},
		{name: "ids and all", raw: changes("/api/v1/retry", `{"ids":["`+id+`"],"all":true}`), code: 400, error: "either"},
		{name: "an id that is a path", raw: changes("/api/v1/repair", `{"ids":["../../etc/passwd"]}`), code: 400, error: "../../etc/passwd"},
		{name: "limits that make no sense", raw: changes("/api/v1/limits", `{"concurrency":0}`), code: 400, error: "limits"},
		{name: "a limit that overflows", raw: changes("/api/v1/limits", `{"bytes_in_flight":1e400}`), code: 400, error: "bytes_in_flight"},
		{name: "an unknown level", raw: changes("/api/v1/log-level", `{"level":"loud"}`), code: 400, error: "loud"},

		{name: "a large body", raw: changes("/api/v1/retry", large), code: 413, error: "65536 bytes", closed: true},
		{name: "a chunked body without an end", raw: chunked, then: endless, code: 413, error: "65536 bytes", closed: true},
		{name: "a chunked body that is broken", raw: chunked + "zz\r\n", code: 400, error: "cannot be read", closed: true},
		{
			name: "a length that is no number", closed: true, code: 400, text: true,
			raw: "POST /api/v1/pause HTTP/1.1\r\nHost: " + doorwayHost + "\r\nContent-Length: -1\r\n\r\n",
		},
		{
			name: "two lengths", closed: true, code: 400, text: true,
			raw: "POST /api/v1/pause HTTP/1.1\r\nHost: " + doorwayHost + "\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		},
		{name: "a body to read", raw: what("GET /api/v1/status", doorwayHost, "", "hi"), code: 400, error: "body", closed: true},
		{
			name: "a chunked body to read", closed: true, code: 400, error: "body",
			raw: "GET /livez HTTP/1.1\r\nHost: " + doorwayHost + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		},
		{
			name: "a body that is asked about first", closed: true, code: 401, error: "token",
			raw: "POST /api/v1/pause HTTP/1.1\r\nHost: " + doorwayHost + "\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n",
		},
		{
			name: "a request inside an unread body", closed: true, code: 415, error: "Content-Type",
			raw: kind("\r\nContent-Type: text/plain") + changes("/api/v1/resume", "{}"),
		},
	}
}

func forbiddenPaths() []forbidden {
	id := idOf(0x41).String()
	list := []forbidden{
		{name: "a broken query", raw: reads("/api/v1/unsettled?after=%zz"), code: 400, error: "query"},
		{name: "an unknown parameter", raw: reads("/api/v1/unsettled?limt=1"), code: 400, error: "limt"},
		{name: "a parameter twice", raw: reads("/api/v1/unsettled?limit=1&limit=2"), code: 400, error: "limit is given 2 times"},
		{name: "a parameter of another question", raw: reads("/api/v1/status?limit=1"), code: 400, error: "limit"},
		{name: "a parameter of a watch", raw: reads("/api/v1/events?every=1ms"), code: 400, error: "every"},
		{name: "a parameter of a command", raw: changes("/api/v1/pause?for=1h", "{}"), code: 400, error: "for", closed: true},
		{name: "a time that is too long", raw: changes("/api/v1/blobs/"+id+"/sync?timeout=10m1ns", "{}"), code: 400, error: "timeout", closed: true},
		{name: "a time that is negative", raw: changes("/api/v1/blobs/"+id+"/sync?timeout=-1s", "{}"), code: 400, error: "timeout", closed: true},
		{name: "a time that is none", raw: changes("/api/v1/blobs/"+id+"/sync?timeout=forever", "{}"), code: 400, error: "timeout", closed: true},
		{name: "after is a path", raw: reads("/api/v1/unsettled?after=../../etc"), code: 400, error: "../../etc"},
		{name: "after is empty", raw: reads("/api/v1/unsettled?after="), code: 400, error: "after"},
		{name: "limit is zero", raw: reads("/api/v1/unsettled?limit=0"), code: 400, error: "limit"},
		{name: "limit is too large", raw: reads("/api/v1/unsettled?limit=10001"), code: 400, error: "10001"},
		{name: "limit is no number", raw: reads("/api/v1/unsettled?limit=all"), code: 400, error: "all"},
		{name: "a control character in the path", raw: reads("/api/v1/blobs/\x00"), code: 400, text: true, closed: true},
		{name: "a space in the path", raw: reads("/api/v1/blobs/ " + id), code: 400, text: true, closed: true},
		{name: "everything", raw: what("OPTIONS *", doorwayHost, "", ""), code: 404, error: "nothing at"},
		{name: "a tunnel", raw: "CONNECT 127.0.0.1:7070 HTTP/1.1\r\nHost: " + doorwayHost + "\r\n\r\n", code: 404, error: "nothing at"},
		{name: "profiles, not asked for", raw: reads("/debug/pprof/heap"), code: 404, error: "pprof"},
	}
	for _, path := range []string{
		"/api/v1/blobs", "/api/v1", "/api/v1/status/", "/api//v1/status", "//api/v1/status", "/api/v1/../v1/status", "/api/v1/./status",
		"/api/v1/%2e%2e/v1/status", "/api/v1%2fstatus", "/api/v1/stat%75s", "/api/v1/status%00", "/api/v1/blobs/%2e%2e%2fetc", "/api/v1/blobs/" + id + "%00",
		"/api/v1/blobs/a/b/c", "/API/V1/STATUS", "/token", "/recoverd.sock", "/api/v1/token", `/api/v1\status`, "/metrics/", "/api/v1/blobs/" + id + "/sync/",
	} {
		list = append(list, forbidden{name: "path " + path, raw: reads(path), code: 404, error: "nothing at"})
	}
	for _, hostile := range []string{"x", id + "0", id[:63], strings.Repeat("g", 64), "..;" + id[3:], strings.Repeat("A", 43) + "=", strings.Repeat("é", 32), "<script>"} {
		list = append(list, forbidden{name: "id " + hostile, raw: reads("/api/v1/blobs/" + hostile), code: 400, error: "not a blob id"})
		if strings.ContainsAny(hostile, "é<") {
			list[len(list)-1].code, list[len(list)-1].error = 404, "nothing at" // it is escaped
		}
	}
	list = append(list, forbidden{name: "hostile id to sync", raw: changes("/api/v1/blobs/"+strings.Repeat("B", 43)+"/sync", "{}"), code: 400, error: "not a blob id", closed: true})
	for _, method := range []string{"HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "GETS", "PROPFIND"} {
		if method != "HEAD" {
			list = append(list, forbidden{name: method + " to read", raw: what(method+" /api/v1/status", doorwayHost, "", ""), code: 405, error: method})
		}
		list = append(list, forbidden{name: method + " to change", raw: what(method+" /api/v1/pause", doorwayHost, "", ""), code: 405, error: method})
	}
	return append(list, forbidden{name: "GET to change", raw: reads("/api/v1/pause"), code: 405, error: "GET"})
}

func forbiddenTransport() []forbidden {
	begin := "GET /livez HTTP/1.1\r\nHost: " + doorwayHost + "\r\n"
	drip := func(text string, every time.Duration) func(net.Conn) {
		return func(conn net.Conn) {
			for {
				time.Sleep(every)
				if _, err := io.WriteString(conn, text); err != nil {
					return
				}
			}
		}
	}
	body := "POST /api/v1/pause HTTP/1.1\r\nHost: " + doorwayHost + "\r\n" + authorization + "\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
	return []forbidden{
		{name: "a huge header", raw: begin + "X-Big: " + strings.Repeat("x", maxHeaderBytes+5000) + "\r\n\r\n", code: 431, text: true, closed: true},
		{name: "many headers", raw: begin + strings.Repeat("X-Many: x\r\n", 3000) + "\r\n", code: 431, text: true, closed: true},
		{name: "a huge address", raw: reads("/" + strings.Repeat("x", maxHeaderBytes+5000)), code: 431, text: true, closed: true},
		{name: "a header that does not come", raw: begin, closed: true, after: headerTimeout},
		{name: "a header that drips", raw: begin, then: drip("X-Slow: x\r\n", time.Second), closed: true, after: headerTimeout},
		{name: "nothing at all", closed: true, after: headerTimeout},
		{name: "a body that does not come", raw: body, code: 408, error: "did not come", closed: true, after: requestTimeout},
		{name: "a body that drips", raw: body, then: drip(" ", time.Second), code: 408, error: "did not come", closed: true, after: requestTimeout},
		{name: "another protocol", raw: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n", code: 400, text: true, closed: true},
		{name: "HTTP/2", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", code: 421, closed: true},
		{name: "HTTP/3", raw: "GET / HTTP/3.0\r\nHost: " + doorwayHost + "\r\n\r\n", code: 505, text: true, closed: true},
		{name: "a header without a name", raw: begin + ": x\r\n\r\n", code: 400, text: true, closed: true},
		{name: "a header with a space in its name", raw: begin + "Content-Length : 3\r\n\r\n", code: 400, text: true, closed: true},

		// What is not forbidden, and gets no more than it would have got otherwise.
		{name: "an upgrade to a web socket is not made", raw: what("GET /livez", doorwayHost, "Connection: Upgrade\r\nUpgrade: websocket", ""), code: 200},
		{name: "an upgrade to HTTP/2 is not made", raw: what("GET /livez", doorwayHost, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", ""), code: 200},
		{name: "HTTP/1.0", raw: "GET /livez HTTP/1.0\r\nHost: " + doorwayHost + "\r\n\r\n", code: 200, closed: true},
		{name: "no token to read", raw: reads("/api/v1/status"), code: 200},
		{name: "a wrong token to read", raw: what("GET /api/v1/status", doorwayHost, "Authorization: Bearer x", ""), code: 200},
		{name: "head", raw: what("HEAD /api/v1/status", doorwayHost, "", ""), code: 200},
		{name: "head of a watch", raw: what("HEAD /api/v1/events", doorwayHost, "", ""), code: 200, closed: true},
		{name: "localhost", raw: what("GET /api/v1/status", "LocalHost:7070", "", ""), code: 200},
		{name: "IPv6 loopback", raw: what("GET /api/v1/status", "[::1]:7070", "", ""), code: 200},
		{name: "an allowed name", raw: what("GET /api/v1/status", "node1.example:8080", "", ""), code: 200},
		{name: "a link on another page", raw: what("GET /", doorwayHost, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate", ""), code: 200},
		{name: "our own page", raw: with(authorization + "\r\nContent-Type: application/json\r\nOrigin: http://" + doorwayHost + "\r\nSec-Fetch-Site: same-origin"), code: 200},
		{name: "the token", raw: changes("/api/v1/pause", "{}"), code: 200},
		{name: "the token, its scheme in other letters", raw: with("authorization: bearer " + sampleToken + "\r\nContent-Type: Application/JSON; charset=UTF-8"), code: 200},
		{name: "an id in base64", raw: reads("/api/v1/unsettled?limit=1&after=" + idOf(0x30).Base64URL()), code: 200},
	}
}

// crowd connects often, sends the same each time, and reads what comes.
func crowd(size int, raw string) func(*testing.T, *doorway) {
	return func(t *testing.T, d *doorway) {
		for range size {
			conn := d.dial()
			t.Cleanup(func() { conn.Close() })
			go func() {
				_, _ = io.WriteString(conn, raw)
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
		synctest.Wait()
	}
}

func forbiddenCrowds() []forbidden {
	wait := changes("/api/v1/blobs/"+idOf(1).String()+"/sync", "{}")
	return []forbidden{
		// The kernel keeps it until another connection has ended, as these do that
		// never send a header.
		{name: "a connection too many", before: crowd(128, ""), raw: reads("/livez"), code: 200, after: headerTimeout},
		{name: "a watcher too many", before: crowd(maxWatchers, reads("/api/v1/events")), raw: reads("/api/v1/events"), code: 503, error: "32 watch already"},
		{name: "a wait too many", before: crowd(maxWaits, wait), raw: wait, code: 503, error: "64 blobs"},
		{name: "two requests at once", raw: reads("/livez") + reads("/livez"), code: 200},
		{name: "a request behind a refused one", raw: with(authorization) + reads("/livez"), code: 415, error: "Content-Type", closed: true},
		{name: "a request behind a watch", raw: reads("/api/v1/events?x") + reads("/livez"), code: 400, error: "x"},
	}
}

func forbiddenMetrics() []forbidden {
	list := []forbidden{
		{name: "the address of an open network", raw: what("GET /livez", "pod-7.cluster", "", ""), code: 200},
		{name: "a body", raw: what("GET /metrics", "pod-7.cluster", "", "hi"), code: 400, error: "body", closed: true},
		{name: "a large header", raw: "GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", maxHeaderBytes+5000) + "\r\n\r\n", code: 431, text: true, closed: true},
		{name: "a header that does not come", raw: "GET /metrics HTTP/1.1\r\n", closed: true, after: headerTimeout},
	}
	for _, path := range []string{"/metrics", "/livez", "/readyz"} {
		list = append(list, forbidden{name: "POST " + path, raw: changes(path, "{}"), code: 405, error: "POST", closed: true})
	}
	id := idOf(1).String()
	for _, path := range []string{
		"/", "/openapi.yaml", "/api/v1/status", "/api/v1/unsettled", "/api/v1/shards", "/api/v1/history", "/api/v1/events",
		"/api/v1/blobs/" + id, "/debug/pprof/heap", "/metrics/",
	} {
		list = append(list, forbidden{name: "GET " + path, raw: reads(path), code: 404, error: "nothing at"})
	}
	for _, path := range []string{"pause", "resume", "retry", "repair", "limits", "log-level", "blobs/" + id + "/sync"} {
		list = append(list, forbidden{name: "POST " + path, raw: changes("/api/v1/"+path, "{}"), code: 404, error: "nothing at", closed: true})
	}
	for i := range list {
		list[i].metrics = true
	}
	return list
}

// TestForbiddenRequests is the table of what is refused, and with what. Each
// request has a server and a clock of its own.
func TestForbiddenRequests(t *testing.T) {
	for group, list := range map[string][]forbidden{
		"hosts": forbiddenHosts(), "pages": forbiddenPages(), "tokens": forbiddenTokens(), "bodies": forbiddenBodies(),
		"paths": forbiddenPaths(), "transport": forbiddenTransport(), "crowds": forbiddenCrowds(), "metrics": forbiddenMetrics(),
	} {
		for _, tc := range list {
			t.Run(group+"/"+tc.name, func(t *testing.T) { synctest.Test(t, tc.run) })
		}
	}
}

func (tc forbidden) run(t *testing.T) {
	cfg, w := sampleConfig()
	cfg.Pprof = tc.pprof
	told := cfg.Control.(*controls)
	server := newServer(t, cfg)
	serve := server.Serve
	if tc.metrics {
		serve = server.ServeMetrics
	}
	said := 0
	if others := tc.before; others != nil {
		told.stuck = make(chan struct{})
		defer close(told.stuck)
		tc.before = func(t *testing.T, d *doorway) {
			others(t, d)
			said = len(told.list())
		}
	}
	tc.on(t, serve)
	if list := told.list()[said:]; tc.code != 200 && (len(list) > 0 || w.asked > 0) {
		t.Errorf("the worker was told %v, and asked %d times", list, w.asked)
	}
}

// on sends the request to a server and looks at what it gets.
func (tc forbidden) on(t *testing.T, serve func(context.Context, net.Listener) error) {
	t.Helper()
	d, end := openDoorway(t, serve)
	defer end()
	if tc.before != nil {
		tc.before(t, d)
	}
	var senders sync.WaitGroup
	defer senders.Wait()
	conn := d.dial()
	defer conn.Close()
	began := time.Now()
	if err := conn.SetDeadline(began.Add(time.Hour)); err != nil { // an answer without an end is none
		t.Fatal(err)
	}
	senders.Go(func() {
		if _, err := io.WriteString(conn, tc.raw); err == nil && tc.then != nil {
			tc.then(conn)
		}
	})
	answers := bufio.NewReader(conn)
	answer := readAnswer(answers, methodOf(tc.raw))
	if answer.code != tc.code || !tc.text && time.Since(began) != tc.after { // net/http takes a moment before it closes
		t.Fatalf("code %d after %v, want %d after %v: %s", answer.code, time.Since(began), tc.code, tc.after, answer.body)
	}
	tc.check(t, answer)
	if tc.then == nil { // who still sends cannot ask anything else
		senders.Go(func() { _, _ = io.WriteString(conn, reads("/livez")) })
	}
	next := readAnswer(answers, "GET")
	if closed := next.code == 0; closed != tc.closed || !closed && next.code != 200 && next.code != 503 { // the clock may have gone on
		t.Errorf("closed: %v, want %v; the next answer is %d", closed, tc.closed, next.code)
	}
}

func (tc forbidden) check(t *testing.T, answer answered) {
	t.Helper()
	if tc.code == 0 {
		return
	}
	if tc.text {
		if kind := answer.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") && kind != "" {
			t.Errorf("the answer is %s", kind)
		}
		if !strings.Contains(answer.body, tc.error) {
			t.Errorf("the answer %q does not name %q", answer.body, tc.error)
		}
		return
	}
	if !tc.page || tc.code != 200 {
		checkHeaders(t, answer)
	}
	if tc.code != 200 && methodOf(tc.raw) != "HEAD" {
		checkError(t, answer, tc.error)
	}
	if strings.Contains(answer.body, sampleToken) || strings.Contains(answer.body, strings.ToUpper(sampleToken)) {
		t.Errorf("the answer tells the token: %s", answer.body)
	}
}
