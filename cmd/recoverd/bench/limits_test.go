package bench

import (
	"fmt"
	"time"
)

// limit is a ratio that is wanted.
type limit struct {
	what  string
	found spread
	most  bool // bound is the most, else the least
	bound float64
	unit  string // empty: a ratio
}

func (l limit) row(where string) []string {
	bound, holds := "at least ", l.found.median() >= l.bound
	if l.most {
		bound, holds = "at most ", l.found.median() <= l.bound
	}
	verdict := "no"
	if holds {
		verdict = "yes"
	}
	return []string{where, l.what, l.found.String() + l.unit, bound + fmt.Sprintf("%g", l.bound) + l.unit, verdict}
}

// limits holds what was found against what is wanted (issue 4 of this project).
func (b *bench) limits() table {
	tab := table{title: "What is wanted, and what was found", head: []string{"where", "what", "found", "wanted", "holds"}}
	for _, c := range b.cases {
		for _, l := range b.limitsOf(c) {
			if len(l.found) > 0 {
				tab.rows = append(tab.rows, l.row(c.name()))
			}
		}
	}
	return tab
}

func (b *bench) limitsOf(c *contest) []limit {
	we := c.find(ours, false)
	// against is empty where one of them was not measured.
	against := func(a *run, whatA func(figures) float64, o *run, whatO func(figures) float64) spread {
		if a == nil || o == nil {
			return nil
		}
		return over(a, whatA, o, whatO)
	}
	curl, rclone, aria := c.find("curl --parallel", false), c.find("rclone copy", false), c.find("aria2c", false)
	switch {
	case c.stored == 100:
		return []limit{
			{what: "recoverd, the whole process", found: milliseconds(we), most: true, bound: 150, unit: " ms"},
			{what: "rclone against recoverd", found: against(rclone, wall, we, wall), bound: 20},
			{what: "aria2c against recoverd", found: against(aria, wall, we, wall), bound: 20},
		}
	case c.stored > 0:
		return []limit{
			{what: "recoverd, against fetching the rest alone", found: against(we, wall, c.find(ours, true), wall), most: true, bound: 1.3},
		}
	case c.parts == b.large:
		return []limit{
			{what: "recoverd, verified and durable, against rclone and a sync", found: against(we, wall, rclone, flushed), most: true, bound: 1},
			{what: "curl and a sync against recoverd", found: against(curl, flushed, we, wall), bound: 1.4},
			{what: "recoverd's peak memory, beyond 256 MiB in flight", found: beyond(we, 256<<20), most: true, bound: 64, unit: " MiB"},
		}
	}
	return []limit{
		{what: "recoverd, verified and durable, against curl, which is neither", found: against(we, wall, curl, wall), most: true, bound: 1},
		{what: "curl and a sync against recoverd", found: against(curl, flushed, we, wall), bound: 1.2},
		{what: "rclone against recoverd", found: against(rclone, wall, we, wall), bound: 2.5},
		{what: "aria2c against recoverd", found: against(aria, wall, we, wall), bound: 15},
		{what: "recoverd against plain Go with the same flushes", found: against(we, wall, c.find(limitName, false), wall), most: true, bound: 1.25},
	}
}

func milliseconds(r *run) (s spread) {
	if r == nil {
		return nil
	}
	for _, f := range r.seen {
		s = append(s, float64(f.wall)/float64(time.Millisecond))
	}
	return s
}

func beyond(r *run, bytes float64) (s spread) {
	if r == nil {
		return nil
	}
	for _, f := range r.seen {
		s = append(s, max(float64(f.peak)-bytes, 0)/(1<<20))
	}
	return s
}
