package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

func newServeCommand() *cobra.Command {
	var root, listen string
	cmd := &cobra.Command{
		Use:   "serve --store DIR",
		Short: "Serve a store's blobs to other nodes over HTTP",
		Long: `Serve GET and HEAD, with Range and a strong ETag, for every blob of a store:

  /<id>                 any blob; the shard follows from the store's marker
  /<shard>/<id>         a blob of one shard
  /<shard>/<aa>/<id>    the same, by its first two hex digits

The store is only read; a daemon may be filling it. As peers of another node:
--peer http://this-host:8080/{id}`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if root == "" {
				return withCode(exitUsage, errors.New("--store is required"))
			}
			return serveStore(cmd, root, listen)
		},
	}
	cmd.Flags().StringVar(&root, "store", "", "directory of the store (required)")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address to serve on")
	return cmd
}

func serveStore(cmd *cobra.Command, root, listen string) error {
	log, _, err := newLogger(&runConfig{LogFormat: "auto", LogLevel: "info"}, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	ctx, stop := stopSignals(cmd.Context(), log)
	defer stop()
	reader, err := fs.OpenReader(ctx, root)
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer func() { _ = reader.Close() }()
	numbers, err := reader.Shards()
	if _, marked := reader.Marker(); err == nil && !marked && len(numbers) == 0 {
		err = fmt.Errorf("%s is no store: it has neither a marker nor shard directories", root)
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return withCode(exitTryAgain, err)
	}
	log.Info().Str("store", root).Str("address", "http://"+l.Addr().String()).Msg("serving blobs")
	return serveHTTP(ctx, l, newBlobHandler(reader))
}

// serveHTTP serves until ctx ends, then lets answers under way finish for a
// few seconds.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
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

// blobHandler answers for the blobs of one store. An id is the digest of the
// bytes, so it is also a strong ETag that never goes stale.
type blobHandler struct{ store *fs.Reader }

func newBlobHandler(store *fs.Reader) http.Handler {
	h := blobHandler{store}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{id}", h.serve)
	mux.HandleFunc("GET /{shard}/{id}", h.serve)
	mux.HandleFunc("GET /{shard}/{aa}/{id}", h.serve)
	return mux
}

func (h blobHandler) serve(w http.ResponseWriter, r *http.Request) {
	id, shard, err := h.address(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f, _, err := h.store.Open(shard, id)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		http.Error(w, "there is no such blob here", http.StatusNotFound)
		return
	case err != nil: // a path or a fault of this machine, which is not the peer's business
		http.Error(w, "the blob cannot be read", http.StatusInternalServerError)
		return
	}
	defer func() { _ = f.Close() }()
	w.Header().Set("ETag", `"`+id.String()+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, f)
}

// address reads the blob's id and shard from the path.
func (h blobHandler) address(r *http.Request) (recovery.BlobID, uint32, error) {
	id, err := recovery.ParseBlobID(r.PathValue("id"))
	if err != nil {
		return id, 0, err
	}
	if aa := r.PathValue("aa"); aa != "" && aa != id.String()[:2] {
		return id, 0, fmt.Errorf("%.20q is not the beginning of the id", aa)
	}
	if text := r.PathValue("shard"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n >= shards.MaxTotal {
			return id, 0, fmt.Errorf("%.20q is not a shard", text)
		}
		return id, uint32(n), nil
	}
	marker, ok := h.store.Marker()
	if !ok {
		return id, 0, errors.New("this store has no marker that tells its shards: ask for /<shard>/<id>")
	}
	return id, shards.Home(id, marker.TotalShards), nil
}
