package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
)

// facts are what the figures hold for.
type facts struct {
	when     string
	kernel   string
	cpu      string
	programs []string // with their versions
	load     string   // when it began
}

func newFacts(program string) facts {
	f := facts{when: time.Now().UTC().Format(time.DateOnly), cpu: "unknown", load: firstField("/proc/loadavg")}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		f.kernel = "Linux " + strings.SplitN(unix.ByteSliceToString(name.Release[:]), "-", 2)[0]
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, after, _ := strings.Cut(string(text), "model name")
		line, _, _ := strings.Cut(after, "\n")
		f.cpu = strings.TrimSpace(strings.TrimLeft(line, "\t :"))
	}
	commit, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		commit = []byte("of an unknown commit")
	}
	f.programs = append(f.programs, "recoverd "+strings.TrimSpace(string(commit)), runtime.Version())
	for _, line := range [][]string{{"nginx", "-v"}, {"curl", "--version"}, {"rclone", "version"}, {"aria2c", "--version"}} {
		out, _ := exec.Command(line[0], line[1:]...).CombinedOutput() // it is run below, and fails there
		first, _, _ := strings.Cut(string(out), "\n")
		first, _, _ = strings.Cut(strings.TrimPrefix(first, "nginx version: "), " (")
		f.programs = append(f.programs, first)
	}
	return f
}

func firstField(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func (f facts) String() string {
	return fmt.Sprintf("%s; %s, %d processors (%s); load %s when it began; %s", f.when, f.kernel, runtime.NumCPU(), f.cpu, f.load, strings.Join(f.programs, ", "))
}

// report is what was found, as text.
type report struct {
	facts  facts
	rounds int
	tables []table
}

// table is one contest, or the limits.
type table struct {
	title string
	head  []string
	rows  [][]string
}

func (b *bench) report() report {
	r := report{facts: b.facts, rounds: b.rounds, tables: []table{b.limits()}}
	for _, c := range b.cases {
		r.tables = append(r.tables, c.table())
	}
	about := table{title: "Who verifies, and who is durable when it says that it is done", head: []string{"", "verifies", "durable"}}
	for _, tl := range tools() {
		about.rows = append(about.rows, []string{tl.name, tl.verifies, tl.durable})
	}
	r.tables = append(r.tables, about)
	return r
}

// name says what is compared.
func (c *contest) name() string {
	at := ""
	if c.stored > 0 {
		at = fmt.Sprintf(", %d %% there already", c.stored)
	}
	return fmt.Sprintf("%s%s, on %s", c.parts.all, at, c.place.name())
}

func (r *run) name() string {
	if r.alone {
		return fmt.Sprintf("%s, the other %d %% alone", r.tool.name, 100-there)
	}
	return r.tool.name
}

func (c *contest) table() table {
	tab := table{title: c.name(), head: []string{"", "wall", "with sync -f", "against recoverd", "CPU", "nginx CPU", "peak memory"}}
	base := c.find(ours, false)
	for _, r := range c.runs {
		ratio := "-"
		if base != nil {
			ratio = over(r, wall, base, wall).String()
		}
		tab.rows = append(tab.rows, []string{
			r.name(), seconds(r.each(wall)), seconds(r.each(flushed)), ratio,
			rounded(time.Duration(r.each(cpu).median())).String(), rounded(time.Duration(r.each(served).median())).String(),
			mebibytes(uint64(r.each(peak).median())),
		})
	}
	return tab
}

func (c *contest) find(tool string, alone bool) *run {
	for _, r := range c.runs {
		if r.tool.name == tool && r.alone == alone {
			return r
		}
	}
	return nil
}

func (r report) plain() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\nmedians of %d rounds, least and most in brackets\n", r.facts, r.rounds)
	for _, tab := range r.tables {
		fmt.Fprintf(&text, "\n%s\n", tab.title)
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{tab.head}, tab.rows...) {
			fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
		}
		_ = w.Flush() // into memory
	}
	return text.String()
}

func (r report) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, `# recoverd beside rclone, aria2, curl and plain Go

Written by `+"`make bench-peers`"+`. One nginx on loopback serves the same blobs to all; within a round they take
turns; each run writes the same tree into a fresh place. Medians of %d rounds, least and most in brackets. What counts is
the ratios: the absolutes are one machine's, which others may be using too.

%s.
`, r.rounds, r.facts)
	for _, tab := range r.tables {
		fmt.Fprintf(&text, "\n## %s\n\n| %s |\n|%s\n", tab.title, strings.Join(tab.head, " | "), strings.Repeat("---|", len(tab.head)))
		for _, row := range tab.rows {
			fmt.Fprintf(&text, "| %s |\n", strings.Join(row, " | "))
		}
	}
	return text.String()
}

// spread is a value of each round.
type spread []float64

func (s spread) median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// String formats ratios.
func (s spread) String() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median(), slices.Min(s), slices.Max(s))
}

// What is looked at of a run.
func wall(f figures) float64    { return float64(f.wall) }
func flushed(f figures) float64 { return float64(f.flushed) }
func cpu(f figures) float64     { return float64(f.cpu) }
func served(f figures) float64  { return float64(f.server) }
func peak(f figures) float64    { return float64(f.peak) }

func (r *run) each(what func(figures) float64) (s spread) {
	for _, f := range r.seen {
		s = append(s, what(f))
	}
	return s
}

// over is how many times more one took than the other, round by round: what disturbs
// a round disturbs both.
func over(a *run, whatA func(figures) float64, b *run, whatB func(figures) float64) (s spread) {
	for i := range a.seen {
		s = append(s, whatA(a.seen[i])/whatB(b.seen[i]))
	}
	return s
}

func seconds(s spread) string {
	return fmt.Sprintf("%v (%v to %v)", rounded(time.Duration(s.median())), rounded(time.Duration(slices.Min(s))), rounded(time.Duration(slices.Max(s))))
}

// rounded keeps three digits of what matters.
func rounded(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Microsecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

// grouped writes 50000 as 50,000.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// What the report says follows from the figures.
func TestReport(t *testing.T) {
	b := &bench{rounds: 3, facts: facts{kernel: "Linux 6"}, small: new(parts), large: new(parts)}
	set := &parts{all: &blobSet{size: 4 << 10, ids: make([]recovery.BlobID, 50_000)}}
	b.small = set
	b.places = []place{&directories{}}
	c := b.contest(b.places[0], set, 0)
	b.cases = []*contest{c}
	for i, r := range c.runs {
		for round := range b.rounds {
			took := time.Duration(i+1) * time.Duration(round+1) * time.Second
			r.seen = append(r.seen, figures{wall: took, flushed: 2 * took, peak: 1 << 20})
		}
	}
	text := b.report().markdown()
	for _, want := range []string{
		"## 50,000 x 4 KiB, on a new directory",
		"| recoverd | 2s (1s to 3s) | 4s (2s to 6s) | 1.00 (1.00 to 1.00) | 0s | 0s | 1 MiB |",
		"| curl --parallel | 8s (4s to 12s) | 16s (8s to 24s) | 4.00 (4.00 to 4.00) |",
		"| recoverd, verified and durable, against curl, which is neither | 0.25 (0.25 to 0.25) | at most 1 | yes |",
		"| rclone against recoverd | 5.00 (5.00 to 5.00) | at least 2.5 | yes |",
		"| aria2c against recoverd | 6.00 (6.00 to 6.00) | at least 15 | no |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not there: %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}
