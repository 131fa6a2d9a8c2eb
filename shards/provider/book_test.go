package provider

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

// Whatever a source goes through, and whenever the reader asks: it never hears the
// same ownership twice running, an error is always about the newest version, each
// change to a bad version is told at most once, and when there is nothing left to
// tell, the reader knows the newest good version.
func TestBookTellsTheTruth(t *testing.T) {
	evidence.Property(t, "ownership: the reader hears each change once, and the newest good document at last", func(t *rapid.T) {
		var b book
		var inForce, told *uint32 // epochs
		var wrong error           // of the newest version; nil when it is good
		heard := false            // the reader knows what is wrong with it
		newest := ""
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			step := rapid.SampledFrom([]string{"1", "2", "3", "bad x", "bad y", "next", "next", "next"}).Draw(t, "step")
			if step == "next" {
				checkTake(t, &b, inForce, &told, wrong, &heard)
				continue
			}
			v := version{digest: sha256.Sum256([]byte(step))}
			if b.knows(v) != (newest == step) {
				t.Fatalf("knows is %t after %q and %q", b.knows(v), newest, step)
			}
			if b.knows(v) {
				continue
			}
			newest, wrong, heard = step, nil, false
			var o shards.Ownership
			if i := slices.Index([]string{"1", "2", "3"}, step); i >= 0 {
				o.Epoch = uint32(i)
				inForce = &o.Epoch
			} else {
				wrong = errors.New(step)
			}
			b.write(v, o, wrong, time.Time{})
		}
	})
}

func checkTake(t *rapid.T, b *book, inForce *uint32, told **uint32, wrong error, heard *bool) {
	a := b.take()
	behind := inForce != nil && (*told == nil || **told != *inForce)
	switch {
	case behind:
		if a == nil || a.err != nil || a.ownership.Epoch != *inForce {
			t.Fatalf("got %+v, want epoch %d", a, *inForce)
		}
		*told = inForce
	case wrong != nil && !*heard:
		if a == nil || !errors.Is(a.err, wrong) {
			t.Fatalf("got %+v, want error %v", a, wrong)
		}
		*heard = true
	case a != nil:
		t.Fatalf("got %+v, want nothing", a)
	}
}
