package snapshot

import (
	"errors"
	"path/filepath"
	"testing"
)

// TestSumUp: reading a state comes to what its file says, whether it lies in one
// file or is laid together from two.
func TestSumUp(t *testing.T) {
	for _, s := range []*tables{golden(), state(0), state(3000)} {
		r := open(t, s.write(t))
		sum, err := SumUp(t.Context(), r)
		if err != nil || sum.Bound != r.Bound() || sum.Totals != r.Totals() {
			t.Errorf("summed up %+v, the file says %+v, error %v", sum, r.Totals(), err)
		}
		if known, err := Summarize(t.Context(), r); err != nil || known != sum {
			t.Errorf("summarized %+v, want %+v, error %v", known, sum, err)
		}
	}
}

func TestSumUpOverlay(t *testing.T) {
	base, next := state(900), state(900)
	next.head.Position += 5
	next.blobs, next.regs = next.blobs[100:], next.regs[100:]
	full := open(t, base.write(t))
	path := filepath.Join(t.TempDir(), "incremental")
	if _, err := WriteIncremental(t.Context(), path, full, open(t, next.write(t)), Options{}); err != nil {
		t.Fatal(err)
	}
	incremental := open(t, path)
	over, err := Over(full, incremental)
	if err != nil {
		t.Fatal(err)
	}
	want := open(t, next.write(t))
	if sum, err := Summarize(t.Context(), over); err != nil || sum.Bound != want.Bound() || sum.Totals != want.Totals() {
		t.Errorf("summarized %+v, want %+v, error %v", sum, want.Totals(), err)
	}
	if _, err := Summarize(t.Context(), incremental); !errors.Is(err, ErrKind) {
		t.Errorf("an incremental alone: %v", err)
	}
}

// TestSumUpRefuses: what no writer would write is no state.
func TestSumUpRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *tables)
		want   error
	}{
		"order":    {func(s *tables) { s.regs[3], s.regs[4] = s.regs[4], s.regs[3] }, ErrOrder},
		"twice":    {func(s *tables) { s.regs[4] = s.regs[3] }, ErrOrder},
		"dangling": {func(s *tables) { s.blobs = s.blobs[1:] }, ErrOrphan},
		"row":      {func(s *tables) { s.blobs[0].Encoding = 0 }, ErrRow},
		"position": {func(s *tables) { s.regs[0].Gained = 1 << 50 }, ErrRow},
	} {
		s := state(20)
		c.change(s)
		if _, err := SumUp(t.Context(), inRAM{s}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// inRAM is a state in memory.
type inRAM struct{ s *tables }

func (m inRAM) Header() Header      { return m.s.head }
func (m inRAM) Blobs() Cursor[Blob] { return &memory[Blob, *Blob]{rows: m.s.blobs} }
func (m inRAM) Registrations() Cursor[Registration] {
	return &memory[Registration, *Registration]{rows: m.s.regs}
}
func (m inRAM) Pooled() Cursor[Pooled] { return &memory[Pooled, *Pooled]{rows: m.s.pooled} }
func (m inRAM) Pools() []Pool          { return m.s.pools }
