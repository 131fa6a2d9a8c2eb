package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/recoverd/recoverd/recovery"
)

// count spells a number with separators: 1,234,567.
func count[N int | int64 | uint32 | uint64](n N) string { return humanize.Comma(int64(n)) }

// plural spells a number of things: 1 blob, 2 blobs.
func plural[N int | int64 | uint32 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// be spells a number of things that a participle follows: 1 blob is, 2 blobs are.
func be(n int, thing string) string {
	if n == 1 {
		return plural(n, thing) + " is"
	}
	return plural(n, thing) + " are"
}

// size spells bytes: 4.0 KiB.
func size[N int64 | uint64](bytes N) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// rate spells what happens in a second; small rates keep a digit, so that slow is
// not taken for nothing.
func rate(perSecond float64) string {
	switch {
	case perSecond <= 0:
		return "0"
	case perSecond < 0.05:
		return "< 0.1"
	case perSecond < 100:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return count(int64(perSecond))
}

// spell gives a duration in its one or two largest units: 45 s, 2 min, 3 h 20 min,
// 4 d 2 h.
func spell(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(large time.Duration, largeName string, small time.Duration, smallName string) string {
		text := fmt.Sprintf("%d %s", d/large, largeName)
		if rest := d % large / small; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, smallName)
		}
		return text
	}
	switch {
	case d < time.Second:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return two(time.Hour, "h", time.Minute, "min")
	}
	return two(day, "d", time.Hour, "h")
}

// timeText spells a moment, or that there was none.
func timeText(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// shortMark spells a mark so that it fits a line: 16 digits tell ids apart.
func shortMark(m recovery.Mark) string {
	if id, ok := m.ID(); ok {
		return id.String()[:16] + "..."
	}
	return m.String()
}
