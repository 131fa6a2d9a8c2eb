package mempeer_test

import (
	"bytes"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	peertest.Run(t, func(t *testing.T, far peertest.Far) peer.Peer {
		p := mempeer.New("memory")
		for id, content := range far {
			p.Put(id, 0, content)
		}
		return p
	})
}

// A piece that was put again is another one: its rest is never joined to the
// beginning of the old one.
func TestReplacedIsNotResumed(t *testing.T) {
	p := mempeer.New("memory")
	piece, content := peertest.NewPiece(1, 100)
	p.Put(piece.Blob.ID, 0, content)
	old, err := p.Get(t.Context(), piece, peer.Resume{})
	if err != nil {
		t.Fatal(err)
	}
	p.Put(piece.Blob.ID, 0, bytes.Repeat([]byte{1}, 100))
	now, err := p.Get(t.Context(), piece, peer.Resume{Offset: 50, Validator: old.Validator})
	if err != nil || now.Offset != 0 {
		t.Errorf("resumed from %d, %v", now.Offset, err)
	}
}

func TestDown(t *testing.T) {
	p := mempeer.New("memory")
	piece, content := peertest.NewPiece(1, 100)
	p.Put(piece.Blob.ID, 0, content)
	open, err := p.Get(t.Context(), piece, peer.Resume{})
	if err != nil {
		t.Fatal(err)
	}
	p.SetDown(true)
	if _, err := open.Read(make([]byte, 10)); !errors.Is(err, mempeer.ErrDown) {
		t.Errorf("read: %v", err)
	}
	if err := p.Probe(t.Context()); !errors.Is(err, mempeer.ErrDown) {
		t.Errorf("probe: %v", err)
	}
	p.SetDown(false)
	p.Delete(piece.Blob.ID, 0)
	if err := p.Probe(t.Context()); err != nil {
		t.Errorf("probe: %v", err)
	}
}
