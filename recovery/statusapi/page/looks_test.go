package page_test

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// Pictures of the page, for people, and what can be said of its looks without one:
// nothing is wider than the window.
func looks(t *testing.T, browser context.Context) {
	for _, state := range []struct {
		name  string
		facts facts
	}{{"scanning", scanning()}, {"draining", draining()}, {"complete", complete()}, {"huge", huge()}} {
		t.Run(state.name, func(t *testing.T) {
			d := startDaemon(t, state.facts)
			tb := openLive(t, browser, d, view{script: clockScript})
			if os.Getenv(screenshots) != "" {
				tb.watchRates(d)
			}
			for _, width := range []int64{360, 760, 1080, 1600} {
				tb.resize(width, 900)
				tb.wait(fmt.Sprintf("innerWidth === %d", width))
				if over := eval[int](tb, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
					t.Errorf("at %d px the page is %d px wider than the window", width, over)
				}
				for _, scheme := range []string{"light", "dark"} {
					tb.media(scheme)
					tb.look(fmt.Sprintf("%s-%d-%s", state.name, width, scheme))
				}
			}
		})
	}
}
