package storetest

import (
	"bytes"
	"testing"

	"github.com/recoverd/recoverd/shards"
)

func runCrash(t *testing.T, medium func(t *testing.T) Medium) {
	t.Run("Leftovers", func(t *testing.T) { testLeftovers(t, medium(t)) })
	t.Run("Killed", func(t *testing.T) { testKilled(t, medium(t)) })
	t.Run("PowerCut", func(t *testing.T) { testPowerCut(t, medium(t)) })
	t.Run("SkippedFromPageCache", func(t *testing.T) { testPageCache(t, medium(t)) })
}

// Hazard 49: what a killed process was writing is never taken for a piece.
func testLeftovers(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, request(0, 1))
	p := pieceOf(blobs(1, 4, shards.SetOf(0, 1))[0])
	seal(t, s, p)
	m.Kill()
	s = m.Open(t, Settings{})
	prepare(t, s, request(0, 1))
	wantHas(t, s, p, false)
	put(t, s, p)
	wantHas(t, s, p, true)
}

func testKilled(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0, 1))
	all := blobs(2, 4, shards.SetOf(0, 1))
	put(t, s, pieceOf(all[0]))
	publish(t, s, pieceOf(all[1]))
	m.Kill()
	s = m.Open(t, Settings{})
	prepare(t, s, claiming(request(0, 1), first))
	wantHas(t, s, pieceOf(all[0]), true)
	wantHas(t, s, pieceOf(all[1]), true) // Prepare flushed what was published
}

// Hazards 14 and 46: a power cut takes nothing that a flush covered.
func testPowerCut(t *testing.T, m Medium) {
	if m.Crash == nil {
		t.Skip("the power cannot be cut here")
	}
	s := m.Open(t, Settings{})
	first := prepare(t, s, request(0, 1))
	all := blobs(3, 4, shards.SetOf(0, 1))
	put(t, s, pieceOf(all[0]))
	publish(t, s, pieceOf(all[1]))
	seal(t, s, pieceOf(all[2]))
	m.Crash()
	s = m.Open(t, Settings{})
	now := prepare(t, s, claiming(request(0, 1), first))
	if now.Identity != first.Identity {
		t.Errorf("the markers did not outlive it: %+v", now)
	}
	wantHas(t, s, pieceOf(all[0]), true)
	wantHas(t, s, pieceOf(all[2]), false)
	for _, b := range all {
		p := pieceOf(b)
		data, ok := m.Read(p.Shard, b.ID)
		if ok && !bytes.Equal(data, bytesOf(b)) {
			t.Errorf("a final name holds %q", data)
		}
	}
}

// Hazard 77: what is skipped as stored after a kill outlives a power cut.
func testPageCache(t *testing.T, m Medium) {
	if m.Crash == nil {
		t.Skip("the power cannot be cut here")
	}
	s := m.Open(t, Settings{})
	prepare(t, s, request(0, 1))
	p := pieceOf(blobs(1, 4, shards.SetOf(0, 1))[0])
	publish(t, s, p)
	m.Kill()
	s = m.Open(t, Settings{})
	prepare(t, s, request(0, 1))
	wantHas(t, s, p, true)
	m.Crash()
	s = m.Open(t, Settings{})
	prepare(t, s, request(0, 1))
	wantHas(t, s, p, true)
}
