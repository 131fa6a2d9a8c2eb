package evidence

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Step is one command of the collection, and how it ended.
type Step struct {
	Command string        // as it can be typed in the repository's root
	Took    time.Duration // wall time
	Err     string        // empty: it passed
}

// Page is all that RELIABILITY.md says.
type Page struct {
	Commit  string // what was tried; with "+changes" if the tree had any
	At      time.Time
	Machine string // cores, kernel and file system, in words
	Steps   []Step
	Entries []Entry
}

// What was found on the way, and what all this does not show, are written by hand.
var (
	//go:embed found.md
	found string
	//go:embed limits.md
	limits string
)

// Violations is the sum over all entries, and a step that failed counts as one.
func (p Page) Violations() (n uint64) {
	for _, e := range p.Entries {
		n += e.Violations
	}
	for _, s := range p.Steps {
		if s.Err != "" {
			n++
		}
	}
	return n
}

// Skips are the entries in which nothing was tried, each once, but for those that another
// command did try.
func (p Page) Skips() (skips []Entry) {
	same := func(a, b Entry) bool { return a.Layer == b.Layer && a.What == b.What }
	for _, e := range p.Entries {
		if e.Skipped != "" && !slices.ContainsFunc(skips, func(s Entry) bool { return same(s, e) && s.Skipped == e.Skipped }) &&
			!slices.ContainsFunc(p.Entries, func(o Entry) bool { return same(o, e) && o.Skipped == "" }) {
			skips = append(skips, e)
		}
	}
	return skips
}

// Write writes the page as Markdown.
func (p Page) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	took := time.Duration(0)
	for _, s := range p.Steps {
		took += s.Took
	}
	rows := p.tried()
	fmt.Fprintf(b, `# What was tried, and what it found

Written by `+"`make evidence`"+`; do not edit. Commit %s, %s, on %s, in %v.

**%d violations. %d things were tried, %d more were skipped** (each is named below with its reason; a skip is not a pass).

`, p.Commit, p.At.UTC().Format("2006-01-02 15:04 MST"), p.Machine, took.Round(time.Second), p.Violations(), len(rows), len(p.Skips()))
	p.summary(b, rows)
	for _, l := range p.layers() {
		detail(b, l, rows)
	}
	fmt.Fprint(b, "\n## What was skipped\n")
	for _, e := range p.Skips() {
		fmt.Fprintf(b, "- %s: %s: %s\n", e.Layer, cell(e.What), cell(e.Skipped))
	}
	if len(p.Skips()) == 0 {
		fmt.Fprint(b, "Nothing.\n")
	}
	fmt.Fprint(b, "\n## The commands\n| command | result | took |\n|---|---|---|\n")
	for _, s := range p.Steps {
		result := "passed"
		if s.Err != "" {
			result = "**failed**: " + s.Err
		}
		fmt.Fprintf(b, "| `%s` | %s | %v |\n", s.Command, cell(result), s.Took.Round(time.Second))
	}
	fmt.Fprintf(b, "\n%s\n%s", found, limits)
	return b.Flush()
}

// summary is one line for each kind of proof.
func (p Page) summary(w io.Writer, rows []Entry) {
	fmt.Fprint(w, "| proof | tried | violations | skipped |\n|---|---|---|---|\n")
	for _, l := range p.layers() {
		var units []string
		sums, violations, skipped := map[string]uint64{}, uint64(0), 0
		for _, e := range rows {
			if e.Layer == l.name {
				if sums[e.Unit] == 0 {
					units = append(units, e.Unit)
				}
				sums[e.Unit] += e.Tried
				violations += e.Violations
			}
		}
		for _, e := range p.Skips() {
			if e.Layer == l.name {
				skipped++
			}
		}
		for i, u := range units {
			units[i] = thousands(sums[u]) + " " + u
		}
		fmt.Fprintf(w, "| %s | %s | %d | %d |\n", l.name, strings.Join(units, ", "), violations, skipped)
	}
}

// detail is the table of one kind of proof; without the notes, if there are none.
func detail(w io.Writer, l layer, rows []Entry) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(e Entry) bool { return e.Layer != l.name })
	if len(rows) == 0 {
		return
	}
	notes := slices.ContainsFunc(rows, func(e Entry) bool { return e.Detail != "" })
	head, line := "| what | tried | violations |", "|---|---|---|"
	if notes {
		head, line = head+" notes |", line+"---|"
	}
	fmt.Fprintf(w, "\n## %s%s\n%s\n\n%s\n%s\n", strings.ToUpper(l.name[:1]), l.name[1:], l.about, head, line)
	for _, e := range rows {
		fmt.Fprintf(w, "| %s | %s %s | %d |", cell(e.What), thousands(e.Tried), e.Unit, e.Violations)
		if notes {
			fmt.Fprintf(w, " %s |", cell(e.Detail))
		}
		fmt.Fprintln(w)
	}
}

// layer is one kind of proof.
type layer struct{ name, about string }

// layers is the order of the page.
func layers() []layer {
	return []layer{
		{"simulation", "The real machine, codec and decisions in a simulated world: every invariant is looked at after every step, then the faults stop and all must complete."},
		{"planted bugs", "Faults that lost data in systems like this one are built in, one at a time. A proof that does not notice them proves nothing."},
		{"model", "What a worker remembers, in Promela: every state of the small model is searched by spin."},
		{"crash states", "Operations of the real code are recorded; what a power cut may leave of them is laid out in a directory, and read by the real code."},
		{"kills", "The real program is killed again and again, and must end with every blob."},
		{"power", "File systems are shut down under the running program, mounted again, and compared with what it claimed."},
		{"faults", "The real program under system calls that fail, stops, full and read-only disks, and limits."},
		{"corruption", "Bytes of everything that is kept are changed: no crash, no blob skipped, each one reported."},
		{"peers", "Servers that lie, cut, stall, redirect and bomb: nothing wrong is stored, and with one good peer all is recovered."},
		{"properties", "Values are drawn at random, and what must hold for all of them is looked at."},
		{"fuzzing", "Every decoder and parser is given bytes that are bred to reach new code."},
		{"races", "The packages' own tests under Go's race detector, ending with a look for goroutines left behind."},
		{"security", "Endpoints asked in every wrong way, hostile files, ids and store contents, and what we depend on."},
	}
}

// layers are those of the page, in their order; those that nobody told us about last.
func (p Page) layers() (all []layer) {
	there := func(name string) bool {
		return slices.ContainsFunc(p.Entries, func(e Entry) bool { return e.Layer == name })
	}
	for _, l := range layers() {
		if there(l.name) {
			all = append(all, l)
		}
	}
	for _, e := range p.Entries {
		if !slices.ContainsFunc(all, func(l layer) bool { return l.name == e.Layer }) {
			all = append(all, layer{name: e.Layer})
		}
	}
	return all
}

// tried are the entries of what was tried, by kind and title. What several commands tried
// counts once: as often as the one that tried it most, with the violations of all.
func (p Page) tried() (rows []Entry) {
	type key struct{ layer, what, unit string }
	most := map[key]Entry{}
	for _, e := range p.Entries {
		if e.Skipped != "" {
			continue
		}
		k := key{e.Layer, e.What, e.Unit}
		violations := most[k].Violations + e.Violations
		if before := most[k]; before.Tried > e.Tried {
			e = before
		}
		e.Violations = violations
		most[k] = e
	}
	for _, e := range most {
		rows = append(rows, e)
	}
	slices.SortFunc(rows, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.What, b.What), cmp.Compare(a.Unit, b.Unit))
	})
	return rows
}

// cell keeps text on its side of a table's bars.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

func thousands(n uint64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// readEntries reads what Record kept, one object a line.
func readEntries(data []byte) (all []Entry, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	for {
		var e Entry
		switch err := d.Decode(&e); err {
		case nil:
			all = append(all, e)
		case io.EOF:
			return all, nil
		default:
			return nil, fmt.Errorf("entry %d: %w", len(all)+1, err)
		}
	}
}
