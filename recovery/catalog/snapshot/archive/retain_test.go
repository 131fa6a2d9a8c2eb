package archive

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// verdicts writes them down: +kept, -removed.
func verdicts(all []Verdict) string {
	var texts []string
	for _, v := range all {
		sign := "-"
		if v.Keep {
			sign = "+"
		}
		texts = append(texts, sign+names([]Entry{v.Entry}))
	}
	return strings.Join(texts, " ")
}

func TestRetain(t *testing.T) {
	f10, f20, f30 := full(10), full(20), full(30)
	for name, c := range map[string]struct {
		list   []Entry
		policy Policy
		want   string
	}{
		"the newest two":   {[]Entry{f30, f10, f20}, Policy{}, "-full-10 +full-20 +full-30"},
		"only the newest":  {[]Entry{f30, f10, f20}, Policy{Fulls: 1}, "-full-10 -full-20 +full-30"},
		"fewer than that":  {[]Entry{f10}, Policy{}, "+full-10"},
		"four on the last": {[]Entry{f10, incr(f10, 11), incr(f10, 12), incr(f10, 13), incr(f10, 14), incr(f10, 15)}, Policy{}, "+full-10 -incr-10-11 +incr-10-12 +incr-10-13 +incr-10-14 +incr-10-15"},
		"one on others":    {[]Entry{f10, incr(f10, 11), incr(f10, 12), f20, incr(f20, 21), incr(f20, 22)}, Policy{}, "+full-10 -incr-10-11 +incr-10-12 +full-20 +incr-20-21 +incr-20-22"},
		"none":             {[]Entry{f10, incr(f10, 11), f20, incr(f20, 21)}, Policy{Increments: -1, Older: -1}, "+full-10 -incr-10-11 +full-20 +incr-20-21"},
		"orphans":          {[]Entry{incr(f10, 11), f20, incr(full(20, "x"), 21)}, Policy{}, "-incr-10-11 +full-20 -incr-20-21"},
		"of a removed one": {[]Entry{f10, incr(f10, 11), f20, f30}, Policy{}, "-full-10 -incr-10-11 +full-20 +full-30"},
		"that goes on":     {[]Entry{f10, incr(f10, 11), incr(f10, 35), f20, f30}, Policy{}, "+full-10 -incr-10-11 +full-20 +full-30 +incr-10-35"},
		"twins":            {[]Entry{f10, in(3, f10), in(2, f20), in(3, f20)}, Policy{}, "+full-10 -full-10/3 +full-20/2 -full-20/3"},
		"no full one":      {[]Entry{incr(f10, 11), as(Damaged, f20), in(2, as(Incomplete, f30))}, Policy{}, "+incr-10-11 +full-20 +full-30/2"},
		"unreadable":       {[]Entry{as(Unreadable, f10), as(Unreadable, incr(f10, 11)), f20, f30}, Policy{}, "+full-10 +incr-10-11 +full-20 +full-30"},
		"bases of such":    {[]Entry{f10, as(Unreadable, incr(f10, 11)), f20, f30}, Policy{}, "+full-10 +incr-10-11 +full-20 +full-30"},
	} {
		if got := verdicts(Retain(c.list, c.policy, nil)); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, c.want)
		}
	}
}

// Hazard 67: retention that counts incomplete ones, or deletes the one being
// read.
func TestRetentionThatCountsIncompleteOnes(t *testing.T) {
	f10, f20, f30, f40 := full(10), full(20), full(30), full(40)
	broken := []Entry{
		f10, f20, as(Damaged, f30), in(4, as(Incomplete, f40)), as(Unreadable, full(50)), full(60), full(60, "x"),
		as(Damaged, incr(f20, 21)), incr(f20, 22), incr(f20, 23), incr(f20, 24), incr(f20, 25),
	}
	for _, v := range Retain(broken, Policy{}, nil) {
		if !v.Keep {
			t.Errorf("%v is removed: %s", v.Name, v.Reason)
		}
	}
	// Once two newer ones are whole, the evidence goes with its contemporaries.
	got := verdicts(Retain(append(broken, full(70), full(80)), Policy{}, nil))
	want := "-full-10 -full-20 -incr-20-21 -incr-20-22 -incr-20-23 -incr-20-24 -incr-20-25" +
		" -full-30 -full-40/4 +full-50 -full-60 -full-60 +full-70 +full-80"
	if got != want {
		t.Errorf("%s, want\n%s", got, want)
	}

	inUse := func(e Entry) bool { return e.Kind == snapshot.Incremental && e.Position == 11 }
	all := Retain([]Entry{f10, incr(f10, 11), incr(f10, 12), f20, f30, f40}, Policy{}, inUse)
	if got := verdicts(all); got != "+full-10 +incr-10-11 -incr-10-12 -full-20 +full-30 +full-40" {
		t.Error(got)
	}
	if all[0].Reason != KeepBase || all[1].Reason != KeepInUse {
		t.Errorf("%+v", all)
	}
}

// Half of an ambiguous pair would pass for good: it goes together.
func TestRetainPairs(t *testing.T) {
	f10, x10 := full(10), full(10, "x")
	list := []Entry{f10, x10, incr(x10, 11), full(20), full(30)}
	for name, used := range map[string]Entry{"one of them": f10, "an increment on one": list[2]} {
		all := Retain(list, Policy{}, func(e Entry) bool { return e.Name == used.Name })
		if all[0].Keep != true || all[1].Keep != true || all[0].Position != 10 || all[1].Position != 10 {
			t.Errorf("%s is in use: %s", name, verdicts(all))
		}
	}
	if got := verdicts(Retain(list, Policy{}, nil)); got != "-full-10 -full-10 -incr-10-11 +full-20 +full-30" {
		t.Error(got)
	}
}

func TestRetainTellsWhy(t *testing.T) {
	f10, f20, f30 := full(10), full(20), full(30)
	list := []Entry{
		f10, incr(f10, 11), f20, incr(f20, 21), incr(f20, 22), in(2, f20), f30, incr(f30, 31), full(25), full(25, "x"),
		as(Damaged, full(26)), as(Unreadable, full(27)), as(Damaged, full(5)), incr(f10, 40),
	}
	want := map[string]Reason{
		"full-5": DropOld, "full-10": KeepBase, "incr-10-11": DropOrphan, "full-20": KeepFull, "full-20/2": DropTwin,
		"incr-20-21": DropIncrement, "incr-20-22": KeepIncrement, "full-25": KeepAmbiguous, "full-26": KeepDamaged,
		"full-27": KeepUnknown, "full-30": KeepFull, "incr-30-31": KeepIncrement, "incr-10-40": KeepFurthest,
	}
	want["full-10"] = KeepFurthest // with its increment
	for _, v := range Retain(list, Policy{}, nil) {
		if why := want[names([]Entry{v.Entry})]; v.Reason != why {
			t.Errorf("%s: %s, want %s", names([]Entry{v.Entry}), v.Reason, why)
		}
	}
}

// Two networks in one directory are counted apart.
func TestRetainNetworks(t *testing.T) {
	other := full(40)
	other.Bound.Network = "other"
	list := []Entry{full(10), full(20), other, as(Damaged, full(5))}
	if got := verdicts(Retain(list, Policy{Fulls: 1}, nil)); got != "+full-5 -full-10 +full-20 +full-40" {
		t.Error(got)
	}
}

func TestRetentionProperties(t *testing.T) {
	removed := 0
	evidence.Property(t, "planner: retention removes nothing that is in use or the only way to the newest", func(t *rapid.T) {
		list := anyList(t)
		policy := Policy{
			Fulls: rapid.IntRange(0, 3).Draw(t, "fulls"), Increments: rapid.IntRange(-1, 3).Draw(t, "increments"),
			Older: rapid.IntRange(-1, 2).Draw(t, "older"),
		}
		used := map[File]bool{}
		for _, e := range list {
			used[e.key()] = rapid.IntRange(0, 4).Draw(t, "used") == 0
		}
		all := Retain(list, policy, func(e Entry) bool { return used[e.key()] })
		if len(all) != len(list) {
			t.Fatalf("%d verdicts for %d entries", len(all), len(list))
		}
		var kept []Entry
		for _, v := range all {
			if v.Keep {
				kept = append(kept, v.Entry)
				continue
			}
			removed++
			if used[v.key()] || v.Status == Unreadable || v.Reason == "" {
				t.Fatalf("%v is removed: %s", v.Name, v.Reason)
			}
		}
		checkKept(t, list, kept, policy.withDefaults(), used)
	})
	if removed == 0 {
		t.Error("nothing was ever removed")
	}
}

// checkKept holds what is kept against what was there.
func checkKept(t *rapid.T, list, kept []Entry, policy Policy, used map[File]bool) {
	// Nothing that could be reached newest is lost.
	before, after := newChoice(list, Range{}, Latest), newChoice(kept, Range{}, Latest)
	b, a := best(before.clean), best(after.clean)
	if b != nil && (a == nil || a.Position() != b.Position()) {
		t.Fatalf("the newest was %v, and is %v", b, a)
	}
	// The newest full ones are there, all of them and whole, and others only
	// for a reason.
	counted := func(list []Entry) (positions []uint64) {
		for _, e := range list {
			if e.Kind == snapshot.Full && e.Status == Complete && len(Rivals(list, e)) == 0 && !slices.Contains(positions, e.Position) {
				positions = append(positions, e.Position)
			}
		}
		slices.Sort(positions)
		slices.Reverse(positions)
		return positions
	}
	was := counted(list)
	was = was[:min(len(was), policy.Fulls)]
	is := counted(kept)
	if len(is) < len(was) || !slices.Equal(is[:len(was)], was) {
		t.Fatalf("full ones %v became %v, want %v", counted(list), is, was)
	}
	if extra := is[len(was):]; len(extra) > 0 && !slices.Contains(fmtKeys(used), true) {
		for _, p := range extra {
			if !slices.ContainsFunc(kept, func(e Entry) bool { return e.Kind == snapshot.Incremental && e.Base == p }) {
				t.Fatalf("full-%d is kept for nothing: %s", p, names(kept))
			}
		}
	}
	// An increment is never kept without what it is relative to, if that is there.
	for _, e := range kept {
		if e.Kind == snapshot.Full {
			continue
		}
		isBase := func(f Entry) bool { return e.builds(f) }
		if slices.ContainsFunc(list, isBase) && !slices.ContainsFunc(kept, isBase) {
			t.Fatalf("%v is kept without its base", fmt.Sprint(e.Name))
		}
	}
}

func fmtKeys(m map[File]bool) (values []bool) {
	for _, v := range m {
		values = append(values, v)
	}
	return values
}
