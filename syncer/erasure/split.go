package erasure

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// Split makes the manifest of a blob of size bytes. It reads it twice and keeps
// nothing of it. Errors wrap ErrCode or ErrManifest, or are those of reading.
func Split(ctx context.Context, code Code, blob io.ReaderAt, size int64) (*Manifest, error) {
	if err := code.Validate(); err != nil {
		return nil, err
	}
	m := &Manifest{Code: code, Size: size, Pieces: make([][sha256.Size]byte, code.N)}
	if err := m.validate(); err != nil {
		return nil, err
	}
	whole := sha256.New()
	if err := copyAll(ctx, whole, io.NewSectionReader(blob, 0, size), size); err != nil {
		return nil, err
	}
	whole.Sum(m.Digest[:0])
	judges := make([]*judge, code.N)
	targets := make([]Target, code.N)
	for i := range judges {
		judges[i] = newJudge(m.PieceSize(), m.Pieces[i])
		targets[i] = Target{i, judges[i]}
	}
	if err := WritePieces(ctx, m, blob, targets); err != nil {
		return nil, err
	}
	for i, j := range judges {
		m.Pieces[i] = j.sum()
	}
	return m, nil
}

// copyAll copies exactly size bytes.
func copyAll(ctx context.Context, to io.Writer, from io.Reader, size int64) error {
	buf := make([]byte, min(stripe, size))
	for size > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part := buf[:min(int64(len(buf)), size)]
		if _, err := io.ReadFull(from, part); err != nil {
			return fmt.Errorf("read the blob: %w", early(err))
		}
		if _, err := to.Write(part); err != nil {
			return err
		}
		size -= int64(len(part))
	}
	return nil
}

// WritePieces writes pieces of a blob that is at hand, as Rebuild does. What is
// written is right if the blob is the manifest's.
func WritePieces(ctx context.Context, m *Manifest, blob io.ReaderAt, targets []Target) error {
	if err := m.validate(); err != nil {
		return err
	}
	sources, each := make([]Source, m.K), m.PieceSize()
	for i := range sources {
		from := min(int64(i)*each, m.Size)
		sources[i] = Source{i, &padded{from: io.NewSectionReader(blob, from, min(each, m.Size-from)), have: min(each, m.Size-from), left: each}}
	}
	return Rebuild(ctx, m, sources, targets)
}

// padded reads a data piece out of a blob: what the blob has of it, and zeros.
type padded struct {
	from io.Reader
	have int64 // bytes that the blob still has
	left int64 // bytes of the piece still to come
}

func (p *padded) Read(buf []byte) (int, error) {
	switch {
	case p.left == 0:
		return 0, io.EOF
	case p.have == 0:
		n := min(int64(len(buf)), p.left)
		clear(buf[:n])
		p.left -= n
		return int(n), nil
	}
	n, err := p.from.Read(buf[:min(int64(len(buf)), p.have)])
	p.have -= int64(n)
	p.left -= int64(n)
	if err == io.EOF && p.have > 0 {
		return n, io.ErrUnexpectedEOF // the blob is shorter than it was said to be
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}
