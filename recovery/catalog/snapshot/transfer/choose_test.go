package transfer

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// made makes up an entry; variants differ in their digests.
func made(kind snapshot.Kind, base *archive.Entry, position uint64, variant byte) archive.Entry {
	d := recovery.Digest{byte(kind), byte(position), variant}
	e := archive.Entry{
		Name: archive.Name{Kind: kind, Position: position}, Status: archive.Complete, Size: 1,
		Bound: recovery.Bound{Stamp: recovery.Stamp{Network: "test", Position: position}},
	}
	if base != nil {
		e.Base, e.BaseDigest = base.Position, base.Bound.Digest
		d[3], d[4] = byte(base.Position), base.Bound.Digest[2]
	}
	e.Bound.Digest, e.Digest = d, archive.ShortOf(d)
	return e
}

func f(position uint64) archive.Entry { return made(snapshot.Full, nil, position, 0) }

func i(base archive.Entry, position uint64) archive.Entry {
	return made(snapshot.Incremental, &base, position, 0)
}

// by makes offers of a peer.
func by(peer int, all ...archive.Entry) (offers []offered) {
	for _, e := range all {
		offers = append(offers, offered{offer{Entry: e}, peer})
	}
	return offers
}

func route(r archive.Route) (text string) {
	for _, e := range r.Entries() {
		text += fmt.Sprintf(" %v-%d", e.Kind, e.Position)
	}
	return text
}

func TestChoose(t *testing.T) {
	from := func(first uint64) func(uint64) bool { return func(at uint64) bool { return at >= first } }
	rival := made(snapshot.Full, nil, 20, 1)
	liar := f(20)
	liar.Bound.Digest[31] = 9 // the same name, another digest
	chosen := func(all ...archive.Entry) archive.Route {
		r := archive.Route{Full: &all[0]}
		if len(all) > 1 {
			r.Incremental = &all[1]
		}
		return r
	}
	for name, c := range map[string]struct {
		local  []archive.Entry
		offers []offered
		want   want
		route  string
	}{
		"the highest":              {nil, by(0, f(10), f(20)), want{}, " full-20"},
		"the furthest":             {nil, by(0, f(10), i(f(10), 25), f(20)), want{}, " full-10 incremental-25"},
		"of two peers":             {nil, append(by(0, f(10)), by(1, i(f(10), 25))...), want{}, " full-10 incremental-25"},
		"what is here":             {[]archive.Entry{f(20)}, by(0, f(10)), want{}, " full-20"},
		"on what is here":          {[]archive.Entry{f(20)}, by(0, i(f(20), 30), f(30)), want{}, " full-20 incremental-30"},
		"not on what is damaged":   {[]archive.Entry{{Name: f(20).Name, Status: archive.Damaged}}, by(0, i(f(20), 30), f(20)), want{}, " full-20 incremental-30"},
		"a target":                 {nil, by(0, f(10), f(20), f(30)), want{target: 20}, " full-20"},
		"a target by events":       {nil, by(0, f(10), f(20), f(30)), want{target: 25, covers: from(0)}, " full-20"},
		"where events go on":       {nil, by(0, f(10), i(f(10), 18), f(20)), want{covers: from(0)}, " full-20"},
		"the events decide":        {nil, by(0, f(10), f(20)), want{covers: func(at uint64) bool { return at >= 20 }}, " full-20"},
		"enough voices":            {nil, slices.Concat(by(0, f(10), f(30)), by(1, f(10), f(20)), by(2, f(20))), want{agree: 2}, " full-20"},
		"more voices for a name":   {nil, slices.Concat(by(0, liar), by(1, f(20)), by(2, f(20))), want{agree: 2}, " full-20"},
		"a rival with few voices":  {nil, slices.Concat(by(0, rival), by(1, f(20)), by(2, f(20))), want{agree: 2}, " full-20"},
		"a rival that was asked":   {nil, slices.Concat(by(0, rival), by(1, f(20))), want{digest: rival.Bound.Digest}, " full-20"},
		"a rival that is no way":   {nil, by(0, rival, f(20), f(30)), want{}, " full-30"},
		"stays":                    {nil, by(0, f(10), f(20)), want{chosen: chosen(f(10))}, " full-10"},
		"stays with its increment": {nil, by(0, f(10), i(f(10), 15), f(20)), want{chosen: chosen(f(10), i(f(10), 15))}, " full-10 incremental-15"},
		"cannot stay: gone":        {nil, by(0, f(20)), want{chosen: chosen(f(10))}, " full-20"},
		"cannot stay: contested":   {nil, by(0, f(30), f(20), rival), want{chosen: chosen(f(20))}, " full-30"},
		"cannot stay: no events":   {nil, by(0, f(10), f(20)), want{chosen: chosen(f(10)), covers: from(15)}, " full-20"},
		"a few more events":        {[]archive.Entry{f(10)}, by(0, i(f(10), 15), f(20)), want{covers: from(0)}, " full-10 incremental-15"},
		"no few more events":       {[]archive.Entry{f(10)}, by(0, i(f(10), 15), f(20)), want{covers: from(18)}, " full-20"},
		"a contested base":         {[]archive.Entry{f(20)}, by(0, rival, i(f(20), 25), f(30)), want{covers: from(0)}, " full-30"},
	} {
		if c.want.target == 0 {
			c.want.target = archive.Latest
		}
		c.want.agree = max(1, c.want.agree)
		r, err := choose(c.local, c.offers, c.want)
		if err != nil || route(r) != c.route {
			t.Errorf("%s:%s, %v; want%s", name, route(r), err, c.route)
		}
		if name == "a rival that was asked" && r.Full.Bound.Digest != rival.Bound.Digest {
			t.Errorf("%s: it is %v", name, r.Full.Bound)
		}
	}
}

func TestChooseRefuses(t *testing.T) {
	rival := made(snapshot.Full, nil, 20, 1)
	latest := want{target: archive.Latest, agree: 1}
	var damaged *archive.DamagedError
	if _, err := choose([]archive.Entry{f(20)}, by(0, rival), latest); !errors.As(err, &damaged) {
		t.Errorf("a rival of what is here: %v", err)
	}
	latest.covers = func(at uint64) bool { return at > 20 }
	var missing *archive.MissingError
	if _, err := choose(nil, by(0, f(10), f(20)), latest); !errors.As(err, &missing) || missing.First != 21 {
		t.Errorf("events that begin too late: %v", err)
	}
}

// Whatever peers offer: what is chosen is here or said by enough of them, has no
// rival among that, and nothing else leads further.
func TestChooseProperties(t *testing.T) {
	chosen := 0
	evidence.Property(t, "planner: what is fetched from peers has no rival, and nothing leads further", func(t *rapid.T) {
		var pool []archive.Entry
		for _, p := range []uint64{10, 20, 30} {
			for variant := range byte(2) {
				base := made(snapshot.Full, nil, p, variant)
				pool = append(pool, base, made(snapshot.Incremental, &base, p+5, 0), made(snapshot.Incremental, &base, p+15, variant))
			}
		}
		some := func(label string) []archive.Entry {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 6, func(e archive.Entry) archive.Name { return e.Name }).Draw(t, label)
		}
		local := some("local")
		var offers []offered
		for peer := range 3 {
			offers = append(offers, by(peer, some("peer")...)...)
		}
		w := want{target: rapid.SampledFrom([]uint64{archive.Latest, 20, 25, 35}).Draw(t, "target"), agree: rapid.IntRange(1, 3).Draw(t, "agree")}
		if first := rapid.Uint64Range(0, 60).Draw(t, "first"); first > 0 {
			w.covers = func(at uint64) bool { return at+1 >= first }
		}
		r, err := choose(local, offers, w)
		if err != nil {
			return
		}
		chosen++
		believed := func(e archive.Entry) bool {
			return slices.ContainsFunc(local, func(o archive.Entry) bool { return o.Name == e.Name }) ||
				voices(offers, offered{offer{Entry: e}, 0}) >= w.agree
		}
		var list []archive.Entry
		for _, e := range pool {
			if believed(e) {
				list = append(list, e)
			}
		}
		for _, e := range r.Entries() {
			if !believed(e) || len(archive.Rivals(list, e)) > 0 {
				t.Fatalf("%v is chosen of %v", e.Name, list)
			}
		}
		at := r.Position()
		if at > w.target || !w.leadsOn(at) {
			t.Fatalf("%d is chosen for %d", at, w.target)
		}
		for _, other := range archive.Routes(list) {
			if p := other.Position(); w.covers == nil && p > at && p <= w.target && undisputed(list, other) {
				t.Fatalf("%d is chosen, %d leads further", at, p)
			}
		}
	})
	if chosen == 0 {
		t.Error("nothing was ever chosen")
	}
}
