package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/erasure"
)

// splitFile makes the manifest of a file, and its id.
func (c importConfig) splitFile(ctx context.Context, path string) (id recovery.BlobID, file localFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return id, file, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return id, file, err
	}
	file = localFile{path: path, size: info.Size()}
	if file.manifest, err = erasure.Split(ctx, c.code(), f, file.size); err != nil {
		return id, file, fmt.Errorf("%s: %w", path, err)
	}
	if file.encoded, err = file.manifest.Encode(); err != nil {
		return id, file, fmt.Errorf("%s: %w", path, err)
	}
	return erasure.IDOf(file.encoded), file, nil
}

// stripedFiles cuts files into pieces. It is a syncer.Fetcher and a syncer.Gatherer: all
// pieces of a file come out of one pass over it.
type stripedFiles localFiles

// verifier judges the pieces by the manifests, which also finds a file that changed
// since.
func (s stripedFiles) verifier() syncer.Verifier {
	return erasure.Verifier{Find: func(_ context.Context, b recovery.Blob) (*erasure.Manifest, []byte, error) {
		file := s[b.ID]
		return file.manifest, file.encoded, nil
	}}
}

// Fetch implements syncer.Fetcher.
func (s stripedFiles) Fetch(ctx context.Context, p syncer.Piece, sink syncer.Sink) (string, error) {
	file := s[p.Blob.ID]
	if !p.Manifest {
		return s.Gather(ctx, []syncer.Wanted{{Piece: p, Sink: sink}})
	}
	_, err := sink.Write(file.encoded)
	return file.path, errors.Join(err, sink.Verify())
}

// Gather implements syncer.Gatherer.
func (s stripedFiles) Gather(ctx context.Context, wanted []syncer.Wanted) (string, error) {
	file := s[wanted[0].Piece.Blob.ID]
	if err := file.cut(ctx, wanted); err != nil {
		return "", &syncer.FetchError{Answers: []syncer.PeerAnswer{{Peer: file.path, Reason: recovery.PeerFailed, Err: err}}}
	}
	return file.path, nil
}

func (f localFile) cut(ctx context.Context, wanted []syncer.Wanted) error {
	from, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // only read
	targets := make([]erasure.Target, len(wanted))
	for i, w := range wanted {
		targets[i] = erasure.Target{Index: int(w.Piece.Index), Writer: w.Sink}
	}
	if err := erasure.WritePieces(ctx, f.manifest, from, targets); err != nil {
		return err
	}
	for _, w := range wanted {
		if err := w.Sink.Verify(); err != nil {
			return err
		}
	}
	return nil
}

// refuseMixed refuses a base whose blobs are kept otherwise: no run could recover both.
func refuseMixed(ctx context.Context, placement shards.Placement, base catalog.Content) error {
	rows := make([]recovery.Row, 256)
	for scan, end := base.Scan(), false; !end; {
		n, last, err := scan.Fill(ctx, rows)
		if err != nil {
			return fmt.Errorf("base: %w", err)
		}
		for i := range rows[:n] {
			if e := rows[i].Encoding; (e == recovery.Striped) != (placement == shards.Striped) {
				return fmt.Errorf("the base holds blobs that are %v (%v), and these would be %v: a run can keep only one kind", e, rows[i].ID, placement)
			}
		}
		end = last
	}
	return nil
}
