package event_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
)

// lines are events as text.
func lines(events []event.Event) (text []byte) {
	for i := range events {
		text = event.AppendLine(text, &events[i])
	}
	return text
}

func appendTo(t testing.TB, path string, text []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

func openFiles(t testing.TB, path string) *event.Files {
	t.Helper()
	f, err := event.NewFiles(event.FilesConfig{Path: path, Network: "eventtest", PollInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFile(t *testing.T) {
	eventtest.RunSource(t, func(t *testing.T, events []event.Event) eventtest.Subject {
		path := filepath.Join(t.TempDir(), "events[1].ndjson")
		if events != nil {
			appendTo(t, path, append([]byte("{\"network\":\"eventtest\"}\n"), lines(events)...))
		}
		return eventtest.Subject{
			Source: openFiles(t, path),
			Append: func(t testing.TB, more []event.Event) { appendTo(t, path, lines(more)) },
		}
	})
}

// TestDirectory gives every file a header, a hundred events at most, and puts
// some after a pause between two files.
func TestDirectory(t *testing.T) {
	eventtest.RunSource(t, func(t *testing.T, events []event.Event) eventtest.Subject {
		dir, files := filepath.Join(t.TempDir(), "a*b[c]?"), 0
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		put := func(t testing.TB, events []event.Event) {
			for len(events) > 0 {
				n := min(len(events), 100)
				name := filepath.Join(dir, fmt.Sprintf("%04d.ndjson", files))
				appendTo(t, name, append([]byte("{\"network\":\"eventtest\"}\n"), lines(events[:n])...))
				events, files = events[n:], files+1
			}
		}
		appendTo(t, filepath.Join(dir, "0000.txt"), []byte("not one of them\n"))
		put(t, events)
		return eventtest.Subject{Source: openFiles(t, dir), Append: put}
	})
}

func TestHTTP(t *testing.T) {
	for _, network := range []string{"", "eventtest"} {
		t.Run("header "+network, func(t *testing.T) {
			eventtest.RunSource(t, func(t *testing.T, events []event.Event) eventtest.Subject {
				s := &eventtest.Server{Network: network}
				s.Append(events)
				web := httptest.NewServer(s)
				t.Cleanup(web.Close)
				return eventtest.Subject{
					Source: openHTTP(t, event.HTTPConfig{URL: web.URL + "/events?key=1"}),
					Append: func(_ testing.TB, more []event.Event) { s.Append(more) },
				}
			})
		})
	}
}

func openHTTP(t *testing.T, c event.HTTPConfig) *event.HTTP {
	t.Helper()
	c.Network, c.PollInterval = "eventtest", time.Millisecond
	h, err := event.NewHTTP(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestTornLines: a last line without an end is not an event yet; anywhere else it
// is an error that says where.
func TestTornLines(t *testing.T) {
	events := eventtest.New(21, "eventtest").Take(12)
	path := filepath.Join(t.TempDir(), "events.ndjson")
	text := lines(events)
	f := openFiles(t, path)
	written := 0
	for cut := 1; cut < len(text); cut += 1 + cut%37 {
		appendTo(t, path, text[written:cut])
		written = cut
		whole := bytes.Count(text[:cut], []byte{'\n'})
		got, tip, err := f.Read(t.Context(), 0, 100)
		if err != nil || len(got) != whole || tip != uint64(whole) {
			t.Fatalf("cut at %d: %d events, tip %d, %v; want %d", cut, len(got), tip, err, whole)
		}
		if got, _, err := f.Read(t.Context(), uint64(whole), 100); err != nil || len(got) != 0 {
			t.Fatalf("cut at %d: %d events behind the last, %v", cut, len(got), err)
		}
	}
	appendTo(t, path, text[written:])
	if got, _, err := f.Read(t.Context(), 0, 100); err != nil || len(got) != 12 {
		t.Fatalf("%d events, %v", len(got), err)
	}
}

// TestBadLines: file, line and byte are named, what comes before is read, and a
// file that was put right goes on.
func TestBadLines(t *testing.T) {
	events := eventtest.New(22, "eventtest").Take(40)
	head := "{\"network\":\"eventtest\"}\n"
	good := head + string(lines(events[:20]))
	for name, c := range map[string]struct {
		bad  string
		line int64
		says string
	}{
		"not JSON":    {"oops\n", 22, "expected {"},
		"torn":        {string(lines(events[20:21]))[:30] + string(lines(events[21:22])), 22, "malformed"},
		"empty":       {"\n", 22, "expected {"},
		"too long":    {strings.Repeat("x", event.MaxLine+1) + "\n", 22, "more than 4096 bytes"},
		"back":        {string(lines(events[18:19])), 22, "event 19 follows event 20"},
		"twice":       {string(lines(events[19:20])), 22, "event 20 follows event 20"},
		"hole":        {string(lines(events[22:30])), 22, "event 21 is missing: 23 stands in its place"},
		"two headers": {head, 22, `no "network"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events.ndjson")
			appendTo(t, path, []byte(good+c.bad))
			f := openFiles(t, path)
			if got, _, err := f.Read(t.Context(), 15, 100); err != nil || len(got) != 5 {
				t.Fatalf("before it: %d events, %v", len(got), err)
			}
			for range 2 {
				_, _, err := f.Read(t.Context(), 20, 100)
				var where *event.LineError
				if !errors.As(err, &where) {
					t.Fatal(err)
				}
				if where.Source != path || where.Line != c.line || where.Offset != int64(len(good)) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v; want line %d, byte %d: %s", err, c.line, len(good), c.says)
				}
			}
			if err := os.WriteFile(path, []byte(head+string(lines(events))), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, tip, err := f.Read(t.Context(), 20, 100); err != nil || len(got) != 20 || tip != 40 {
				t.Errorf("put right: %d events, tip %d, %v", len(got), tip, err)
			}
		})
	}
}

// TestDirectoryEnds: files that are wrong where one ends and the next begins.
func TestDirectoryEnds(t *testing.T) {
	events := eventtest.New(23, "eventtest").Take(30)
	write := func(t *testing.T, texts ...string) *event.Files {
		dir := t.TempDir()
		for i, text := range texts {
			appendTo(t, filepath.Join(dir, fmt.Sprintf("%d.ndjson", i)), []byte(text))
		}
		return openFiles(t, dir)
	}
	first, second := string(lines(events[:10])), string(lines(events[10:]))
	for name, c := range map[string]struct {
		texts []string
		says  string
	}{
		"no end":  {[]string{first[:len(first)-1], second}, "the last line has no end"},
		"overlap": {[]string{first + string(lines(events[10:12])), second}, "event 11 follows event 12"},
		"hole":    {[]string{first, string(lines(events[12:]))}, "event 11 is missing: 13 stands in its place"},
	} {
		f := write(t, c.texts...)
		got, _, err := f.Read(t.Context(), 0, 100)
		for err == nil && len(got) > 0 {
			got, _, err = f.Read(t.Context(), got[len(got)-1].Position, 100)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	f := write(t, first, "", "{\"network\":\"eventtest\",\"tip\":99}\n", second, "")
	if got, tip, err := f.Read(t.Context(), 5, 100); err != nil || len(got) != 25 || tip != 30 {
		t.Errorf("with empty files: %d events, tip %d, %v", len(got), tip, err)
	}
	f = write(t, "{\"network\":\"eventtest\",\"tip\":99}\n")
	if got, tip, err := f.Read(t.Context(), 99, 100); err != nil || len(got) != 0 || tip != 99 {
		t.Errorf("a header alone: %d events, tip %d, %v", len(got), tip, err)
	}
}

// TestFilesThatGo: a file may be replaced by one that says the same, and files be
// removed from the front.
func TestFilesThatGo(t *testing.T) {
	events := eventtest.New(24, "eventtest").Take(30)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "1.ndjson"), filepath.Join(dir, "2.ndjson")
	appendTo(t, one, lines(events[:10]))
	f := openFiles(t, dir)
	expect := func(after uint64, want []event.Event) {
		t.Helper()
		got, _, err := f.Read(t.Context(), after, 100)
		if diff := cmp.Diff(want, got); err != nil || len(want)+len(got) > 0 && diff != "" {
			t.Fatalf("after %d: %v\n%s", after, err, diff)
		}
	}
	expect(0, events[:10])
	appendTo(t, one+".new", lines(events[:15]))
	if err := os.Rename(one+".new", one); err != nil {
		t.Fatal(err)
	}
	expect(10, events[10:15])
	appendTo(t, two, lines(events[15:]))
	if err := os.Remove(one); err != nil {
		t.Fatal(err)
	}
	expect(15, events[15:])
	var missing *event.MissingError
	if _, _, err := f.Read(t.Context(), 3, 100); !errors.As(err, &missing) || missing.First != 4 || missing.Found != 16 {
		t.Errorf("what was removed: %v", err)
	}
	if err := os.WriteFile(two, nil, 0o600); err != nil { // it is behind now
		t.Fatal(err)
	}
	if _, tip, err := f.Read(t.Context(), 30, 100); err != nil || tip != 0 {
		t.Errorf("emptied: tip %d, %v", tip, err)
	}
}

// Hazard 84, the events' side.
func TestEventsOfAnotherNetwork(t *testing.T) {
	events := eventtest.New(25, "other").Take(3)
	path := filepath.Join(t.TempDir(), "events.ndjson")
	appendTo(t, path, append([]byte("{\"network\":\"other\"}\n"), lines(events)...))
	if _, _, err := openFiles(t, path).Read(t.Context(), 0, 10); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("file: %v", err)
	}
	s := &eventtest.Server{Network: "other"}
	s.Append(events)
	web := httptest.NewServer(s)
	defer web.Close()
	if _, _, err := openHTTP(t, event.HTTPConfig{URL: web.URL}).Read(t.Context(), 0, 10); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("HTTP: %v", err)
	}
}

// TestFileIsNotReadFromItsBeginning: a place far behind is found by a few looks.
func TestFileIsNotReadFromItsBeginning(t *testing.T) {
	events := eventtest.New(26, "eventtest").Take(20_000)
	path := filepath.Join(t.TempDir(), "events.ndjson")
	text := lines(events)
	middle := bytes.Index(text, []byte(`{"position":10000,`))
	copy(text[middle/2:], "garbage") // is met only by those who read it all
	appendTo(t, path, text)
	f := openFiles(t, path)
	if got, tip, err := f.Read(t.Context(), 19_000, 3); err != nil || len(got) != 3 || got[0] != events[19_000] || tip != 20_000 {
		t.Errorf("%d events, tip %d, %v", len(got), tip, err)
	}
}

// Hazards 69-73 and 75, for events: nothing that a server does wrong is taken for
// events, or for their end.
func TestServersThatMisbehave(t *testing.T) {
	events := eventtest.New(27, "eventtest").Take(20)
	text := string(lines(events))
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request)
		says  string
	}{
		"short body": {func(w http.ResponseWriter, _ *http.Request) { w.Write(lines(events[:5])[:700]) }, "the answer was cut"},
		"too many":   {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }, "more than the 10 events"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		}, "more than 4096 bytes"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302 Found"},
		"refuses":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, http.StatusTooManyRequests) }, "429 Too Many"},
		"page": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<!doctype html>\n<title>hello</title>\n")
		}, "line 1 (byte 0): event: malformed"},
		"inflates": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, text)
		}, "is encoded"},
		"other place": {func(w http.ResponseWriter, _ *http.Request) { w.Write(lines(events[3:5])) }, "event 1 is missing: 4 stands in its place"},
		"back":        {func(w http.ResponseWriter, _ *http.Request) { w.Write(lines([]event.Event{events[0], events[0]})) }, "event 1, where 2 was asked for"},
		"drips": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, text[:5])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "no whole answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(c.serve))
			defer web.Close()
			timeout := 20 * time.Second
			if name == "drips" {
				timeout = 50 * time.Millisecond
			}
			h := openHTTP(t, event.HTTPConfig{URL: web.URL, Timeout: timeout})
			got, _, err := h.Read(t.Context(), 0, 10)
			if err == nil || !strings.Contains(err.Error(), c.says) || len(got) > 0 {
				t.Errorf("%d events, %v; want %q", len(got), err, c.says)
			}
			h.Close()
		})
	}
}

// TestHTTPKeepsSecrets: a password in the URL is in no error.
func TestHTTPKeepsSecrets(t *testing.T) {
	for _, url := range []string{"http://me:hunter2@127.0.0.1:1/e", "ftp://me:hunter2@host/", "http://me:hunter2@[", "http://:hunter2@/"} {
		h, err := event.NewHTTP(event.HTTPConfig{URL: url})
		if err == nil {
			_, _, err = h.Read(context.Background(), 0, 1)
			h.Close()
		}
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestSourceConfig(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "x.ndjson"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openFiles(t, dir).Read(t.Context(), 0, 1); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory among the files: %v", err)
	}
	for _, c := range []event.FilesConfig{{}, {Path: dir, PollInterval: -1}, {Path: filepath.Join(dir, "a", "b")}} {
		if _, err := event.NewFiles(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	for _, c := range []event.HTTPConfig{{}, {URL: "x"}, {URL: "http://a", Timeout: -1}, {URL: "http://a", MaxLimit: 1 << 20}} {
		if _, err := event.NewHTTP(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
