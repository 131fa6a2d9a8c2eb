package boltdb

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

var measure = flag.Bool("measure", false, "take the measurement of TestMeasure: a minute, 1 GB of disk")

// TestMeasure compares a whole Restore of 2 M rows, proof and flushes included,
// with a plain load of the same rows: 1,000 a transaction, each flushed. They
// take turns in one process and one directory, which is removed at the very end,
// and the ratio of each round is what counts. Times are told, never asserted.
func TestMeasure(t *testing.T) {
	if !*measure {
		t.Skip("run with -measure")
	}
	const blobs, rounds = 1_000_000, 5
	dir := t.TempDir()
	file := filepath.Join(dir, "state.rsnap")
	if _, err := snapshot.Synth(t.Context(), snapshot.SynthConfig{Blobs: blobs}, file); err != nil {
		t.Fatal(err)
	}
	r, err := snapshot.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var whole, load, plain, ratios, loads []float64
	for round := range rounds {
		result := Result{}
		tasks := []func(){
			func() {
				result = mustRestore(t, r, filepath.Join(dir, "restored.bolt"), Config{})
			},
			func() {
				began := time.Now()
				plainLoad(t, r, filepath.Join(dir, "plain.bolt"))
				plain = append(plain, time.Since(began).Seconds())
			},
		}
		tasks[round%2]()
		tasks[1-round%2]()
		whole = append(whole, (result.Prepare + result.Load + result.Durable).Seconds())
		load = append(load, result.Load.Seconds())
		ratios = append(ratios, plain[round]/whole[round])
		loads = append(loads, plain[round]/load[round])
	}
	t.Logf("| bulk load into bbolt, %d rows: a plain one of 1,000 a transaction against all of Restore | %.2f times (%.2f to %.2f) | at least 1.5 | %d | "+
		"plain %.2f s; Restore %.2f s, of which the load %.2f s (%.2f times) |",
		2*blobs, median(ratios), slices.Min(ratios), slices.Max(ratios), rounds, median(plain), median(whole), median(load), median(loads))
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// plainLoad is what a program would do that knows that its keys rise: full pages.
func plainLoad(t testing.TB, s snapshot.State, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	plainTable[snapshot.Blob](t, db, s.Blobs())
	plainTable[snapshot.Registration](t, db, s.Registrations())
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func plainTable[R any, P snapshot.Row[R]](t testing.TB, db *bbolt.DB, from snapshot.Cursor[R]) {
	t.Helper()
	for more := true; more; {
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte(P(new(R)).Table().String()))
			if err != nil {
				return err
			}
			b.FillPercent = 1
			for range 1000 {
				row, err := from.Next()
				if err != nil || row == nil {
					more = false
					return err
				}
				if err := b.Put(P(row).RowKey(), snapshot.AppendValue(nil, P(row))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
