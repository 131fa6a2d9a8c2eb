package bench

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bench is one comparison: what is fetched, where to, by whom, and what was found.
type bench struct {
	t      testing.TB
	dir    string
	rounds int
	places []place
	server *server
	cases  []*contest
	only   string // names of tools, separated by commas; empty: all
	facts  facts

	program, plain, ownership string
	proven                    map[string]bool // by tool: the bytes it wrote were read once
	small, large              *parts
}

// parts are a set's lists: of all of it, and of the last tenth.
type parts struct{ all, rest *blobSet }

// there is the share of the blobs that a resume finds, in percent.
const there = 90

// contest is one table: tools that fetch the same set into the same kind of place.
type contest struct {
	place  place
	parts  *parts
	stored int // percent that is there when they begin
	runs   []*run
}

// run is one row of it.
type run struct {
	tool *tool
	// alone: it fetches what the resume lacks, and nothing else, into an empty place.
	alone bool
	seen  []figures // by round
}

func newBench(t testing.TB, dir string, blobs, large, rounds int) *bench {
	t.Helper()
	b := &bench{t: t, dir: dir, rounds: rounds, proven: map[string]bool{}}
	b.program, b.ownership = build(t, dir), filepath.Join(dir, "ownership.yaml")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b.plain = self
	if err := os.WriteFile(b.ownership, []byte("epoch: 1\ntotal_shards: 100\nowned: \"0-99\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "source")
	sets := []*blobSet{makeSet(t, source, "small", blobs, 4<<10), makeSet(t, source, "large", large, 8<<20)}
	if err := flushAll(source); err != nil {
		t.Fatal(err)
	}
	b.server = startServer(t, dir, source)
	for i, p := range []**parts{&b.small, &b.large} {
		s := sets[i]
		*p = &parts{
			all:  s.list(t, b.program, dir, b.server.url, 0),
			rest: s.list(t, b.program, dir, b.server.url, len(s.ids)*there/100),
		}
	}
	b.facts = newFacts(b.program)
	return b
}

// run takes all rounds. Each begins with another tool, so that none always follows
// the same.
func (b *bench) run() {
	b.t.Helper()
	if b.places == nil {
		bytes := max(b.small.all.size*int64(len(b.small.all.ids)), b.large.all.size*int64(len(b.large.all.ids)))
		b.places = newPlaces(b.t, b.dir, bytes)
	}
	for _, p := range b.places {
		b.cases = append(b.cases,
			b.contest(p, b.small, 0), b.contest(p, b.large, 0), b.contest(p, b.small, there), b.contest(p, b.small, 100))
	}
	for round := range b.rounds {
		for _, c := range b.cases {
			for i := range c.runs {
				r := c.runs[(round+i)%len(c.runs)]
				f := b.once(c, r)
				r.seen = append(r.seen, f)
				b.t.Logf("round %d: %s: %s: %v, %v with a sync, cpu %v, nginx %v, peak %s",
					round+1, c.name(), r.name(), rounded(f.wall), rounded(f.flushed), rounded(f.cpu), rounded(f.server), mebibytes(f.peak))
			}
		}
	}
}

func (b *bench) contest(p place, set *parts, stored int) *contest {
	c := &contest{place: p, parts: set, stored: stored}
	for _, tl := range tools() {
		resumes := tl.name != limitName && tl.name != unsafeName // which look at nothing
		if b.only != "" && !slices.Contains(strings.Split(b.only, ","), tl.name) || stored > 0 && !resumes {
			continue
		}
		c.runs = append(c.runs, &run{tool: tl})
		if stored == there && tl.name == ours {
			c.runs = append(c.runs, &run{tool: tl, alone: true})
		}
	}
	return c
}

func (b *bench) once(c *contest, r *run) figures {
	b.t.Helper()
	dir, done := c.place.fresh(b.t)
	defer done()
	j := job{
		program: b.program, plain: b.plain, set: c.parts.all, server: b.server.url, dir: dir, ownership: b.ownership,
	}
	switch {
	case r.alone:
		j.set = c.parts.rest
	case c.stored > 0:
		b.fill(j, len(j.set.ids)*c.stored/100)
		j.resumes = true
	}
	return b.race(r.tool, j, j.set)
}
