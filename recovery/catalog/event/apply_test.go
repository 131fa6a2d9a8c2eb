package event_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// story applies events given as lines without position, one after another, and
// keeps the last error.
type story struct {
	t     *testing.T
	model *event.Model
	err   error
}

func begin(t *testing.T) *story { return &story{t: t, model: event.NewModel("main")} }

// then applies one more event, in which A, B and P stand for ids.
func (s *story) then(line string) *story {
	s.t.Helper()
	line = strings.NewReplacer("A", idA, "B", idB, "P", strings.Repeat("7", 64)).Replace(line)
	e, err := event.ParseLine([]byte(`{"position":1,` + line + `}`))
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	e.Position = s.model.Stamp().Position + 1
	if s.err = s.model.Apply(&e); s.err == nil {
		return s
	}
	var no *event.ContradictionError
	if !errors.As(s.err, &no) || no.Position != e.Position || no.Kind != e.Kind || s.model.Stamp().Position != e.Position-1 {
		s.t.Errorf("%s: %v, at %+v", line, s.err, s.model.Stamp())
	}
	return s
}

// fine wants all events so far to have been applied.
func (s *story) fine() *story {
	s.t.Helper()
	if s.err != nil {
		s.t.Error(s.err)
	}
	return s
}

func (s *story) refused(says string) {
	s.t.Helper()
	if s.err == nil || !strings.Contains(s.err.Error(), says) {
		s.t.Errorf("%v; want %q", s.err, says)
	}
}

// certified wants ids, or none, to be certified.
func (s *story) certified(want ...recovery.Row) *story {
	s.t.Helper()
	if diff := cmp.Diff(want, s.model.Certified()); diff != "" {
		s.t.Errorf("certified (-want +got):\n%s", diff)
	}
	return s.fine()
}

const (
	epoch1    = `"kind":"epoch_started","epoch":1`
	register  = `"kind":"register","blob":"A","size":5,"encoding":"raw","end_epoch":3,"deletable":true`
	registerB = `"kind":"register","blob":"A","object":"B","size":5,"encoding":"raw","end_epoch":5`
	certify   = `"kind":"certify","blob":"A"`
	certifyB  = `"kind":"certify","blob":"A","object":"B"`
	extend    = `"kind":"extend","blob":"A","end_epoch":9`
	remove    = `"kind":"delete","blob":"A"`
	pool      = `"kind":"pool_created","pool":"P","end_epoch":3`
	inPool    = `"kind":"register","blob":"A","size":5,"encoding":"raw","pool":"P"`
	epoch3    = `"kind":"epoch_started","epoch":3`
)

func rowA(certified, end uint32, gained uint64) recovery.Row {
	a := id(idA)
	return recovery.Row{
		Blob:           recovery.Blob{ID: a, Size: 5, Encoding: recovery.Raw, Digest: a},
		CertifiedEpoch: certified, EndEpoch: end, Gained: gained,
	}
}

// TestWhatEventsDo goes through the rules one by one.
func TestWhatEventsDo(t *testing.T) {
	s := begin(t).then(epoch1).then(register).certified().then(certify).certified(rowA(1, 3, 3))
	s.then(`"kind":"epoch_started","epoch":2`).certified(rowA(1, 3, 3))
	s.then(certify).certified(rowA(2, 3, 5)) // again: later
	s.then(`"kind":"extend","blob":"A","end_epoch":3`).certified(rowA(2, 3, 5))
	s.then(registerB).then(certifyB).certified(rowA(2, 5, 8)) // the largest of both
	s.then(remove).certified(rowA(2, 5, 8)).then(epoch3).certified(rowA(2, 5, 8))
	s.then(`"kind":"epoch_started","epoch":7`).certified() // skipping epochs is fine
	begin(t).then(epoch1).then(register).then(extend).certified().then(certify).certified(rowA(1, 9, 4))
	begin(t).then(epoch1).then(register).then(certify).then(`"kind":"invalidate","blob":"A"`).certified().
		then(registerB).then(certifyB).certified()
	begin(t).then(`"kind":"invalidate","blob":"A"`).then(epoch1).then(register).then(certify).certified(rowA(1, 3, 4))
	begin(t).then(epoch1).then(register).then(certify).then(remove).certified().then(register).then(certify).certified(rowA(1, 3, 6))
	begin(t).then(epoch1).then(pool).then(inPool).certified().then(certify).certified(rowA(1, 3, 4)).
		then(`"kind":"pool_extended","pool":"P","end_epoch":4`).certified(rowA(1, 4, 5)).then(epoch3).certified(rowA(1, 4, 5)).
		then(`"kind":"epoch_started","epoch":4`).certified()
	// A registration of its own comes before one in a pool.
	begin(t).then(epoch1).then(pool).then(inPool).then(registerB).then(certifyB).certified(rowA(1, 5, 5))
}

// TestGainedIsOfCertifications: what is not certified gained nothing, however it is
// extended; two ways to one state must not differ in it.
func TestGainedIsOfCertifications(t *testing.T) {
	s := begin(t).then(epoch1).then(register).then(extend).fine()
	r, err := s.model.State().Registrations().Next()
	if err != nil || r == nil || r.Gained != 0 || r.EndEpoch != 9 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestModelOfAState: what has ended in it is not in the model, and unknown positions
// are the state's.
func TestModelOfAState(t *testing.T) {
	a, b := id(idA), id(idB)
	path := filepath.Join(t.TempDir(), "state")
	w, err := snapshot.Create(path, snapshot.Header{Stamp: recovery.Stamp{Network: "main", Epoch: 5, Position: 40}})
	for _, id := range []recovery.BlobID{a, b} {
		err = errors.Join(err, w.Blob(&snapshot.Blob{Blob: recovery.Blob{ID: id, Size: 5, Encoding: recovery.Raw, Digest: id}}))
	}
	err = errors.Join(err,
		w.Registration(&snapshot.Registration{Key: snapshot.KeyOf(a, a), Certified: true, CertifiedEpoch: 1, EndEpoch: 6}),
		w.Registration(&snapshot.Registration{Key: snapshot.KeyOf(b, b), Certified: true, CertifiedEpoch: 1, EndEpoch: 5}), w.Close())
	if err != nil {
		t.Fatal(err)
	}
	r, err := snapshot.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, err := event.ModelOf(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]recovery.Row{rowA(1, 6, 40)}, m.Certified()); diff != "" {
		t.Error(diff)
	}
	blobs := m.State().Blobs()
	if first, err := blobs.Next(); err != nil || first == nil || first.ID != a {
		t.Errorf("%+v, %v", first, err)
	}
	if second, err := blobs.Next(); err != nil || second != nil {
		t.Errorf("%+v, %v", second, err)
	}
}

// TestDroppedKeysAreFree: what has ended may be registered anew, as something
// else too; and a pool that comes back is empty.
func TestDroppedKeysAreFree(t *testing.T) {
	other := `"kind":"register","blob":"A","size":6,"encoding":"striped","end_epoch":9`
	s := begin(t).then(epoch1).then(register).then(certify).then(other)
	s.refused("it has 6 bytes, encoding striped")
	s.then(epoch3).then(other).certified().then(certify).fine()
	if rows := s.model.Certified(); len(rows) != 1 || rows[0].Size != 6 {
		t.Errorf("%+v", rows)
	}
	s = begin(t).then(epoch1).then(pool).then(inPool).then(certify).then(epoch3)
	s.then(`"kind":"pool_created","pool":"P","end_epoch":9`).certified()
	// Invalidated blobs stay what they were.
	s = begin(t).then(epoch1).then(register).then(`"kind":"invalidate","blob":"A"`).then(epoch3).fine()
	s.then(other).refused("it has 6 bytes")
}

// Hazard 79, the events' side: extending says so, although the first
// certification is long past.
func TestExpiredThenExtended(t *testing.T) {
	s := begin(t).then(epoch1).then(register).then(certify).certified(rowA(1, 3, 3))
	s.then(extend).certified(rowA(1, 9, 4))
	begin(t).then(epoch1).then(register).then(certify).then(epoch3).then(extend).refused("it is not registered")
}

func TestContradictions(t *testing.T) {
	base := func() *story { return begin(t).then(epoch1).then(register).then(pool).fine() }
	for line, says := range map[string]string{
		epoch1:                        "position 4, epoch_started of epoch 1: it is epoch 1 already (the events or the state are of another history; nothing after position 3 was applied)",
		register:                      "position 4, register of blob " + idA + ": it is registered already",
		certifyB:                      "position 4, certify of blob " + idA + ", object " + idB + ": it is not registered",
		pool:                          "position 4, pool_created of pool " + strings.Repeat("7", 64) + ": it is there already",
		inPool:                        "it is registered already",
		registerB:                     "",
		`"kind":"certify","blob":"B"`: "it is not registered",
		`"kind":"delete","blob":"B"`:  "it is not registered",
		`"kind":"extend","blob":"B"`:  "it is not registered",
		`"kind":"extend","blob":"A","end_epoch":2`:                                          "it would end in epoch 2 instead of 3",
		`"kind":"register","blob":"B","size":1,"encoding":"raw","end_epoch":1`:              "it would end in epoch 1, and it is epoch 1",
		`"kind":"register","blob":"A","object":"B","size":1,"encoding":"raw","end_epoch":9`: "it has 1 bytes",
		`"kind":"register","blob":"B","size":1,"encoding":"raw","pool":"B"`:                 "there is no pool " + idB,
		`"kind":"pool_created","pool":"B","end_epoch":1`:                                    "it would end in epoch 1",
		`"kind":"pool_extended","pool":"B","end_epoch":7`:                                   "it is not there",
		`"kind":"pool_extended","pool":"P","end_epoch":2`:                                   "it would end in epoch 2 instead of 3",
	} {
		s := base()
		before := s.model.State()
		if s.then(line); says == "" {
			s.fine()
			continue
		}
		s.refused(says)
		if err := snapshot.Diff(t.Context(), before, s.model.State(), func(c snapshot.Change) error { return errors.New(c.Kind()) }); err != nil {
			t.Errorf("%s was refused, and %v", line, err)
		}
	}
	base().then(registerB).then(`"kind":"delete","blob":"A","object":"B"`).refused("it is not deletable")
	base().then(remove).then(certify).refused("it was deleted")
	base().then(remove).then(extend).refused("it was deleted")
	base().then(remove).then(remove).refused("it was deleted")
	pooled := func() *story { return begin(t).then(epoch1).then(pool).then(inPool).fine() }
	pooled().then(extend).refused("it lives and ends with its pool")
	pooled().then(remove).refused("it lives and ends with its pool")
	pooled().then(register).refused("it is registered already")
	pooled().then(epoch3).then(inPool).refused("there is no pool")
	base().then(epoch3).then(certify).refused("it is not registered")
}

// TestHistoriesMakeStates: whatever happens, the state is one that a snapshot can
// hold, that nothing has ended in, and that a model can be made of.
func TestHistoriesMakeStates(t *testing.T) {
	h := eventtest.New(31, "main")
	kinds := map[event.Kind]int{}
	for round := range 20 {
		for _, e := range h.Take(60) {
			kinds[e.Kind]++
		}
		path := filepath.Join(t.TempDir(), "state")
		written, err := snapshot.Write(t.Context(), path, h.Model().State(), snapshot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := snapshot.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		again, err := event.ModelOf(r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h.Model().Certified(), again.Certified()); diff != "" {
			t.Fatalf("round %d (-model +file):\n%s", round, diff)
		}
		if n := uint64(len(h.Model().Certified())); n != written.Totals.Certified {
			t.Fatalf("round %d: %d certified blobs, the file says %d", round, n, written.Totals.Certified)
		}
		if err := snapshot.Diff(t.Context(), r, again.State(), func(c snapshot.Change) error { return errors.New(c.Kind()) }); err != nil {
			t.Fatalf("round %d: a row of %v was %v", round, r, err)
		}
	}
	for k := event.EpochStarted; k <= event.PoolExtended; k++ {
		if kinds[k] < 5 {
			t.Errorf("%d events of kind %v: the histories are too tame", kinds[k], k)
		}
	}
	if len(h.Model().Certified()) < 20 {
		t.Errorf("%d blobs are certified at the end", len(h.Model().Certified()))
	}
}

// TestEventsComeInOrder: a gap names the first missing number.
func TestEventsComeInOrder(t *testing.T) {
	m := event.NewModel("main")
	e := event.Event{Position: 2, Kind: event.EpochStarted, Epoch: 1}
	var missing *event.MissingError
	if err := m.Apply(&e); !errors.As(err, &missing) || missing.First != 1 || missing.Found != 2 {
		t.Error(err)
	}
}
