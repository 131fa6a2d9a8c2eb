package crashstate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is a history in a few words: "create a", "write a 0 text", "truncate a 3",
// "rename a b", "link a b", "mkdir d", "nameless /1", "remove a", "sync a", "syncall", "note x".
func written(t *testing.T, lines ...string) (h History) {
	t.Helper()
	for _, line := range lines {
		w := append(strings.SplitN(line, " ", 4), "", "", "")
		o := Op{Path: w[1]}
		var err error
		switch w[0] {
		case "create":
			o.Kind = Create
		case "nameless":
			o.Kind = Nameless
		case "mkdir":
			o.Kind = Mkdir
		case "write":
			o.Kind, o.Data = Write, []byte(w[3])
			_, err = fmt.Sscan(w[2], &o.Off)
		case "truncate":
			o.Kind = Truncate
			_, err = fmt.Sscan(w[2], &o.Size)
		case "rename":
			o.Kind, o.To = Rename, w[2]
		case "link":
			o.Kind, o.To = Link, w[2]
		case "remove":
			o.Kind = Remove
		case "sync":
			o.Kind = Sync
		case "syncall":
			o.Kind, o.Path = SyncAll, "."
		case "note":
			o.Kind, o.Text = Note, w[1]
		default:
			err = errors.New("what?")
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		h.Add(o)
	}
	return h
}

// read returns a file's bytes, "-" where it is not there.
func read(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "-"
	}
	return string(b)
}

// outcomes are what a file, or several, may hold at the end of a history.
func outcomes(t *testing.T, h History, names ...string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	end := 0
	for _, op := range h {
		if op.Kind == Note {
			end++
		}
	}
	_, err := Explore(t.Context(), h, scratch(t), Options{Workers: 1}, func(dir string, notes []string) error {
		if len(notes) < end {
			return nil
		}
		var texts []string
		for _, name := range names {
			texts = append(texts, strings.ReplaceAll(read(dir, name), "\x00", "0"))
		}
		all[strings.Join(texts, " ")] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDisk(t *testing.T) {
	for name, tt := range map[string]struct {
		history []string
		files   string
		may     string // outcomes, each must occur
		mayNot  string
	}{
		"nothing flushed":         {[]string{"create a", "write a 0 abcd"}, "a", "-,,abcd,0000,ab,00cd", "abc0"},
		"a file's name":           {[]string{"create a", "write a 0 abcd", "sync a"}, "a", "-,abcd", "ab,"},
		"a file":                  {[]string{"create a", "write a 0 abcd", "sync a", "sync ."}, "a", "abcd", "-,,ab"},
		"a name without bytes":    {[]string{"create a", "write a 0 abcd", "sync ."}, "a", ",abcd,0000", "-"},
		"everything":              {[]string{"create a", "write a 0 abcd", "syncall"}, "a", "abcd", "-,,ab"},
		"overwritten":             {[]string{"create a", "write a 0 abcd", "syncall", "write a 1 XY"}, "a", "abcd,aXYd,aXcd,abYd", "a00d,-"},
		"out of order":            {[]string{"create a", "syncall", "write a 0 ab", "write a 2 cd"}, "a", "00cd,ab,abcd,", "-"},
		"cut":                     {[]string{"create a", "write a 0 abcd", "syncall", "truncate a 1"}, "a", "a,abcd", "ab"},
		"rename before flush":     {[]string{"create t", "write t 0 abcd", "sync .", "rename t a", "sync ."}, "a", "abcd,", "-"},
		"rename":                  {[]string{"create t", "write t 0 abcd", "syncall", "rename t a"}, "a t", "abcd -,- abcd", "- -,abcd abcd"},
		"rename over":             {[]string{"create a", "write a 0 old", "create t", "write t 0 new", "syncall", "rename t a"}, "a t", "old new,new -", "- new,- -"},
		"rename elsewhere":        {[]string{"mkdir d", "create t", "write t 0 abcd", "syncall", "rename t d/a", "sync d"}, "d/a t", "abcd -,abcd abcd", "- abcd,- -"},
		"rename, old name synced": {[]string{"mkdir d", "create t", "write t 0 abcd", "syncall", "rename t d/a", "sync ."}, "d/a t", "abcd -", "- -,- abcd"},
		"a directory":             {[]string{"mkdir d", "create d/a", "write d/a 0 abcd", "sync d/a", "sync d"}, "d/a", "-,abcd", "ab"},
		"removed":                 {[]string{"create a", "write a 0 abcd", "syncall", "remove a"}, "a", "-,abcd", "ab"},
		"two names":               {[]string{"create a", "write a 0 abcd", "syncall", "link a b"}, "a b", "abcd -,abcd abcd", "- abcd"},
	} {
		t.Run(name, func(t *testing.T) {
			got := outcomes(t, append(written(t, tt.history...), written(t, "note end")[0].after(tt.history)), strings.Fields(tt.files)...)
			for want := range strings.SplitSeq(tt.may, ",") {
				if !got[want] {
					t.Errorf("%q never was", want)
				}
			}
			for not := range strings.SplitSeq(tt.mayNot, ",") {
				if got[not] && !strings.Contains(","+tt.may+",", ","+not+",") {
					t.Errorf("%q was there", not)
				}
			}
		})
	}
}

// after moves an operation behind a history of that many.
func (o Op) after(lines []string) Op {
	o.Begin, o.End = 2*len(lines), 2*len(lines)+1
	return o
}

// A flush covers what had ended before it began, and holds from its end on.
func TestFlushBesideAWrite(t *testing.T) {
	h := History{
		{Kind: Create, Path: "a", Begin: 0, End: 1},
		{Kind: SyncAll, Path: ".", Begin: 2, End: 3},
		{Kind: Write, Path: "a", Data: []byte("abcd"), Begin: 4, End: 6},
		{Kind: Sync, Path: "a", Begin: 5, End: 7},
		{Kind: Note, Text: "end", Begin: 8, End: 9},
	}
	if got := outcomes(t, h, "a"); !got[""] || !got["abcd"] {
		t.Errorf("a write that the flush overtook: %v", got)
	}
	h[2].End, h[3].Begin = 5, 6
	if got := outcomes(t, h, "a"); len(got) != 1 || !got["abcd"] {
		t.Errorf("a write before the flush: %v", got)
	}
	h[3].End, h[4].Begin = Never, 100
	if got := outcomes(t, h, "a"); !got[""] {
		t.Errorf("a flush that never ended: %v", got)
	}
}

// The ways in which a file is published wrongly are refuted, and the right one is not.
func TestBites(t *testing.T) {
	whole := func(dir string, notes []string) error {
		if text := read(dir, "a"); text != "content" && (text != "-" || len(notes) > 0) {
			return fmt.Errorf("it holds %q after %q", text, notes)
		}
		return nil
	}
	publish := func(steps ...string) error {
		h := written(t, append(append([]string{"create t", "nameless /1", "write t 0 content", "write /1 0 content"}, steps...), "note published")...)
		_, err := Explore(t.Context(), h, scratch(t), Options{}, whole)
		return err
	}
	for _, right := range [][]string{
		{"sync t", "rename t a", "sync ."}, {"sync /1", "link /1 a", "sync ."}, {"syncall", "link /1 a", "syncall"},
		{"sync /1", "link /1 t2", "rename t2 a", "sync ."}, // over what may be there
	} {
		if err := publish(right...); err != nil {
			t.Errorf("the right way: %v", err)
		}
	}
	for name, steps := range map[string][]string{
		"no fsync":                        {"rename t a", "sync ."},
		"no directory fsync":              {"sync t", "rename t a"},
		"rename before fsync":             {"rename t a", "sync a", "sync ."},
		"no fsync before a link":          {"link /1 a", "sync ."},
		"no directory fsync after a link": {"sync /1", "link /1 a", "sync /1"},
		"link before fsync":               {"link /1 a", "sync /1", "sync ."},
		"link before syncfs, named":       {"link /1 a", "sync .", "syncall"},
	} {
		var v *Violation
		if err := publish(steps...); !errors.As(err, &v) || len(v.Fates) == 0 {
			t.Errorf("%s is not refuted: %v", name, err)
		}
	}
}

// Where there are too many states a sample is drawn, the same one for a seed.
func TestSamples(t *testing.T) {
	lines := []string{"mkdir d"}
	for i := range 12 {
		lines = append(lines, fmt.Sprintf("create d/%d", i), fmt.Sprintf("write d/%d 0 text", i))
	}
	h := written(t, lines...)
	sums := func(seed uint64) (Result, []byte) {
		var all bytes.Buffer
		r, err := Explore(t.Context(), h, scratch(t), Options{Seed: seed, Workers: 1, Samples: 12}, func(dir string, _ []string) error {
			names, err := filepath.Glob(filepath.Join(dir, "d", "*"))
			fmt.Fprint(&all, len(names), read(dir, "d/7"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return r, all.Bytes()
	}
	r, first := sums(1)
	again, second := sums(1)
	_, other := sums(2)
	if r != again || !bytes.Equal(first, second) || bytes.Equal(first, other) {
		t.Errorf("%v, then %v", r, again)
	}
	if r.Whole >= r.Moments || r.States < 5*r.Moments {
		t.Errorf("drawn: %v", r)
	}
}
