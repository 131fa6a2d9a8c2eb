package shards

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

// MaxTotal is the largest number of shards a network can have. It bounds the
// memory of a Set (8 KiB) and the number of parts its text may have.
const MaxTotal = 1 << 16

// ErrSet reports shard set text that cannot be read.
var ErrSet = errors.New("shards: bad set")

// Set is an immutable set of shard numbers in [0, MaxTotal). The zero value is
// the empty set. Its text form is canonical: sorted ranges, "0-39,77".
type Set struct {
	words []uint64 // bit i of word w is shard 64*w+i; no trailing zero word
	count int
}

// SetOf returns the set of the given shards. It panics on a shard >= MaxTotal,
// which only a programming mistake can produce; text goes through ParseSet.
func SetOf(members ...uint32) Set {
	var s Set
	for _, m := range members {
		s.add(m)
	}
	return s
}

// Range returns the set of the shards first..last, both included; it is empty
// when last < first. It panics where SetOf does.
func Range(first, last uint32) Set {
	var s Set
	if first <= last {
		s.addRange(first, last)
	}
	return s
}

// ParseSet reads the text form: comma-separated numbers and ranges. Order,
// overlap and white space around the parts are accepted; the empty text is the
// empty set. More parts than there can be shards are refused, so that text from
// outside costs no more than 1,024 words of work a part (hazard 65). Errors wrap
// ErrSet and name the part, cut to 40 characters.
func ParseSet(text string) (Set, error) {
	var s Set
	if strings.TrimSpace(text) == "" {
		return s, nil
	}
	if parts := strings.Count(text, ",") + 1; parts > MaxTotal {
		return Set{}, fmt.Errorf("%w: it has %d parts, at most %d are allowed", ErrSet, parts, MaxTotal)
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return Set{}, err
		}
		s.addRange(first, last)
	}
	return s, nil
}

func parseRange(part string) (first, last uint32, err error) {
	low, high, isRange := strings.Cut(part, "-")
	if !isRange {
		high = low
	}
	if first, err = parseShard(low); err == nil {
		last, err = parseShard(high)
	}
	if err == nil && last < first {
		err = errors.New("it ends before it begins")
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %.40q: %w", ErrSet, part, err)
	}
	return first, last, nil
}

func parseShard(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, errors.New("not a shard number")
	}
	if n >= MaxTotal {
		return 0, fmt.Errorf("shard %d is above the limit %d", n, MaxTotal-1)
	}
	return uint32(n), nil
}

func (s *Set) add(m uint32) { s.addRange(m, m) }

// addRange adds first..last, a word at a time. The set must not have been handed
// out yet: copies share its words.
func (s *Set) addRange(first, last uint32) {
	if last >= MaxTotal {
		panic(fmt.Sprintf("shards: shard %d is above the limit %d", last, MaxTotal-1))
	}
	if missing := int(last/64) + 1 - len(s.words); missing > 0 {
		s.words = append(s.words, make([]uint64, missing)...)
	}
	for w := first / 64; w <= last/64; w++ {
		mask := ^uint64(0)
		if w == first/64 {
			mask &= ^uint64(0) << (first % 64)
		}
		if w == last/64 {
			mask &= ^uint64(0) >> (63 - last%64)
		}
		s.count += bits.OnesCount64(mask &^ s.words[w])
		s.words[w] |= mask
	}
}

// Contains reports whether shard m is in the set.
func (s Set) Contains(m uint32) bool {
	w := int(m / 64)
	return w < len(s.words) && s.words[w]&(1<<(m%64)) != 0
}

// Len returns the number of shards in the set.
func (s Set) Len() int { return s.count }

// Max returns the highest shard; ok is false for the empty set.
func (s Set) Max() (m uint32, ok bool) {
	if s.count == 0 {
		return 0, false
	}
	w := len(s.words) - 1
	return uint32(w*64 + 63 - bits.LeadingZeros64(s.words[w])), true
}

// Equal reports whether both sets have the same members.
func (s Set) Equal(o Set) bool {
	if s.count != o.count || len(s.words) != len(o.words) {
		return false
	}
	for i, w := range s.words {
		if w != o.words[i] {
			return false
		}
	}
	return true
}

// Minus returns the shards of s that are not in o.
func (s Set) Minus(o Set) Set {
	var d Set
	for m := range s.All() {
		if !o.Contains(m) {
			d.add(m)
		}
	}
	return d
}

// All yields the shards in rising order.
func (s Set) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i, w := range s.words {
			for ; w != 0; w &= w - 1 {
				if !yield(uint32(i*64 + bits.TrailingZeros64(w))) {
					return
				}
			}
		}
	}
}

// String returns the canonical text; ParseSet reads it back to an equal set.
func (s Set) String() string {
	var b strings.Builder
	var first, last uint32
	open := false
	flush := func() {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(first), 10))
		if last > first {
			b.WriteByte('-')
			b.WriteString(strconv.FormatUint(uint64(last), 10))
		}
	}
	for m := range s.All() {
		switch {
		case !open:
			first, last, open = m, m, true
		case m == last+1:
			last = m
		default:
			flush()
			first, last = m, m
		}
	}
	if open {
		flush()
	}
	return b.String()
}

// MarshalText writes the canonical text.
func (s Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Set) UnmarshalText(text []byte) error {
	parsed, err := ParseSet(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
