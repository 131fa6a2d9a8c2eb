package evidence

import (
	"strings"
	"testing"
	"time"
)

func TestPage(t *testing.T) {
	p := Page{
		Commit: "abc", At: time.Unix(0, 0), Machine: "2 cores",
		Steps: []Step{{Command: "make a", Took: time.Second}, {Command: "make b", Took: time.Second, Err: "exit status 1"}},
		Entries: []Entry{
			{Layer: "kills", What: "a|b", Tried: 12345, Unit: "kills"},
			{Layer: "kills", What: "a|b", Tried: 3, Unit: "kills", Violations: 1},
			{Layer: "kills", What: "c", Tried: 5, Unit: "kills"},
			{Layer: "simulation", What: "all faults", Tried: 10, Unit: "seeds", Violations: 2, Detail: "of 3 kinds"},
			{Layer: "power", What: "xfs", Skipped: "not root"},
			{Layer: "power", What: "xfs", Skipped: "not root"},
			{Layer: "kills", What: "c", Skipped: "only by another command"},
		},
	}
	var out strings.Builder
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		"**4 violations. 3 things were tried, 1 more were skipped**",
		"| kills | 12,350 kills | 1 | 0 |", "| power |  | 0 | 1 |",
		"| what | tried | violations |\n|---|---|---|\n| a\\|b | 12,345 kills | 1 |\n| c | 5 kills | 0 |\n",
		"| what | tried | violations | notes |\n|---|---|---|---|\n| all faults | 10 seeds | 2 | of 3 kinds |\n",
		"- power: xfs: not root\n\n", "| `make b` | **failed**: exit status 1 | 1s |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if strings.Index(text, "## Simulation") > strings.Index(text, "## Kills") {
		t.Error("the page is not in its order")
	}
}
