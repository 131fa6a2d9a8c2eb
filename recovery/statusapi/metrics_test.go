package statusapi

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/recoverd/recoverd/recovery"
)

func TestMetricsLint(t *testing.T) {
	cfg, _ := sampleConfig()
	problems, err := testutil.GatherAndLint(newRegistry(cfg, newServer(t, cfg).events))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// The golden text is every metric, with the values of the sample.
func TestMetricsGolden(t *testing.T) {
	cfg, w := sampleConfig()
	w.turned = w.status.At
	body := ask(newServer(t, cfg), "/metrics").Body.String()
	var ours bytes.Buffer
	for line := range strings.Lines(body) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "recoverd_") {
			ours.WriteString(line)
		}
	}
	golden(t, "metrics.txt", ours.Bytes())
	for _, m := range metricTable() {
		if !regexp.MustCompile(`(?m)^recoverd_` + m.name + `[{ ]`).MatchString(body) {
			t.Errorf("recoverd_%s is described and never sent", m.name)
		}
	}
	if !strings.Contains(body, "process_resident_memory_bytes") || !strings.Contains(body, "go_goroutines") {
		t.Error("the process and the runtime are missing")
	}
}

// A worker that knows nothing yet is scraped without an error, and says nothing
// about what is not known.
func TestMetricsOfAnEmptyWorker(t *testing.T) {
	w := &stage{}
	w.status.CatalogBytes = recovery.SizeUnknown
	cfg := Config{
		Worker:     w,
		Checkpoint: func() CheckpointView { return CheckpointView{} },
		Catalog:    func() CatalogView { return CatalogView{} },
	}
	families, err := newRegistry(cfg.withDefaults(), newServer(t, cfg).events).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		switch name := f.GetName(); name {
		case "recoverd_catalog_blobs", "recoverd_catalog_bytes", "recoverd_owned_shards", "recoverd_store_free_bytes",
			"recoverd_catalog_position", "recoverd_checkpoint_saved_timestamp_seconds", "recoverd_last_progress_timestamp_seconds",
			"recoverd_start_time_seconds", "recoverd_loop_last_turn_timestamp_seconds", "recoverd_follow_failures_total",
			"recoverd_snapshot_position", "recoverd_snapshot_timestamp_seconds", "recoverd_snapshot_failures_total":
			t.Errorf("%s is sent though it is not known", name)
		}
	}
}

func TestExactlyOnePhase(t *testing.T) {
	for phase := recovery.PhaseWaiting; phase <= recovery.PhaseHalted; phase++ {
		w := &stage{}
		w.status.Phase = phase
		families, err := newRegistry(Config{Worker: w}.withDefaults(), newServer(t, Config{Worker: w}).events).Gather()
		if err != nil {
			t.Fatal(err)
		}
		var set []string
		for _, f := range families {
			if f.GetName() != "recoverd_phase" {
				continue
			}
			for _, m := range f.GetMetric() {
				if m.GetGauge().GetValue() == 1 {
					set = append(set, m.GetLabel()[0].GetValue())
				}
			}
		}
		if len(set) != 1 || set[0] != phase.String() {
			t.Errorf("phase %v: %v is set", phase, set)
		}
	}
}
