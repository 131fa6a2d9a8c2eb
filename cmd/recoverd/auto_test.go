package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// A concurrency that governs itself, from a file, switched by verb and by reload, over
// SIGKILLs. The source answers nothing, so that what is in flight is the limit.
func TestAutoConcurrency(t *testing.T) {
	f := newFleet(t, 60, 600)
	f.source.newLife(0)
	conf := f.path("recoverd.yaml")
	writeFile(t, conf, "concurrency: auto\nconcurrency-max: 8\n")
	p := start(t, f.run("--config", conf)...)
	f.hangs(8)
	f.tells([]string{"status"}, "8 blobs (auto, 4 to 8) and 256 MiB in flight")
	f.tells([]string{"limits"}, "concurrency 8 blobs (auto, 4 to 8) in flight")
	if out, _, code := invoke(t, "config", "print", "--config", conf); code != exitOK || !strings.Contains(out, "auto  (file ") {
		t.Errorf("config print: exit code %d\n%s", code, out)
	}

	// Lower: what is in flight ends first. A number fixes it, over a SIGKILL too.
	out := f.tells([]string{"limits", "--concurrency", "3", "-o", "json"})
	var l statusapi.LimitsView
	if err := json.Unmarshal([]byte(out), &l); err != nil || l.Auto || l.Concurrency != 3 || l.ConcurrencyMax != 8 {
		t.Errorf("%v:\n%s", err, out)
	}
	p.kill()
	f.source.newLife(0)
	p = start(t, f.run("--config", conf)...)
	f.hangs(3)
	writeFile(t, conf, "concurrency: auto\nconcurrency-max: 9\n")
	p.says(`"key":"concurrency-max"`, "limits set at run time stay in force")

	// And auto lets it go on from there, over a SIGKILL too.
	f.tells([]string{"limits", "--concurrency", "auto", "--concurrency-max", "6"}, "4 blobs (auto, 4 to 6)")
	f.hangs(4)
	p.kill()
	f.source.newLife(0)
	p = start(t, f.run("--config", conf)...)
	f.hangs(4)
	f.tells([]string{"limits"}, "4 blobs (auto, 4 to 6)")

	// Back to the file, which then says something else.
	f.tells([]string{"limits", "--default"}, "4 blobs (auto, 4 to 9)")
	writeFile(t, conf, "concurrency: 5\n")
	p.says(`"from":"auto"`, `"to":"5"`, "in force")
	f.hangs(5)
	writeFile(t, conf, "concurrency: auto\nconcurrency-max: 12\n")
	p.says(`"from":"5"`, `"to":"auto"`, "in force")
	f.source.letGo()
	f.reaches(recovery.PhaseComplete)
	f.sameStore()
}

func TestAutoConcurrencyRefused(t *testing.T) {
	f := newFleet(t, 1, 600)
	for want, args := range map[string][]string{
		`"autos" is neither a number nor auto`:                   {"--concurrency", "autos"},
		"the ceiling of the concurrency is 0, want 1 to 4096":    {"--concurrency", "auto", "--concurrency-max", "0"},
		"the ceiling of the concurrency is 9999, want 1 to 4096": {"--concurrency-max", "9999"},
	} {
		if _, stderr, code := invoke(t, f.run(args...)...); code == exitOK || !strings.Contains(strings.ReplaceAll(stderr, `\"`, `"`), want) {
			t.Errorf("%q: exit code %d\n%s", args, code, stderr)
		}
	}
}
