package fs

import (
	"testing"
	"time"
)

// volumeModel says what a flush takes on a made-up volume.
type volumeModel struct {
	syncUnit, fileUnit time.Duration // of work, by syncfs and by fdatasync
	// dirty is what neighbours have to be written at a time, in bytes, of which share
	// percent lie on this volume; speed is in bytes a second.
	dirty func(at time.Duration) int64
	share int64
	speed int64
	// hidden stretches a syncfs by something that cannot be seen.
	hidden func(at time.Duration) time.Duration
	// told: the volume tells how much is written to it.
	told bool
}

func (m volumeModel) took(at time.Duration, w work, way Durability) time.Duration {
	if way == Fdatasync {
		return m.fileUnit * time.Duration(w.units())
	}
	took := m.syncUnit * time.Duration(w.units())
	if m.speed > 0 {
		took += time.Duration(w.others * m.share / 100 * int64(time.Second) / m.speed)
	}
	if m.hidden != nil {
		took += m.hidden(at)
	}
	return took
}

// outcome is what a run of a chooser over a model came to.
type outcome struct {
	syncs, files int // flushes in each way
	changes      int // of the settled way
	longest      time.Duration
	spent        time.Duration
	last         reason
}

// simulate flushes groups of n small files for so long, with 20 ms between them.
func simulate(c chooser, m volumeModel, n int, length time.Duration) (o outcome) {
	for now := time.Duration(0); now < length; now += 20 * time.Millisecond {
		w := work{files: n, bytes: int64(n) * 4096, names: n}
		if m.dirty != nil {
			w.others = m.dirty(now)
		}
		before := c.settled
		way, why := c.next(now, w)
		took := m.took(now, w, way)
		if w.foreign = foreignUnknown; m.told && way == Syncfs {
			w.foreign = w.others * m.share / 100
		}
		now += took
		c.note(now, w, way, took)
		if way == Syncfs {
			o.syncs++
		} else {
			o.files++
		}
		if c.settled != before {
			o.changes++
		}
		o.longest, o.spent, o.last = max(o.longest, took), o.spent+took, why
	}
	return o
}

const (
	us = time.Microsecond
	ms = time.Millisecond
)

func always(n int64) func(time.Duration) int64 { return func(time.Duration) int64 { return n } }

// bursts are n bytes of others' pages in the second half of each period.
func bursts(period time.Duration, n int64) func(time.Duration) int64 {
	return func(at time.Duration) int64 {
		if at%period < period/2 {
			return 0
		}
		return n
	}
}

// Whatever the volume is like, the chooser finds the better way, does not flap,
// and no flush is stretched for long by what could be seen.
func TestChooserFindsTheBetterWay(t *testing.T) {
	quiet := volumeModel{syncUnit: 20 * us, fileUnit: 60 * us}
	with := func(change func(*volumeModel)) volumeModel {
		m := quiet
		change(&m)
		return m
	}
	const length = 10 * time.Minute
	for name, tt := range map[string]struct {
		model      volumeModel
		of         tenancy
		files      int           // in a group; default 500
		least      float64       // share of the flushes that go by syncfs
		most       float64       // the same
		changes    int           // at most
		longest    time.Duration // at most
		begunBadly time.Duration // what the opening flush took
	}{
		"quiet":                     {model: quiet, least: 0.99, most: 1, longest: 31 * ms},
		"quiet, one blob at a time": {model: quiet, files: 1, least: 1, most: 1, longest: 2 * ms},
		"the opening flush was long": {
			model: quiet, begunBadly: 2 * time.Second, least: 0.99, most: 1, changes: 1, longest: 31 * ms,
		},
		"fdatasync is as good": {
			model: with(func(m *volumeModel) { m.fileUnit = 20 * us }), least: 0.99, most: 1, longest: 31 * ms,
		},
		"fdatasync is the better way": {
			model: with(func(m *volumeModel) { m.fileUnit = 10 * us }), most: 0.02, changes: 1, longest: 31 * ms,
		},
		"a slow disk": {
			model: volumeModel{syncUnit: time.Millisecond, fileUnit: 5 * time.Millisecond}, least: 0.97, most: 1, longest: 2600 * ms,
		},
		"1 GiB of a neighbour's, always": {
			model: with(func(m *volumeModel) { m.dirty, m.share, m.speed = always(1<<30), 100, 1<<30 }), longest: 31 * ms,
		},
		"1 GiB of a neighbour's, on another disk": {
			model: with(func(m *volumeModel) { m.dirty, m.share, m.speed = always(1<<30), 0, 1<<30 }), longest: 31 * ms,
		},
		"24 MiB of a neighbour's, on another disk": { // a try finds that they are harmless
			model: with(func(m *volumeModel) { m.dirty, m.share, m.speed = always(24<<20), 0, 1<<30 }), least: 0.98, most: 1, longest: 31 * ms,
		},
		"1 GiB of a neighbour's, on another disk, after less": {
			of: aVolume,
			model: with(func(m *volumeModel) {
				m.told, m.share, m.speed = true, 0, 1<<30
				m.dirty = func(at time.Duration) int64 { return min(int64(at/ms)<<13, 1<<30) } // grows for 2 min
			}), least: 0.99, most: 1, longest: 31 * ms,
		},
		"the same, and the disk is uneven": {
			of: aVolume,
			model: with(func(m *volumeModel) {
				m.told, m.share, m.speed = true, 0, 1<<30
				m.dirty = func(at time.Duration) int64 { return min(int64(at/ms)<<13, 1<<30) }
				m.hidden = func(at time.Duration) time.Duration { return at / ms % 20 / 19 * 70 * ms } // now and then
			}), least: 0.98, most: 1, longest: 110 * ms,
		},
		"24 MiB of a neighbour's, on a slow disk": { // a try costs 240 ms
			model: with(func(m *volumeModel) { m.dirty, m.share, m.speed = always(24<<20), 100, 100<<20 }), most: 0.01, changes: 1, longest: 260 * ms,
		},
		"bursts of 1 GiB": {
			model: with(func(m *volumeModel) { m.dirty, m.share, m.speed = bursts(10*time.Second, 1<<30), 100, 1<<30 }),
			least: 0.45, most: 0.75, longest: 31 * ms,
		},
		"a volume beside a busy system disk, which fills slowly": {
			of: aVolume,
			model: with(func(m *volumeModel) {
				m.dirty, m.share, m.speed = func(at time.Duration) int64 { return int64(at%(5*time.Second)/ms) << 18 }, 0, 1<<30
			}), least: 0.98, most: 1, changes: 1, longest: 31 * ms,
		},
		"a volume on which a neighbour begins to write": {
			of: aVolume,
			model: with(func(m *volumeModel) {
				m.dirty, m.share, m.speed = func(at time.Duration) int64 { return int64(at%(5*time.Second)/ms) << 18 }, 100, 200<<20
			}), most: 0.2, changes: 1, longest: 420 * ms,
		},
		"a volume of its own beside a busy system disk": {
			of:    itsOwn,
			model: with(func(m *volumeModel) { m.dirty, m.share, m.speed = bursts(10*time.Second, 200<<20), 0, 1<<30 }), least: 0.99, most: 1, longest: 31 * ms,
		},
		"stretched by what cannot be seen, always": {
			model: with(func(m *volumeModel) { m.hidden = func(time.Duration) time.Duration { return 400 * ms } }),
			most:  0.01, changes: 1, longest: 411 * ms,
		},
		"stretched by what cannot be seen, for a minute": {
			model: with(func(m *volumeModel) {
				m.hidden = func(at time.Duration) time.Duration {
					if at > time.Minute && at < 2*time.Minute {
						return 400 * ms
					}
					return 0
				}
			}),
			least: 0.7, most: 0.95, changes: 2, longest: 411 * ms,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChooser(DurabilityAuto, false, tt.of)
			c.opened(0, tt.begunBadly)
			files := tt.files
			if files == 0 {
				files = 500
			}
			got := simulate(c, tt.model, files, length)
			share := float64(got.syncs) / float64(got.syncs+got.files)
			if share < tt.least || share > tt.most || got.changes > tt.changes || got.longest > tt.longest {
				t.Errorf("%.3f by syncfs, want %.2f to %.2f; %d changes, want at most %d; the longest took %v, want at most %v; last %q",
					share, tt.least, tt.most, got.changes, tt.changes, got.longest, tt.longest, got.last.text(work{}))
			}
		})
	}
}

func TestChooserTries(t *testing.T) {
	// The cost of trying is bounded, however bad the other way is.
	m := volumeModel{syncUnit: 20 * us, fileUnit: 20 * ms} // 10 s for a group
	c := newChooser(DurabilityAuto, false, itsOwn)
	c.opened(0, 0)
	got := simulate(c, m, 500, 4*time.Hour)
	if most := 4 * time.Hour * 5 / 100; got.files > 60 || time.Duration(got.files)*m.took(0, work{files: 500, bytes: 500 * 4096}, Fdatasync) > most {
		t.Errorf("%d tries of the worse way", got.files)
	}
}

func TestChooserRules(t *testing.T) {
	small := work{files: 500, bytes: 500 * 4096}
	for name, tt := range map[string]struct {
		setting Durability
		deaf    bool
		work    work
		want    Durability
		why     reason
	}{
		"nothing is known":     {work: small, want: Syncfs, why: byDefault},
		"syncfs is asked for":  {setting: Syncfs, deaf: true, work: work{files: 1, bytes: 1 << 30, others: 1 << 40}, want: Syncfs, why: bySetting},
		"fdatasync is":         {setting: Fdatasync, work: small, want: Fdatasync, why: bySetting},
		"an old kernel":        {deaf: true, work: small, want: Fdatasync, why: byKernel},
		"large files":          {work: work{files: 30, bytes: 30 << 20}, want: Fdatasync, why: bySize},
		"just not large":       {work: work{files: 30, bytes: 30<<20 - 1}, want: Syncfs, why: byDefault},
		"empty files":          {work: work{files: 30}, want: Syncfs, why: byDefault},
		"names alone":          {work: work{names: 30}, want: Syncfs, why: byDefault},
		"names beside a flood": {work: work{names: 30, others: 1 << 30}, want: Fdatasync, why: byOthers},
		"a neighbour":          {work: work{files: 500, bytes: 1 << 20, others: harmlessSystem + 1}, want: Fdatasync, why: byOthers},
		"a quiet neighbour":    {work: work{files: 500, bytes: 1 << 20, others: harmlessSystem}, want: Syncfs, why: byDefault},
	} {
		c := newChooser(tt.setting, tt.deaf, theSystems)
		c.opened(0, 0)
		for range 3 { // none of them is learnt from
			way, why := c.next(0, tt.work)
			if way != tt.want || why != tt.why {
				t.Errorf("%s: %s (%s), want %s (%s)", name, way, why.text(tt.work), tt.want, tt.why.text(tt.work))
			}
		}
	}
}
