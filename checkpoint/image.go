package checkpoint

import (
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
)

// image is one record as it is written: two sealed values. It is never changed.
type image struct {
	order order
	head  []byte
	list  []byte
	h     head // what head holds
}

// newImage encodes a record. Errors wrap ErrRecord; the record is not changed,
// and the image shares nothing with it.
func newImage(r recovery.Record, o order) (image, error) {
	h := head{seq: o.seq, lastRun: o.run, paused: r.Paused}
	var unsettled []recovery.Unsettled
	if r.Progress != nil {
		p := *r.Progress
		unsettled, p.Unsettled = p.Unsettled, nil
		if p.Covered != nil {
			covered := *p.Covered
			p.Covered = &covered
		}
		h.progress = &p
	}
	list, sum, err := encodeEntries(unsettled)
	if err != nil {
		return image{}, err
	}
	h.list = sum
	if why := h.contradiction(); why != "" {
		return image{}, fmt.Errorf("%w: %s", ErrRecord, why)
	}
	for i := range unsettled {
		if h.progress.Cursor.Covers(unsettled[i].ID) {
			return image{}, fmt.Errorf("%w: the cursor %v is past the unsettled %v (I2)", ErrRecord, h.progress.Cursor, unsettled[i].ID)
		}
	}
	return image{order: o, head: encodeHead(h), list: list, h: h}, nil
}

// at returns the same record under another sequence number.
func (m image) at(seq uint64) image {
	m.order.seq, m.h.seq = seq, seq
	m.head = encodeHead(m.h)
	return m
}

// ListState says what became of a copy's unsettled list.
type ListState string

const (
	// ListWhole: it was read, entry by entry.
	ListWhole ListState = "whole"
	// ListOmitted: the copy had no room for it.
	ListOmitted ListState = "omitted"
	// ListLost: it was there and could not be read.
	ListLost ListState = "lost"
)

// stored is a copy that was read: at least its head is intact.
type stored struct {
	head
	source    Source
	path      string
	entries   []recovery.Unsettled // valid when listState is ListWhole
	listState ListState
	lost      error // why the list could not be read, if it was there
}

// decodeStored reads the two values of a copy; a nil list means that it was
// omitted. An error means that nothing of the copy can be used: damage, or one
// that wraps ErrVersion. A list that was lost alone is told by s.lost.
func decodeStored(headValue, list []byte) (stored, error) {
	h, err := decodeHead(headValue)
	if err != nil {
		return stored{}, err
	}
	s := stored{head: h, listState: ListWhole}
	if list == nil {
		if h.list.entries > 0 {
			s.listState = ListOmitted
		}
		return s, nil
	}
	switch s.entries, err = decodeEntries(list, h.list); {
	case errors.Is(err, ErrVersion):
		return stored{}, err
	case err != nil:
		s.entries, s.lost = nil, err
		if h.list.entries > 0 {
			s.listState = ListLost
		}
	case len(s.entries) > 0 && h.progress.Cursor.Covers(s.entries[0].ID):
		return stored{}, damaged("the cursor %v is past the unsettled %v (I2)", h.progress.Cursor, s.entries[0].ID)
	}
	return s, nil
}

// record returns the copy as it stands. Where the list is not whole, Unsettled
// is nil although the head counts entries: that is for people to look at.
func (s stored) record() recovery.Record {
	r := recovery.Record{Paused: s.paused}
	if s.progress != nil {
		p := *s.progress
		p.Unsettled = s.entries
		r.Progress = &p
	}
	return r
}

// resumable returns what work may go on from. A list that can't be read is
// dropped only together with covered and what was scanned above the cursor, so
// that everything above the cursor is looked at again (I4).
func (s stored) resumable() recovery.Record {
	r := s.record()
	if s.listState != ListWhole && r.Progress != nil {
		r.Progress.Covered = nil
		r.Progress.Scan = r.Progress.Cursor
		r.Progress.Unsettled = nil
	}
	return r
}
