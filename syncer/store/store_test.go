package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
)

func id(n byte) store.MarkerID { return store.MarkerID{15: n} }

func rootMarker() store.RootMarker {
	return store.RootMarker{
		Version: 1, ID: id(1), Network: "n", TotalShards: 4, Placement: shards.Hashed, Layout: store.Flat,
	}
}

// The bytes of a released version never change.
func TestMarkerBytes(t *testing.T) {
	root, err := rootMarker().Encode()
	if err != nil {
		t.Fatal(err)
	}
	shard, err := store.ShardMarker{Version: 1, ID: id(2), Root: id(1), Shard: 7, Foreign: true}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"id":"00000000000000000000000000000001","network":"n","total_shards":4,"placement":"hashed","layout":"flat"}
{"version":1,"id":"00000000000000000000000000000002","root":"00000000000000000000000000000001","shard":7,"foreign":true}
`
	if diff := cmp.Diff(want, string(root)+string(shard)); diff != "" {
		t.Error(diff)
	}
}

func TestBadMarkers(t *testing.T) {
	good, err := rootMarker().Encode()
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) []byte { return []byte(strings.Replace(string(good), old, with, 1)) }
	for name, data := range map[string][]byte{
		"empty":           nil,
		"cut":             good[:len(good)/2],
		"zeros":           make([]byte, 100),
		"another version": replace(`"version":1`, `"version":2`),
		"no version":      replace(`"version":1,`, ``),
		"unknown field":   replace(`"version":1`, `"version":1,"more":true`),
		"no id":           replace(`"id":"00000000000000000000000000000001"`, `"id":"00000000000000000000000000000000"`),
		"short id":        replace(`00000000000000000000000000000001`, `01`),
		"no network":      replace(`"network":"n"`, `"network":""`),
		"too many shards": replace(`"total_shards":4`, `"total_shards":70000`),
		"no shards":       replace(`"total_shards":4`, `"total_shards":0`),
		"bad placement":   replace(`hashed`, `scattered`),
		"auto layout":     replace(`flat`, `auto`),
		"two of them":     append(append([]byte{}, good...), good...),
		"too long":        append(append([]byte{}, good...), make([]byte, store.MaxMarker)...),
	} {
		if m, err := store.DecodeRoot(data); !errors.Is(err, store.ErrMarker) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	m := rootMarker()
	m.Network = strings.Repeat("n", store.MaxMarker)
	if _, err := m.Encode(); !errors.Is(err, store.ErrMarker) {
		t.Errorf("a marker too long to be read again: %v", err)
	}
}

func FuzzDecodeRoot(f *testing.F) {
	good, _ := rootMarker().Encode()
	f.Add(good)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := store.ParseLayout(string(data)); err == nil && l.String() != string(data) {
			t.Fatalf("%q is the layout %v", data, l)
		}
		m, err := store.DecodeRoot(data)
		if err != nil {
			if !errors.Is(err, store.ErrMarker) {
				t.Fatalf("error without sentinel: %v", err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil {
			return // escaped, it may become too long
		}
		if back, err := store.DecodeRoot(again); err != nil || back != m {
			t.Fatalf("%+v became %+v, %v", m, back, err)
		}
	})
}

func FuzzDecodeShard(f *testing.F) {
	good, _ := store.ShardMarker{Version: 1, ID: id(2), Root: id(1), Shard: 7}.Encode()
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := store.DecodeShard(data)
		if err != nil {
			if !errors.Is(err, store.ErrMarker) {
				t.Fatalf("error without sentinel: %v", err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := store.DecodeShard(again); err != nil || back != m {
			t.Fatalf("%+v became %+v, %v", m, back, err)
		}
	})
}

func TestLayoutNames(t *testing.T) {
	for _, l := range []store.Layout{store.Auto, store.Flat, store.Fanout} {
		if back, err := store.ParseLayout(l.String()); err != nil || back != l {
			t.Errorf("%s reads back as %s, %v", l, back, err)
		}
	}
	if _, err := store.ParseLayout("deep"); !errors.Is(err, store.ErrLayout) {
		t.Errorf("an unknown layout: %v", err)
	}
}

func TestLayoutIsChosenOnce(t *testing.T) {
	req := recovery.StoreRequest{Network: "n", TotalShards: 4, Placement: shards.Hashed}
	for _, tt := range []struct {
		name   string
		policy store.Policy
		found  store.Found
		want   store.Layout
	}{
		{"few blobs", store.Policy{Create: true, ExpectedPerShard: store.FanoutAbove}, store.Found{}, store.Flat},
		{"many blobs", store.Policy{Create: true, ExpectedPerShard: store.FanoutAbove + 1}, store.Found{}, store.Fanout},
		{"asked for", store.Policy{Create: true, Layout: store.Fanout}, store.Found{}, store.Fanout},
		{"flat files there", store.Policy{ExpectedPerShard: 1e9}, store.Found{Root: true, Flat: true}, store.Flat},
		{"fanned out files there", store.Policy{}, store.Found{Root: true, Fanout: true}, store.Fanout},
		{"both there, and asked for", store.Policy{Layout: store.Flat}, store.Found{Root: true, Flat: true, Fanout: true}, store.Flat},
	} {
		plan, err := store.Decide(req, tt.policy, tt.found, store.NewMarkerID)
		if err != nil || plan.Root.Layout != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, plan.Root.Layout, err, tt.want)
		}
	}
	both := store.Found{Root: true, Flat: true, Fanout: true}
	if _, err := store.Decide(req, store.Policy{}, both, store.NewMarkerID); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("both there: %v", err)
	}
	marked := rootMarker()
	_, err := store.Decide(req, store.Policy{Layout: store.Fanout}, store.Found{Root: true, Marker: &marked}, store.NewMarkerID)
	if !errors.Is(err, recovery.ErrMisconfigured) || !strings.Contains(err.Error(), "flat") || !strings.Contains(err.Error(), "fanout") {
		t.Errorf("another layout than the marker's: %v", err)
	}
}

// A disk of another store, or of another shard, is never filled by mistake.
func TestSwappedDisks(t *testing.T) {
	root := rootMarker()
	req := recovery.StoreRequest{Network: "n", TotalShards: 4, Placement: shards.Hashed, Owned: shards.SetOf(2)}
	found := func(m store.ShardMarker) store.Found {
		return store.Found{Root: true, Marker: &root, Shards: map[uint32]store.FoundShard{2: {Marker: &m}}}
	}
	policy := store.Policy{Create: true}
	swapped := found(store.ShardMarker{Version: 1, ID: id(3), Root: root.ID, Shard: 1})
	for _, adopt := range []bool{false, true} {
		policy.Adopt = adopt
		if _, err := store.Decide(req, policy, swapped, store.NewMarkerID); !errors.Is(err, recovery.ErrMisconfigured) {
			t.Errorf("another shard's disk, adopt %v: %v", adopt, err)
		}
	}
	other := found(store.ShardMarker{Version: 1, ID: id(3), Root: id(9), Shard: 2})
	policy.Adopt = false
	if _, err := store.Decide(req, policy, other, store.NewMarkerID); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("another store's disk: %v", err)
	}
	policy.Adopt = true
	plan, err := store.Decide(req, policy, other, store.NewMarkerID)
	if err != nil || !plan.Report.Foreign || !plan.Report.Wiped.Equal(req.Owned) || plan.Shards[0].MakeDir {
		t.Errorf("another store's disk, accepted: %+v, %v", plan, err)
	}
}

// The identity tells every root and every set of markers from every other, and a
// plan that was carried out changes nothing when it is made again.
func TestIdentity(t *testing.T) {
	evidence.Property(t, "store: the identity tells every set of markers from every other", func(t *rapid.T) {
		owned := rapid.SliceOfNDistinct(rapid.Uint32Range(0, 9), 1, 8, rapid.ID[uint32]).Draw(t, "owned")
		req := recovery.StoreRequest{Network: "n", TotalShards: 10, Placement: shards.Hashed, Owned: shards.SetOf(owned...)}
		policy := store.Policy{Create: true}
		plan, err := store.Decide(req, policy, store.Found{}, store.NewMarkerID)
		if err != nil {
			t.Fatal(err)
		}
		found := carriedOut(plan)
		req.Identity, req.Claimed = plan.Report.Identity, req.Owned
		again, err := store.Decide(req, policy, found, store.NewMarkerID)
		if err != nil || again.Report.Identity != plan.Report.Identity || again.Report.Wiped.Len() > 0 || again.WriteRoot {
			t.Fatalf("looked at again: %+v, %v", again, err)
		}
		lost := rapid.SampledFrom(owned).Draw(t, "lost")
		found.Shards[lost] = store.FoundShard{Empty: true}
		wiped, err := store.Decide(req, policy, found, store.NewMarkerID)
		if err != nil || wiped.Report.Identity == plan.Report.Identity || !wiped.Report.Wiped.Equal(shards.SetOf(lost)) {
			t.Fatalf("shard %d wiped: %+v, %v", lost, wiped, err)
		}
		delete(found.Shards, lost)
		if _, err := store.Decide(req, policy, found, store.NewMarkerID); !errors.Is(err, store.ErrMissing) {
			t.Fatalf("shard %d gone: %v", lost, err)
		}
	})
}

func carriedOut(plan store.Plan) store.Found {
	found := store.Found{Root: true, Marker: &plan.Root, Shards: map[uint32]store.FoundShard{}}
	for _, s := range plan.Shards {
		found.Shards[s.Marker.Shard] = store.FoundShard{Marker: &s.Marker, Empty: true}
	}
	return found
}
