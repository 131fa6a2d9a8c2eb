package evidence

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	checks = flag.Int("checks", 0, "make so many checks of every property (make properties)")
	limit  = flag.Duration("property-limit", 4*time.Second, "with -checks: but spend no longer than that with one")
)

// TestProperties runs every property of the module; each records what it did.
func TestProperties(t *testing.T) {
	if *checks == 0 {
		t.Skip("the packages' own tests make 100 checks of each: make properties")
	}
	names, args := map[string]bool{}, []string{"test", "-count=1", "-v", "-timeout=10m"}
	for _, p := range sources(t) {
		found := p.properties()
		for _, name := range found {
			names[name] = true
		}
		if len(found) > 0 {
			args = append(args, "./"+p.dir)
		}
	}
	run := "-run=^(" + strings.Join(slices.Sorted(maps.Keys(names)), "|") + ")$"
	cmd := exec.CommandContext(t.Context(), "go", append(args, run, "-rapid.checks="+flag.Lookup("checks").Value.String(), "-rapid.nofailfile")...)
	cmd.Dir = moduleRoot
	cmd.Env = append(os.Environ(), limitVar+"="+limit.String())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

// properties returns the tests that call Property.
func (s source) properties() (names []string) {
	for _, f := range s.named("Test") {
		if f.names["Property"] {
			names = append(names, f.name)
		}
	}
	return names
}

// The five that everything else stands on have properties.
func TestEveryCoreHasProperties(t *testing.T) {
	want := map[string]string{
		"machine": "recovery", "frontier": "recovery", "codec": "checkpoint", "planner": "recovery/catalog/snapshot/archive", "sets": "shards",
	}
	for _, p := range sources(t) {
		text := ""
		for _, f := range p.named("Test") {
			if f.names["Property"] {
				text += strings.Join(f.texts, "\n")
			}
		}
		for core, dir := range want {
			if dir == p.dir && strings.Contains(text, core+": ") {
				delete(want, core)
			}
		}
	}
	for core, dir := range want {
		t.Errorf("%s has no property in %s", core, dir)
	}
}
