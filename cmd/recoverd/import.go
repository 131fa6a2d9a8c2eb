package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/erasure"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// importConfig says what to import, and where to.
type importConfig struct {
	From, Store, Out, Base string
	TotalShards            uint32
	Epoch, EndEpoch        uint32
	Layout                 string
	// Striped is how many pieces rebuild a blob, out of one a shard; 0: blobs stay
	// whole.
	Striped int
}

// code is how blobs are cut into pieces.
func (c importConfig) code() erasure.Code { return erasure.Code{K: c.Striped, N: int(c.TotalShards)} }

func (c importConfig) placement() shards.Placement {
	if c.Striped > 0 {
		return shards.Striped
	}
	return shards.Hashed
}

// validate refuses wrong usage.
func (c importConfig) validate() error {
	switch {
	case c.From == "" || c.Store == "" || c.Out == "":
		return withCode(exitUsage, errors.New("--from, --store and --out are required"))
	case c.Striped < 0:
		return withCode(exitUsage, fmt.Errorf("--striped is %d, want how many pieces rebuild a blob", c.Striped))
	}
	err := c.placement().CheckTotal(c.TotalShards)
	if err == nil && c.Striped > 0 {
		err = c.code().Validate()
	}
	if err != nil {
		return withCode(exitUsage, fmt.Errorf("--striped %d, --total-shards %d: %w", c.Striped, c.TotalShards, err))
	}
	return nil
}

func newImportCommand() *cobra.Command {
	cfg := importConfig{}
	cmd := &cobra.Command{
		Use:   "import --from DIR --store DIR --out CATALOG",
		Short: "Put a directory of files into a store, and write a catalog of them",
		Long: `Put every regular file below a directory into a store under the SHA-256 of its
bytes, and write a catalog of them and of --base. The catalog comes last: when
it is there, everything in it that came from --from is stored and durable.
Symbolic links are left out.

With --striped K each file is cut into as many pieces as there are shards, one for
each, of which any K rebuild it; its id is then the SHA-256 of its manifest, which
holds the digests of the pieces and lies in <store>/manifest. Nodes run with
--placement striped.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.validate(); err != nil {
				return err
			}
			result, err := importFiles(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), result)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.From, "from", "", "directory of the files (required)")
	f.StringVar(&cfg.Store, "store", "", "store to put them into; made if it is not there (required)")
	f.StringVar(&cfg.Out, "out", "", "catalog file to write (required)")
	f.StringVar(&cfg.Base, "base", "", "catalog that the new one goes on from")
	f.Uint32Var(&cfg.TotalShards, "total-shards", 100, "shards of the network")
	f.Uint32Var(&cfg.Epoch, "epoch", 1, "epoch of the catalog")
	f.Uint32Var(&cfg.EndEpoch, "end-epoch", recovery.EpochForever, "epoch in which the files' certification ends; by default never")
	f.IntVar(&cfg.Striped, "striped", 0, "keep blobs as pieces, one on each of --total-shards (at most 256), any so many of which rebuild a blob; 0: whole")
	f.StringVar(&cfg.Layout, "layout", "auto", "of a new store: flat, fanout or auto")
	return cmd
}

// importResult says what was imported.
type importResult struct {
	Files, Left uint64 // read, and left out
	Bytes       uint64
	Build       snapshot.BuildResult
	Out         string
}

func (r importResult) String() string {
	s := fmt.Sprintf("%s files (%s) in the store; %s certifies %s blobs up to position %d of %s (%s new)",
		humanize.Comma(int64(r.Files)), humanize.IBytes(r.Bytes), r.Out, humanize.Comma(int64(r.Build.Totals.Certified)),
		r.Build.Bound.Position, r.Build.Bound.Network, humanize.Comma(int64(r.Build.Added)))
	if r.Left > 0 {
		s += fmt.Sprintf("; %d entries that are no regular files were left out", r.Left)
	}
	return s
}

// importFiles hashes, stores and then certifies. Whatever fails, the catalog at
// Out is not touched; what was stored stays, and is found by the next try.
func importFiles(ctx context.Context, cfg importConfig) (importResult, error) {
	result := importResult{Out: cfg.Out}
	files, err := hashTree(ctx, cfg, &result)
	if err != nil {
		return result, fmt.Errorf("read %s: %w", cfg.From, err)
	}
	draft, err := os.MkdirTemp(filepath.Dir(cfg.Out), ".import-")
	if err != nil {
		return result, withCreateCode(err)
	}
	defer func() { _ = os.RemoveAll(draft) }()
	built := filepath.Join(draft, filepath.Base(cfg.Out))
	if result.Build, err = buildCatalog(ctx, cfg, files, built); err != nil {
		return result, err
	}
	if err := files.store(ctx, cfg, result.Build); err != nil {
		return result, err
	}
	if err := os.Rename(built, cfg.Out); err != nil {
		return result, withCreateCode(err)
	}
	return result, syncDir(filepath.Dir(cfg.Out))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// localFiles are the files to import by their digest. It is a syncer.Fetcher: an
// import is a recovery whose peer is a directory.
type localFiles map[recovery.BlobID]localFile

type localFile struct {
	path string
	size int64
	// Of a striped one:
	manifest *erasure.Manifest
	encoded  []byte
}

// blob is the file as a catalog lists it.
func (f localFile) blob(id recovery.BlobID) recovery.Blob {
	if f.manifest != nil {
		return erasure.BlobOf(f.encoded, f.size)
	}
	return recovery.Blob{ID: id, Size: f.size, Encoding: recovery.Raw, Digest: id}
}

func hashTree(ctx context.Context, cfg importConfig, result *importResult) (localFiles, error) {
	files := localFiles{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	err := filepath.WalkDir(cfg.From, func(path string, d iofs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return ctx.Err()
		case !d.Type().IsRegular():
			result.Left++
			return nil
		}
		group.Go(func() error {
			look := hashFile
			if cfg.Striped > 0 {
				look = cfg.splitFile
			}
			id, file, err := look(ctx, path)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			files[id] = file
			result.Files++
			result.Bytes += uint64(file.size)
			return nil
		})
		return nil
	})
	return files, errors.Join(err, group.Wait())
}

func hashFile(_ context.Context, path string) (id recovery.BlobID, file localFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return id, file, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err := io.Copy(h, f)
	h.Sum(id[:0])
	return id, localFile{path: path, size: size}, err
}

func buildCatalog(ctx context.Context, cfg importConfig, files localFiles, path string) (snapshot.BuildResult, error) {
	build := snapshot.BuildConfig{Epoch: cfg.Epoch, EndEpoch: cfg.EndEpoch}
	for id, f := range files {
		build.Blobs = append(build.Blobs, snapshot.NewBlob{ID: id, Size: f.size, Encoding: f.blob(id).Encoding})
	}
	if cfg.Base != "" {
		base, err := snapshot.Open(cfg.Base)
		if err != nil {
			return snapshot.BuildResult{}, withCode(exitConfig, fmt.Errorf("base: %w", err))
		}
		defer func() { _ = base.Close() }()
		if err := refuseMixed(ctx, cfg.placement(), base); err != nil {
			return snapshot.BuildResult{}, withCode(exitConfig, err)
		}
		build.Base = base
	}
	built, err := snapshot.Build(ctx, build, path)
	if errors.Is(err, snapshot.ErrBuild) {
		err = withCode(exitConfig, err)
	}
	return built, err
}

// Fetch copies a file and proves that it is still what was hashed.
func (l localFiles) Fetch(_ context.Context, p syncer.Piece, sink syncer.Sink) (string, error) {
	file := l[p.Blob.ID]
	err := func() error {
		if err := sink.Reset(); err != nil {
			return err
		}
		f, err := os.Open(file.path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if _, err := io.Copy(sink, f); err != nil {
			return err
		}
		return sink.Verify()
	}()
	if err != nil {
		return "", &syncer.FetchError{Answers: []syncer.PeerAnswer{{Peer: file.path, Reason: recovery.PeerFailed, Err: err}}}
	}
	return file.path, nil
}

// store brings every file into the store; what is there already costs a look.
func (l localFiles) store(ctx context.Context, cfg importConfig, built snapshot.BuildResult) (err error) {
	layout, err := store.ParseLayout(cfg.Layout)
	if err != nil {
		return withCode(exitConfig, err)
	}
	dest, err := fs.Open(fs.Config{
		Root: cfg.Store, Create: true, Layout: layout, ExpectedPerShard: built.Totals.Certified / uint64(cfg.TotalShards),
	})
	if err != nil {
		return storeCode(err)
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	owned := shards.Range(0, cfg.TotalShards-1)
	request := recovery.StoreRequest{Network: built.Bound.Network, TotalShards: cfg.TotalShards, Placement: cfg.placement(), Owned: owned}
	if _, err := dest.Prepare(ctx, request); err != nil {
		return withCode(exitConfig, err)
	}
	config := syncer.Config{Store: dest, Fetcher: l}
	if cfg.Striped > 0 {
		config.Fetcher, config.Verifiers = stripedFiles(l), map[recovery.Encoding]syncer.Verifier{recovery.Striped: stripedFiles(l).verifier()}
	}
	handler, err := syncer.New(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, handler.Close()) }()
	return l.syncAll(ctx, handler, cfg, recovery.Covers{Total: cfg.TotalShards, Owned: owned})
}

// importConcurrency is the number of pieces under way; it covers a barrier group, so
// that groups are full.
const importConcurrency = 2_000

func (l localFiles) syncAll(ctx context.Context, handler *syncer.Handler, cfg importConfig, covers recovery.Covers) error {
	group, ctx := errgroup.WithContext(ctx)
	pieces := 1
	if cfg.Striped > 0 {
		pieces = cfg.code().N + 1
	}
	group.SetLimit(max(importConcurrency/pieces, 8))
	for id, f := range l {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			outcome, err := handler.Sync(syncer.Request{Blob: f.blob(id), Covers: covers, Placement: cfg.placement()}).Wait(ctx)
			if err == nil && outcome.Result == recovery.Cancelled {
				err = fmt.Errorf("store %s: %s: %s", f.path, outcome.Reason, outcome.Err)
			}
			return err
		})
	}
	return group.Wait()
}
