package transfer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// hostile is a peer that does not do what it should.
type hostile struct {
	// answer answers in the place of an honest server, whose archive is from.
	answer func(x *exchange) bool
	lied   bool   // it is found out, and not just of no use
	text   string // part of its error
}

// exchange is one request to a hostile peer.
type exchange struct {
	http.ResponseWriter
	r    *http.Request
	t    *testing.T
	from *archive.Archive
	list Document // what an honest server lists
}

// file is what an honest server would send of a file that is asked for.
func (x *exchange) file() []byte {
	content, err := os.ReadFile(filepath.Join(x.from.Dir(), filepath.Base(x.r.URL.Path)))
	if err != nil {
		x.t.Error(err)
	}
	return content
}

// part answers 206 with all of a file, changed.
func (x *exchange) part(content []byte) {
	n := int64(len(x.file()))
	x.Header().Set("Content-Range", contentRange(0, n-1, n))
	x.WriteHeader(206)
	_, _ = x.Write(content) // whoever hangs up early is right
}

func (x *exchange) endless(text string) {
	for {
		if _, err := x.Write([]byte(text)); err != nil {
			return
		}
	}
}

// document answers with a list, if one is asked for.
func (x *exchange) document(change func(d *Document)) bool {
	if !isList(x.r) {
		return false
	}
	d := x.list
	d.Snapshots = slices.Clone(d.Snapshots)
	change(&d)
	if err := json.NewEncoder(x).Encode(d); err != nil {
		x.t.Error(err)
	}
	return true
}

// onFile makes a hostile answer to requests for files.
func onFile(answer func(x *exchange)) func(x *exchange) bool {
	return func(x *exchange) bool {
		if isList(x.r) {
			return false
		}
		answer(x)
		return true
	}
}

func onList(answer func(x *exchange)) func(x *exchange) bool {
	return func(x *exchange) bool {
		if !isList(x.r) {
			return false
		}
		answer(x)
		return true
	}
}

// Peers are not trusted: whatever one does, alone it leaves nothing behind but a
// draft, is named, and with an honest one beside it the snapshot arrives.
func TestHostilePeers(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 5000)
	honest := newHandler(t, from)
	var listed Document
	if err := json.Unmarshal(body200(t, ask(t, honest, "GET", "/snapshots")), &listed); err != nil {
		t.Fatal(err)
	}
	for name, h := range hostiles(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := func(w http.ResponseWriter, r *http.Request) bool {
				return h.answer(&exchange{w, r, t, from, listed})
			}
			bad, good := serve(t, from, before), serve(t, from, nil)
			a := newArchive(t)
			hurried := func(servers ...*server) Config {
				c := config(a, servers...)
				c.AnswerTimeout, c.Strikes, c.Rounds = time.Second, 1, 2
				return c
			}
			alone := fails(t, hurried(bad))
			p := alone.Peers[0]
			if p.Err == nil || p.Lied != h.lied || !strings.Contains(p.Err.Error(), h.text) || !strings.Contains(alone.Error(), bad.URL) {
				t.Errorf("alone: lied %v, %v; want %v, %q", p.Lied, alone, h.lied, h.text)
			}
			if len(entries(t, a)) != 0 {
				t.Errorf("it left %+v", entries(t, a))
			}
			for _, name := range dir(t, a.Dir()) {
				if !archive.IsDraft(name) {
					t.Errorf("it left %s", name)
				}
			}
			r := fetchAll(t, hurried(bad, good))
			has(t, a, from, e)
			if r.Peers[0].Err == nil || r.Peers[0].Lied != h.lied || r.Peers[1].Err != nil {
				t.Errorf("with an honest one: %+v", r.Peers)
			}
		})
	}
}

func hostiles(t *testing.T) map[string]hostile {
	all := hostileLists(t)
	for name, h := range hostileFiles() {
		all[name] = h
	}
	return all
}

func hostileFiles() map[string]hostile {
	says := func(header, value string) func(x *exchange) bool {
		return onFile(func(x *exchange) {
			n := int64(len(x.file()))
			x.Header().Set("Content-Range", contentRange(0, n-1, n))
			x.Header().Set(header, value)
			x.WriteHeader(206)
			_, _ = x.Write(x.file())
		})
	}
	status := func(code int) func(x *exchange) bool {
		return onFile(func(x *exchange) { x.WriteHeader(code) })
	}
	return map[string]hostile{
		"a flipped bit": {onFile(func(x *exchange) {
			content := x.file()
			content[70_000] ^= 8
			x.part(content)
		}), true, "bytes 65536 to 131071"},
		"zeros":                {onFile(func(x *exchange) { x.part(make([]byte, len(x.file()))) }), true, "not what it said"},
		"another range":        {says("Content-Range", "bytes 1-9/10"), true, "asked for"},
		"another total":        {says("Content-Range", "bytes 0-361847/361849"), true, "asked for"},
		"no range":             {says("Content-Range", ""), true, "asked for"},
		"a page for a browser": {onFile(func(x *exchange) { _, _ = x.Write([]byte("<html>Sign in</html>")) }), true, "says 20"},
		"endless": {onFile(func(x *exchange) {
			x.part(make([]byte, 10))
			x.endless(strings.Repeat("x", 1000))
		}), true, "not what it said"},
		"compressed": {onFile(func(x *exchange) {
			x.Header().Set("Content-Encoding", "gzip")
			n := int64(len(x.file()))
			x.Header().Set("Content-Range", contentRange(0, n-1, n))
			x.WriteHeader(206)
			z := gzip.NewWriter(x)
			_, _ = z.Write(x.file())
			_ = z.Close()
		}), true, "not what it said"},
		"short, without a length": {onFile(func(x *exchange) {
			x.part(nil)
			_ = http.NewResponseController(x.ResponseWriter).Flush() // so that no length is told
			_, _ = x.Write(x.file()[:1000])
		}), false, "unexpected EOF"},
		"cut off":       {onFile(func(x *exchange) { x.part(x.file()[:1000]); panic(http.ErrAbortHandler) }), false, ""},
		"hangs up":      {onFile(func(*exchange) { panic(http.ErrAbortHandler) }), false, "EOF"},
		"never answers": {onFile(func(x *exchange) { <-x.r.Context().Done() }), false, "no answer"},
		"redirects": {onFile(func(x *exchange) {
			http.Redirect(x, x.r, "http://169.254.169.254/", http.StatusFound)
		}), true, "redirects"},
		"gone":         {status(404), false, "no longer"},
		"refuses":      {status(403), false, "status 403"},
		"broken":       {status(500), false, "status 500"},
		"busy":         {status(503), false, "status 503"},
		"not modified": {status(304), true, "redirects"},
		"huge header": {onFile(func(x *exchange) {
			x.Header().Set("X", strings.Repeat("x", 200<<10))
		}), false, "headers exceeded"},
	}
}

func hostileLists(t *testing.T) map[string]hostile {
	lie := func(change func(d *Document)) func(x *exchange) bool {
		return func(x *exchange) bool { return x.document(change) }
	}
	return map[string]hostile{
		"no list":               {onList(func(x *exchange) { x.WriteHeader(404) }), false, "404"},
		"a page for a list":     {onList(func(x *exchange) { _, _ = x.Write([]byte("<html>")) }), true, "bad list"},
		"garbled list":          {onList(func(x *exchange) { _, _ = x.Write([]byte(`{"version":1,"network":"te`)); panic(http.ErrAbortHandler) }), false, ""},
		"a list that is cut":    {onList(func(x *exchange) { _, _ = x.Write([]byte(`{"version":1,"network":"te`)) }), false, "unexpected EOF"},
		"endless list":          {onList(func(x *exchange) { x.endless(strings.Repeat(" ", 4096)) }), true, "more than"},
		"endless array":         {onList(func(x *exchange) { _, _ = x.Write([]byte(`{"version":1,"snapshots":[`)); x.endless("{},") }), true, "more than"},
		"a list that redirects": {onList(func(x *exchange) { http.Redirect(x, x.r, "/snapshots/", http.StatusMovedPermanently) }), true, "redirects"},
		"a path": {lie(func(d *Document) {
			d.Snapshots[0].Name = "../../" + d.Snapshots[0].Name
		}), true, "not the name"},
		"more than there is": {lie(func(d *Document) {
			s := &d.Snapshots[0]
			s.Files = slices.Clone(s.Files)
			s.Size += d.Piece
			s.Files[0].Size += d.Piece
			s.Files[0].Pieces = append(slices.Clone(s.Files[0].Pieces), Sum{})
		}), true, "asked for"},
		"another digest of the same beginning": {lie(func(d *Document) {
			d.Snapshots[0].Digest[31] ^= 1
		}), true, "it offered"},
		"another epoch":                 {lie(func(d *Document) { d.Snapshots[0].Epoch++ }), true, "it offered"},
		"something else under its name": disguised(t),
	}
}

// disguised lists a snapshot with the right sums of other bytes: a whole
// snapshot, but not the one that the name says.
func disguised(t *testing.T) hostile {
	t.Helper()
	other := newArchive(t)
	e := fullOf(t, other, synth(t, 5000, 9), archive.CreateOptions{})
	handler := newHandler(t, other)
	var theirs Document
	if err := json.Unmarshal(body200(t, ask(t, handler, "GET", "/snapshots")), &theirs); err != nil {
		t.Fatal(err)
	}
	return hostile{func(x *exchange) bool {
		if isList(x.r) {
			return x.document(func(d *Document) {
				d.Snapshots[0].Size, d.Snapshots[0].Files = theirs.Snapshots[0].Size, theirs.Snapshots[0].Files
			})
		}
		r := x.r.Clone(x.r.Context())
		r.URL.Path = "/snapshots/" + e.Files()[0].String()
		handler.ServeHTTP(x.ResponseWriter, r)
		return true
	}, true, "what it sent as"}
}

// Hazard 73: a drip of one byte a second, in the body or after it began.
func TestDripOfBytes(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 5000)
	good := serve(t, from, nil)
	for name, drip := range map[string]func(x *exchange){
		"a byte, and then nothing": func(x *exchange) {
			x.part(x.file()[:1])
			_ = http.NewResponseController(x.ResponseWriter).Flush()
			<-x.r.Context().Done()
		},
		"a piece, and then nothing": func(x *exchange) {
			x.part(x.file()[:piece+1])
			_ = http.NewResponseController(x.ResponseWriter).Flush()
			<-x.r.Context().Done()
		},
	} {
		slow := serve(t, from, func(w http.ResponseWriter, r *http.Request) bool {
			return onFile(drip)(&exchange{w, r, t, from, Document{}})
		})
		a := newArchive(t)
		c := config(a, slow, good)
		c.Window = time.Second
		r := fetchAll(t, c)
		if !errors.Is(r.Peers[0].Err, errSlow) || r.Peers[0].Lied || r.Peers[0].Bytes+r.Peers[1].Bytes != e.Size {
			t.Errorf("%s: %+v", name, r.Peers)
		}
		has(t, a, from, e)
	}
}

// An incremental that is sound in itself and does not fit its base is found out
// before it is published.
func TestIncrementalThatDoesNotFit(t *testing.T) {
	from := newArchive(t)
	base := full(t, from, 3000)
	// Its header names our base; its epoch is below that.
	path := filepath.Join(t.TempDir(), "x")
	w, err := snapshot.Create(path, snapshot.Header{
		Stamp: recovery.Stamp{Network: "test", Epoch: 0, Position: 3100},
		Base:  &recovery.Ancestor{Position: base.Position, Digest: base.Bound.Digest},
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	name := archive.Name{Kind: snapshot.Incremental, Base: 3000, Position: 3100, Digest: archive.ShortOf(w.Bound().Digest)}
	if err := os.Rename(path, filepath.Join(from.Dir(), archive.File{Name: name}.String())); err != nil {
		t.Fatal(err)
	}
	s := serve(t, from, nil)
	a := newArchive(t)
	failed := fails(t, config(a, s))
	if !failed.Peers[0].Lied || !errors.Is(failed, ErrNoAnswer) {
		t.Errorf("%v", failed)
	}
	has(t, a, from, base) // that one is good
}

// What does not fit here is told, with who offers it. Where events go on from
// something else, that is taken instead.
func TestTooLargeForUs(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 5000)
	good := serve(t, from, nil)
	bad := serve(t, from, func(w http.ResponseWriter, r *http.Request) bool {
		x := &exchange{w, r, t, from, Document{Version: DocumentVersion, Network: "test", Piece: MaxPiece}}
		return x.document(func(d *Document) {
			l := Listed{Kind: "full", Position: 6000, Epoch: 1, Digest: recovery.Digest{1}, Size: MaxFile / 4}
			l.Name = fmt.Sprintf("full-6000-%v", archive.ShortOf(l.Digest))
			l.Files = []ListedFile{{Size: l.Size, Pieces: make([]Sum, (l.Size+MaxPiece-1)/MaxPiece)}}
			d.Snapshots = []Listed{l}
		})
	})
	a := newArchive(t)
	var space *archive.SpaceError
	if err := fails(t, config(a, bad)); !errors.As(err, &space) || space.Need != MaxFile/4 {
		t.Errorf("%v", err)
	}
	if err := fails(t, config(a, bad, good)); !errors.As(err, &space) || !strings.Contains(err.Error(), bad.URL) {
		t.Errorf("an older one instead: %v", err)
	}
	c := config(a, bad, good)
	c.Covers = func(uint64) bool { return true }
	fetchAll(t, c)
	has(t, a, from, e)
}

// A list that gives a snapshot of another network out as one of ours.
func TestContentOfAnotherNetwork(t *testing.T) {
	other := newArchive(t)
	fullOf(t, other, foreign(t, 5000), archive.CreateOptions{})
	s := serve(t, other, nil)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if !isList(r) {
			return false
		}
		text := body200(t, ask(t, newHandler(t, other), "GET", "/snapshots"))
		_, _ = w.Write(bytes.Replace(text, []byte(`"other"`), []byte(`"test"`), 1))
		return true
	}
	a := newArchive(t)
	c := config(a, s)
	c.Network = "test"
	if failed := fails(t, c); !failed.Peers[0].Lied || !strings.Contains(failed.Error(), "other@5000") {
		t.Errorf("%v", failed)
	}
	if len(entries(t, a)) != 0 {
		t.Errorf("%+v", entries(t, a))
	}
}
