// Package catalog holds the certified blobs in id order: the contract of a
// source, a source in memory and one that is a snapshot file. The conformance
// suite in catalogtest is the contract's other half.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/recoverd/recoverd/recovery"
)

var (
	// ErrNotPinned: a page or a look-up was asked for before the first Pin.
	ErrNotPinned = errors.New("catalog: no state is pinned yet")
	// ErrClosed: the source was closed.
	ErrClosed = errors.New("catalog: closed")
	// ErrBroken: a source broke its contract.
	ErrBroken = errors.New("catalog: the source broke its contract")
)

// Source yields certified blobs in strictly increasing id order. Whatever it
// cannot read is an error, never an absence (I8); every answer carries the
// stamp of the one state it was given from.
//
// Page and Lookup may run concurrently with each other and with Pin; an answer
// under way when Pin switches is wholly of the old state or wholly of the new
// one. An error wraps recovery.ErrMisconfigured only where a human must act.
type Source interface {
	// Pin switches to the newest valid state and returns it. Page and Lookup
	// answer from it until the next Pin.
	Pin(ctx context.Context) (recovery.Tip, error)
	// Page fills rows with the certified blobs whose id is strictly greater than
	// after, in rising order. Short pages are legal, empty ones only at the end;
	// End is set only when nothing follows. After an error rows are undefined.
	Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error)
	// Lookup returns the rows of those ids that are certified in the pinned
	// state, sorted by id, each once, and the stamp judged at. An id without a
	// row is not certified.
	Lookup(ctx context.Context, ids []recovery.BlobID) (recovery.Stamp, []recovery.Row, error)
	// Changed returns nil when a newer state than the pinned one may exist, and
	// an error when ctx ends or the source is closed.
	Changed(ctx context.Context) error
}

// Narrower is a Source that can leave out what did not change, so that a pass over
// what is new need not read all that is old.
type Narrower interface {
	// PageSince is Page without blobs of which no live certification was made or
	// lengthened after since, a state that the pinned one descends from. It may
	// return more of them, and never fewer (I7); PageInfo.Pass says how many a whole
	// pass meets at most. An answer is never narrower than what is known: a source
	// that no longer knows what changed answers as Page does, with Pass 0.
	PageSince(ctx context.Context, since recovery.Bound, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error)
}

// rowsPage is how many rows Rows asks for at once.
const rowsPage = 1024

// Rows yields the certified blobs beyond after, page by page, from the pinned
// state of src, which the caller has pinned and does not pin again meanwhile.
// The first error is yielded last. It checks what the contract promises: order,
// one stamp, and progress (hazards 10, 11).
func Rows(ctx context.Context, src Source, after recovery.Mark) iter.Seq2[recovery.Row, error] {
	return func(yield func(recovery.Row, error) bool) {
		rows := make([]recovery.Row, rowsPage)
		for first, stamp := true, (recovery.Stamp{}); ; first = false {
			info, err := src.Page(ctx, after, rows)
			if err == nil && !first && info.Stamp != stamp {
				err = fmt.Errorf("%w: a page of %+v after one of %+v", ErrBroken, info.Stamp, stamp)
			}
			if err == nil && info.N == 0 && !info.End {
				err = fmt.Errorf("%w: an empty page after %v is not the end", ErrBroken, after)
			}
			if err != nil {
				yield(recovery.Row{}, err)
				return
			}
			stamp = info.Stamp
			for _, row := range rows[:info.N] {
				if after.Covers(row.ID) {
					yield(recovery.Row{}, fmt.Errorf("%w: ids are not strictly increasing: %v follows %v", ErrBroken, row.ID, after))
					return
				}
				if !yield(row, nil) {
					return
				}
				after = recovery.MarkAt(row.ID)
			}
			if info.End {
				return
			}
		}
	}
}
