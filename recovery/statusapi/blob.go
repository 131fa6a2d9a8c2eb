package statusapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/recoverd/recoverd/recovery/worker"
)

// BlobView is all that is known about one blob.
type BlobView struct {
	worker.Explanation
	// Entry is as the unsettled list shows it; null: the blob is not in it.
	Entry *UnsettledBlob `json:"entry"`
}

func newBlobView(e worker.Explanation) BlobView {
	view := BlobView{Explanation: e}
	if e.Entry != nil {
		entry := newUnsettledBlob(*e.Entry)
		view.Entry = &entry
	}
	return view
}

// serveBlob explains one blob.
func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request) {
	id, err := blobIn(r)
	_, paramErr := parameters(r)
	if err := firstError(err, paramErr, offered(s.cfg.Inspector != nil)); err != nil {
		answerError(w, err)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), listPatience, errBusy)
	defer cancel()
	explanation, err := s.cfg.Inspector.Explain(ctx, id)
	if err != nil {
		answerError(w, caused(ctx, err))
		return
	}
	writeJSON(w, http.StatusOK, newBlobView(explanation))
}

// How long a node may wait for a blob, and how many may wait at a time: each
// holds a connection.
const (
	defaultWait = 30 * time.Second
	maxWait     = 10 * time.Minute
	maxWaits    = 64
)

// errNotYet: the time that was given is over.
var errNotYet = errors.New("the blob was not done in time, and the request was taken back; GET of the blob says what stands in its way")

// serveSync asks for one blob and waits for its outcome.
func (s *Server) serveSync(w http.ResponseWriter, r *http.Request) {
	id, err := blobIn(r)
	wait, waitErr := waitQuery(r)
	if err := firstError(err, waitErr); err != nil {
		answerError(w, err)
		return
	}
	body, err := readBody(w, r)
	if err == nil {
		err = firstError(body.end(), offered(s.cfg.Control != nil))
	}
	if err != nil {
		answerError(w, err)
		return
	}
	select {
	case s.waits <- struct{}{}:
		defer func() { <-s.waits }()
	default:
		w.Header().Set("Retry-After", "1")
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("%d blobs are being waited for already", maxWaits))
		return
	}
	// The limits of a connection are for answers that are made at once.
	allow(w, wait)
	ctx, cancel := context.WithTimeoutCause(r.Context(), wait, errNotYet)
	defer cancel()
	outcome, err := s.cfg.Control.Sync(ctx, id)
	if err != nil {
		answerError(w, caused(ctx, err))
		return
	}
	writeJSON(w, http.StatusOK, outcome)
}

// waitQuery reads timeout.
func waitQuery(r *http.Request) (time.Duration, error) {
	query, err := parameters(r, "timeout")
	if err != nil {
		return 0, err
	}
	text, given := query["timeout"]
	if !given {
		return defaultWait, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait <= 0 || wait > maxWait {
		return 0, refuse(http.StatusBadRequest, "timeout is %.40q, want more than 0s and at most 10m", text)
	}
	return wait, nil
}

// allow gives an answer more time than Serve does: it may begin after a while.
// A server that is not ours may know no deadline; then there is none to move.
func allow(w http.ResponseWriter, wait time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + answerTimeout))
}

// ShardsView answers shards.
type ShardsView struct {
	Shards []worker.ShardProgress `json:"shards"`
}

// serveShards answers how far each owned shard is. What is not counted is null: an
// empty shard is no ready one (hazard 36).
func (s *Server) serveShards(w http.ResponseWriter, r *http.Request) {
	_, err := parameters(r)
	if err := firstError(err, offered(s.cfg.Inspector != nil)); err != nil {
		answerError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, ShardsView{append([]worker.ShardProgress{}, s.cfg.Inspector.Shards()...)})
}

// HistoryView answers history.
type HistoryView struct {
	History []worker.RunEvent `json:"history"`
}

// serveHistory answers how the runs began, newest first.
func (s *Server) serveHistory(w http.ResponseWriter, r *http.Request) {
	_, err := parameters(r)
	if err := firstError(err, offered(s.cfg.Inspector != nil)); err != nil {
		answerError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, HistoryView{append([]worker.RunEvent{}, s.cfg.Inspector.History()...)})
}
