package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// Explanation is everything that is known about one blob. Its fields are stable.
// Null means that it is not known. Lists are never nil.
type Explanation struct {
	ID recovery.BlobID `json:"id"`
	At time.Time       `json:"at"`
	// Stamp is the catalog state that was asked; null: it could not be.
	Stamp *recovery.Stamp `json:"stamp"`
	// Certified is null where the catalog could not be read; CertifiedError says
	// why.
	Certified      *bool         `json:"certified"`
	CertifiedError string        `json:"certified_error"`
	Row            *ExplainedRow `json:"row"` // null unless certified
	// OwnershipEpoch is that of the ownership the shards are of; null: unknown.
	OwnershipEpoch *uint32          `json:"ownership_epoch"`
	Shards         []ExplainedShard `json:"shards"` // those that hold a piece
	// Manifest says that the manifest of a striped blob is stored; null: not known, or
	// it has none.
	Manifest *bool `json:"manifest"`
	// State is settled, not_certified, expired, not_owned, not_reached, unknown, or
	// that of the entry: waiting, fetching, flushing, retrying or parked. Why is a
	// sentence.
	State string `json:"state"`
	Why   string `json:"why"`
	// Entry is the blob's place in the unsettled list; null: it is not in it.
	Entry *recovery.Unsettled `json:"entry"`
	// Tries are those of this process only, oldest first, at most 16, of the ids
	// that failed last (Started says since when at the earliest).
	Tries   []Try     `json:"tries"`
	Started time.Time `json:"started"`
	// Liars are the peers that lately sent wrong bytes for this blob.
	Liars []string `json:"liars"`
}

// ExplainedRow is what the catalog says of a certified blob.
type ExplainedRow struct {
	Size           *int64  `json:"size"` // bytes; null: the catalog does not say it
	Encoding       string  `json:"encoding"`
	CertifiedEpoch uint32  `json:"certified_epoch"`
	EndEpoch       *uint32 `json:"end_epoch"` // exclusive; null: it has none
	Gained         uint64  `json:"gained"`
	Expired        bool    `json:"expired"`
}

// ExplainedShard is a shard that holds a piece of the blob.
type ExplainedShard struct {
	Shard uint32 `json:"shard"`
	Owned bool   `json:"owned"`
	// Stored says that the piece is there under its final name; null: not known,
	// as for the shards of others and for a name that may not be durable yet.
	Stored *bool `json:"stored"`
}

// Explain says all that is known about a blob. Errors are ErrEnded and ctx's; what
// cannot be found out is null in the answer.
func (w *Worker) Explain(ctx context.Context, id recovery.BlobID) (Explanation, error) {
	s, err := w.standing(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{ID: id, At: time.Now(), Started: w.started, Entry: s.Entry, Tries: w.tries.of(id), Liars: []string{}, Shards: []ExplainedShard{}}
	if w.cfg.Liars != nil {
		e.Liars = append(e.Liars, w.cfg.Liars.Liars(id)...)
	}
	if s.Ownership != nil {
		epoch := s.Ownership.Epoch
		e.OwnershipEpoch = &epoch
	}
	row, err := w.lookFor(ctx, s, &e)
	if err != nil {
		return Explanation{}, err
	}
	w.explainShards(ctx, s, &e, row)
	e.State, e.Why = explainState(s, e, row)
	return e, ctx.Err()
}

// lookFor asks the catalog. The row is nil unless the blob is certified.
func (w *Worker) lookFor(ctx context.Context, s recovery.Standing, e *Explanation) (*recovery.Row, error) {
	stamp, rows, err := w.cfg.Catalog.Lookup(ctx, []recovery.BlobID{e.ID})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		e.CertifiedError = err.Error()
		return nil, nil
	}
	e.Stamp = &stamp
	if s.Run != 0 && !stamp.Reaches(s.Bound) {
		e.CertifiedError = fmt.Sprintf("the catalog answers for position %d, the run's bound is %s", stamp.Position, s.Bound)
		return nil, nil
	}
	certified := len(rows) > 0
	e.Certified = &certified
	if !certified {
		return nil, nil
	}
	row := rows[0]
	e.Row = &ExplainedRow{
		Encoding: row.Encoding.String(), CertifiedEpoch: row.CertifiedEpoch, Gained: row.Gained, Expired: row.EndEpoch <= s.Epoch,
	}
	if row.Size != recovery.SizeUnknown {
		e.Row.Size = &row.Size
	}
	if row.EndEpoch != recovery.EpochForever {
		e.Row.EndEpoch = &row.EndEpoch
	}
	return &row, nil
}

// explainShards lists the shards that hold a piece, as far as the ownership says it.
func (w *Worker) explainShards(ctx context.Context, s recovery.Standing, e *Explanation, row *recovery.Row) {
	covers, placement := s.Covers, s.Placement
	if s.Run == 0 {
		if s.Ownership == nil {
			return
		}
		covers = recovery.Covers{Total: s.Ownership.TotalShards, Owned: s.Ownership.Owned}
		placement = w.cfg.Machine.Placement
	}
	if covers.Total == 0 {
		return
	}
	for _, shard := range placement.Holders(nil, e.ID, covers.Total, shards.Range(0, covers.Total-1)) {
		e.Shards = append(e.Shards, ExplainedShard{Shard: shard, Owned: covers.Owned.Contains(shard)})
	}
	if row == nil || s.Run == 0 || w.cfg.Pieces == nil || w.cfg.Syncer.Flying(e.ID) {
		return
	}
	has := func(p syncer.Piece) *bool {
		stored, err := w.cfg.Pieces.Has(ctx, p)
		if err != nil {
			return nil
		}
		return &stored
	}
	for i := range e.Shards {
		if at := &e.Shards[i]; at.Owned {
			at.Stored = has(syncer.Piece{Blob: row.Blob, Shard: at.Shard, Index: placement.PieceOf(e.ID, at.Shard, covers.Total)})
		}
	}
	if row.Encoding == recovery.Striped && covers.Owned.Len() > 0 {
		e.Manifest = has(syncer.Piece{Blob: row.Blob, Manifest: true})
	}
}

// explainState says in a word and in a sentence what the facts add up to.
func explainState(s recovery.Standing, e Explanation, row *recovery.Row) (state, why string) {
	switch {
	case s.Entry != nil:
		return s.Entry.State.String(), explainEntry(s)
	case s.Run == 0:
		return "not_reached", "no run is in force: " + s.Why
	case e.CertifiedError != "":
		return "unknown", "whether it is certified cannot be read: " + e.CertifiedError
	case row == nil:
		return "not_certified", fmt.Sprintf("no live certification at position %d; there is nothing to do", e.Stamp.Position)
	case e.Row.Expired:
		return "expired", fmt.Sprintf("it was kept until epoch %d, and it is epoch %d; there is nothing to do", row.EndEpoch, s.Epoch)
	case !s.Placement.Concerns(row.ID, s.Covers.Total, s.Covers.Owned):
		return "not_owned", "none of this node's shards holds a piece of it"
	case !s.Settled(*row):
		return "not_reached", explainNotReached(s, *row)
	}
	return "settled", explainSettled(e)
}

// explainSettled compares what was claimed with what is there now.
func explainSettled(e Explanation) string {
	why := "it was settled, and it is stored"
	if e.Manifest != nil && !*e.Manifest {
		return "it was settled, and its manifest is not there now: repair it, and find out who took it away"
	}
	for _, shard := range e.Shards {
		switch {
		case !shard.Owned:
		case shard.Stored == nil:
			why = fmt.Sprintf("it was settled; whether shard %d has its piece now is not known", shard.Shard)
		case !*shard.Stored:
			return fmt.Sprintf("it was settled, and shard %d does not have its piece now: repair it, and find out who took it away", shard.Shard)
		}
	}
	return why
}

func explainNotReached(s recovery.Standing, row recovery.Row) string {
	if !row.Within(s.Bound) {
		return fmt.Sprintf("its certification is newer than the present pass, which goes up to position %d; the next one looks at it", s.Bound.Position)
	}
	return "the present pass has not come to it yet"
}

func explainEntry(s recovery.Standing) string {
	u := s.Entry
	var why string
	switch u.State {
	case recovery.Fetching:
		why = "it is being fetched"
	case recovery.Flushing:
		why = "it is stored, and is being made durable"
	case recovery.Parked:
		why = fmt.Sprintf("failed tries in which a peer answered: %d; it is tried slowly, or when it is retried by hand or a peer comes back", u.Tries)
	case recovery.Retrying:
		why = fmt.Sprintf("try %d has failed; it is tried again", u.Attempts)
	default:
		why = "it is looked at again as soon as there is a turn"
	}
	if s.Run == 0 {
		why = "it is listed, and no run is in force: " + s.Why
	}
	if u.Replace {
		why += "; it was put back, and what is stored of it is replaced"
	}
	if u.LastError != "" {
		why += fmt.Sprintf("; the last failure: %s (%s)", u.Reason, u.LastError)
	}
	return why
}
