package worker

import (
	"sync"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// Nothing is lost, doubled or turned round, whoever puts it in and however the loop
// comes to look.
func TestMailbox(t *testing.T) {
	const senders, each = 8, 5_000
	m := newMailbox()
	var wg sync.WaitGroup
	for run := range uint64(senders) {
		wg.Go(func() {
			for seq := range uint64(each) {
				m.put(recovery.Sealed{Run: run, Seq: seq})
			}
		})
	}
	var next [senders]uint64
	for seen := 0; seen < senders*each; {
		<-m.wake
		for n := 0; ; n++ {
			if n == batch { // as the loop, which looks at other things in between
				m.signal()
				break
			}
			event, ok := m.take().(recovery.Sealed)
			if !ok {
				break
			}
			if event.Seq != next[event.Run] {
				t.Fatalf("sender %d: %d came after %d", event.Run, event.Seq, next[event.Run])
			}
			next[event.Run]++
			seen++
		}
	}
	wg.Wait()
	if event := m.take(); event != nil {
		t.Errorf("%+v came twice", event)
	}
}
