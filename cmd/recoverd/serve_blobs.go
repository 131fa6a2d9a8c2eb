package main

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// blobHandler answers for what lies in one store. A blob's id is the digest of its bytes,
// or of its manifest, which fixes those of its pieces: so id and place make a strong
// ETag that never goes stale.
type blobHandler struct{ store *fs.Reader }

func newBlobHandler(store *fs.Reader) http.Handler {
	h := blobHandler{store}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{id}", h.serve)
	mux.HandleFunc("GET /{shard}/{id}", h.serve)
	mux.HandleFunc("GET /{shard}/{aa}/{id}", h.serve)
	mux.HandleFunc("GET /pieces/{piece}/{id}", h.serve)
	return mux
}

func (h blobHandler) serve(w http.ResponseWriter, r *http.Request) {
	id, place, err := h.address(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f, size, err := h.store.Open(place, id)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		http.Error(w, "there is no such blob here", http.StatusNotFound)
		return
	case err != nil: // a path or a fault of this machine, which is not the peer's business
		http.Error(w, "the blob cannot be read", http.StatusInternalServerError)
		return
	}
	defer func() { _ = f.Close() }()
	w.Header().Set("ETag", h.etag(place, id))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	defer hurried(w, size)()
	http.ServeContent(w, r, "", time.Time{}, f)
}

// etag names the bytes: of a striped blob each shard has others.
func (h blobHandler) etag(place uint32, id recovery.BlobID) string {
	if m, ok := h.store.Marker(); ok && m.Placement == shards.Hashed {
		return `"` + id.String() + `"`
	}
	return `"` + id.String() + "-" + store.DirName(place) + `"`
}

// address reads the blob's id and the directory it lies in from the path.
func (h blobHandler) address(r *http.Request) (id recovery.BlobID, place uint32, err error) {
	if id, err = recovery.ParseBlobID(r.PathValue("id")); err != nil {
		return id, 0, err
	}
	if aa := r.PathValue("aa"); aa != "" && aa != id.String()[:2] {
		return id, 0, fmt.Errorf("%.20q is not the beginning of the id", aa)
	}
	switch shard, piece := r.PathValue("shard"), r.PathValue("piece"); {
	case shard == store.ManifestDir, piece == store.ManifestDir:
		return id, store.Manifests, nil
	case shard != "":
		place, err = parseShard(shard)
	case piece != "":
		place, err = h.shardOf(id, piece)
	default:
		place, err = h.home(id)
	}
	return id, place, err
}

func parseShard(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n >= shards.MaxTotal {
		return 0, fmt.Errorf("%.20q is not a shard", text)
	}
	return uint32(n), nil
}

// home is the shard of a whole blob.
func (h blobHandler) home(id recovery.BlobID) (uint32, error) {
	m, ok := h.store.Marker()
	switch {
	case !ok:
		return 0, errors.New("this store has no marker that tells its shards: ask for /<shard>/<id>")
	case m.Placement == shards.Striped:
		return 0, errors.New("blobs are striped here: ask for /<shard>/<id>, /pieces/<piece>/<id> or /manifest/<id>")
	}
	return shards.Home(id, m.TotalShards), nil
}

// shardOf is the shard that holds a piece of a striped blob.
func (h blobHandler) shardOf(id recovery.BlobID, piece string) (uint32, error) {
	m, ok := h.store.Marker()
	if !ok || m.Placement != shards.Striped {
		return 0, errors.New("blobs are whole here, or there is no marker that tells their shards: ask for /<shard>/<id>")
	}
	n, err := strconv.ParseUint(piece, 10, 32)
	if err != nil || n >= uint64(m.TotalShards) {
		return 0, fmt.Errorf("%.20q is not a piece: there are %d", piece, m.TotalShards)
	}
	return shards.ShardOf(id, uint32(n), m.TotalShards), nil
}
