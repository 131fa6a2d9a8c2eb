package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sample is one line of the golden metrics, which name every metric there is.
type sample struct {
	name   string
	labels map[string]string
}

// samples reads what a daemon of which everything is known answers at /metrics.
func samples(t *testing.T) (all []sample) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^(recoverd_\w+)(?:\{(\w+)="([^"]*)"\})? `)
	for _, m := range line.FindAllStringSubmatch(read(t, metricsText), -1) {
		all = append(all, sample{m[1], map[string]string{m[2]: m[3]}})
	}
	if len(all) < 20 {
		t.Fatalf("%s names %d metrics", metricsText, len(all))
	}
	return all
}

var metricsText = filepath.Join("..", "..", "..", "recovery", "statusapi", "testdata", "metrics.txt")

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each metric that an expression names is sent, with a label value that is sent.
func TestExpressionsNameWhatIsSent(t *testing.T) {
	sent := samples(t)
	for where, list := range map[string][]string{"the rules": ruleExpressions(t), "the dashboard": dashboardExpressions(t)} {
		if len(list) < 10 {
			t.Errorf("%s hold %d expressions", where, len(list))
		}
		for _, expr := range list {
			for _, wrong := range unsent(expr, sent) {
				t.Errorf("%s: %s\n%s", where, wrong, expr)
			}
		}
	}
}

// unsent lists what an expression selects and no daemon sends.
func unsent(expr string, sent []sample) (wrong []string) {
	selector := regexp.MustCompile(`\b(recoverd_\w+)(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`(\w+)=~?"([^"]*)"`)
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		if !slices.ContainsFunc(sent, func(s sample) bool { return s.name == m[1] }) {
			wrong = append(wrong, m[1]+" does not exist")
			continue
		}
		for _, label := range matcher.FindAllStringSubmatch(m[2], -1) {
			if label[1] == "instance" {
				continue
			}
			for value := range strings.SplitSeq(label[2], "|") {
				if !slices.ContainsFunc(sent, func(s sample) bool { return s.name == m[1] && s.labels[label[1]] == value }) {
					wrong = append(wrong, m[1]+" is never sent with "+label[1]+" "+value)
				}
			}
		}
	}
	return wrong
}

func TestUnsentBites(t *testing.T) {
	sent := samples(t)
	for expr, ok := range map[string]bool{
		`recoverd_phase{phase=~"waiting|halted"} == 1`:          true,
		`sum(rate(recoverd_stored_blobs_total[5m])) / 2`:        true,
		`recoverd:catalog_behind_positions > 3`:                 true,
		`recoverd_phase{phase=~"waiting|halting"} == 1`:         false,
		`recoverd_phase{state="waiting"} == 1`:                  false,
		`recoverd_paused == 1 or recoverd_stored_blobs > 0`:     false,
		`time() - recoverd_start_time{instance="a"} > bool 600`: false,
	} {
		if wrong := unsent(expr, sent); (len(wrong) == 0) != ok {
			t.Errorf("%s: %q", expr, wrong)
		}
	}
}

// dashboardExpressions returns the expressions of all panels, with Grafana's
// variables replaced.
func dashboardExpressions(t *testing.T) (all []string) {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Query json.RawMessage }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana", "recoverd.json")), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr))
		}
	}
	if len(d.Templating.List) != 2 || !strings.Contains(string(d.Templating.List[1].Query), "label_values(recoverd_build_info, instance)") {
		t.Error("the dashboard does not find its instances")
	}
	return all
}
