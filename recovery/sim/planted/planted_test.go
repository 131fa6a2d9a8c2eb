package planted

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/recovery/sim/overlay"
)

var (
	plant = flag.Bool("planted", false, "build every fault and have it caught (make planted)")
	only  = flag.String("only", "", "plant only faults whose name matches")
)

// TestTable: every fault applies to the source as it is and compiles; so none rots.
func TestTable(t *testing.T) {
	var all []overlay.Fault
	seen := map[string]bool{}
	for _, p := range All() {
		if seen[p.Name] || p.Says == "" || len(p.Edits) == 0 {
			t.Errorf("%s is there twice, or its row has gaps", p.Name)
		}
		seen[p.Name] = true
		for i, f := range p.faults() {
			f.Name += fmt.Sprint("/", i)
			all = append(all, f)
		}
		if _, err := overlay.New(t.TempDir(), p.faults()...); err != nil {
			t.Error(err)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d faults", len(seen))
	}
	if err := overlay.Check(t.Context(), t.TempDir(), all...); err != nil {
		t.Error(err)
	}
}

// caught is how a plant ended.
type caught struct {
	Plant
	tries   string
	took    time.Duration
	problem string // why it does not count as caught
	skipped string
}

// TestPlanted plants every fault, and has it caught; and runs every layer without one.
func TestPlanted(t *testing.T) {
	if !*plant {
		t.Skip("only with -planted: make planted")
	}
	match := regexp.MustCompile(*only)
	var rows []*caught
	clean := map[string]*caught{}
	for _, p := range All() {
		if !match.MatchString(p.Name) {
			continue
		}
		rows = append(rows, &caught{Plant: p})
		l := p.By.clean()
		if key := l.Package + strings.Join(l.Args, " "); clean[key] == nil {
			clean[key] = &caught{Plant: Plant{Name: "none", By: l}}
		}
	}
	jobs := make(chan func())
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for job := range jobs {
				job()
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	dir := t.TempDir()
	for i, c := range slices.AppendSeq(slices.Clone(rows), maps.Values(clean)) {
		jobs <- func() { c.run(ctx, filepath.Join(dir, strconv.Itoa(i))) }
	}
	close(jobs)
	workers.Wait()
	report(t, rows, clean)
}

// run builds the layer with the fault, if there is one, runs it, and notes how it ended.
func (c *caught) run(ctx context.Context, dir string) {
	began := time.Now()
	out, failed, err := c.build(ctx, dir)
	c.took = time.Since(began)
	switch {
	case err != nil:
		c.problem = err.Error()
	case strings.Contains(out, "--- SKIP") && !strings.Contains(out, "    --- PASS") && !failed:
		c.skipped = lastLines(out, 3)
	case c.Edits == nil && failed:
		c.problem = "it fails without a fault:\n" + lastLines(out, 40)
	case c.Edits == nil && !strings.Contains(out, "--- PASS"):
		c.problem = "it runs no test:\n" + lastLines(out, 5)
	case c.Edits == nil:
	case !failed:
		c.problem = "nothing fails:\n" + lastLines(out, 10)
	case !regexp.MustCompile(c.Says).MatchString(out):
		c.problem = fmt.Sprintf("it fails without saying %q:\n%s", c.Says, lastLines(out, 40))
	}
	c.tries = c.By.tries(out)
}

// tries reads how many tries a failing test needed.
func (l Layer) tries(out string) string {
	n := 1
	if l.Tried != nil {
		if m := l.Tried.FindStringSubmatch(out); m != nil {
			n, _ = strconv.Atoi(m[1])
			if l.Passed {
				n++
			}
		}
	}
	return fmt.Sprint(n, " ", l.Unit)
}

// build compiles and runs the layer's tests.
func (c *caught) build(ctx context.Context, dir string) (out string, failed bool, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o, err := overlay.New(dir, c.faults()...)
	if err != nil {
		return "", false, err
	}
	binary := filepath.Join(dir, "layer.test")
	if err := o.BuildTest(ctx, c.By.Package, binary); err != nil {
		return "", false, err
	}
	args := append([]string{"-test.v", "-test.timeout=5m", "-test.count=1"}, c.By.Args...)
	cmd := o.Command(ctx, c.By.Package, binary, args...)
	cmd.Env = append(os.Environ(), "RECOVERD_TEST_EVIDENCE=") // what a planted layer finds is no evidence
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return string(said), true, nil
	}
	return string(said), false, err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// report prints the table and fails for whatever was not caught.
func report(t *testing.T, rows []*caught, clean map[string]*caught) {
	t.Helper()
	var table strings.Builder
	var missed, skipped uint64
	layers := map[string]int{}
	fmt.Fprintf(&table, "%-34s %-7s %-13s %-22s %-18s %s\n", "fault", "hazard", "layer", "package", "caught after", "took")
	for _, c := range rows {
		after := c.tries
		switch {
		case c.problem != "":
			after = "NOT CAUGHT"
			missed++
			t.Errorf("%s (%s): %s", c.Name, c.What, c.problem)
		case c.skipped != "":
			after = "SKIPPED"
			skipped++
			t.Logf("%s was not tried: %s", c.Name, c.skipped)
		default:
			layers[c.By.Name]++
		}
		fmt.Fprintf(&table, "%-34s %-7d %-13s %-22s %-18s %.1f s\n", c.Name, c.Hazard, c.By.Name, filepath.Base(c.By.Package), after, c.took.Seconds())
	}
	for _, c := range clean {
		if c.problem != "" {
			t.Errorf("%s %s %v: %s", c.By.Name, c.By.Package, c.By.Args, c.problem)
		}
	}
	tried := uint64(len(rows)) - skipped
	t.Logf("\n%s%d of %d faults were caught (%d not tried), by %v; %d layers pass without one", table.String(), tried-missed, len(rows), skipped, layers, len(clean))
	e := evidence.Entry{Layer: "planted bugs", What: "faults that lost data, built in and caught", Tried: tried, Unit: "faults", Violations: missed, Detail: fmt.Sprintf("by %v", layers)}
	if tried == 0 {
		e.Skipped = "no layer could run here"
	}
	evidence.Record(t, e)
}
