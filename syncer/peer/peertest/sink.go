package peertest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// Sink takes one piece that is a whole blob into memory. It is not safe for
// concurrent use.
type Sink struct {
	// OnWrite, if set, is called before each write; an error fails the write.
	OnWrite func(n int) error

	blob     recovery.Blob
	taken    bytes.Buffer
	most     int64
	verified bool
	peers    []string
}

var (
	_ syncer.Sink      = (*Sink)(nil)
	_ syncer.PeerNoter = (*Sink)(nil)
)

// NewSink returns a sink for a raw blob.
func NewSink(p syncer.Piece) *Sink { return &Sink{blob: p.Blob} }

// Write implements syncer.Sink.
func (s *Sink) Write(b []byte) (int, error) {
	s.verified = false
	if s.OnWrite != nil {
		if err := s.OnWrite(len(b)); err != nil {
			return 0, err
		}
	}
	if s.Written()+int64(len(b)) > s.blob.Size+1 {
		return 0, syncer.ErrTooLong
	}
	n, err := s.taken.Write(b)
	s.most = max(s.most, s.Written())
	return n, err
}

// Reset implements syncer.Sink.
func (s *Sink) Reset() error {
	s.taken.Reset()
	s.verified = false
	return nil
}

// Written implements syncer.Sink.
func (s *Sink) Written() int64 { return int64(s.taken.Len()) }

// Verify implements syncer.Sink.
func (s *Sink) Verify() error {
	if s.Written() != s.blob.Size {
		return fmt.Errorf("%w: %d bytes, want %d", syncer.ErrWrongBytes, s.Written(), s.blob.Size)
	}
	if sha256.Sum256(s.taken.Bytes()) != s.blob.Digest {
		return fmt.Errorf("%w: another digest", syncer.ErrWrongBytes)
	}
	s.verified = true
	return nil
}

// NotePeer implements syncer.PeerNoter.
func (s *Sink) NotePeer(peer string) { s.peers = append(s.peers, peer) }

// Peers lists the peers that were noted, in order.
func (s *Sink) Peers() []string { return s.peers }

// Accepted returns the bytes, or nil if they were never verified.
func (s *Sink) Accepted() []byte {
	if !s.verified {
		return nil
	}
	return append([]byte{}, s.taken.Bytes()...)
}

// Most is the most bytes that the sink ever held.
func (s *Sink) Most() int64 { return s.most }

// NewPiece returns a content-addressed raw blob of n bytes, the same for the
// same seed, as the one piece of it.
func NewPiece(seed uint64, n int) (syncer.Piece, []byte) {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	content := make([]byte, n)
	// ChaCha8.Read never fails.
	_, _ = rand.NewChaCha8(key).Read(content)
	return PieceOf(content), content
}

// PieceOf returns the piece whose bytes are content.
func PieceOf(content []byte) syncer.Piece {
	digest := sha256.Sum256(content)
	return syncer.Piece{Blob: recovery.Blob{
		ID: digest, Digest: digest, Size: int64(len(content)), Encoding: recovery.Raw,
	}}
}
