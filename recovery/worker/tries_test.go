package worker

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// The memory of tries is bounded whatever fails, however often, and whatever the
// peers say about it; what was tried last is remembered.
func TestTriesAreBounded(t *testing.T) {
	long := strings.Repeat("x", recovery.MaxErrorText)
	failed := recovery.Outcome{Result: recovery.Cancelled, Reason: recovery.Absent, Err: long}
	var answers []syncer.Answer
	for range syncer.MaxAnswers {
		answers = append(answers, syncer.Answer{Peer: long, Reason: recovery.Absent, Err: long})
	}
	id := func(n int) (id recovery.BlobID) {
		binary.BigEndian.PutUint64(id[:], uint64(n))
		return id
	}
	for name, said := range map[string][]syncer.Answer{"many blobs": nil, "much is said": answers} {
		tries := newTries()
		const blobs = 15_000
		for n := range blobs {
			tries.note(id(n), failed, said)
			tries.note(id(0), failed, nil)
		}
		sum := 0
		for _, element := range tries.by {
			sum += element.Value.(*tried).size
		}
		if len(tries.by) > maxTriedBlobs || tries.size > maxTriesSize || sum != tries.size || tries.used.Len() != len(tries.by) {
			t.Errorf("%s: %d blobs, %d bytes, which are %d", name, len(tries.by), tries.size, sum)
		}
		if len(tries.of(id(blobs-1))) != 1 || len(tries.of(id(0))) != maxTriesEach || len(tries.of(id(1))) != 0 {
			t.Errorf("%s: it has forgotten others than those tried longest ago", name)
		}
	}
	tries := newTries()
	tries.note(id(1), recovery.Outcome{Result: recovery.Success}, nil)
	tries.note(id(2), recovery.Outcome{Result: recovery.Cancelled, Reason: recovery.Stopped}, nil)
	if len(tries.by) > 0 {
		t.Errorf("%d blobs are remembered that never failed", len(tries.by))
	}
}
