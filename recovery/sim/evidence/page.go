package evidence

import (
	"bufio"
	"bytes"
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

// Skips are the entries in which nothing was tried.
func (p Page) Skips() (skips []Entry) {
	for _, e := range p.Entries {
		if e.Skipped != "" {
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
	fmt.Fprintf(b, `# What was tried, and what it found

Written by `+"`make evidence`"+`; do not edit. Commit %s, %s, on %s, in %v.

**%d violations. %d things were tried, %d more were skipped** (below, each with its reason; a skip is not a pass).

## What was tried
| proof | what | tried | violations | notes |
|---|---|---|---|---|
`, p.Commit, p.At.UTC().Format("2006-01-02 15:04 MST"), p.Machine, took.Round(time.Second), p.Violations(), len(p.Entries)-len(p.Skips()), len(p.Skips()))
	for _, e := range p.sorted() {
		if e.Skipped == "" {
			fmt.Fprintf(b, "| %s | %s | %s %s | %d | %s |\n", e.Layer, cell(e.What), thousands(e.Tried), e.Unit, e.Violations, cell(e.Detail))
		}
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

// layers is the order of the page; others come after them.
var layers = []string{
	"simulation", "planted bugs", "model", "crash states", "kills", "power", "faults", "corruption", "peers", "properties", "fuzzing", "security",
}

func (p Page) sorted() []Entry {
	rank := func(e Entry) int {
		if i := slices.Index(layers, e.Layer); i >= 0 {
			return i
		}
		return len(layers)
	}
	return slices.SortedStableFunc(slices.Values(p.Entries), func(a, b Entry) int { return rank(a) - rank(b) })
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
