package sim

import "slices"

// medium is the checkpoint's copies as bytes: what processes see, and what a power
// cut would leave. It is a checkpoint.Medium.
type medium struct {
	d     *disk
	slots [2]slot
	db    database
	// healed: a process has opened the checkpoint since a copy was spoilt or torn, so
	// that every copy is whole again. Until then another one is not spoilt: two copies
	// lost at once may cost progress.
	healed bool
	// saving: a process that found every copy whole and durable is writing one, or died
	// doing so. The others must be enough even then.
	saving bool
}

// slot is one file of the mirror.
type slot struct{ seen, kept []byte }

// database stands for bbolt: a transaction is there whole or not at all, and the one
// before it is, until it is overwritten.
type database struct {
	seen, kept, before values
}

type values struct {
	head, list []byte
	there      bool
}

// tear is the size of what reaches the disk as one. Real sectors are larger than most
// of these records; smaller ones make more tears.
const tear = 64

func (m *medium) ReadSlot(i int) ([]byte, error) {
	if err := m.load(); err != nil {
		return nil, err
	}
	return slices.Clone(m.slots[i].seen), nil
}

func (m *medium) ReadDatabase() (head, list []byte, ok bool, err error) {
	if err := m.load(); err != nil {
		return nil, nil, false, err
	}
	return slices.Clone(m.db.seen.head), slices.Clone(m.db.seen.list), m.db.seen.there, nil
}

func (m *medium) load() error {
	if _, err := m.d.op(); err != nil {
		return err
	}
	if m.d.w.fault(LoadError) {
		return errIO
	}
	return nil
}

// WriteSlot is one write, then one fsync.
func (m *medium) WriteSlot(i int, data []byte) error {
	s, w := &m.slots[i], m.d.w
	halfway, err := m.d.op()
	if err != nil && !halfway {
		return err
	}
	if fails := err == nil && w.fault(SaveFails); halfway || fails {
		s.seen = overwrite(s.seen, data[:w.rng.IntN(len(data)+1)]) // a part of it
		if fails {
			w.doubt("the mirror could not be written")
			err = errIO
		}
		return err
	}
	s.seen = overwrite(s.seen, data)
	halfway, err = m.d.op()
	fails := err == nil && w.fault(SaveFails)
	if halfway || fails {
		s.kept = w.torn(s.kept, s.seen)
	}
	if fails {
		w.doubt("the mirror's fsync failed")
		return errIO
	}
	if err == nil {
		s.kept = slices.Clone(s.seen)
	}
	return err
}

// overwrite puts data at the beginning of a file.
func overwrite(old, data []byte) []byte {
	return append(slices.Clone(data), old[min(len(data), len(old)):]...)
}

// torn is what a power cut leaves of an overwrite that was not flushed: any of its
// sectors.
func (w *world) torn(before, after []byte) []byte {
	if slices.Equal(before, after) {
		return before
	}
	switch w.rng.IntN(4) {
	case 0:
		return before
	case 1:
		return slices.Clone(after)
	}
	w.count(SaveTorn)
	out := make([]byte, len(after))
	for at := 0; at < len(after); at += tear {
		from := after
		if w.coin() {
			from = before
		}
		if at < len(from) {
			copy(out[at:min(at+tear, len(after))], from[at:])
		}
	}
	return out
}

// PutDatabase is one transaction. One that fails may be on the disk all the same
// (hazard 48), and one that is seen may not be durable.
func (m *medium) PutDatabase(head, list []byte) error {
	w := m.d.w
	halfway, err := m.d.op()
	if err != nil && !halfway {
		return err
	}
	fails := err == nil && w.fault(SaveFails)
	next := values{slices.Clone(head), slices.Clone(list), true}
	if halfway || fails {
		if w.coin() {
			m.db.seen = next
			if w.coin() {
				m.db.before, m.db.kept = m.db.kept, next
			}
		}
		if fails {
			w.doubt("the database could not be written")
			err = errIO
		}
		return err
	}
	m.db.before, m.db.kept, m.db.seen = m.db.kept, next, next
	return nil
}

// powerCut leaves what is durable. A copy that is lost with the page cache is one
// lost copy.
func (m *medium) powerCut() {
	m.healed = m.sound()
	for i := range m.slots {
		s := &m.slots[i]
		s.kept = m.d.w.torn(s.kept, s.seen)
		s.seen = slices.Clone(s.kept)
	}
	m.db.seen = m.db.kept
}

// clone is a medium of its own with the same bytes, for another disk.
func (m *medium) clone(d *disk) medium {
	c := *m
	c.d = d
	return c
}

// sound reports whether every copy is whole and durable.
func (m *medium) sound() bool {
	return m.healed && slices.Equal(m.db.seen.head, m.db.kept.head) && slices.Equal(m.slots[0].seen, m.slots[0].kept) &&
		slices.Equal(m.slots[1].seen, m.slots[1].kept)
}

// damage spoils one copy, whole or not. It says what it did.
func (m *medium) damage() string {
	w := m.d.w
	flip := func(b []byte) []byte {
		if len(b) == 0 {
			return b
		}
		b = slices.Clone(b)
		b[w.rng.IntN(len(b))] ^= 1 << w.rng.IntN(8)
		return b
	}
	m.healed = false
	set := func(v values) { m.db.seen, m.db.kept = v, v }
	v := m.db.kept
	switch which := w.rng.IntN(7); which {
	case 0, 1:
		m.slots[which].kept = flip(m.slots[which].kept)
		m.slots[which].seen = m.slots[which].kept
		return []string{"a bit of progress-a", "a bit of progress-b"}[which]
	case 2:
		i := w.rng.IntN(2)
		s := &m.slots[i]
		s.kept = s.kept[:w.rng.IntN(len(s.kept)+1)]
		s.seen = s.kept
		return "the end of a slot"
	case 3:
		v.head = flip(v.head)
	case 4:
		v.list = flip(v.list)
	case 5:
		set(m.db.before)
		return "the database's last transaction"
	default:
		v = values{}
	}
	set(v)
	return "the database"
}

// loseList spoils all that holds the list. It is more than one copy, so progress may
// be lost; but nothing may be claimed that is not so (I4).
func (m *medium) loseList() {
	m.slots = [2]slot{}
	if list := m.db.kept.list; len(list) > 0 {
		list = slices.Clone(list)
		list[m.d.w.rng.IntN(len(list))] ^= 1
		m.db.kept.list = list
	}
	m.db.seen = m.db.kept
}
