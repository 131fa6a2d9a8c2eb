package walrus

import "context"

// Summary adds a file up.
type Summary struct {
	Header Header
	Size   int64 // bytes
	Digest uint64
	Counts Counts
	// CertifiedObjects are certified, not deleted, and end after the header's
	// epoch; DeletedObjects and EndedObjects are the others' reasons, the first
	// one that applies.
	CertifiedObjects, DeletedObjects, EndedObjects uint64
	// CertifiedPooled are certified, whatever their pool.
	CertifiedPooled uint64
	// EndedPools end at the header's epoch or before.
	EndedPools uint64
}

// ctxEvery is how many entries a loop looks at between two looks at its context.
const ctxEvery = 1024

// Summarize reads the rest of a file and adds it up. That it returns no error
// proves the file as far as its layout allows.
func Summarize(ctx context.Context, r *Reader) (Summary, error) {
	s := Summary{Header: r.Header()}
	for looked := 0; ; looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return Summary{}, context.Cause(ctx)
		}
		e, err := r.Next()
		if err != nil {
			return Summary{}, err
		}
		if e == nil {
			s.Size, s.Digest, s.Counts = r.Size(), r.Digest(), r.Counts()
			return s, nil
		}
		s.add(e)
	}
}

func (s *Summary) add(e *Entry) {
	switch o := &e.Object; {
	case e.Section == PooledObjects:
		s.CertifiedPooled += one(e.Pooled.Certified)
	case e.Section == Pools:
		s.EndedPools += one(e.Pool.EndEpoch <= s.Header.Epoch)
	case o.Deleted:
		s.DeletedObjects++
	case o.EndEpoch <= s.Header.Epoch:
		s.EndedObjects++
	case o.Certified:
		s.CertifiedObjects++
	}
}

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}
