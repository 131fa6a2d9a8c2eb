package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/regular"
)

// newSnapshotCommand makes the group of the verbs that deal with snapshots: files
// of a catalog's whole state, ours and those of Walrus.
func newSnapshotCommand() *cobra.Command {
	cmd := newGroup("snapshot", "Make, choose, fetch, restore, prove and compare snapshots of a catalog")
	cmd.AddCommand(newSnapshotInspectCommand(), newSnapshotVerifyCommand(), newSnapshotDiffCommand(), newSnapshotQuorumCommand(),
		newSnapshotListCommand(), newSnapshotPlanCommand(), newSnapshotCreateCommand(), newSnapshotRestoreCommand(), newSnapshotFetchCommand(),
		newSnapshotPruneCommand(), newSnapshotBenchCommand())
	return cmd
}

// snapshotFile is a snapshot of ours, in one file or several chunks, or one of
// Walrus.
type snapshotFile struct {
	path   string   // as it was given
	paths  []string // of all chunks, in order
	walrus bool
}

// findSnapshot tells by a file's first bytes what it is. A chunk stands for all
// of its snapshot; the others lie beside it.
func findSnapshot(path string) (snapshotFile, error) {
	f := snapshotFile{path: path, paths: []string{path}}
	head, err := readHead(path)
	switch {
	case err != nil:
		return f, err
	case begins(head, walrus.Magic):
		f.walrus = true
		return f, nil
	case !begins(head, snapshot.Magic):
		return f, fmt.Errorf("%s is neither a snapshot of recoverd nor one of Walrus", path)
	}
	info, err := snapshot.Peek(path)
	if err == nil && info.Chunk.Count > 1 {
		f.paths, err = chunkPaths(path, info.Chunk)
	}
	return f, err
}

// begins reports whether a file begins with a magic, or was cut inside it.
func begins(head, magic string) bool {
	return head != "" && (strings.HasPrefix(head, magic) || strings.HasPrefix(magic, head))
}

// readHead returns a file's first bytes, as many as our magic has.
func readHead(path string) (string, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	head := make([]byte, len(snapshot.Magic))
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return string(head[:n]), nil
}

// chunkPaths names all chunks beside one of them, by its name.
func chunkPaths(path string, c snapshot.Chunk) ([]string, error) {
	dir, file := filepath.Split(path)
	for _, suffix := range []string{".rsnap", ""} {
		stem, ok := strings.CutSuffix(file, fmt.Sprintf(".%dof%d%s", c.Number+1, c.Count, suffix))
		if !ok {
			continue
		}
		var paths []string
		for i := range c.Count {
			paths = append(paths, dir+snapshot.ChunkName(stem+suffix, snapshot.Chunk{Number: i, Count: c.Count}))
		}
		return paths, nil
	}
	return nil, fmt.Errorf("%s is %v, and its name does not say what the others are called: want %s", path, c, snapshot.ChunkName("NAME.rsnap", c))
}

// open opens one of ours.
func (f snapshotFile) open() (*snapshot.Reader, error) { return snapshot.OpenSet(f.paths...) }

// openOurs opens the file or the chunks at path, which must be ours.
func openOurs(path string) (*snapshot.Reader, error) {
	f, err := findSnapshot(path)
	switch {
	case err != nil:
		return nil, err
	case f.walrus:
		return nil, fmt.Errorf("%s is a snapshot of Walrus: make a catalog of it first (recoverd catalog import)", path)
	}
	return f.open()
}

// openWalrus opens one of Walrus.
func (f snapshotFile) openWalrus() (*walrus.Reader, error) { return walrus.Open(f.path) }

// key is the same for all chunks of a snapshot.
func (f snapshotFile) key() string { return f.paths[0] }

// walrusDigest spells what nodes compare.
func walrusDigest(sum uint64) string { return fmt.Sprintf("%016x", sum) }
