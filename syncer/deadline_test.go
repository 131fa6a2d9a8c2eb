package syncer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// A transfer that a limit of ours holds back is not late, however long that takes;
// the time that it was not held counts.
func TestDeadlineStandsStillWhileHeld(t *testing.T) {
	for _, tc := range []struct {
		name   string
		unheld time.Duration // between two holds of an hour, and after them
		reason recovery.Reason
	}{
		{"in time", 14 * time.Second, ""},
		{"too late", 16 * time.Second, recovery.Deadline},
	} {
		t.Run(tc.name, func(t *testing.T) {
			change := func(c *Config) { c.Deadline, c.MinSpeed = 30*time.Second, 1<<20 }
			inWorld(t, change, func(t *testing.T, w *world, h *Handler) {
				w.serve(1)
				w.instead = func(ctx context.Context, p Piece, sink Sink) (string, error) {
					for range 2 {
						sink.(Holder).Hold()
						time.Sleep(time.Hour)
						sink.(Holder).Release()
						if pause(ctx, tc.unheld) != nil {
							return "", &FetchError{}
						}
					}
					return "p1", send(sink, w.byID[p.Blob.ID])
				}
				if o := wait(t, h.Sync(ask(1, 0))); o.Reason != tc.reason {
					t.Errorf("outcome is %+v", o)
				}
			})
		})
	}
}

func TestHeldTwiceAndReleasedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		ctx, cancel := context.WithCancelCause(t.Context())
		d.start(time.Minute, cancel)
		d.release()
		d.hold()
		d.hold()
		time.Sleep(time.Hour)
		d.release()
		time.Sleep(time.Hour) // one of two transfers is still held back
		d.release()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Errorf("it came after 59 s: %v", context.Cause(ctx))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("it has not come after 61 s: %v", context.Cause(ctx))
		}
		d.hold() // too late
		d.stop()
		d.hold() // after the end
		d.release()

		ctx, cancel = context.WithCancelCause(t.Context())
		d.start(time.Minute, cancel)
		d.stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Errorf("it came after it was stopped: %v", context.Cause(ctx))
		}
		cancel(nil)
	})
}
