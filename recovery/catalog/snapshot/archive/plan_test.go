package archive

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

func TestPlan(t *testing.T) {
	f10, f20, f30 := full(10), full(20), full(30)
	for name, c := range map[string]struct {
		list   []Entry
		log    Range
		target uint64
		route  string
		replay Range
		at     uint64
		newer  string
		passed string
	}{
		"the newest of all":           {[]Entry{f10, f20}, Range{}, Latest, "full-20", Range{}, 20, "", ""},
		"exactly":                     {[]Entry{f10, f20, f30}, Range{}, 20, "full-20", Range{}, 20, "full-30", ""},
		"an increment":                {[]Entry{f10, incr(f10, 15), incr(f10, 17)}, Range{}, 15, "full-10 incr-10-15", Range{}, 15, "incr-10-17", ""},
		"and events":                  {[]Entry{f10, incr(f10, 15)}, Range{12, 40}, 18, "full-10 incr-10-15", Range{16, 18}, 18, "", ""},
		"events up to the newest":     {[]Entry{f10}, Range{11, 40}, Latest, "full-10", Range{11, 40}, 40, "", ""},
		"fewest events":               {[]Entry{f10, f20, incr(f10, 15)}, Range{1, 40}, 30, "full-20", Range{21, 30}, 30, "", ""},
		"fewest files":                {[]Entry{f10, incr(f10, 20), f20}, Range{}, 20, "full-20", Range{}, 20, "", ""},
		"whole before chunks":         {[]Entry{in(3, f10), f10}, Range{}, 10, "full-10", Range{}, 10, "", ""},
		"chunks":                      {[]Entry{in(3, f10)}, Range{}, 10, "full-10/3", Range{}, 10, "", ""},
		"from the beginning":          {nil, Range{1, 9}, 7, "", Range{1, 7}, 7, "", ""},
		"from the beginning, newest":  {[]Entry{as(Damaged, f10)}, Range{1, 19}, Latest, "", Range{1, 19}, 19, "", "full-10"},
		"a log that ends before":      {[]Entry{f10, f20}, Range{1, 9}, Latest, "full-20", Range{}, 20, "", ""},
		"a log that begins after":     {[]Entry{f10}, Range{12, 20}, Latest, "full-10", Range{}, 10, "", ""},
		"past a damaged one":          {[]Entry{f10, as(Damaged, f20)}, Range{11, 40}, 25, "full-10", Range{11, 25}, 25, "", "full-20"},
		"past a pair":                 {[]Entry{f10, full(20, "x"), f20}, Range{11, 40}, 25, "full-10", Range{11, 25}, 25, "", "full-20 full-20"},
		"past a damaged one, newest":  {[]Entry{f10, as(Incomplete, f20)}, Range{}, Latest, "full-10", Range{}, 10, "", "full-20"},
		"a pair that leads no higher": {[]Entry{f10, f20, full(10, "x")}, Range{}, Latest, "full-20", Range{}, 20, "", "full-10 full-10"},
		"damage beyond the target":    {[]Entry{f10, as(Damaged, f20)}, Range{}, 10, "full-10", Range{}, 10, "", ""},
		"another's increment":         {[]Entry{f10, incr(full(10, "x"), 15)}, Range{}, Latest, "full-10", Range{}, 10, "", ""},
	} {
		p, err := MakePlan(c.list, c.log, c.target)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var passed []Entry
		for _, u := range p.Passed {
			passed = append(passed, u.Entry)
		}
		if names(p.Entries()) != c.route || p.Replay != c.replay || p.Position != c.at || names(p.Newer) != c.newer || names(passed) != c.passed {
			t.Errorf("%s: %q, then %v, to %d; newer %q, passed %q", name, names(p.Entries()), p.Replay, p.Position, names(p.Newer), names(passed))
		}
	}
}

// Hazard 55: a newer full snapshot without increments chosen over an older one
// that reaches further.
func TestANewerFullSnapshotWithoutIncrementsChosenOverAnOlderOneThatReachesFurther(t *testing.T) {
	old, young := full(10), full(20)
	list := []Entry{young, old, incr(old, 25)}
	p, err := MakePlan(list, Range{}, Latest)
	if err != nil || names(p.Entries()) != "full-10 incr-10-25" {
		t.Errorf("newest: %v, %v", names(p.Entries()), err)
	}
	// The events that lead on begin after the older one's.
	p, err = MakePlan(list, Range{26, 40}, 33)
	if err != nil || names(p.Entries()) != "full-10 incr-10-25" || p.Replay != (Range{26, 33}) {
		t.Errorf("33: %v, %v, %v", names(p.Entries()), p.Replay, err)
	}
	// And the other way round: increments that stop short of where events begin.
	p, err = MakePlan([]Entry{young, old, incr(old, 15)}, Range{18, 40}, 33)
	if err != nil || names(p.Entries()) != "full-20" || p.Replay != (Range{21, 33}) {
		t.Errorf("33: %v, %v, %v", names(p.Entries()), p.Replay, err)
	}
}

func TestNothing(t *testing.T) {
	f20, f30 := full(20), full(30)
	e := check[*NothingError](t, planError([]Entry{f30, incr(f20, 25), f20}, Range{15, 40}, 19))
	if e.Oldest() == nil || e.Oldest().Position != 20 || e.Target != 19 || len(e.Newer) != 3 {
		t.Errorf("%+v", e)
	}
	if e = check[*NothingError](t, planError(nil, Range{}, 5)); e.Oldest() != nil {
		t.Errorf("%+v", e)
	}
	// What is not complete is no way out, and no increment stands alone.
	e = check[*NothingError](t, planError([]Entry{as(Damaged, f20), f30, incr(full(3), 4)}, Range{}, 5))
	if e.Oldest() == nil || e.Oldest().Position != 30 {
		t.Errorf("%+v", e)
	}
	check[*NothingError](t, planError(nil, Range{}, Latest))
}

func TestMissing(t *testing.T) {
	f10, f30 := full(10), full(30)
	for name, c := range map[string]struct {
		list        []Entry
		log         Range
		target      uint64
		first, last uint64
		from        string
	}{
		"no log":                     {[]Entry{f10, f30}, Range{}, 20, 11, 20, "full-10"},
		"a log that begins too late": {[]Entry{f10, f30}, Range{15, 40}, 20, 11, 14, "full-10"},
		"a log that begins later":    {[]Entry{f10, f30}, Range{25, 40}, 20, 11, 20, "full-10"},
		"a log that ends too early":  {[]Entry{f10}, Range{5, 18}, 20, 19, 20, "full-10"},
		"an increment goes further":  {[]Entry{f10, incr(f10, 14)}, Range{16, 18}, 20, 15, 15, "full-10 incr-10-14"},
		"no snapshot":                {[]Entry{f30}, Range{1, 18}, 20, 19, 20, ""},
		"damage would not do either": {[]Entry{f10, as(Damaged, full(15))}, Range{17, 40}, 20, 11, 16, "full-10"},
	} {
		e := check[*MissingError](t, planError(c.list, c.log, c.target))
		if e.First != c.first || e.Last != c.last || names(e.From.Entries()) != c.from || e.Log != c.log || e.Target != c.target {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// A newer snapshot exists, and is not in the way.
	if e := check[*MissingError](t, planError([]Entry{f10, f30}, Range{}, 20)); names(e.Newer) != "full-30" {
		t.Errorf("newer %v", names(e.Newer))
	}
}

func TestDamaged(t *testing.T) {
	f10, f20, f30 := full(10), full(20), full(30)
	i15 := incr(f10, 15)
	for name, c := range map[string]struct {
		list   []Entry
		log    Range
		target uint64
		faults string
	}{
		"the only one":               {[]Entry{as(Damaged, f10), f30}, Range{}, 20, "full-10"},
		"the one with the events":    {[]Entry{f10, as(Unreadable, f20)}, Range{21, 40}, 25, "full-20"},
		"the very position":          {[]Entry{f10, as(Incomplete, in(3, f20))}, Range{}, 20, "full-20/3"},
		"an increment":               {[]Entry{f10, as(Damaged, i15)}, Range{}, 15, "incr-10-15"},
		"an increment's base":        {[]Entry{as(Damaged, f10), i15}, Range{}, 15, "full-10"},
		"both":                       {[]Entry{as(Damaged, f10), as(Damaged, i15)}, Range{}, 15, "full-10 incr-10-15"},
		"the newest":                 {[]Entry{as(Damaged, f10)}, Range{}, Latest, "full-10"},
		"the newest are a pair":      {[]Entry{f10, f20, full(20, "x")}, Range{}, Latest, "full-20"},
		"a pair before a broken one": {[]Entry{f10, f20, full(20, "x"), as(Damaged, f30)}, Range{}, Latest, "full-20"},
	} {
		e := check[*DamagedError](t, planError(c.list, c.log, c.target))
		var all []Entry
		for _, u := range e.Entries {
			all = append(all, u.Entry)
		}
		if names(all) != c.faults || e.Target != c.target {
			t.Errorf("%s: %v, %v", name, names(all), e)
		}
		if !strings.Contains(e.Error(), all[0].Name.String()) {
			t.Errorf("%s: %v does not name %v", name, e, all[0].Name)
		}
	}
}

// Hazard 56: two snapshots of one position with different digests: stop and
// name both, or take the one asked for.
func TestTwoSnapshotsOfOnePositionWithDifferentDigests(t *testing.T) {
	base := full(10)
	for name, pair := range map[string][2]Entry{
		"full":         {full(20), full(20, "x")},
		"increments":   {incr(base, 20), incr(base, 20, "x")},
		"other bases":  {incr(full(10), 20), incr(full(10, "x"), 20)},
		"other shapes": {in(2, full(20)), full(20, "x")},
	} {
		list := []Entry{pair[0], base, pair[1], full(30)}
		e := check[*DamagedError](t, planError(list, Range{}, 20))
		for _, one := range pair {
			if !strings.Contains(e.Error(), one.Name.String()) {
				t.Errorf("%s: %v does not name %v", name, e, one.Name)
			}
		}
		if len(e.Entries) == 0 || len(e.Entries[0].Rivals) != 1 || names(e.Newer) != "full-30" {
			t.Errorf("%s: %+v", name, e)
		}
		for i, asked := range pair {
			p, err := MakePlan(Asked(append(list, full(10, "x")), asked.Bound.Digest), Range{}, 20)
			if name == "other bases" {
				// Their bases are a pair as well: both have to be asked for.
				check[*DamagedError](t, err)
				narrowed := Asked(Asked(append(list, full(10, "x")), asked.Bound.Digest), asked.BaseDigest)
				p, err = MakePlan(narrowed, Range{}, 20)
			} else if pair[0].Kind == snapshot.Incremental {
				p, err = MakePlan(Asked(list, asked.Bound.Digest), Range{}, 20)
			}
			if err != nil || p.Entries()[len(p.Entries())-1].Bound.Digest != asked.Bound.Digest {
				t.Errorf("%s %d: %v, %v", name, i, names(p.Entries()), err)
			}
		}
	}
}

func TestPlanRefusesNetworks(t *testing.T) {
	other := full(20)
	other.Bound.Network = "other"
	e := check[*NetworksError](t, planError([]Entry{full(10), other}, Range{}, Latest))
	if !slices.Equal(e.Networks, []string{"other", "test"}) {
		t.Errorf("%+v", e)
	}
}

func planError(list []Entry, log Range, target uint64) error {
	_, err := MakePlan(list, log, target)
	return err
}

// reachable works out, position by position, what can be reached from which
// snapshots, if those that allowed accepts are good.
func reachable(list []Entry, log Range, allowed func(Entry) bool) map[uint64]bool {
	at := map[uint64]bool{}
	for _, f := range list {
		if f.Kind != snapshot.Full || !allowed(f) {
			continue
		}
		at[f.Position] = true
		for _, i := range list {
			if allowed(i) && i.builds(f) {
				at[i.Position] = true
			}
		}
	}
	if log.First == 1 && log.Last >= 1 {
		at[0] = true
	}
	for p := uint64(0); p < 30; p++ {
		if at[p] && log.First > 0 && p+1 >= log.First && p+1 <= log.Last {
			at[p+1] = true
		}
	}
	return at
}

func TestPlanAgainstModel(t *testing.T) {
	seen := map[string]int{}
	evidence.Property(t, "planner: a way back is found where the model has one, and the reason given where not", func(t *rapid.T) {
		list, log := anyList(t), anyLog(t)
		target := rapid.SampledFrom([]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, Latest}).Draw(t, "target")
		var before []Entry
		for _, e := range list {
			if e.Position <= target {
				before = append(before, e)
			}
		}
		good := func(e Entry) bool { return e.Status == Complete && len(Rivals(before, e)) == 0 }
		clean := reachable(before, log, good)
		hoped := reachable(before, log, func(Entry) bool { return true })
		highest := func(at map[uint64]bool) (h uint64) {
			for p := range at {
				if p <= target {
					h = max(h, p)
				}
			}
			return h
		}

		p, err := MakePlan(list, log, target)
		var nothing *NothingError
		var missing *MissingError
		var damaged *DamagedError
		switch {
		case err == nil:
			seen["plan"]++
			checkPlan(t, p, before, log, good)
			if target != Latest && p.Position != target || target == Latest && p.Position != highest(clean) {
				t.Fatalf("target %d: reached %d of %v", target, p.Position, clean)
			}
		case target != Latest && clean[target]:
			t.Fatalf("target %d is reachable: %v", target, err)
		case errors.As(err, &nothing):
			seen["nothing"]++
			if len(hoped) > 0 {
				t.Fatalf("%v, but %v might be reached", err, hoped)
			}
		case errors.As(err, &damaged):
			seen["damaged"]++
			if len(damaged.Entries) == 0 || slices.ContainsFunc(damaged.Entries, func(u Unusable) bool { return good(u.Entry) }) {
				t.Fatalf("%v names good ones", err)
			}
			if len(clean) > 0 && target != Latest && !hoped[target] {
				t.Fatalf("%v, but it would not be reached either way", err)
			}
		case errors.As(err, &missing):
			seen["missing"]++
			if missing.First != highest(clean)+1 || missing.Last < missing.First || missing.Last > target || hoped[target] {
				t.Fatalf("%+v of %v, %v", missing, clean, hoped)
			}
			if log.First <= missing.Last && missing.First <= log.Last && !log.Empty() {
				t.Fatalf("%+v is in the log %v", missing, log)
			}
		default:
			t.Fatal(err)
		}
	})
	for _, kind := range []string{"plan", "nothing", "missing", "damaged"} {
		if seen[kind] == 0 {
			t.Errorf("never: %s", kind)
		}
	}
}

// checkPlan walks a plan.
func checkPlan(t *rapid.T, p Plan, list []Entry, log Range, good func(Entry) bool) {
	at := uint64(0)
	for i, e := range p.Entries() {
		if !good(e) || !slices.ContainsFunc(list, func(o Entry) bool { return same(o, e) }) {
			t.Fatalf("%v is used", e)
		}
		if i == 1 && !e.builds(*p.Full) || i == 0 && e.Kind != snapshot.Full {
			t.Fatalf("%v is no way", names(p.Entries()))
		}
		at = e.Position
	}
	if !p.Replay.Empty() {
		if p.Replay.First != at+1 || p.Replay.First < log.First || p.Replay.Last > log.Last {
			t.Fatalf("from %d replays %v of %v", at, p.Replay, log)
		}
		at = p.Replay.Last
	}
	if at != p.Position {
		t.Fatalf("it ends at %d, not at %d", at, p.Position)
	}
	if len(p.Entries()) == 0 && log.First != 1 {
		t.Fatal("it begins with nothing")
	}
}
