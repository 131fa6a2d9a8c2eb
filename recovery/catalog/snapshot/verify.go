package snapshot

import "context"

// Verify reads every file whole and proves it: the sum over every byte, every
// block's checksum, order and count, the digest, and of a full snapshot every
// registration's blob and pool, and the totals. It returns a *CorruptError, or
// the error of reading or of ctx.
//
// The sums need the bytes in file order, the rest needs the tables side by side,
// and hashing is done by a goroutine. So the file is read three times, and the
// sums are for whoever waits.
func (r *Reader) Verify(ctx context.Context) error {
	sums := newSumming(r.sources)
	digest := newContentDigest()
	digest.spare = func() bool { return sums.step(ctx) }
	err := r.verifyContent(ctx, digest)
	if stopErr := digest.stop(); err == nil {
		err = stopErr
	}
	if err != nil {
		return err // and it says where; the sum would only say that
	}
	return sums.finish(ctx)
}

// verifyContent reads every row of every table once.
func (r *Reader) verifyContent(ctx context.Context, digest *contentDigest) error {
	var err error
	if r.head.Base == nil {
		err = r.verifyState(ctx, digest)
	} else {
		err = r.verifyChanges(ctx, digest)
	}
	if err != nil {
		return err
	}
	if rows := digest.counts(); rows != r.end.totals.Rows {
		return r.d.at(r.Size(), "the trailer counts rows %+v, there are %+v", r.end.totals.Rows, rows)
	}
	got, err := digest.sum(r.head)
	if err == nil && got != r.end.digest {
		err = r.d.at(r.Size(), "the content's digest is %v, the trailer says %v", got, r.end.digest)
	}
	return err
}

// verifyState reads the tables side by side and counts what is certified.
func (r *Reader) verifyState(ctx context.Context, digest *contentDigest) error {
	pools := newCursor[Pool](r, Pools)
	pools.tap = digest
	if err := drain(ctx, pools.Next); err != nil {
		return err
	}
	totals, err := r.countWith(ctx, digest)
	if err != nil {
		return err
	}
	if totals != r.end.totals {
		return r.d.at(r.Size(), "the trailer sums up %+v, the tables %+v", r.end.totals, totals)
	}
	return nil
}

// verifyChanges reads one table after another.
func (r *Reader) verifyChanges(ctx context.Context, digest *contentDigest) error {
	blobs, own := newDeltaCursor[Blob](r, Blobs), newDeltaCursor[Registration](r, Registrations)
	pooled, pools := newDeltaCursor[Pooled](r, PooledRegistrations), newDeltaCursor[Pool](r, Pools)
	blobs.tap, own.tap, pooled.tap, pools.tap = digest, digest, digest, digest
	if err := drain(ctx, blobs.cursor.Next); err != nil {
		return err
	}
	if err := drain(ctx, own.cursor.Next); err != nil {
		return err
	}
	if err := drain(ctx, pooled.cursor.Next); err != nil {
		return err
	}
	return drain(ctx, pools.cursor.Next)
}

// drain reads all rows.
func drain[R any](ctx context.Context, next func() (*R, error)) error {
	for looked := 0; ; looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if row, err := next(); row == nil || err != nil {
			return err
		}
	}
}

// count adds the totals of a full snapshot up from its tables.
func (r *Reader) count(ctx context.Context) (Totals, error) {
	if r.pools == nil {
		if err := r.loadPools(); err != nil {
			return Totals{}, err
		}
	}
	return r.countWith(ctx, nil)
}

// countWith also shows every block but those of pools to a digest.
func (r *Reader) countWith(ctx context.Context, digest *contentDigest) (Totals, error) {
	s := r.scan(digest)
	totals, err := s.merge.count(ctx, r.end.totals.Rows)
	return totals, s.placed(err)
}
