package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(read(t, "prometheus", "recoverd.rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups[0].Rules
}

func ruleExpressions(t *testing.T) (all []string) {
	for _, r := range rules(t) {
		all = append(all, r.Expr)
	}
	return all
}

// Whoever is paged is told what is wrong, where to look and where to read on; and
// no alert is without a test in which it fires.
func TestAlertsSayWhatToDo(t *testing.T) {
	headings := regexp.MustCompile(`(?m)^### (Recoverd\w+)$`).FindAllStringSubmatch(read(t, "OPERATIONS.md"), -1)
	tests := read(t, "prometheus", "recoverd.rules.test.yml")
	var alerts, sections []string
	for _, h := range headings {
		sections = append(sections, h[1])
	}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert)
		runbook := "https://github.com/recoverd/recoverd/blob/main/cmd/recoverd/deploy/OPERATIONS.md#" + strings.ToLower(r.Alert)
		switch description := r.Annotations["description"]; {
		case r.Annotations["summary"] == "" || r.Annotations["runbook_url"] != runbook:
			t.Errorf("%s: no summary, or its runbook is not %s", r.Alert, runbook)
		case !regexp.MustCompile(`\b(Look at|look at|Ask)\b`).MatchString(description) || !strings.Contains(description, "$labels.instance"):
			t.Errorf("%s: the description does not say where, or what to look at: %s", r.Alert, description)
		case !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]):
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		case !strings.Contains(tests, `alertname="`+r.Alert+`"`):
			t.Errorf("%s fires in no test", r.Alert)
		}
	}
	slices.Sort(alerts)
	slices.Sort(sections)
	if !slices.Equal(alerts, sections) {
		t.Errorf("the alerts are %v, OPERATIONS.md explains %v", alerts, sections)
	}
}

func TestServersPromtoolMetrics(t *testing.T) {
	need(t, "promtool")
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(read(t, metricsText))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// Hazard 66: snapshots fail quietly. Whether they, or anything else, do is what the
// rules' tests say.
func TestServersPromtoolRules(t *testing.T) {
	must(t, "promtool", "check", "rules", "--lint=all", "--lint-fatal", "prometheus/recoverd.rules.yml")
	must(t, "promtool", "check", "config", "prometheus/prometheus.yml")
	must(t, "promtool", "test", "rules", "prometheus/recoverd.rules.test.yml")
}

// The dashboard's expressions are checked as if they were rules.
func TestServersPromtoolDashboard(t *testing.T) {
	var rules []rule
	for i, expr := range dashboardExpressions(t) {
		rules = append(rules, rule{Record: fmt.Sprintf("dashboard:%d", i), Expr: expr})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": plain(rules)}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "promtool", "check", "rules", path)
}

func plain(rules []rule) (all []map[string]string) {
	for _, r := range rules {
		all = append(all, map[string]string{"record": r.Record, "expr": r.Expr})
	}
	return all
}

// need skips the test, or fails it in CI, where a program is missing.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		lack(t, program+" is not installed")
	}
}

func lack(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("RECOVERD_REQUIRE_SERVERS") != "" {
		t.Fatalf("%s, and RECOVERD_REQUIRE_SERVERS is set", why)
	}
	t.Skip(why)
}

// must runs a program that has to succeed, and returns what it said.
func must(t *testing.T, program string, args ...string) string {
	t.Helper()
	need(t, program)
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}
