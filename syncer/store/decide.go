package store

import (
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

var (
	// ErrEmpty: progress claims work, and the root is missing or has no marker
	// (hazard 82). Nothing may be made there.
	ErrEmpty = errors.New("store: it is empty, but progress claims work")
	// ErrMissing: a directory that has to be there is not, and may not be made.
	ErrMissing = errors.New("store: directory missing")
	// ErrNotPrepared: the store was not prepared, or not for this shard.
	ErrNotPrepared = errors.New("store: not prepared")
	// ErrIrregular: something that is no regular file has a piece's name.
	ErrIrregular = errors.New("not a regular file")
	// ErrOrder: rows came in another order than rising ids.
	ErrOrder = errors.New("store: rows are not in rising order")
)

// Policy is what a store may do of its own accord.
type Policy struct {
	// Create lets it make its root and shard directories while no progress
	// claims them.
	Create bool
	// Layout to use; Auto takes what is there, or else goes by ExpectedPerShard.
	Layout           Layout
	ExpectedPerShard uint64
	// Adopt says that a human meant it: what is there is taken as this store's,
	// whatever progress claims and whichever root a shard was made for.
	Adopt bool
}

// Found is what a look at a store showed.
type Found struct {
	Root   bool        // the root directory is there
	Marker *RootMarker // nil: none
	// Flat and Fanout: a shard's directory holds what looks like a piece of that
	// layout. They are looked for only where there is no marker.
	Flat, Fanout bool
	// Shards holds every place (Places) whose directory is there.
	Shards map[uint32]FoundShard
}

// FoundShard is what a look at a shard's directory showed.
type FoundShard struct {
	Marker *ShardMarker // nil: none
	Empty  bool         // it holds nothing that looks like a piece
}

// Plan is what has to be made, in this order: the root, its marker, shard
// directories, their markers. Everything must be durable before the report is
// handed on.
type Plan struct {
	MakeRoot  bool
	WriteRoot bool
	Root      RootMarker
	Shards    []PlannedShard // every place (Places), in rising order
	Report    recovery.StoreReport
}

// PlannedShard is one owned shard, or the manifests' directory, and what it lacks.
type PlannedShard struct {
	Marker  ShardMarker
	MakeDir bool
	Write   bool // the marker is new
	// Foreign: its files' sizes have to be looked at.
	Foreign bool
}

// Decide applies the rules of the package comment. newID gives new markers
// their ids. Errors wrap ErrEmpty or ErrMissing where waiting may help, and
// recovery.ErrMisconfigured where only a human can.
func Decide(req recovery.StoreRequest, policy Policy, found Found, newID func() MarkerID) (Plan, error) {
	if err := CheckRequest(req); err != nil {
		return Plan{}, err
	}
	plan, err := decideRoot(req, policy, found, newID)
	if err != nil {
		return Plan{}, err
	}
	if err := decideShards(&plan, req, policy, found, newID); err != nil {
		return Plan{}, err
	}
	plan.Report.Identity = identity(plan.Root.ID, plan.Shards)
	return plan, nil
}

// CheckRequest reports, wrapping recovery.ErrMisconfigured, a request that
// contradicts itself.
func CheckRequest(req recovery.StoreRequest) error {
	top, some := req.Owned.Max()
	total := req.Placement.CheckTotal(req.TotalShards)
	switch {
	case req.Network == "":
		return fmt.Errorf("%w: the store was asked for no network", recovery.ErrMisconfigured)
	case req.Placement != shards.Hashed && req.Placement != shards.Striped:
		return fmt.Errorf("%w: the store was asked for %s", recovery.ErrMisconfigured, req.Placement)
	case total != nil:
		return fmt.Errorf("%w: the store was asked for %w", recovery.ErrMisconfigured, total)
	case some && top >= req.TotalShards:
		return fmt.Errorf("%w: the store was asked for shard %d of %d", recovery.ErrMisconfigured, top, req.TotalShards)
	}
	return nil
}

func decideRoot(req recovery.StoreRequest, policy Policy, found Found, newID func() MarkerID) (Plan, error) {
	if found.Marker != nil {
		if err := checkRoot(*found.Marker, req, policy); err != nil {
			return Plan{}, err
		}
		return Plan{Root: *found.Marker}, nil
	}
	if req.Identity != "" && !policy.Adopt {
		what := "has no marker"
		if !found.Root {
			what = "does not exist"
		}
		return Plan{}, fmt.Errorf("%w: the root %s, but %d blobs were settled: is the disk mounted? (`recoverd store accept` says that it is meant)",
			ErrEmpty, what, req.Settled)
	}
	if !found.Root && !policy.Create {
		return Plan{}, fmt.Errorf("%w: the root does not exist, and the store may not make it (--store-create=false)", ErrMissing)
	}
	layout, err := policy.layoutFor(found)
	if err != nil {
		return Plan{}, err
	}
	return Plan{
		MakeRoot: !found.Root, WriteRoot: true,
		Root: RootMarker{
			Version: MarkerVersion, ID: newID(), Network: req.Network, TotalShards: req.TotalShards,
			Placement: req.Placement, Layout: layout, Foreign: found.Flat || found.Fanout,
		},
	}, nil
}

// layoutFor chooses the layout of a store that has no marker yet.
func (p Policy) layoutFor(found Found) (Layout, error) {
	switch {
	case p.Layout != Auto:
		return p.Layout, nil
	case found.Flat && found.Fanout:
		return Auto, fmt.Errorf("%w: some shards are laid out flat and some fanned out; choose a layout", recovery.ErrMisconfigured)
	case found.Flat:
		return Flat, nil
	case found.Fanout || p.ExpectedPerShard > FanoutAbove:
		return Fanout, nil
	}
	return Flat, nil
}

// checkRoot names both sides of the first thing that differs.
func checkRoot(m RootMarker, req recovery.StoreRequest, policy Policy) error {
	differs := func(what string, have, want any) error {
		return fmt.Errorf("%w: the store was made for %s %v, this is %s %v", recovery.ErrMisconfigured, what, have, what, want)
	}
	switch {
	case m.Network != req.Network:
		return differs("network", fmt.Sprintf("%q", m.Network), fmt.Sprintf("%q", req.Network))
	case m.TotalShards != req.TotalShards:
		return differs("total shards", m.TotalShards, req.TotalShards)
	case m.Placement != req.Placement:
		return differs("placement", m.Placement, req.Placement)
	case policy.Layout != Auto && m.Layout != policy.Layout:
		return differs("layout", m.Layout, policy.Layout)
	}
	return nil
}

func decideShards(plan *Plan, req recovery.StoreRequest, policy Policy, found Found, newID func() MarkerID) error {
	var gone, unmade, wiped []uint32
	plan.Report.Foreign = plan.Root.Foreign
	for shard := range Places(req.Placement, req.Owned) {
		seen, there := found.Shards[shard]
		switch {
		case there:
		case claims(req, shard) && !policy.Adopt:
			gone = append(gone, shard)
		case !policy.Create:
			unmade = append(unmade, shard)
		}
		s, err := decideShard(shard, seen, there, plan.Root, policy, newID)
		if err != nil {
			return err
		}
		switch {
		case s.Write && shard == Manifests:
			plan.Report.ManifestsWiped = true
		case s.Write:
			wiped = append(wiped, shard)
		}
		plan.Shards = append(plan.Shards, s)
		plan.Report.Foreign = plan.Report.Foreign || s.Foreign
	}
	switch {
	case len(gone) > 0:
		return fmt.Errorf("%w: %s is not there, but progress claims that it is filled: is its disk mounted?", ErrMissing, placesText(gone))
	case len(unmade) > 0:
		return fmt.Errorf("%w: %s is not there yet, and the store may not make it (--store-create=false)", ErrMissing, placesText(unmade))
	}
	plan.Report.Wiped = shards.SetOf(wiped...)
	return nil
}

// claims reports whether progress says that a directory is filled.
func claims(req recovery.StoreRequest, shard uint32) bool {
	if shard == Manifests {
		return req.Claimed.Len() > 0
	}
	return req.Claimed.Contains(shard)
}

func decideShard(shard uint32, seen FoundShard, there bool, root RootMarker, policy Policy, newID func() MarkerID) (PlannedShard, error) {
	m := seen.Marker
	switch {
	case m == nil:
	case m.Shard != shard:
		return PlannedShard{}, fmt.Errorf("%w: %s holds the marker of %s: were two disks swapped?",
			recovery.ErrMisconfigured, Place(shard), Place(m.Shard))
	case m.Root == root.ID:
		return PlannedShard{Marker: *m, Foreign: m.Foreign || root.Foreign}, nil
	case !policy.Adopt:
		return PlannedShard{}, fmt.Errorf("%w: %s belongs to the store %s, this one is %s (`recoverd store accept` takes it over)",
			recovery.ErrMisconfigured, Place(shard), m.Root, root.ID)
	}
	foreign := there && !seen.Empty
	return PlannedShard{
		Marker:  ShardMarker{Version: MarkerVersion, ID: newID(), Root: root.ID, Shard: shard, Foreign: foreign},
		MakeDir: !there, Write: true, Foreign: foreign || root.Foreign,
	}, nil
}
