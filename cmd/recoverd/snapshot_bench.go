package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/boltdb"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

func newSnapshotBenchCommand() *cobra.Command {
	cfg := snapshot.BenchConfig{}
	var output string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure snapshots here: size, writing, proving, seeking, loading, compressing",
		Long: `Make up a catalog and measure, in several rounds: entries and bytes, writing with and
without the flush, reading with proof, seeking in a file that is not in memory,
loading it into bbolt, and what zstd would save. "share" compares with SHA-256 and
xxhash64 over the same bytes in memory, by one processor. -o go prints lines that
benchstat reads.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if output != "go" {
				if err := checkOutput(output); err != nil {
					return withCode(exitUsage, fmt.Errorf("-o %q is not text, json or go", output))
				}
			}
			if err := cfg.Validate(); err != nil {
				return withCode(exitUsage, err)
			}
			dir, err := os.MkdirTemp(cfg.Dir, ".snapshot-bench-")
			if err != nil {
				return withCreateCode(err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			cfg.Dir = dir
			result, err := snapshot.Bench(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			load, err := benchLoad(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return writeBench(cmd.OutOrStdout(), output, newBenchReport(result, load))
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Dir, "dir", os.TempDir(), "directory for the files while it runs")
	f.Uint64Var(&cfg.Blobs, "blobs", 1_000_000, "entries of the made-up catalog")
	f.IntVar(&cfg.Rounds, "rounds", 5, "how often everything is measured; medians are printed")
	f.IntVar(&cfg.Seeks, "seeks", 20, "look-ups in a file that is not in memory")
	f.IntSliceVar(&cfg.Levels, "zstd", []int{1, 3}, "zstd levels to try, 1 to 22")
	f.StringVarP(&output, "output", "o", "text", "text, json or go")
	return cmd
}

// benchLoad measures restoring the same catalog into bbolt, once.
func benchLoad(ctx context.Context, cfg snapshot.BenchConfig) (boltdb.Result, error) {
	path := filepath.Join(cfg.Dir, "load.rsnap")
	if _, err := snapshot.Synth(ctx, snapshot.SynthConfig{Blobs: cfg.Blobs, Seed: 1}, path); err != nil {
		return boltdb.Result{}, err
	}
	r, err := snapshot.Open(path)
	if err != nil {
		return boltdb.Result{}, err
	}
	result, err := boltdb.Restore(ctx, r, filepath.Join(cfg.Dir, "load.db"), boltdb.Config{})
	return result, errors.Join(err, r.Close())
}

// benchReport is what was measured, as medians.
type benchReport struct {
	Blobs         uint64        `json:"blobs"`
	Registrations uint64        `json:"registrations"`
	Bytes         int64         `json:"bytes"`
	BytesPerBlob  float64       `json:"bytes_per_blob"`
	Lines         []benchLine   `json:"lines"`
	Zstd          []benchPacked `json:"zstd"`
	Resident      int64         `json:"resident"` // bytes, at most; 0: unknown
}

// benchLine is one thing that was measured.
type benchLine struct {
	Name    string        `json:"name"`
	Bytes   int64         `json:"bytes,omitempty"` // that went through in Time
	Time    time.Duration `json:"nanoseconds"`
	Share   float64       `json:"share,omitempty"` // of the baseline's speed
	Comment string        `json:"comment,omitempty"`
}

type benchPacked struct {
	Level      int           `json:"level"`
	Ratio      float64       `json:"ratio"`
	Compress   time.Duration `json:"compress_nanoseconds"`
	Decompress time.Duration `json:"decompress_nanoseconds"`
}

func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

func newBenchReport(r snapshot.BenchResult, load boltdb.Result) benchReport {
	report := benchReport{
		Blobs: r.Rows.Blobs, Registrations: r.Rows.Registrations, Bytes: r.Bytes,
		BytesPerBlob: float64(r.Bytes) / float64(r.Rows.Blobs), Resident: r.Resident, Zstd: []benchPacked{},
	}
	baseline := median(r.Baseline)
	add := func(name string, bytes int64, t time.Duration, comment string) {
		line := benchLine{Name: name, Bytes: bytes, Time: t, Comment: comment}
		if bytes > 0 && t > 0 && name != "sum" {
			line.Share = float64(baseline) / float64(t)
		}
		report.Lines = append(report.Lines, line)
	}
	add("sum", r.Bytes, baseline, "SHA-256 and xxhash64 in memory, one processor")
	add("write", r.Bytes, median(r.Write), "into the page cache")
	add("write+sync", r.Bytes, median(r.WriteSync), "durable")
	add("read+verify", r.Bytes, median(r.Verify), "from the page cache, everything proven")
	add("load", r.Bytes, load.Load+load.Durable, "into bbolt, durable and proven")
	add("open", 0, median(r.Open), "not in memory before")
	add("seek", 0, median(r.Seek), fmt.Sprintf("to any id, and a page of %d, not in memory before", snapshot.BenchPage))
	for _, z := range r.Zstd {
		report.Zstd = append(report.Zstd, benchPacked{z.Level, float64(r.Bytes) / float64(z.Bytes), z.Compress, z.Decompress})
	}
	return report
}

// perSecond is a speed in MB/s.
func perSecond(bytes int64, t time.Duration) float64 {
	if t == 0 {
		return 0
	}
	return float64(bytes) / 1e6 / t.Seconds()
}

func writeBench(out io.Writer, output string, r benchReport) error {
	switch output {
	case "json":
		return writeIndented(out, r)
	case "go":
		return writeBenchLines(out, r)
	}
	var t table
	t.row("entries", "%s blobs, %s registrations", count(r.Blobs), count(r.Registrations))
	t.row("size", "%s, %.1f bytes a blob", size(r.Bytes), r.BytesPerBlob)
	for _, l := range r.Lines {
		text := fmt.Sprintf("%10s", l.Time.Round(10*time.Microsecond))
		if l.Bytes > 0 {
			text += fmt.Sprintf("  %6.0f MB/s", perSecond(l.Bytes, l.Time))
		}
		if l.Share > 0 {
			text += fmt.Sprintf("  share %.2f", l.Share)
		}
		t.row(l.Name, "%s  %s", text, l.Comment)
	}
	for _, z := range r.Zstd {
		t.row(fmt.Sprintf("zstd %d", z.Level), "%.3f times smaller, %.0f MB/s, back %.0f MB/s", z.Ratio, perSecond(r.Bytes, z.Compress), perSecond(r.Bytes, z.Decompress))
	}
	if r.Resident > 0 {
		t.row("resident", "%s at most", size(r.Resident))
	}
	return t.write(out, 0)
}

// writeBenchLines prints what Go's benchmarks do.
func writeBenchLines(out io.Writer, r benchReport) (err error) {
	line := func(name string, t time.Duration, bytes int64) {
		if err != nil {
			return
		}
		text := fmt.Sprintf("BenchmarkSnapshot/%s/blobs=%d 1 %d ns/op", name, r.Blobs, t.Nanoseconds())
		if bytes > 0 {
			text += fmt.Sprintf(" %.2f MB/s", perSecond(bytes, t))
		}
		_, err = fmt.Fprintln(out, text)
	}
	for _, l := range r.Lines {
		line(l.Name, l.Time, l.Bytes)
	}
	for _, z := range r.Zstd {
		line(fmt.Sprintf("zstd=%d", z.Level), z.Compress, r.Bytes)
		line(fmt.Sprintf("unzstd=%d", z.Level), z.Decompress, r.Bytes)
	}
	return err
}
