package file

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// trigger decides when to look at the file again.
type trigger struct {
	debounce, reread time.Duration
	events           <-chan fsnotify.Event
	errors           <-chan error
}

// maxDebounces bounds how often a busy directory can put a look off.
const maxDebounces = 10

// wait returns nil when it is time to look: after a burst of events has settled,
// or after the reread interval; and ctx's error when ctx ends. Every event counts,
// whatever file it names: which names lead to the document is not known, and a
// look costs one small read.
func (t trigger) wait(ctx context.Context) error {
	interval := time.NewTimer(t.reread)
	defer interval.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-interval.C:
		return nil
	case <-t.events:
	case lost := <-t.errors:
		_ = lost // an event, or the watch: what there is to see is in the file
	}
	return t.settle(ctx)
}

// settle waits until nothing happens for the debounce, or for too long.
func (t trigger) settle(ctx context.Context) error {
	quiet := time.NewTimer(t.debounce)
	defer quiet.Stop()
	limit := time.NewTimer(maxDebounces * t.debounce)
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-quiet.C:
			return nil
		case <-limit.C:
			return nil
		case <-t.events:
			quiet.Reset(t.debounce)
		case lost := <-t.errors:
			_ = lost
			quiet.Reset(t.debounce)
		}
	}
}
