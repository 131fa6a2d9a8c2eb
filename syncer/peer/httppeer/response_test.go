package httppeer

import (
	"testing"
	"time"

	"github.com/recoverd/recoverd/syncer/peer"
)

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-9/*", "bytes */10", "bytes 9-5/10", "bytes +5-9/10", "bytes 0-18446744073709551615/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, last, ok := parseContentRange(text)
		if ok && (first < 0 || last < first || last-first+1 <= 0) {
			t.Errorf("%q is %d to %d", text, first, last)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "12", "1000000000", "-1", "Fri, 31 Dec 9999 23:59:59 GMT", "4294967296"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d := retryAfter(text, time.Unix(1_700_000_000, 0)); d < peer.RestMin || d > peer.RestMax {
			t.Errorf("%q is a rest of %v", text, d)
		}
	})
}
