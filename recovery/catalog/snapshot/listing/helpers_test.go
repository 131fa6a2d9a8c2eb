package listing_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/listing"
)

// id returns an id that looks like a hash, from a number.
func id(n int) (b recovery.BlobID) {
	for i := range b {
		b[i] = byte(n*(i+7)>>(i%5)) ^ byte(i*29)
	}
	b[0], b[1], b[2] = byte(n*151), byte(n), byte(n>>8)
	return b
}

// importList imports a text into a new directory, where nothing else may be left.
func importList(t testing.TB, text string, cfg listing.Config) (*snapshot.Reader, listing.Result, error) {
	t.Helper()
	dir := t.TempDir()
	cfg.Out = filepath.Join(dir, "list.rsnap")
	if cfg.Path == "" {
		cfg.Path = "list"
	}
	if cfg.In == nil {
		cfg.In = strings.NewReader(text)
	}
	result, err := listing.Import(t.Context(), cfg)
	left, readErr := os.ReadDir(dir)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err != nil {
		if len(left) > 0 {
			t.Errorf("after %v these are left: %v", err, left)
		}
		return nil, result, err
	}
	if len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	r := open(t, cfg.Out)
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Bound() != result.Bound || r.Totals() != result.Totals {
		t.Errorf("the file is %v with %+v, the result %+v", r.Bound(), r.Totals(), result)
	}
	return r, result, nil
}

func mustImport(t testing.TB, text string, cfg listing.Config) *snapshot.Reader {
	t.Helper()
	r, _, err := importList(t, text, cfg)
	if err != nil {
		t.Fatalf("%v, of\n%s", err, text)
	}
	return r
}

func open(t testing.TB, path string) *snapshot.Reader {
	t.Helper()
	r, err := snapshot.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// rowsOf reads the certified rows.
func rowsOf(t testing.TB, r *snapshot.Reader) (all []recovery.Row) {
	t.Helper()
	rows := make([]recovery.Row, 64)
	for scan, end := r.Scan(), false; !end; {
		n, last, err := scan.Fill(t.Context(), rows)
		if err != nil {
			t.Fatal(err)
		}
		all, end = append(all, rows[:n]...), last
	}
	return all
}

func export(t testing.TB, r *snapshot.Reader, f listing.Format) string {
	t.Helper()
	var out bytes.Buffer
	n, err := listing.Export(t.Context(), r, f, &out)
	if err != nil {
		t.Fatal(err)
	}
	if lines := uint64(strings.Count(out.String(), "\n")); n != lines || n != r.Totals().Certified {
		t.Errorf("%d rows in %d lines, %d are certified", n, lines, r.Totals().Certified)
	}
	return out.String()
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// raw is a row as a list without more than ids and sizes makes it.
func raw(b recovery.BlobID, size int64) recovery.Row {
	return recovery.Row{
		Blob:           recovery.Blob{ID: b, Size: size, Encoding: recovery.Raw, Digest: b},
		CertifiedEpoch: 1, EndEpoch: recovery.EpochForever, Gained: 1,
	}
}

// lineOf is the line that an error is about; 0: none.
func lineOf(err error) uint64 {
	var l *listing.LineError
	if errors.As(err, &l) {
		return l.Line
	}
	return 0
}

func lines(format string, ids ...int) string {
	var b strings.Builder
	for _, n := range ids {
		fmt.Fprintf(&b, format+"\n", id(n))
	}
	return b.String()
}

func byID(rows []recovery.Row) []recovery.Row {
	slices.SortFunc(rows, func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
	return rows
}
