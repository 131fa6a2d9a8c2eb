package recovery_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/recovery/sim/hostile"
)

// Text that is no id is refused by an error that quotes it, in one line and cut short.
func TestSecurityHostileIDs(t *testing.T) {
	good := recovery.BlobID{0: 0xab, 7: 0xfb, 8: 0xff, 15: 0xfe, 31: 0x19}
	list := hostile.IDs(good)
	accepted := 0
	for _, id := range list {
		var read recovery.BlobID
		_, err := recovery.ParseBlobID(id.Text)
		if textErr := read.UnmarshalText([]byte(id.Text)); (err == nil) != (textErr == nil) {
			t.Errorf("%s: %v, as text %v", id.Name, err, textErr)
		}
		if id.OK {
			if accepted++; err != nil || !strings.EqualFold(read.String(), id.Text) && read.Base64URL() != id.Text {
				t.Errorf("%s: read as %v, %v", id.Name, read, err)
			}
			continue
		}
		if !errors.Is(err, recovery.ErrBlobID) || read != (recovery.BlobID{}) {
			t.Errorf("%s: read as %v, %v", id.Name, read, err)
			continue
		}
		if text := err.Error(); len(text) > 500 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: the error is %q", id.Name, text)
		}
	}
	if len(list) < 500 || accepted == 0 || accepted > len(list)/4 {
		t.Errorf("%d texts, %d of them ids", len(list), accepted)
	}
	violations := uint64(0)
	if t.Failed() {
		violations = 1
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "hostile ids, read", Tried: uint64(len(list)), Unit: "ids", Violations: violations})
}
