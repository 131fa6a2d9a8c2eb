package transfer

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// ask answers one request.
func ask(t testing.TB, h http.Handler, method, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body200(t testing.TB, resp *http.Response) []byte {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %.200s, %v", resp.Status, text, err)
	}
	return text
}

func newHandler(t testing.TB, a *archive.Archive) *Handler {
	t.Helper()
	h, err := NewHandler(a, HandlerConfig{Piece: piece})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHandlerLists(t *testing.T) {
	a := newArchive(t)
	h := newHandler(t, a)
	if text := string(body200(t, ask(t, h, "GET", "/snapshots"))); text != `{"version":1,"network":"","piece":65536,"snapshots":[]}` {
		t.Errorf("nothing is listed as %s", text)
	}
	base := full(t, a, 2000)
	want := []archive.Entry{
		fullOf(t, a, synth(t, 4000, 1), archive.CreateOptions{MaxChunk: snapshot.MinChunk}), over(t, a, base, 2500), base,
	}
	resp := ask(t, h, "GET", "/snapshots")
	network, offers, err := readDocument(resp.Body)
	if err != nil || network != "test" || len(offers) != len(want) {
		t.Fatalf("%q, %d offers, %v", network, len(offers), err)
	}
	for i, o := range offers {
		if diff := cmp.Diff(want[i], o.Entry); diff != "" {
			t.Errorf("%v (-want +got):\n%s", want[i].Name, diff)
		}
		for j, f := range o.Files() {
			content := body200(t, ask(t, h, "GET", "/snapshots/"+f.String()))
			if int64(len(content)) != o.files[j].Size {
				t.Errorf("%v has %d bytes, listed are %d", f, len(content), o.files[j].Size)
			}
		}
	}
	if want[0].Chunks < 2 || len(offers[2].files[0].Pieces) < 2 {
		t.Errorf("%d chunks, %d pieces: too few to tell", want[0].Chunks, len(offers[2].files[0].Pieces))
	}
}

func TestHandlerServes(t *testing.T) {
	a := newArchive(t)
	h := newHandler(t, a)
	path := "/snapshots/" + full(t, a, 2000).Files()[0].String()
	content, err := os.ReadFile(filepath.Join(a.Dir(), filepath.Base(path)))
	if err != nil {
		t.Fatal(err)
	}
	resp := ask(t, h, "GET", path)
	etag := resp.Header.Get("ETag")
	if string(body200(t, resp)) != string(content) || len(etag) != 66 || etag[0] != '"' {
		t.Errorf("ETag %s", etag)
	}
	for name, c := range map[string]struct {
		headers []string
		status  int
		want    string
	}{
		"the middle":           {[]string{"Range", "bytes=10-19"}, 206, string(content[10:20])},
		"the end":              {[]string{"Range", "bytes=100000-"}, 206, string(content[100000:])},
		"of these bytes":       {[]string{"Range", "bytes=10-19", "If-Range", etag}, 206, string(content[10:20])},
		"of others":            {[]string{"Range", "bytes=10-19", "If-Range", `"x"`}, 200, string(content)},
		"beyond":               {[]string{"Range", "bytes=9999999-"}, 416, ""},
		"known":                {[]string{"If-None-Match", etag}, 304, ""},
		"no tricks with types": {[]string{"Accept-Encoding", "gzip"}, 200, string(content)},
	} {
		resp := ask(t, h, "GET", path, c.headers...)
		text, err := io.ReadAll(resp.Body)
		if resp.StatusCode != c.status || err != nil || c.want != "" && string(text) != c.want {
			t.Errorf("%s: %s, %d bytes, %v", name, resp.Status, len(text), err)
		}
	}
	if resp := ask(t, h, "HEAD", path); resp.StatusCode != 200 || resp.Header.Get("ETag") != etag || resp.ContentLength != int64(len(content)) {
		t.Errorf("HEAD: %+v", resp)
	}
}

// Only complete snapshots are served, and nothing of this machine is told.
// Hazard 49: no leftover is.
func TestHandlerRefuses(t *testing.T) {
	a := newArchive(t)
	h := newHandler(t, a)
	e := full(t, a, 2000)
	put := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(a.Dir(), name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content := body200(t, ask(t, h, "GET", "/snapshots/"+e.Files()[0].String()))
	damaged := "full-2001-0123456789abcdef.rsnap"
	put(damaged, content)
	put("full-2002-0123456789abcdef.2of3.rsnap", content)
	put(".full-2003-0123456789abcdef.rsnap.X.rsnap-tmp", content)
	put("secret", content)
	for path, status := range map[string]int{
		"/snapshots/" + damaged:                                    404,
		"/snapshots/full-2002-0123456789abcdef.2of3.rsnap":         404,
		"/snapshots/full-2002-0123456789abcdef.1of3.rsnap":         404,
		"/snapshots/full-2004-0123456789abcdef.rsnap":              404,
		"/snapshots/.full-2003-0123456789abcdef.rsnap.X.rsnap-tmp": 400,
		"/snapshots/secret":                                        400,
		"/snapshots/..%2f..%2fetc%2fpasswd":                        400,
		"/snapshots/" + strings.TrimSuffix(e.Name.String(), ""):    400,
		"/snapshots/full-2000-..%2f..%2f..%2fetc%2fpasswd.rsnap":   400,
		"/snapshots/" + strings.Repeat("a", 5000):                  400,
		"/snapshots/" + e.Files()[0].String() + "/x":               404,
		"/": 404,
		"/snapshots/full-2000-0123456789abcdef.rsnap%00":                     400,
		"/snapshots/" + strings.ToUpper(e.Files()[0].String()):               400,
		"/snapshots/" + strings.Replace(e.Files()[0].String(), "-", "-0", 1): 400,
	} {
		resp := ask(t, h, "GET", path)
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || strings.Contains(string(text), a.Dir()) || strings.Contains(string(text), "rsnap\x89") {
			t.Errorf("%.80s: %s, %.100s; want %d", path, resp.Status, text, status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if resp := ask(t, h, method, "/snapshots"); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", method, resp.Status)
		}
	}
	if err := os.RemoveAll(a.Dir()); err != nil {
		t.Fatal(err)
	}
	resp := ask(t, h, "GET", "/snapshots")
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 500 || strings.Contains(string(text), a.Dir()) {
		t.Errorf("%s: %s", resp.Status, text)
	}
}

// The sums of a file are computed once, and forgotten with the file.
func TestSumsAreKept(t *testing.T) {
	a := newArchive(t)
	h := newHandler(t, a)
	old := full(t, a, 1000)
	first, err := h.shelf.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := h.shelf.look(t.Context()); err != nil || again != first {
		t.Errorf("made again without a change: %v", err)
	}
	for id := range h.shelf.sums { // a false one shows that it is not computed again
		h.shelf.sums[id].Pieces[0][0] ^= 1
	}
	full(t, a, 1100)
	full(t, a, 1200)
	second, err := h.shelf.look(t.Context())
	if err != nil || len(second.document.Snapshots) != 3 || len(h.shelf.sums) != 3 {
		t.Fatalf("%d snapshots, %d sums, %v", len(second.document.Snapshots), len(h.shelf.sums), err)
	}
	if second.document.Snapshots[2].Files[0].Pieces[0] != first.document.Snapshots[0].Files[0].Pieces[0] {
		t.Error("the sums were computed again")
	}
	if _, err := a.Prune(t.Context(), archive.Policy{}); err != nil {
		t.Fatal(err)
	}
	third, err := h.shelf.look(t.Context())
	if err != nil || len(third.document.Snapshots) != 2 || len(h.shelf.sums) != 2 {
		t.Errorf("%d snapshots, %d sums, %v", len(third.document.Snapshots), len(h.shelf.sums), err)
	}
	if resp := ask(t, h, "GET", "/snapshots/"+old.Files()[0].String()); resp.StatusCode != 404 {
		t.Errorf("what was pruned: %s", resp.Status)
	}
}

// A file that was replaced after it was opened is not sent as the new one.
func TestReplacedFile(t *testing.T) {
	a := newArchive(t)
	h := newHandler(t, a)
	f := full(t, a, 1000).Files()[0]
	held, err := a.OpenFile(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := h.shelf.find(t.Context(), f.String(), held); err != nil {
		t.Errorf("before: %v", err)
	}
	content, err := os.ReadFile(held.Name())
	if err == nil {
		err = errors.Join(os.WriteFile(held.Name()+"x", content, 0o644), os.Rename(held.Name()+"x", held.Name()))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.shelf.find(t.Context(), f.String(), held); !errors.Is(err, archive.ErrGone) {
		t.Errorf("after: %v", err)
	}
}

// What cannot be read now is looked at again.
func TestUnreadableIsLookedAtAgain(t *testing.T) {
	a := newArchive(t)
	h := newHandler(t, a)
	full(t, a, 1000)
	first, err := h.shelf.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first.partial = true
	if again, err := h.shelf.look(t.Context()); err != nil || again == first || again.partial {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestHandlerIsBounded(t *testing.T) {
	a := newArchive(t)
	full(t, a, 1000)
	h, err := NewHandler(a, HandlerConfig{Piece: piece, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	h.slots <- struct{}{}
	resp := ask(t, h, "GET", "/snapshots")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	<-h.slots
	body200(t, ask(t, h, "GET", "/snapshots"))
	for _, c := range []HandlerConfig{{Piece: 1}, {Piece: MaxPiece + 1}, {Concurrency: -1}, {MinSpeed: -1}, {Grace: -1}} {
		if h, err := NewHandler(a, c); err == nil {
			t.Errorf("%+v: %+v", c, h)
		}
	}
}

// Two networks in one directory are nobody's to choose from.
func TestHandlerRefusesNetworks(t *testing.T) {
	a := newArchive(t)
	full(t, a, 1000)
	fullOf(t, a, foreign(t, 1001), archive.CreateOptions{})
	if resp := ask(t, newHandler(t, a), "GET", "/snapshots"); resp.StatusCode != 500 {
		t.Errorf("%s", resp.Status)
	}
}

// Hazard 67: what is being sent is not pruned.
func TestWhatIsSentIsNotPruned(t *testing.T) {
	a := newArchive(t)
	old := full(t, a, 1000)
	full(t, a, 1100)
	h := newHandler(t, a)
	body200(t, ask(t, h, "GET", "/snapshots"))
	w := &blocked{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(w, httptest.NewRequest("GET", "/snapshots/"+old.Files()[0].String(), nil))
	}()
	<-w.begun
	verdicts, err := a.Prune(t.Context(), archive.Policy{Fulls: 1})
	if err != nil || !verdicts[0].Keep || verdicts[0].Reason != archive.KeepInUse {
		t.Errorf("%+v, %v", verdicts, err)
	}
	close(w.free)
	<-done
	if int64(w.Body.Len()) != old.Size {
		t.Errorf("%d bytes were sent of %d", w.Body.Len(), old.Size)
	}
	if _, err := a.Prune(t.Context(), archive.Policy{Fulls: 1}); err != nil || len(entries(t, a)) != 1 {
		t.Errorf("%d left, %v", len(entries(t, a)), err)
	}
}

// blocked is a client that reads nothing until it is told to.
type blocked struct {
	*httptest.ResponseRecorder
	begun, free chan struct{}
}

func (b *blocked) Write(p []byte) (int, error) {
	select {
	case <-b.begun:
	default:
		close(b.begun)
	}
	<-b.free
	return b.ResponseRecorder.Write(p)
}

func TestDocuments(t *testing.T) {
	a := newArchive(t)
	base := full(t, a, 2000)
	over(t, a, base, 2100)
	text := body200(t, ask(t, newHandler(t, a), "GET", "/snapshots"))
	if _, offers, err := readDocument(strings.NewReader(string(text))); err != nil || len(offers) != 2 {
		t.Fatalf("%d offers, %v", len(offers), err)
	}
	edit := func(change func(d map[string]any, full, incr map[string]any)) string {
		var d map[string]any
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		all := d["snapshots"].([]any)
		change(d, all[1].(map[string]any), all[0].(map[string]any))
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		// The version comes first.
		v, _ := json.Marshal(d["version"])
		return strings.Replace(strings.Replace(string(out), `,"version":`+string(v), "", 1), "{", `{"version":`+string(v)+",", 1)
	}
	file := func(s map[string]any) map[string]any { return s["files"].([]any)[0].(map[string]any) }
	for name, doc := range map[string]string{
		"empty":               "",
		"page for a browser":  "<!doctype html><title>Sign in</title>",
		"null":                "null",
		"array":               "[]",
		"no version":          "{}",
		"other version":       edit(func(d, _, _ map[string]any) { d["version"] = 2 }),
		"version later":       `{"network":"test","version":1}`,
		"unknown key":         edit(func(d, _, _ map[string]any) { d["x"] = 1 }),
		"unknown key in one":  edit(func(_, f, _ map[string]any) { f["x"] = 1 }),
		"unknown key in file": edit(func(_, f, _ map[string]any) { file(f)["x"] = 1 }),
		"cut":                 string(text[:len(text)/2]),
		"something after it":  string(text) + "x",
		"another after it":    string(text) + string(text),
		"no network":          edit(func(d, _, _ map[string]any) { d["network"] = "" }),
		"long network":        edit(func(d, _, _ map[string]any) { d["network"] = strings.Repeat("n", 129) }),
		"tiny pieces":         edit(func(d, _, _ map[string]any) { d["piece"] = 1 }),
		"huge pieces":         edit(func(d, _, _ map[string]any) { d["piece"] = 1 << 40 }),
		"twice":               edit(func(d, f, _ map[string]any) { d["snapshots"] = []any{f, f} }),
		"many":                edit(func(d, f, _ map[string]any) { d["snapshots"] = make([]any, MaxSnapshots+1) }),
		"no name":             edit(func(_, f, _ map[string]any) { f["name"] = "" }),
		"path for a name":     edit(func(_, f, _ map[string]any) { f["name"] = "../full-2000-0123456789abcdef" }),
		"other kind":          edit(func(_, f, _ map[string]any) { f["kind"] = "incremental" }),
		"other position":      edit(func(_, f, _ map[string]any) { f["position"] = 2001 }),
		"other base":          edit(func(_, _, i map[string]any) { i["base"] = 1999 }),
		"other digest":        edit(func(_, f, _ map[string]any) { f["digest"] = strings.Repeat("ab", 32) }),
		"long digest":         edit(func(_, f, _ map[string]any) { f["digest"] = strings.Repeat("ab", 33) }),
		"no base digest":      edit(func(_, _, i map[string]any) { delete(i, "base_digest") }),
		"a base digest":       edit(func(_, f, _ map[string]any) { f["base_digest"] = strings.Repeat("ab", 32) }),
		"other size":          edit(func(_, f, _ map[string]any) { f["size"] = 1 }),
		"negative size":       edit(func(_, f, _ map[string]any) { f["size"], file(f)["size"] = -1, -1 }),
		"huge size":           edit(func(_, f, _ map[string]any) { f["size"], file(f)["size"] = int64(1)<<41, int64(1)<<41 }),
		"no files":            edit(func(_, f, _ map[string]any) { f["files"] = []any{} }),
		"null files":          edit(func(_, f, _ map[string]any) { f["files"] = nil }),
		"many files":          edit(func(_, f, _ map[string]any) { f["files"] = make([]any, 513) }),
		"no pieces":           edit(func(_, f, _ map[string]any) { file(f)["pieces"] = []any{} }),
		"a piece too many": edit(func(_, f, _ map[string]any) {
			file(f)["pieces"] = append(file(f)["pieces"].([]any), strings.Repeat("ab", 32))
		}),
		"bad piece": edit(func(_, f, _ map[string]any) { file(f)["pieces"].([]any)[0] = "ab" }),
		"negative position": edit(func(_, f, _ map[string]any) {
			f["name"] = strings.Replace(f["name"].(string), "2000", "9223372036854775808", 1)
			f["position"] = json.Number("9223372036854775808")
		}),
		"endless":           `{"version":1,"network":"` + strings.Repeat("n", MaxDocument),
		"endless snapshots": `{"version":1,"snapshots":[` + strings.Repeat("{},", MaxDocument/3),
		"deep":              `{"version":1,"snapshots":` + strings.Repeat("[", MaxDocument/2),
	} {
		network, offers, err := readDocument(strings.NewReader(doc))
		wantCut := name == "cut" || name == "empty"
		if network != "" || offers != nil || !wantCut && !errors.Is(err, ErrDocument) || wantCut && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %q, %d offers, %v", name, network, len(offers), err)
		}
		if strings.HasPrefix(name, "many") || strings.HasPrefix(name, "endless") {
			if err == nil || !strings.Contains(err.Error(), "more than") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func FuzzReadDocument(f *testing.F) {
	f.Add([]byte(`{"version":1,"network":"","piece":65536,"snapshots":[]}`))
	f.Add([]byte(`{"version":1,"network":"n","piece":65536,"snapshots":[{"name":"full-1-abababababababab","kind":"full","base":0,"position":1,"epoch":1,` +
		`"digest":"` + strings.Repeat("ab", 32) + `","size":1,"files":[{"size":1,"pieces":["` + strings.Repeat("cd", 32) + `"]}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		network, offers, err := readDocument(strings.NewReader(string(text)))
		if err != nil {
			if offers != nil || network != "" {
				t.Fatal("something is returned with an error")
			}
			return
		}
		for _, o := range offers {
			total := int64(0)
			for i, f := range o.Files() {
				if _, err := archive.ParseFile(f.String()); err != nil {
					t.Fatal(err)
				}
				total += o.files[i].Size
			}
			if o.Validate() != nil || o.Size != total || o.Bound.Network != network || o.Bound.Position != o.Position {
				t.Fatalf("%+v", o)
			}
		}
	})
}
