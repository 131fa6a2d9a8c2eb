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

// TestTable: every fault applies to the source as it is, lies within functions, and
// compiles; so none rots.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		if seen[p.Name] || len(p.By) == 0 || len(p.Edits) == 0 || slices.ContainsFunc(p.By, func(b Proof) bool { return b.Says == "" }) {
			t.Errorf("%s is there twice, or its row has gaps", p.Name)
		}
		seen[p.Name] = true
		for _, by := range p.By {
			if err := by.exists(); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
		if _, err := overlay.NewAsleep(t.TempDir(), p.faults()...); err != nil {
			t.Error(err)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d faults", len(seen))
	}
	o, err := overlay.NewAsleep(t.TempDir(), faults(All())...)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Compile(t.Context()); err != nil {
		t.Error(err)
	}
}

// exists reports whether the layer's package has its test.
func (l Layer) exists() error {
	root, err := overlay.Root()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(root, l.Package, "*_test.go"))
	if err != nil {
		return err
	}
	name := regexp.MustCompile(`Test\w+`).FindString(l.Args[0])
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(text), "func "+name+"(t ") {
			return err
		}
	}
	return fmt.Errorf("%s has no %s", l.Package, name)
}

func faults(plants []Plant) (all []overlay.Fault) {
	for _, p := range plants {
		all = append(all, p.faults()...)
	}
	return all
}

// caught is how a run ended: of one layer, with one fault or none.
type caught struct {
	Plant
	by      Proof
	tries   string
	cpu     time.Duration // of user and system
	problem string        // why it does not count as caught
	skipped string
}

// TestPlanted plants every fault, and has it caught; and runs every layer without one.
func TestPlanted(t *testing.T) {
	if !*plant {
		t.Skip("only with -planted: make planted")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	rows, clean := runs(regexp.MustCompile(*only))
	all := slices.AppendSeq(slices.Clone(rows), maps.Values(clean))
	b := build(ctx, t, all)
	jobs := make(chan *caught)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for c := range jobs {
				c.run(ctx, b)
			}
		})
	}
	for _, c := range all {
		jobs <- c
	}
	close(jobs)
	workers.Wait()
	report(t, rows, clean)
}

// runs are those of the faults whose name matches, and one without a fault of each layer
// that they have.
func runs(match *regexp.Regexp) (rows []*caught, clean map[string]*caught) {
	clean = map[string]*caught{}
	for _, p := range All() {
		if !match.MatchString(p.Name) {
			continue
		}
		for _, by := range p.By {
			rows = append(rows, &caught{Plant: p, by: by})
			by.Layer = by.clean()
			if key := by.Package + strings.Join(by.Args, " "); clean[key] == nil {
				clean[key] = &caught{Plant: Plant{Name: "none"}, by: by}
			}
		}
	}
	return rows, clean
}

// built are the tests of all layers, with all faults in them, asleep.
type built struct {
	overlay *overlay.Overlay
	dir     string
}

func build(ctx context.Context, t *testing.T, all []*caught) built {
	t.Helper()
	o, err := overlay.NewAsleep(t.TempDir(), faults(All())...)
	if err != nil {
		t.Fatal(err)
	}
	pkgs := map[string]bool{}
	for _, c := range all {
		pkgs[c.by.Package] = true
	}
	b := built{overlay: o, dir: t.TempDir()}
	if err := o.BuildTests(ctx, b.dir, slices.Sorted(maps.Keys(pkgs))...); err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs the layer with the fault awake, if there is one, and notes how it ended.
func (c *caught) run(ctx context.Context, b built) {
	awake := c.Name
	if c.Edits == nil {
		awake = ""
	}
	binary := filepath.Join(b.dir, filepath.Base(c.by.Package)+".test")
	args := append([]string{"-test.v", "-test.timeout=5m", "-test.count=1"}, c.by.Args...)
	cmd := b.overlay.Command(ctx, c.by.Package, binary, args...)
	// What a layer finds that has a fault in it is no evidence.
	cmd.Env = append(os.Environ(), "RECOVERD_TEST_EVIDENCE=", overlay.AwakeEnv+"="+awake)
	said, err := cmd.CombinedOutput()
	out := string(said)
	var exit *exec.ExitError
	failed := errors.As(err, &exit) && ctx.Err() == nil
	if cmd.ProcessState != nil {
		c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	switch {
	case err != nil && !failed:
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
	case !regexp.MustCompile(c.by.Says).MatchString(out):
		c.problem = fmt.Sprintf("it fails without saying %q:\n%s", c.by.Says, lastLines(out, 40))
	}
	c.tries = c.by.tries(out)
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

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// report prints the table and fails for whatever was not caught.
func report(t *testing.T, rows []*caught, clean map[string]*caught) {
	t.Helper()
	var table strings.Builder
	var skipped int
	layers := map[string]int{}
	tried, missed := map[string]bool{}, map[string]bool{}
	var cpu time.Duration
	fmt.Fprintf(&table, "%-34s %-7s %-13s %-22s %-18s %s\n", "fault", "hazard", "layer", "package", "caught after", "cpu")
	for _, c := range rows {
		after := c.tries
		cpu += c.cpu
		switch {
		case c.problem != "":
			after = "NOT CAUGHT"
			tried[c.Name], missed[c.Name] = true, true
			t.Errorf("%s (%s): by %s: %s", c.Name, c.What, c.by.Name, c.problem)
		case c.skipped != "":
			after = "SKIPPED"
			skipped++
			t.Logf("%s was not tried: %s", c.Name, c.skipped)
		default:
			tried[c.Name] = true
			layers[c.by.Name]++
		}
		fmt.Fprintf(&table, "%-34s %-7d %-13s %-22s %-18s %.1f s\n", c.Name, c.Hazard, c.by.Name, filepath.Base(c.by.Package), after, c.cpu.Seconds())
	}
	for _, c := range clean {
		cpu += c.cpu
		t.Logf("without a fault: %s, %s %v: %.1f s", c.by.Name, c.by.Package, c.by.Args, c.cpu.Seconds())
		if c.problem != "" {
			t.Errorf("%s %s %v: %s", c.by.Name, c.by.Package, c.by.Args, c.problem)
		}
	}
	t.Logf("\n%s%d of %d faults were caught (%d runs could not be had here), by %v; %d layers pass without one; %.0f s of CPU",
		table.String(), len(tried)-len(missed), len(tried), skipped, layers, len(clean), cpu.Seconds())
	e := evidence.Entry{
		Layer: "planted bugs", What: "faults that lost data, built in and caught", Tried: uint64(len(tried)), Unit: "faults", Violations: uint64(len(missed)),
		Detail: fmt.Sprintf("by %v", layers),
	}
	if len(tried) == 0 {
		e.Skipped = "no layer could run here"
	}
	evidence.Record(t, e)
}
