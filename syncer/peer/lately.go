package peer

import "time"

const (
	latelyTime  = 20 * time.Second // how far back tries are looked at; at least half of it
	latelyTries = 20               // fewer say nothing
	latelyBad   = 50               // percent of failures that is too much
)

// lately counts the recent tries and the failures among them, in two halves of a
// window. The zero value has seen none.
type lately struct {
	began    time.Time // of the newer half
	bad, all [2]int    // newer, older
}

func (l *lately) add(now time.Time, bad bool) {
	l.turn(now)
	l.all[0]++
	if bad {
		l.bad[0]++
	}
}

func (l *lately) sum(now time.Time) (bad, all int) {
	l.turn(now)
	return l.bad[0] + l.bad[1], l.all[0] + l.all[1]
}

// turn begins a new half when the newer one is full, and forgets the older one.
func (l *lately) turn(now time.Time) {
	switch age := now.Sub(l.began); {
	case age >= latelyTime:
		*l = lately{began: now}
	case age >= latelyTime/2:
		l.began = now
		l.bad, l.all = [2]int{0, l.bad[0]}, [2]int{0, l.all[0]}
	}
}

func tooMany(bad, all int) bool { return all >= latelyTries && bad*100 >= all*latelyBad }
