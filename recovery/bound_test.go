package recovery

import (
	"strings"
	"testing"
)

// What a peer sends for a digest may be anything. Hazard 65.
func TestDigestText(t *testing.T) {
	for _, text := range []string{"", "ab", strings.Repeat("ab", 31), strings.Repeat("ab", 33), strings.Repeat("a", 65), strings.Repeat("zz", 32), strings.Repeat("ab", 1<<16)} {
		var d Digest
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%.80q is accepted", text)
		}
	}
	want := Digest{1, 2, 31: 3}
	var d Digest
	if err := d.UnmarshalText([]byte(want.String())); err != nil || d != want {
		t.Errorf("%v, %v", d, err)
	}
}
