package event

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// linesForFuzzing are events as an answer or a file has them, behind a header.
func linesForFuzzing(f *testing.F) {
	line := func(position uint64) []byte {
		return AppendLine(nil, &Event{Position: position, Kind: EpochStarted, Epoch: uint32(position)})
	}
	whole := append(append([]byte("{\"network\":\"n\",\"tip\":9}\n"), line(4)...), line(5)...)
	for _, text := range [][]byte{nil, whole, whole[:len(whole)-1], append(line(4), line(6)...), append(line(5), line(4)...), []byte("\n"), bytes.Repeat([]byte("x"), MaxLine+2)} {
		f.Add(text)
	}
}

// Whatever an answer holds, what is taken from it are the events that were asked for,
// without a gap and not more; any other answer is an error.
func FuzzAnswer(f *testing.F) {
	linesForFuzzing(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		a := answer{source: "s", network: "n", after: 3, limit: 2}
		if err := a.read(bytes.NewReader(body)); err != nil {
			return
		}
		if len(body) > 0 && body[len(body)-1] != '\n' {
			t.Fatalf("an answer that was cut was taken: %q", body)
		}
		inOrder(t, a.events, a.after, a.limit)
	})
}

// Whatever lies in a file of events, what is read of it is in order and without a gap.
func FuzzSegment(f *testing.F) {
	linesForFuzzing(f)
	path := filepath.Join(f.TempDir(), "events.ndjson")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		files := &Files{cfg: FilesConfig{Path: path, Network: "n"}} // to watch a directory takes longer than to read it
		defer files.at.close()
		events, tip, err := files.Read(t.Context(), 3, 2)
		if err != nil {
			var line *LineError
			var missing *MissingError
			if !errors.As(err, &line) && !errors.As(err, &missing) && !errors.Is(err, recovery.ErrMisconfigured) {
				t.Fatal(err)
			}
			return
		}
		inOrder(t, events, 3, 2)
		if len(events) > 0 && tip < 3+uint64(len(events)) {
			t.Fatalf("the tip is %d behind %d events", tip, len(events))
		}
	})
}

func inOrder(t *testing.T, events []Event, after uint64, limit int) {
	t.Helper()
	for i, e := range events {
		if e.Position != after+uint64(i)+1 || e.Validate() != nil {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	if len(events) > limit {
		t.Fatalf("%d events, %d were asked for", len(events), limit)
	}
}
