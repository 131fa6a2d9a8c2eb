package shards_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

func TestParseSet(t *testing.T) {
	for _, tc := range []struct {
		text string
		want string // canonical
		len  int
	}{
		{"", "", 0},
		{" \t\n", "", 0},
		{"0", "0", 1},
		{"7", "7", 1},
		{"0-39,77", "0-39,77", 41},
		{"77,0-39", "0-39,77", 41},
		{"1,2,3", "1-3", 3},
		{"5-5", "5", 1},
		{"0-9,5-14,14", "0-14", 15},
		{" 1 ,\t3-4 ", "1,3-4", 3},
		{"62-65", "62-65", 4},
		{"63,64", "63-64", 2},
		{"0-63,128-191", "0-63,128-191", 128},
		{"007", "7", 1},
		{"65535", "65535", 1},
		{"0-65535", "0-65535", shards.MaxTotal},
	} {
		t.Run(tc.text, func(t *testing.T) {
			s, err := shards.ParseSet(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if s.String() != tc.want || s.Len() != tc.len {
				t.Errorf("got %q with %d shards, want %q with %d", s, s.Len(), tc.want, tc.len)
			}
		})
	}
}

func TestParseSetErrors(t *testing.T) {
	for _, tc := range []struct {
		name, text, part, why string
	}{
		{"word", "1,two,3", `"two"`, "not a shard number"},
		{"empty part", "1,,3", `""`, "not a shard number"},
		{"trailing comma", "1,", `""`, "not a shard number"},
		{"negative", "-1", `"-1"`, "not a shard number"},
		{"plus", "+1", `"+1"`, "not a shard number"},
		{"open range", "3-", `"3-"`, "not a shard number"},
		{"two dashes", "1-2-3", `"1-2-3"`, "not a shard number"},
		{"space in range", "1 - 2", `"1 - 2"`, "not a shard number"},
		{"fraction", "1.5", `"1.5"`, "not a shard number"},
		{"hex", "0x10", `"0x10"`, "not a shard number"},
		{"underscore", "1_0", `"1_0"`, "not a shard number"},
		{"backwards", "9-3", `"9-3"`, "it ends before it begins"},
		{"above the limit", "65536", `"65536"`, "shard 65536 is above the limit 65535"},
		{"range above the limit", "0-4294967295", `"0-4294967295"`, "above the limit"},
		{"more than 32 bits", "0-99999999999999999999", `"0-99999999999999999999"`, "not a shard number"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := shards.ParseSet(tc.text)
			if !errors.Is(err, shards.ErrSet) {
				t.Fatalf("got %q and error %v, want ErrSet", s, err)
			}
			if s.Len() != 0 {
				t.Errorf("an error came with the set %q", s)
			}
			if !strings.Contains(err.Error(), tc.part) || !strings.Contains(err.Error(), tc.why) {
				t.Errorf("%q names neither %s nor %q", err, tc.part, tc.why)
			}
		})
	}
}

// Hazard 65. The text of a set comes from outside: neither its parts nor its
// ranges may buy unbounded work, and an error does not repeat a megabyte.
func TestSetTextTrustedBeforeItIsBounded(t *testing.T) {
	full := strings.Repeat("0-65535,", shards.MaxTotal-1) + "0-65535"
	s, err := shards.ParseSet(full)
	if err != nil || s.String() != "0-65535" {
		t.Fatalf("got %q, %v for as many parts as are allowed", s, err)
	}
	if _, err := shards.ParseSet(full + ",0"); !errors.Is(err, shards.ErrSet) {
		t.Errorf("one part too many: got %v, want ErrSet", err)
	}
	_, err = shards.ParseSet(strings.Repeat("9", 1<<20))
	if !errors.Is(err, shards.ErrSet) || len(err.Error()) > 200 {
		t.Errorf("error has %d bytes for one long part: %.80q", len(err.Error()), err)
	}
}

func TestSetOfAndRange(t *testing.T) {
	for _, tc := range []struct {
		name string
		got  shards.Set
		want string
	}{
		{"nothing", shards.SetOf(), ""},
		{"repeated", shards.SetOf(3, 1, 3), "1,3"},
		{"one", shards.Range(4, 4), "4"},
		{"backwards", shards.Range(4, 3), ""},
		{"last word only", shards.Range(65472, 65535), "65472-65535"},
		{"inside one word", shards.Range(65, 70), "65-70"},
		{"across words", shards.Range(1, 200), "1-200"},
	} {
		if tc.got.String() != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, tc.got, tc.want)
		}
	}
	for name, make := range map[string]func() shards.Set{
		"SetOf": func() shards.Set { return shards.SetOf(shards.MaxTotal) },
		"Range": func() shards.Set { return shards.Range(0, shards.MaxTotal) },
	} {
		if !panics(func() { make() }) {
			t.Errorf("%s took shard %d without a panic", name, shards.MaxTotal)
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// A set is a value: nothing done with a copy shows in the original.
func TestSetIsImmutable(t *testing.T) {
	s := shards.SetOf(1, 2, 3)
	copied := s
	if err := copied.UnmarshalText([]byte("60-70")); err != nil {
		t.Fatal(err)
	}
	_ = s.Minus(copied)
	if s.String() != "1-3" || copied.String() != "60-70" {
		t.Errorf("got %q and %q", s, copied)
	}
	if err := copied.UnmarshalText([]byte("x")); err == nil || copied.String() != "60-70" {
		t.Errorf("a bad text (error %v) changed the set to %q", err, copied)
	}
}

func TestSetAllStops(t *testing.T) {
	var seen []uint32
	for m := range shards.Range(10, 90).All() {
		if seen = append(seen, m); len(seen) == 2 {
			break
		}
	}
	if diff := cmp.Diff([]uint32{10, 11}, seen); diff != "" {
		t.Error(diff)
	}
}

// model is a set as a stranger would write it.
type model map[uint32]bool

func (m model) set() shards.Set { return shards.SetOf(slices.Collect(maps.Keys(m))...) }

// models draws sets with clusters around word borders, where bit tricks break.
func models() *rapid.Generator[model] {
	return rapid.Custom(func(t *rapid.T) model {
		m := model{}
		for range rapid.IntRange(0, 6).Draw(t, "ranges") {
			first := rapid.OneOf(
				rapid.Uint32Range(0, 200),
				rapid.Uint32Range(0, shards.MaxTotal-1),
				rapid.Uint32Range(shards.MaxTotal-70, shards.MaxTotal-1),
			).Draw(t, "first")
			n := rapid.Uint32Range(1, 130).Draw(t, "n")
			for s := first; s < min(first+n, shards.MaxTotal); s++ {
				m[s] = true
			}
		}
		return m
	})
}

func TestSetAgreesWithAModel(t *testing.T) {
	evidence.Property(t, "sets: members, order, difference and equality are a model's", func(t *rapid.T) {
		a, b := models().Draw(t, "a"), models().Draw(t, "b")
		sa, sb := a.set(), b.set()

		members := slices.Sorted(maps.Keys(a))
		if got := slices.Collect(sa.All()); !slices.Equal(got, members) {
			t.Fatalf("All yields %v, want %v", got, members)
		}
		if sa.Len() != len(a) {
			t.Fatalf("Len is %d, want %d", sa.Len(), len(a))
		}
		top, ok := sa.Max()
		if ok != (len(a) > 0) || ok && top != members[len(members)-1] {
			t.Fatalf("Max is %d, %t for %v", top, ok, members)
		}
		if sa.Equal(sb) != maps.Equal(a, b) {
			t.Fatalf("Equal(%q, %q) is %t", sa, sb, sa.Equal(sb))
		}
		less := maps.Clone(a)
		maps.DeleteFunc(less, func(m uint32, _ bool) bool { return b[m] })
		if got := sa.Minus(sb); !got.Equal(less.set()) {
			t.Fatalf("%q minus %q is %q, want %q", sa, sb, got, less.set())
		}
		probe := rapid.Uint32().Draw(t, "probe")
		if sa.Contains(probe) != a[probe] {
			t.Fatalf("Contains(%d) is %t in %q", probe, sa.Contains(probe), sa)
		}
	})
}

func TestSetTextIsIdentity(t *testing.T) {
	evidence.Property(t, "sets: text is read back, has one form, and any order of it is the same set", func(t *rapid.T) {
		m := models().Draw(t, "set")
		s := m.set()
		back, err := shards.ParseSet(s.String())
		if err != nil || !back.Equal(s) {
			t.Fatalf("%q came back as %q, %v", s, back, err)
		}
		checkCanonical(t, s.String())

		// Whatever order and overlap the text has, the set is the same.
		parts := strings.Split(s.String(), ",")
		shuffled := rapid.Permutation(append(parts, parts...)).Draw(t, "parts")
		again, err := shards.ParseSet(strings.Join(shuffled, " , "))
		if s.Len() > 0 && (err != nil || again.String() != s.String()) {
			t.Fatalf("%q in another order is %q, %v", s, again, err)
		}
	})
}

// checkCanonical wants rising ranges with a gap between each two.
func checkCanonical(t interface{ Fatalf(string, ...any) }, text string) {
	next := -1
	for part := range strings.SplitSeq(text, ",") {
		s, err := shards.ParseSet(part)
		if err != nil {
			t.Fatalf("part %q of %q: %v", part, text, err)
		}
		if text == "" {
			return
		}
		members := slices.Collect(s.All())
		if int(members[0]) < next {
			t.Fatalf("part %q of %q touches the one before it", part, text)
		}
		next = int(members[len(members)-1]) + 2
	}
}

func FuzzParseSet(f *testing.F) {
	for _, text := range []string{"", "0", "0-39,77", "5,1-3, 2", "9-3", "65535", "65536", "-", ",", "1-", "0-65535,0-65535"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := shards.ParsePlacement(text); err == nil && p.String() != text {
			t.Fatalf("%q is the placement %v", text, p)
		}
		s, err := shards.ParseSet(text)
		var same shards.Set
		if sameErr := same.UnmarshalText([]byte(text)); (sameErr == nil) != (err == nil) || err == nil && !same.Equal(s) {
			t.Fatalf("%q is %q, %v in a document and %q, %v else", text, same, sameErr, s, err)
		}
		if err != nil {
			if !errors.Is(err, shards.ErrSet) || s.Len() != 0 || len(err.Error()) > 600 {
				t.Fatalf("set %q with error %v", s, err)
			}
			return
		}
		if top, ok := s.Max(); ok && (top >= shards.MaxTotal || s.Len() > int(top)+1) {
			t.Fatalf("%d shards up to %d", s.Len(), top)
		}
		checkCanonical(t, s.String())
		back, err := shards.ParseSet(s.String())
		if err != nil || !back.Equal(s) || back.String() != s.String() {
			t.Fatalf("%q is %q, which came back as %q, %v", text, s, back, err)
		}
	})
}
