package storetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

func runPrepare(t *testing.T, medium func(t *testing.T) Medium) {
	tests := []struct {
		name string
		run  func(t *testing.T, m Medium)
	}{
		{"IdentityIsStable", testIdentity},
		{"EmptyDiskComplete", testEmptyDisk},
		{"UnmountedWhileRunning", testUnmountedWhileRunning},
		{"LostAndRegained", testWiped},
		{"ShardDirectoryGone", testShardGone},
		{"NewShardBesideClaimedOnes", testNewShard},
		{"NoCreate", testNoCreate},
		{"AnotherNetwork", testContradictions},
		{"BadRequest", testBadRequest},
		{"Foreign", testForeign},
		{"ForeignShard", testForeignShard},
		{"FailedPrepareKeepsTheOldView", testFailedPrepare},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, medium(t)) })
	}
}

func testIdentity(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0, 1))
	if first.Identity == "" || first.Foreign || !first.Wiped.Equal(shards.SetOf(0, 1)) {
		t.Errorf("a new store reports %+v", first)
	}
	again := prepare(t, s, claiming(request(0, 1), first))
	if again.Identity != first.Identity || again.Wiped.Len() != 0 {
		t.Errorf("looked at again it reports %+v, not %+v", again, first)
	}
	m.Kill()
	again = prepare(t, m.Open(t, Settings{}), claiming(request(0, 1), first))
	if again.Identity != first.Identity || again.Wiped.Len() != 0 {
		t.Errorf("after a restart it reports %+v, not %+v", again, first)
	}
}

// Hazard 82.
func testEmptyDisk(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0, 1))
	p := pieceOf(blobs(1, 4, shards.SetOf(0, 1))[0])
	put(t, s, p)
	req := claiming(request(0, 1), first)
	m.Kill()
	m.Unmount()
	s = m.Open(t, Settings{})
	_, err := s.Prepare(t.Context(), req)
	if !errors.Is(err, store.ErrEmpty) || errors.Is(err, recovery.ErrMisconfigured) || !strings.Contains(err.Error(), "812334") {
		t.Fatalf("an unmounted disk: %v", err)
	}
	m.Mount()
	if again := prepare(t, s, req); again.Identity != first.Identity {
		t.Errorf("mounted again it reports %+v, not %+v", again, first)
	}
	wantHas(t, s, p, true)

	m.Kill()
	m.Unmount()
	s = m.Open(t, Settings{})
	if _, err := s.Prepare(t.Context(), req); !errors.Is(err, store.ErrEmpty) {
		t.Fatalf("unmounted once more: %v", err)
	}
	accepted, err := s.Accept(t.Context(), req)
	must(t, err)
	if accepted.Identity == first.Identity {
		t.Error("the accepted store has the identity of the lost one")
	}
	if now := prepare(t, s, req); now.Identity != accepted.Identity {
		t.Errorf("after it was accepted it reports %+v", now)
	}
	wantHas(t, s, p, false)
}

// Hazard 82, found by the look before complete is claimed.
func testUnmountedWhileRunning(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0, 1))
	req := claiming(request(0, 1), first)
	m.Unmount()
	if _, err := s.Prepare(t.Context(), req); !errors.Is(err, store.ErrEmpty) {
		t.Fatalf("unmounted: %v", err)
	}
	m.Mount()
	if again := prepare(t, s, req); again.Identity != first.Identity {
		t.Errorf("mounted again it reports %+v, not %+v", again, first)
	}
}

// Hazard 5.
func testWiped(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0, 1))
	p := pieceOf(blobs(1, 4, shards.SetOf(1))[0])
	put(t, s, p)
	m.Wipe(1)
	now := prepare(t, s, claiming(request(0, 1), first))
	if now.Identity == first.Identity || !now.Wiped.Equal(shards.SetOf(1)) || now.Foreign {
		t.Errorf("with shard 1 wiped it reports %+v; it was %+v", now, first)
	}
	wantHas(t, s, p, false)
	put(t, s, p)
	wantHas(t, s, p, true)
	if again := prepare(t, s, claiming(request(0, 1), now)); again.Identity != now.Identity || again.Wiped.Len() != 0 {
		t.Errorf("then %+v", again)
	}
}

// Hazard 36: a shard without a directory is waited for, not taken for empty.
func testShardGone(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0, 1, 2))
	m.Remove(1)
	m.Remove(2)
	_, err := s.Prepare(t.Context(), claiming(request(0, 1, 2), first))
	if !errors.Is(err, store.ErrMissing) || !strings.Contains(err.Error(), "shard 1-2") {
		t.Fatalf("two directories gone: %v", err)
	}
	if now := prepare(t, s, request(0, 1, 2)); !now.Wiped.Equal(shards.SetOf(1, 2)) {
		t.Errorf("with nothing claimed it reports %+v", now)
	}
}

func testNewShard(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0))
	req := claiming(request(0), first)
	req.Owned = shards.SetOf(0, 3)
	now := prepare(t, s, req)
	if !now.Wiped.Equal(shards.SetOf(3)) || now.Identity == first.Identity {
		t.Errorf("with shard 3 gained it reports %+v", now)
	}
	if back := prepare(t, s, claiming(request(0), first)); back.Identity != first.Identity {
		t.Errorf("with shard 3 given up again it reports %+v", back)
	}
}

func testNoCreate(t *testing.T, m Medium) {
	s := m.Open(t, Settings{NoCreate: true})
	if _, err := s.Prepare(t.Context(), request(0)); !errors.Is(err, store.ErrMissing) {
		t.Fatalf("no root: %v", err)
	}
	m.Plant(0, blobOf(content(0)).ID, content(0))
	_, err := s.Prepare(t.Context(), request(0, 1))
	if !errors.Is(err, store.ErrMissing) || !strings.Contains(err.Error(), "shard 1 ") {
		t.Fatalf("no directory of shard 1: %v", err)
	}
	m.Wipe(1) // makes it
	prepare(t, s, request(0, 1))
}

// Hazard 83, and its like: the markers name what the store was made for.
func testContradictions(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0, 1))
	for _, tt := range []struct {
		name   string
		change func(*recovery.StoreRequest)
		both   [2]string
	}{
		{"network", func(r *recovery.StoreRequest) { r.Network = "mainnet" }, [2]string{`"testnet"`, `"mainnet"`}},
		{"same set, other total", func(r *recovery.StoreRequest) { r.TotalShards = 5 }, [2]string{"4", "5"}},
		{"placement", func(r *recovery.StoreRequest) { r.Placement = shards.Striped }, [2]string{"hashed", "striped"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, req := range []recovery.StoreRequest{request(0, 1), claiming(request(0, 1), first)} {
				tt.change(&req)
				_, err := s.Prepare(t.Context(), req)
				if !errors.Is(err, recovery.ErrMisconfigured) {
					t.Fatalf("got %v", err)
				}
				for _, word := range tt.both {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%q does not say %s", err, word)
					}
				}
			}
		})
	}
}

func testBadRequest(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	for name, change := range map[string]func(*recovery.StoreRequest){
		"no network":           func(r *recovery.StoreRequest) { r.Network = "" },
		"no placement":         func(r *recovery.StoreRequest) { r.Placement = 0 },
		"no shards in total":   func(r *recovery.StoreRequest) { r.TotalShards = 0 },
		"a shard beyond total": func(r *recovery.StoreRequest) { r.Owned = shards.SetOf(4) },
	} {
		req := request(0)
		change(&req)
		if _, err := s.Prepare(t.Context(), req); !errors.Is(err, recovery.ErrMisconfigured) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Files of others: their names prove nothing, so sizes are looked at.
func testForeign(t *testing.T, m Medium) {
	all := blobs(100, 4, shards.SetOf(0, 1))
	for i, b := range all {
		data := bytesOf(b)
		if i%3 == 0 {
			data = data[:len(data)-1]
		}
		m.Plant(shards.Home(b.ID, 4), b.ID, data)
	}
	s := m.Open(t, Settings{})
	report := prepare(t, s, request(0, 1))
	if !report.Foreign {
		t.Error("it does not report that it is foreign")
	}
	for range 2 {
		for _, part := range [][]recovery.Blob{all, all[:10]} {
			rows := rowsOf(part)
			must(t, s.Mark(t.Context(), rows))
			for i, r := range rows {
				if want := i%3 != 0; r.Stored != want {
					t.Fatalf("of %d rows, row %d: stored is %v, want %v", len(part), i, r.Stored, want)
				}
			}
		}
		m.Kill()
		s = m.Open(t, Settings{})
		if again := prepare(t, s, claiming(request(0, 1), report)); again.Identity != report.Identity || !again.Foreign {
			t.Fatalf("after a restart it reports %+v, not %+v", again, report)
		}
	}
	short := pieceOf(all[0])
	wantHas(t, s, short, false)
	put(t, s, short)
	wantHas(t, s, short, true)
}

// A shard that comes to a store of ours with files in it is foreign by itself.
func testForeignShard(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	if prepare(t, s, request(0)).Foreign {
		t.Error("a new store is foreign")
	}
	b := blobs(1, 4, shards.SetOf(1))[0]
	m.Plant(1, b.ID, []byte("short"))
	if !prepare(t, s, request(0, 1)).Foreign {
		t.Error("a shard with files of others is not foreign")
	}
	wantHas(t, s, pieceOf(b), false)
	if prepare(t, s, request(0)).Foreign {
		t.Error("without it the store is still foreign")
	}
}

func testFailedPrepare(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, request(0, 1))
	p := pieceOf(blobs(1, 4, shards.SetOf(0, 1))[0])
	d := seal(t, s, p)
	bad := request(0, 1)
	bad.Network = "mainnet"
	if _, err := s.Prepare(t.Context(), bad); err == nil {
		t.Fatal("another network was accepted")
	}
	must(t, d.Volume().Flush([]syncer.Draft{d}, nil))
	must(t, d.Publish())
	must(t, d.Volume().Flush(nil, []syncer.Draft{d}))
	wantHas(t, s, p, true)
}
