package peer_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// flip returns content with a bit of one byte flipped.
func flip(content []byte, at int) []byte {
	wrong := slices.Clone(content)
	wrong[at] ^= 1
	return wrong
}

// One peer stops in the middle; whoever can goes on from there.
func TestGoesOnInTheMiddle(t *testing.T) {
	const size, half = 20_000, 10_000
	piece, content := peertest.NewPiece(1, size)
	unsized := piece
	unsized.Blob.Encoding, unsized.Blob.Size = recovery.Striped, recovery.SizeUnknown
	unfixed := unsized
	unfixed.Blob.Encoding = recovery.Walrus
	failed := peer.Errorf(recovery.PeerFailed, "status 500")
	absent := peer.Errorf(recovery.Absent, "status 404")
	for _, c := range []struct {
		name   string
		piece  syncer.Piece
		first  *far
		second *far
		third  *far
		want   [3][]int64 // offsets that each was asked for
		by     string
	}{
		{"the next peer goes on", piece, &far{cut: half, noRange: true}, &far{}, &far{err: absent},
			[3][]int64{{0, half}, {half}, nil}, "second"},
		{"the same peer goes on", piece, &far{cut: half, validator: "v"}, &far{}, &far{},
			[3][]int64{{0, half}, nil, nil}, "first"},
		{"it goes on without a validator", piece, &far{cut: half}, &far{}, &far{},
			[3][]int64{{0, half}, nil, nil}, "first"},
		{"a few times", piece, &far{cut: 100, validator: "v"}, &far{}, &far{},
			[3][]int64{{0, 100, 200, 300}, {400}, nil}, "second"},
		{"each of them is cut", piece, &far{cut: 100, validator: "v"}, &far{cut: 100, validator: "w"}, &far{cut: 19_300},
			[3][]int64{{0, 100, 200, 300}, {400, 500, 600, 700}, {800}}, "third"},
		{"nobody else has it", piece, &far{cut: 5_000}, &far{err: absent}, &far{err: failed},
			[3][]int64{{0, 5_000, 10_000, 15_000}, nil, nil}, "first"},
		{"the next one has no ranges", piece, &far{cut: half, refuses: true}, &far{noRange: true}, &far{},
			[3][]int64{{0, half}, {half}, nil}, "second"},
		{"nobody has ranges, and one refuses them", piece, &far{cut: half, refuses: true}, &far{refuses: true}, &far{err: absent},
			[3][]int64{{0, half}, {half, 0}, {half}}, "second"},
		{"of unknown size", unsized, &far{cut: half, refuses: true, noLength: true}, &far{}, &far{},
			[3][]int64{{0, half}, {half}, nil}, "second"},
		{"of unknown size, after the last byte", unsized, &far{cut: size, noLength: true}, &far{}, &far{},
			[3][]int64{{0}, nil, nil}, "first"},
		{"of bytes that no digest fixes", unfixed, &far{cut: half}, &far{}, &far{},
			[3][]int64{{0}, {0}, nil}, "second"},
		{"of bytes that no digest fixes, the same ones", unfixed, &far{cut: half, validator: "v"}, &far{}, &far{},
			[3][]int64{{0, half}, nil, nil}, "first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := []*far{c.first, c.second, c.third}
				var peers []peer.Peer
				for i, name := range []string{"first", "second", "third"} {
					all[i].name, all[i].content = name, content
					peers = append(peers, all[i])
				}
				pool := peertest.NewPool(t, peer.Config{}, peers...)
				sink := peertest.NewSink(piece)
				name, err := pool.Fetch(t.Context(), c.piece, sink)
				if err != nil || name != c.by || !bytes.Equal(sink.Accepted(), content) {
					t.Errorf("served by %q, %v", name, err)
				}
				var total uint64
				for i, s := range pool.Status() {
					if d := cmp.Diff(c.want[i], all[i].seen()); d != "" {
						t.Errorf("%s was asked: %s", s.Name, d)
					}
					if s.WrongBytes != 0 || s.InFlight != 0 || all[i].open != 0 {
						t.Errorf("%+v, %d bodies are open", s, all[i].open)
					}
					total += s.FetchedBytes
				}
				if total != size {
					t.Errorf("%d bytes are told, want %d", total, size)
				}
			})
		})
	}
}

// The bytes of two peers are wrong together. Neither is called a liar for it; asked
// alone, the one that lies is found, at the latest the second time, and the honest one
// never is.
func TestMixedBytes(t *testing.T) {
	const size, half = 20_000, 10_000
	piece, content := peertest.NewPiece(1, size)
	for _, c := range []struct {
		name          string
		first, second *far
		liar          string
	}{
		{"a wrong beginning", &far{content: flip(content, 0), cut: half, refuses: true, cuts: 1}, &far{content: content}, "first"},
		{"a wrong end", &far{content: content, cut: half, refuses: true, cuts: 1}, &far{content: flip(content, size-1)}, "second"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.first.name, c.second.name = "first", "second"
			pool := peertest.NewPool(t, peer.Config{}, c.first, c.second)
			for range 2 {
				c.first.asked = nil
				sink := peertest.NewSink(piece)
				if _, err := pool.Fetch(t.Context(), piece, sink); err != nil || !bytes.Equal(sink.Accepted(), content) {
					t.Fatal(err)
				}
			}
			for _, s := range pool.Status() {
				if lied := s.WrongBytes > 0; lied != (s.Name == c.liar) {
					t.Errorf("%s: wrong bytes %d times", s.Name, s.WrongBytes)
				}
			}
			if liars := pool.Liars(piece.Blob.ID); !slices.Equal(liars, []string{c.liar}) {
				t.Errorf("liars: %v", liars)
			}
		})
	}
}

// Both lie, one after the other in one blob: both are found, and nothing is accepted.
func TestMixedBytesOfLiars(t *testing.T) {
	piece, content := peertest.NewPiece(1, 20_000)
	pool := peertest.NewPool(t, peer.Config{},
		&far{name: "first", content: flip(content, 0), cut: 10_000, cuts: 1, refuses: true}, &far{name: "second", content: flip(content, 1)})
	sink := peertest.NewSink(piece)
	_, err := pool.Fetch(t.Context(), piece, sink)
	if reasonOf(err) != recovery.WrongBytes || sink.Accepted() != nil {
		t.Errorf("%v", err)
	}
	if liars := pool.Liars(piece.Blob.ID); len(liars) != 2 {
		t.Errorf("liars: %v; %v", liars, err)
	}
}

// Whatever all other peers do, a blob that one sound peer has is recovered byte for
// byte, and that peer is not called a liar.
func TestOneSoundPeerIsEnough(t *testing.T) {
	const size = 3_000
	piece, content := peertest.NewPiece(1, size)
	hedged := uint64(0)
	evidence.Property(t, "peers: a blob that one sound peer has is recovered byte for byte, and that peer is never blamed", func(rt *rapid.T) {
		sound := &far{
			every: rapid.IntRange(0, 10).Draw(rt, "every"), slow: drawDelay(rt),
			name: "sound", content: content, answers: drawDelay(rt), stall: drawDelay(rt), chunk: 700,
			validator: rapid.SampledFrom([]string{"", "s"}).Draw(rt, "validator"), noRange: rapid.Bool().Draw(rt, "no range"),
		}
		all := []*far{sound}
		for i := range rapid.IntRange(0, 3).Draw(rt, "others") {
			all = append(all, drawFar(rt, i, content))
		}
		all = rapid.Permutation(all).Draw(rt, "order")
		var peers []peer.Peer
		for _, f := range all {
			peers = append(peers, f)
		}
		times := rapid.IntRange(1, 90).Draw(rt, "times")
		var problem string
		synctest.Test(t, func(t *testing.T) {
			pool := peertest.NewPool(t, peer.Config{BufferSize: 1024, HedgePercent: 100}, peers...)
			for i := range times {
				sink := peertest.NewSink(piece)
				if _, err := pool.Fetch(t.Context(), piece, sink); err != nil || !bytes.Equal(sink.Accepted(), content) {
					problem = fmt.Sprintf("the %d. fetch: %v", i+1, err)
				}
			}
			hedges, asked := uint64(0), uint64(0)
			for i, s := range pool.Status() {
				hedges += s.Hedges
				asked += uint64(len(all[i].asked))
				if s.InFlight != 0 || all[i].open != 0 || s.Name == "sound" && s.WrongBytes+s.Failed != 0 {
					problem = fmt.Sprintf("%s%+v, %d bodies are open", problem, s, all[i].open)
				}
			}
			hedged += hedges
			if hedges > asked-hedges {
				problem = fmt.Sprintf("%s%d of %d requests were hedges", problem, hedges, asked)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
	t.Logf("%d requests were raced", hedged)
}
