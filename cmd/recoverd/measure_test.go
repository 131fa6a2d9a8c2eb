package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	measure    = flag.Bool("measure", false, "take the measurements of TestMeasure: some minutes, 2 GB of disk")
	measureOut = flag.String("measure-out", "", "file that TestMeasure writes its table to, as Markdown")
)

// TestMeasure takes the measurements that the README quotes. What is compared
// runs in turns within this process, and the ratio is what counts: the absolute
// figures are those of one machine, which others may be using too. Counts are
// asserted, times never.
//
// Everything lies in one directory that is removed at the very end: creating
// files after a mass delete costs ext4 a multiple.
func TestMeasure(t *testing.T) {
	if !*measure {
		t.Skip("run make bench")
	}
	m := &measurement{dir: t.TempDir()}
	t.Run("StoredScan", m.storedScan)
	t.Run("Writing", m.writing)
	t.Run("Neighbour", m.neighbour)
	t.Run("Large", m.large)
	t.Run("Restart", m.restart)
	t.Run("Saving", m.saving)
	t.Run("Memory", m.memory)
	t.Run("Heap", m.heap)
	t.Run("Hedging", m.hedging)
	t.Run("Latency", m.latency)
	t.Run("Nearby", m.nearby)
	m.print(t)
}

// measurement is one run of TestMeasure: where it works and what it found.
type measurement struct {
	dir   string
	found []finding
	made  map[string]network // by name
	lives int                // of nodes that fetched from afar
}

// finding is one line of the table.
type finding struct {
	what   string
	value  string // a ratio or a share wherever there is one
	target string // "" for what is only told
	rounds int
	detail string // absolute figures
}

func (m *measurement) add(t testing.TB, f finding) {
	t.Helper()
	m.found = append(m.found, f)
	t.Logf("%s: %s (target %s, n=%d); %s", f.what, f.value, cmp.Or(f.target, "none"), f.rounds, f.detail)
}

// print writes the table to the log and to the file that was asked for.
func (m *measurement) print(t testing.TB) {
	t.Helper()
	var plain, markdown strings.Builder
	table := tabwriter.NewWriter(&plain, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what\tfound\ttarget\tn\tfigures")
	fmt.Fprintln(&markdown, "| what | found | target | n | figures |\n|---|---|---|---|---|")
	for _, f := range m.found {
		target := cmp.Or(f.target, "-")
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", f.what, f.value, target, f.rounds, f.detail)
		fmt.Fprintf(&markdown, "| %s | %s | %s | %d | %s |\n", f.what, f.value, target, f.rounds, f.detail)
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("medians, least and most in brackets:\n%s", plain.String())
	if *measureOut == "" {
		return
	}
	if err := os.WriteFile(*measureOut, []byte(markdown.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// series is what one of the compared things took, round by round.
type series []time.Duration

// takeTurns runs the tasks n times each. Every round begins with another one, so
// that none always follows the same.
func takeTurns(n int, tasks ...func() time.Duration) []series {
	took := make([]series, len(tasks))
	for round := range n {
		for i := range tasks {
			at := (round + i) % len(tasks)
			took[at] = append(took[at], tasks[at]())
		}
	}
	return took
}

// over returns how many times longer s took than o, round by round: what
// disturbs a round disturbs both.
func (s series) over(o series) spread {
	ratios := make(spread, len(s))
	for i := range s {
		ratios[i] = float64(s[i]) / float64(o[i])
	}
	return ratios
}

func (s series) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func (s series) String() string { return roundTime(s.median()).String() }

// perSecond says how many of n things a second the median makes.
func (s series) perSecond(n int) string {
	return fmt.Sprintf("%.2f M/s", float64(n)/s.median().Seconds()/1e6)
}

// roundTime keeps three digits of what matters.
func roundTime(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Microsecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

// spread is a value of each round.
type spread []float64

func (s spread) median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// times formats ratios, percent shares.
func (s spread) times() string {
	return fmt.Sprintf("%.2f times (%.2f to %.2f)", s.median(), slices.Min(s), slices.Max(s))
}

func (s spread) percent() string {
	return fmt.Sprintf("%.2f %% (%.2f to %.2f)", 100*s.median(), 100*slices.Min(s), 100*slices.Max(s))
}
