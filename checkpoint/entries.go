package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/recoverd/recoverd/recovery"
)

// MaxEntries bounds the unsettled list of a record: both parts at their largest
// (2 x recovery.MaxUnsettled), and as many again for blobs that are put back.
const MaxEntries = 4 * recovery.MaxUnsettled

const (
	maxReason = 64 // bytes; compared, so a longer one is refused

	// replaceBit in the state's byte says that what is stored is to be replaced.
	replaceBit = 1 << 7

	// An entry takes from minEntry to maxEntry bytes.
	minEntry = 32 + 8 + 1 + 4 + 4 + 1 + 1 + 2 + 2
	maxEntry = minEntry + 2*12 + maxReason + recovery.MaxErrorText
)

// encodeEntries returns the sealed list, sorted by id, and its sum. The caller's
// slice is read only. Errors wrap ErrRecord.
func encodeEntries(list []recovery.Unsettled) ([]byte, listSum, error) {
	if len(list) > MaxEntries {
		return nil, listSum{}, fmt.Errorf("%w: %d unsettled entries, at most %d fit", ErrRecord, len(list), MaxEntries)
	}
	sorted := make([]*recovery.Unsettled, len(list))
	for i := range list {
		sorted[i] = &list[i]
	}
	slices.SortFunc(sorted, func(a, b *recovery.Unsettled) int { return a.ID.Compare(b.ID) })

	e := beginEnvelope(4 + 2*minEntry*len(list))
	e.u32(uint32(len(list)))
	for i, u := range sorted {
		if i > 0 && sorted[i-1].ID == u.ID {
			return nil, listSum{}, fmt.Errorf("%w: %v is in the unsettled list twice", ErrRecord, u.ID)
		}
		if why := entryContradiction(u); why != "" {
			return nil, listSum{}, fmt.Errorf("%w: unsettled %v: %s", ErrRecord, u.ID, why)
		}
		encodeEntry(&e, u)
	}
	value := endEnvelope(e, magicList)
	return value, listSum{entries: len(list), size: len(value), digest: sha256.Sum256(value)}, nil
}

func encodeEntry(e *encoder, u *recovery.Unsettled) {
	e.bytes(u.ID[:])
	e.u64(uint64(u.Size))
	state := uint8(u.State)
	if u.Replace {
		state |= replaceBit
	}
	e.u8(state)
	e.u32(u.Tries)
	e.u32(u.Attempts)
	e.time(u.FirstFailed)
	e.time(u.NextTry)
	e.text(string(u.Reason))
	e.text(cut(u.LastError, recovery.MaxErrorText))
}

// decodeEntries reads the list that a head names. Errors are damage, or wrap
// ErrVersion.
func decodeEntries(value []byte, want listSum) ([]recovery.Unsettled, error) {
	if len(value) != want.size || sha256.Sum256(value) != want.digest {
		return nil, damaged("list: it is not the one that the head names")
	}
	body, err := openEnvelope(value, magicList)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	d := &decoder{buf: body}
	n := int(d.u32("entries"))
	if n != want.entries || n > len(d.buf)/minEntry {
		return nil, damaged("list: %d entries in %d bytes, the head says %d", n, len(value), want.entries)
	}
	var list []recovery.Unsettled
	if n > 0 {
		list = make([]recovery.Unsettled, n)
	}
	for i := range list {
		u := &list[i]
		decodeEntry(d, u)
		if i > 0 && d.err == nil && list[i-1].ID.Compare(u.ID) >= 0 {
			d.fail("ids are not strictly increasing: %v follows %v", u.ID, list[i-1].ID)
		}
		if why := entryContradiction(u); d.err == nil && why != "" {
			d.fail("%v: %s", u.ID, why)
		}
		if d.err != nil {
			break
		}
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	return list, nil
}

func decodeEntry(d *decoder, u *recovery.Unsettled) {
	u.ID = d.hash("id")
	u.Size = int64(d.u64("size"))
	state := d.u8("state")
	u.State, u.Replace = recovery.EntryState(state&^replaceBit), state&replaceBit != 0
	u.Tries = d.u32("tries")
	u.Attempts = d.u32("attempts")
	u.FirstFailed = d.time("first failed")
	u.NextTry = d.time("next try")
	u.Reason = recovery.Reason(d.text(maxReason, "reason"))
	u.LastError = d.text(recovery.MaxErrorText, "last error")
}

// entryContradiction says what is wrong with an entry, or "".
func entryContradiction(u *recovery.Unsettled) string {
	switch {
	case u.State < recovery.Waiting || u.State > recovery.Parked:
		return fmt.Sprintf("its state is %d", u.State)
	case u.Size < recovery.SizeUnknown:
		return fmt.Sprintf("its size is %d", u.Size)
	case len(u.Reason) > maxReason:
		return fmt.Sprintf("its reason is %d bytes long, at most %d fit", len(u.Reason), maxReason)
	}
	return ""
}
