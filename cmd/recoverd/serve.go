package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/transfer"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// serveConfig says what to serve, and where.
type serveConfig struct{ store, snapshots, listen string }

func newServeCommand() *cobra.Command {
	cfg := serveConfig{}
	cmd := &cobra.Command{
		Use:   "serve [--store DIR] [--snapshots DIR]",
		Short: "Serve a store's blobs, and snapshots, to other nodes over HTTP",
		Long: `Serve GET and HEAD, with Range and a strong ETag, for every blob of a store:

  /<id>                 any blob; the shard follows from the store's marker
  /<shard>/<id>         a blob of one shard, or the piece that it holds of a striped one
  /<shard>/<aa>/<id>    the same, by its first two hex digits
  /manifest/<id>        the manifest of a striped blob (a shard called "manifest")
  /pieces/<piece>/<id>  a piece of a striped blob by its number, or "manifest"

and for the snapshots of a directory (of a daemon: <state-dir>/catalog):

  /snapshots            their list, with a digest of every 4 MiB
  /snapshots/<file>     one file

Both are only read; a daemon may be filling them. An address of this machine alone
answers to the name localhost and to IP addresses, and to no page of another origin;
a proxy in front of it has to send such a Host. For another node:
--peer http://this-host:8080/{shard}/{id} --snapshot-peer http://this-host:8080`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.store == "" && cfg.snapshots == "" {
				return withCode(exitUsage, errors.New("--store or --snapshots is required"))
			}
			return serve(cmd, cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.store, "store", "", "directory of the store")
	f.StringVar(&cfg.snapshots, "snapshots", "", "directory of the snapshots")
	f.StringVar(&cfg.listen, "listen", "127.0.0.1:8080", "address to serve on")
	return cmd
}

func serve(cmd *cobra.Command, cfg serveConfig) (err error) {
	log, _, err := newLogger(&runConfig{LogFormat: "auto", LogLevel: "info"}, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctx, stop := stopSignals(cmd.Context(), log)
	defer stop()
	handler, letGo, err := newServed(ctx, cfg)
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer func() { err = errors.Join(err, letGo()) }()
	l, err := net.Listen("tcp", cfg.listen)
	if err != nil {
		return withCode(exitTryAgain, err)
	}
	log.Info().Str("store", cfg.store).Str("snapshots", cfg.snapshots).Str("address", "http://"+l.Addr().String()).Msg("serving")
	return serveHTTP(ctx, statusapi.LimitConns(l, maxServed), handler)
}

// newServed answers for a store and for snapshots, and closes what it holds.
func newServed(ctx context.Context, cfg serveConfig) (handler http.Handler, letGo func() error, err error) {
	mux, letGo := http.NewServeMux(), func() error { return nil }
	if cfg.snapshots != "" {
		snapshots, err := snapshotHandler(cfg.snapshots)
		if err != nil {
			return nil, nil, err
		}
		mux.Handle("/snapshots", snapshots)
		mux.Handle("/snapshots/", snapshots)
	}
	if cfg.store != "" {
		reader, err := openServed(ctx, cfg.store)
		if err != nil {
			return nil, nil, err
		}
		letGo = reader.Close
		mux.Handle("/", newBlobHandler(reader))
	}
	return guarded(mux), letGo, nil
}

func openServed(ctx context.Context, root string) (*fs.Reader, error) {
	reader, err := fs.OpenReader(ctx, root)
	if err != nil {
		return nil, err
	}
	numbers, err := reader.Shards()
	if _, marked := reader.Marker(); err == nil && !marked && len(numbers) == 0 {
		err = fmt.Errorf("%s is no store: it has neither a marker nor shard directories", root)
	}
	if err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	return reader, nil
}

func snapshotHandler(dir string) (http.Handler, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("snapshots: %s is not a directory that can be read", dir)
	}
	a, err := archive.Open(archive.Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	return transfer.NewHandler(a, transfer.HandlerConfig{})
}

// serveHTTP serves until ctx ends, then lets answers under way finish for a
// few seconds.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, DisableGeneralOptionsHandler: true}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // what is left is cut; peers resume
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
