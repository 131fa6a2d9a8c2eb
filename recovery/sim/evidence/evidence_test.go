package evidence

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entries")
	t.Setenv(fileVar, path)
	Record(t, Entry{Layer: "kills", What: "a", Tried: 3, Unit: "kills"})
	Record(t, Entry{Layer: "power", What: "b", Skipped: "not root"})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2:\n%s", len(lines), data)
	}
	var e Entry
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil {
		t.Fatal(err)
	}
	if e.Tried != 3 || e.Test != t.Name() || e.At.IsZero() {
		t.Errorf("kept %+v", e)
	}
}
