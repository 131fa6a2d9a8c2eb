package statusapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/recovery/sim/hostile"
)

// endpoint is a route as it is asked for when nothing is wrong.
type endpoint struct {
	method, path string
	body         string // of a POST
	api          bool   // it looks at its query, and has none
	metrics      bool   // the metrics listener answers it as well
}

// endpoints lists every route of a server. One that is new must be asked for here.
func endpoints(t *testing.T, s *Server) (all []endpoint) {
	t.Helper()
	id, ids := idOf(0x41).String(), fmt.Sprintf(`{"ids":[%q]}`, idOf(0x41))
	bodies := map[string]string{
		"pause": `{}`, "resume": `{}`, "retry": ids, "repair": ids, "limits": `{"concurrency":12}`, "log-level": `{"level":"debug"}`, "blobs/{id}/sync": `{}`,
	}
	for i, r := range s.routes() {
		name, api := strings.CutPrefix(r.path, "/api/v1/")
		body, known := bodies[name]
		if (r.method == http.MethodPost) != known {
			t.Errorf("%s %s is not in this table", r.method, r.path)
		}
		path := strings.NewReplacer("{$}", "", "{id}", id, "{name}", "goroutine").Replace(r.path)
		all = append(all, endpoint{r.method, path, body, api, i < len(s.probes())})
	}
	return all
}

// ask sends what is right but for what is given.
func (e endpoint) ask(line, host, headers, body string) string {
	if e.method == http.MethodPost && !strings.Contains(strings.ToLower(headers), "content-type") {
		headers = strings.TrimPrefix(headers+"\r\nContent-Type: application/json", "\r\n")
	}
	if e.method == http.MethodPost && !strings.Contains(headers, "Authorization") {
		headers += "\r\n" + authorization
	}
	return what(line, host, headers, body)
}

// good is the request itself. A watch has no end, so that only its beginning is asked for.
func (e endpoint) good() string {
	method := e.method
	if e.path == "/api/v1/events" {
		method = http.MethodHead
	}
	return e.ask(method+" "+e.path, doorwayHost, "", e.body)
}

// changed is the request with something else in it.
func (e endpoint) changed(old, new string) string { return strings.Replace(e.good(), old, new, 1) }

// with is the request with one header more.
func (e endpoint) with(header string) string {
	return e.changed("\r\nHost:", "\r\n"+header+"\r\nHost:")
}

// wrongs are the ways in which the request goes wrong; the worker hears of none.
func (e endpoint) wrongs() []forbidden {
	post := e.method == http.MethodPost
	list := []forbidden{{name: "nothing", raw: e.good(), code: 200, closed: e.path == "/api/v1/events"}}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post", "GETS"} {
		if method == e.method || !post && method == "HEAD" {
			continue
		}
		list = append(list, forbidden{name: method, raw: what(method+" "+e.path, doorwayHost, authorization, ""), code: 405, error: method})
	}
	for _, host := range []string{"evil.example", "evil.example:7070", "127.0.0.1:7070.evil.example", "localhost", "localhost:80", "0.0.0.0:7070", "127.1:7070", "[::]:7070", "169.254.169.254"} {
		list = append(list, forbidden{name: "host " + host, raw: e.changed(doorwayHost, host), code: 421, error: host, closed: true})
	}
	list = append(list, e.wrongOrigins(post)...)
	for _, trick := range []string{
		e.path + "/x/..", "/." + e.path, "/x/.." + e.path, "/" + e.path, e.path + "%00", e.path + "%2f", "/%2e%2e" + e.path, e.path + "%0d%0aX-Evil:1", e.path + "%ff", e.path + "#x",
	} {
		list = append(list, forbidden{name: "path " + trick, raw: e.changed(" "+e.path+" ", " "+trick+" "), code: 404, error: "nothing at", closed: post})
	}
	if e.api {
		for _, query := range []string{"?x=1", "?%zz", "?limit", "?id[]=1", "?;", "?token=" + sampleToken, "?__proto__=1", "?" + strings.Repeat("a=1&", 100)} {
			list = append(list, forbidden{name: "query " + query[:min(len(query), 12)], raw: e.changed(e.path+" ", e.path+query+" "), code: 400, closed: post})
		}
		list = append(list, forbidden{name: "empty query", raw: e.changed(e.path+" ", e.path+"? "), code: 200, closed: e.path == "/api/v1/events"})
	}
	list = append(list,
		forbidden{name: "huge header", raw: what(e.method+" "+e.path, doorwayHost, "X: "+strings.Repeat("x", maxHeaderBytes+5000), ""), code: 431, text: true, closed: true},
		forbidden{name: "two hosts", raw: what(e.method+" "+e.path, doorwayHost, "Host: "+doorwayHost, ""), code: 400, text: true, closed: true},
		forbidden{name: "a header that does not come", raw: e.method + " " + e.path + " HTTP/1.1\r\nHost: " + doorwayHost + "\r\n", closed: true, after: headerTimeout})
	if post {
		return append(list, e.wrongBodies()...)
	}
	return append(list,
		forbidden{name: "body", raw: what("GET "+e.path, doorwayHost, "", "{}"), code: 400, error: "body", closed: true},
		forbidden{name: "chunked body", raw: "GET " + e.path + " HTTP/1.1\r\nHost: " + doorwayHost + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", code: 400, error: "body", closed: true},
		forbidden{name: "body that does not come", raw: "GET " + e.path + " HTTP/1.1\r\nHost: " + doorwayHost + "\r\nContent-Length: 9\r\n\r\n", code: 400, error: "body", closed: true})
}

// wrongOrigins are what pages in a browser could send. A link may be followed.
func (e endpoint) wrongOrigins(post bool) (list []forbidden) {
	for _, page := range []string{
		"Origin: http://evil.example", "Origin: null", "Origin: http://127.0.0.1:8080", "Origin: https://127.0.0.1:7070.evil.example", "Sec-Fetch-Site: cross-site",
		"Sec-Fetch-Site: same-site", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors", "Sec-Fetch-Site: cross-site\r\nOrigin: http://evil.example\r\nSec-Fetch-Mode: cors",
	} {
		list = append(list, forbidden{name: page, raw: e.with(page), code: 403, error: "origin", closed: post})
	}
	link := forbidden{name: "a link that is followed", raw: e.with("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate"), code: 200, closed: e.path == "/api/v1/events"}
	if post { // a form that is sent
		link.code, link.error, link.closed = 403, "origin", true
	}
	return append(list, link)
}

// wrongBodies are for what changes something.
func (e endpoint) wrongBodies() []forbidden {
	send := func(headers, body string) string { return e.ask("POST "+e.path, doorwayHost, headers, body) }
	list := []forbidden{
		{name: "no token", raw: what("POST "+e.path, doorwayHost, "Content-Type: application/json", e.body), code: 401, error: "file token", closed: true},
		{name: "a wrong token", raw: send("Authorization: Bearer "+sampleToken[1:]+"x", e.body), code: 403, error: "token is wrong", closed: true},
		{name: "the token as a password", raw: send("Authorization: Basic "+sampleToken, e.body), code: 401, error: "file token", closed: true},
		{name: "two tokens", raw: send(authorization+"\r\n"+authorization, e.body), code: 401, error: "file token", closed: true},
		{name: "no type", raw: what("POST "+e.path, doorwayHost, authorization, e.body), code: 415, error: "Content-Type", closed: true},
		{name: "two types", raw: send("Content-Type: application/json\r\nContent-Type: application/json", e.body), code: 415, error: "Content-Type", closed: true},
		{name: "compressed", raw: send("Content-Encoding: gzip", e.body), code: 415, error: "compressed", closed: true},
		{name: "too large", raw: send("", `{"x":"`+strings.Repeat("x", maxBody)+`"}`), code: 413, error: "65536 bytes", closed: true},
		{name: "too large, of spaces", raw: send("", e.body+strings.Repeat(" ", maxBody)), code: 413, error: "65536 bytes", closed: true},
		{name: "asked about first", raw: "POST " + e.path + " HTTP/1.1\r\nHost: " + doorwayHost + "\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n", code: 401, error: "token", closed: true},
		{
			name: "a body that does not come", code: 408, error: "did not come", closed: true, after: requestTimeout,
			raw: "POST " + e.path + " HTTP/1.1\r\nHost: " + doorwayHost + "\r\n" + authorization + "\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
		},
	}
	for _, kind := range []string{
		"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "application/jsonp", "application/json; charset=latin1",
		"application/json, text/plain", "application/json;;", "*/*", "",
	} {
		list = append(list, forbidden{name: "type " + kind, raw: send("Content-Type: "+kind, e.body), code: 415, error: "Content-Type", closed: true})
	}
	if keys := strings.Trim(e.body, "{}"); keys != "" {
		list = append(list, forbidden{name: "a good key twice", raw: send("", "{"+keys+","+keys+"}"), code: 400, error: "twice"})
	}
	for name, body := range map[string]string{
		"empty": "", "null": "null", "a number": "1", "a text": `"x"`, "a list": "[" + e.body + "]", "half": "{", "no end": `{"a":1`, "a comma": `{"a":1,}`,
		"behind it": e.body + "x", "twice": e.body + e.body, "a comment": "{/**/}", "single quotes": "{'a':1}", "no quotes": "{a:1}", "NaN": `{"a":NaN}`,
		"an unknown key": `{"nonsense":1}`, "a key twice": `{"x":1,"x":1}`, "a key like an object's": `{"__proto__":{"all":true}}`, "other letters": `{"IDS":[]}`,
		"deep": `{"x":` + strings.Repeat("[", 30_000), "deep and closed": `{"x":` + strings.Repeat("[", 15_000) + strings.Repeat("]", 15_000) + `}`,
		"deep objects": strings.Repeat(`{"x":`, 10_001), "a long key": `{"` + strings.Repeat("k", 60_000) + `":1}`, "a long number": `{"x":` + strings.Repeat("9", 60_000) + `}`,
		"no text": "{\"\xff\":1}", "NUL": "{\x00}", "a mark": "\ufeff" + e.body, "UTF-16": "{\x00}\x00", "a form": "ids=1&all=true", "XML": "<a/>",
	} {
		list = append(list, forbidden{name: "body " + name, raw: send("", body), code: 400})
	}
	return list
}

// TestSecurityEveryEndpoint asks every endpoint in every wrong way: of the daemon's
// listener, and of the one for scrapers that others than the probes are nothing there.
func TestSecurityEveryEndpoint(t *testing.T) {
	cfg, _ := sampleConfig()
	cfg.Pprof = true
	tried := 0
	for _, e := range endpoints(t, newServer(t, cfg)) {
		list := e.wrongs()
		if !e.metrics {
			list = append(list, forbidden{name: "of the metrics listener", raw: e.good(), code: 404, metrics: true, error: "nothing at", closed: e.method == http.MethodPost})
		}
		tried += len(list)
		t.Run(e.method+" "+e.path, func(t *testing.T) {
			for _, tc := range list {
				defer func() {
					if t.Failed() {
						t.Logf("it was %q: %.300q", tc.name, tc.raw)
					}
				}()
				tc.pprof = true
				tc.page = strings.HasPrefix(e.path, "/page/")
				synctest.Test(t, tc.run)
				if t.Failed() {
					return
				}
			}
		})
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "every endpoint of the status API, asked in every wrong way", Tried: uint64(tried), Unit: "requests", Violations: failures(t)})
}

func failures(t *testing.T) uint64 {
	if t.Failed() {
		return 1
	}
	return 0
}

// Nothing but a loopback address is listened on without certificates, however it is
// written.
func TestSecurityLoopbackOnly(t *testing.T) {
	for _, address := range []string{
		"0.0.0.0:0", ":0", "[::]:0", "0:0", "[::ffff:0.0.0.0]:0", "169.254.169.254:0", "255.255.255.255:0", "224.0.0.1:0", "evil.example:0", "localhost.evil.example:0", "*:0",
		"[fe80::1%lo]:0", "[::ffff:10.0.0.1]:0", "10.0.0.1:0", "", "127.0.0.1", "unix:/tmp/x",
	} {
		l, err := ListenTCP(t.Context(), address)
		if err == nil {
			if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
				t.Errorf("%q listens on %v", address, l.Addr())
			}
			l.Close()
		}
	}
}

// A wait longer than the limits of a connection gets its answer all the same.
func TestSecurityLimitsOfTimeSpareAWait(t *testing.T) {
	wait := changes("/api/v1/blobs/"+idOf(1).String()+"/sync?timeout=2m", "{}")
	tc := forbidden{name: "a long wait", raw: wait, code: 504, error: "not done in time", after: 2 * time.Minute}
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := sampleConfig()
		told := cfg.Control.(*controls)
		told.stuck = make(chan struct{})
		defer close(told.stuck)
		tc.on(t, newServer(t, cfg).Serve)
	})
}

// The page and its files say in their headers that nothing foreign is run, framed or
// sent.
func TestSecurityPageHeaders(t *testing.T) {
	cfg, _ := sampleConfig()
	s := newServer(t, cfg)
	for _, r := range front() {
		request := sampleRequest{operation: "GET ", path: strings.TrimSuffix(r.path, "{$}")}.request()
		request.Header.Set("Accept", "text/html")
		answer := httptest.NewRecorder()
		s.Handler().ServeHTTP(answer, request)
		policy := strings.Split(answer.Header().Get("Content-Security-Policy"), ";")
		for i := range policy {
			policy[i] = strings.TrimSpace(policy[i])
		}
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'"} {
			if !slices.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %q", r.path, policy, want)
			}
		}
		if text := strings.Join(policy, ";"); strings.Contains(text, "unsafe") || strings.Contains(text, "*") || strings.Contains(text, "http") {
			t.Errorf("%s: the policy is %q", r.path, text)
		}
		if kind := answer.Header().Get("Content-Type"); answer.Code != 200 || kind == "" || answer.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: code %d, type %q", r.path, answer.Code, kind)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Error(err)
		}
	}
}

// What is no id is refused wherever one is asked for; the worker hears of none, and what
// comes back is JSON that quotes it.
func TestSecurityHostileIDs(t *testing.T) {
	cfg, w := sampleConfig()
	told := cfg.Control.(*controls)
	address := servingTCP(t, newServer(t, cfg))
	host := func(raw string) string { return strings.Replace(raw, doorwayHost, address, 1) }
	tried := 0
	for _, id := range hostile.IDs(idOf(0x41)) {
		path, query := url.PathEscape(id.Text), url.QueryEscape(id.Text)
		quoted, err := json.Marshal(map[string][]string{"ids": {id.Text}})
		if err != nil {
			t.Fatal(err)
		}
		if id.OK || len(id.Text) > 60_000 { // longer ones are too long for a header
			continue
		}
		for _, raw := range []string{
			reads("/api/v1/blobs/" + path), reads("/api/v1/blobs/" + url.PathEscape(path)), reads("/api/v1/unsettled?after=" + query), changes("/api/v1/blobs/"+path+"/sync", "{}"),
			changes("/api/v1/retry", string(quoted)), changes("/api/v1/repair", string(quoted)),
		} {
			if strings.Contains(raw, "/blobs/ ") || strings.Contains(raw, "/blobs//") {
				continue // there is no id at all
			}
			tried++
			answer := exchange(t, address, host(raw))
			if answer.code < 400 || answer.code > 499 || strings.ContainsAny(answer.body, "<>\x1b\x00\r") || len(answer.body) > 2000 {
				t.Errorf("%s: %.100q: code %d, %q", id.Name, raw, answer.code, answer.body)
			}
			if kind := answer.header.Get("Content-Type"); kind != "application/json" && answer.code != 431 {
				t.Errorf("%s: %.100q: it is %s", id.Name, raw, kind)
			}
		}
	}
	if list := told.list(); len(list) > 0 || w.asked > 0 {
		t.Errorf("the worker was told %v, and asked %d times", list, w.asked)
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "hostile ids asked of the status API", Tried: uint64(tried), Unit: "requests", Violations: failures(t)})
}
