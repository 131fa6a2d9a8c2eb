package shards_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/shards"
)

// valid is an ownership with nothing wrong, changed by f.
func valid(f func(*shards.Ownership)) shards.Ownership {
	o := shards.Ownership{Epoch: 42, TotalShards: 100, Owned: shards.Range(0, 39), Continuity: "a1", Node: shards.Active}
	if f != nil {
		f(&o)
	}
	return o
}

func TestOwnershipValidate(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    shards.Ownership
		bad  string // part of the message; empty: valid
	}{
		{"plain", valid(nil), ""},
		{"epoch 0", valid(func(o *shards.Ownership) { o.Epoch = 0 }), ""},
		{"no continuity", valid(func(o *shards.Ownership) { o.Continuity = "" }), ""},
		{"catching up", valid(func(o *shards.Ownership) { o.Node = shards.CatchingUp }), ""},
		{"standby", valid(func(o *shards.Ownership) { o.Node = shards.Standby }), ""},
		{"last shard", valid(func(o *shards.Ownership) { o.Owned = shards.SetOf(99) }), ""},
		{"most shards", valid(func(o *shards.Ownership) { o.TotalShards = shards.MaxTotal }), ""},
		{"longest continuity", valid(func(o *shards.Ownership) { o.Continuity = strings.Repeat("c", 256) }), ""},

		{"no shards at all", valid(func(o *shards.Ownership) { o.TotalShards = 0 }), "total_shards is 0"},
		{"too many shards", valid(func(o *shards.Ownership) { o.TotalShards = shards.MaxTotal + 1 }), "total_shards is 65537"},
		{"shard outside", valid(func(o *shards.Ownership) { o.Owned = shards.SetOf(3, 100) }), "shard 100 is owned"},
		{"long continuity", valid(func(o *shards.Ownership) { o.Continuity = strings.Repeat("c", 257) }), "257 bytes"},
		{"continuity in bytes", valid(func(o *shards.Ownership) { o.Continuity = "a\xff" }), "not UTF-8"},
		{"no node status", valid(func(o *shards.Ownership) { o.Node = "" }), `node is ""`},
		{"other node status", valid(func(o *shards.Ownership) { o.Node = "Active" }), `node is "Active"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.o.Validate()
			switch {
			case tc.bad == "" && err != nil:
				t.Error(err)
			case tc.bad != "" && (!errors.Is(err, shards.ErrOwnership) || !strings.Contains(err.Error(), tc.bad)):
				t.Errorf("got %v, want ErrOwnership with %q", err, tc.bad)
			}
		})
	}
}

// Hazard 24. Nothing owned is a fact to wait on, not a mistake in the document.
func TestEmptyOwnership(t *testing.T) {
	if err := valid(func(o *shards.Ownership) { o.Owned = shards.Set{} }).Validate(); err != nil {
		t.Error(err)
	}
}

// Hazards 3, 5 and 83. What a node is told differs when any of it does: also when the
// owned shards are equal and only the history or the total is another.
func TestOwnershipEqual(t *testing.T) {
	for name, other := range map[string]shards.Ownership{
		"epoch":      valid(func(o *shards.Ownership) { o.Epoch++ }),
		"total":      valid(func(o *shards.Ownership) { o.TotalShards++ }),
		"owned":      valid(func(o *shards.Ownership) { o.Owned = shards.Range(0, 40) }),
		"continuity": valid(func(o *shards.Ownership) { o.Continuity = "a2" }),
		"node":       valid(func(o *shards.Ownership) { o.Node = shards.CatchingUp }),
	} {
		if valid(nil).Equal(other) || other.Equal(valid(nil)) {
			t.Errorf("another %s is taken for the same ownership", name)
		}
	}
	same := valid(func(o *shards.Ownership) { o.Owned = shards.Range(0, 60).Minus(shards.Range(40, 60)) })
	if !same.Equal(valid(nil)) {
		t.Error("a set made another way is taken for another ownership")
	}
}

func TestOwnershipJSON(t *testing.T) {
	text, err := json.Marshal(valid(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"epoch":42,"total_shards":100,"owned":"0-39","continuity":"a1","node":"active"}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	var back shards.Ownership
	if err := json.Unmarshal(text, &back); err != nil || !back.Equal(valid(nil)) {
		t.Errorf("came back as %+v, %v", back, err)
	}
}
