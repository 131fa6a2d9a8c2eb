package crashstate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// saving is a worker's life in small: what is saved, in order. Less: as by Reset.
type saving struct {
	less   bool
	record recovery.Record
}

// savings has progress that goes forward, a blob put back below the cursor, a second
// pass, a new run, a pause, and a discard.
func savings() (all []saving) {
	id := func(n byte) recovery.BlobID { return recovery.BlobID{n, 0xee, 31: n} }
	bound := func(position uint64) recovery.Bound {
		return recovery.Bound{Stamp: recovery.Stamp{Network: "main", Epoch: 3, Position: position}, Digest: recovery.Digest{byte(position)}}
	}
	add := func(less bool, run uint64, covered *recovery.Bound, cursor, scan recovery.Mark, unsettled ...byte) {
		p := recovery.Progress{
			Run:   run,
			Fence: recovery.Fence{Network: "main", TotalShards: 4, Owned: shards.SetOf(0, 1), Continuity: fmt.Sprint("c-", run), Store: "root:1"},
			Epoch: 3, Covered: covered, Bound: bound(100 + uint64(len(all))), Cursor: cursor, Scan: scan,
			SavedAt: time.Unix(1_700_000_000+int64(len(all)), 0).UTC(),
		}
		if cursor == recovery.MarkEnd() {
			p.Bound = *covered
		}
		for _, n := range unsettled {
			p.Unsettled = append(p.Unsettled, recovery.Unsettled{ID: id(n), Size: 3, State: recovery.Waiting})
		}
		all = append(all, saving{less: less, record: recovery.Record{Progress: &p}})
	}
	at := func(n byte) recovery.Mark { return recovery.MarkAt(id(n)) }
	first := bound(100)
	add(true, 1, nil, recovery.Mark{}, recovery.Mark{})
	add(false, 1, nil, at(10), at(14), 11, 12)
	add(false, 1, nil, at(20), at(20))
	add(true, 1, nil, at(4), at(20), 5) // put back
	add(false, 1, nil, at(30), at(99), 40, 41, 42, 43, 44, 45, 46, 47, 48)
	add(false, 1, &first, recovery.MarkEnd(), recovery.MarkEnd())
	add(false, 1, &first, recovery.Mark{}, at(7), 2, 3)
	add(true, 2, nil, recovery.Mark{}, recovery.Mark{})
	add(false, 2, nil, at(1), at(9), 8)
	all = append(all, saving{record: recovery.Record{Paused: true, Progress: all[len(all)-1].record.Progress}})
	all = append(all, saving{less: true, record: recovery.Record{Paused: true}})
	add(true, 3, nil, recovery.Mark{}, at(3), 1)
	return all
}

// saveAll saves all of it, with a restart in the middle.
func saveAll(root string, n *notes) error {
	open := func() (*checkpoint.Store, error) {
		return checkpoint.Open(checkpoint.Config{Dir: filepath.Join(root, "state"), LockTimeout: time.Second})
	}
	s, err := open()
	if err != nil {
		return err
	}
	for i, save := range savings() {
		if i == 6 {
			if err := s.Close(); err != nil {
				return err
			}
			if s, err = open(); err != nil {
				return err
			}
		}
		if err := n.put("began %d", i); err != nil {
			return err
		}
		do := s.Save
		if save.less {
			do = s.Reset
		}
		if err := errors.Join(do(save.record), n.put("saved %d", i)); err != nil {
			return err
		}
	}
	return s.Close()
}

// TestCheckpoint: after a power cut at any moment a restart goes on from what was
// acknowledged last, or from what was being saved; and so it does from the mirror alone.
// From any one copy it goes on from nothing that was taken back.
//
// Hazards 14, 44, 46 and 86: nothing acknowledged is lost, the newest copy is never
// written over, no name is missing, and what was taken back is nowhere.
func TestCheckpoint(t *testing.T) {
	explore(t, "checkpoint.db and its mirror", recorded(t, "checkpoint"), Options{}, 1_000, func(dir string, notes []string) error {
		state := filepath.Join(dir, "state")
		may, since := mayLoad(notes)
		if _, err := os.Stat(state); errors.Is(err, os.ErrNotExist) && may[0] < 0 {
			return nil
		}
		r, _, err := checkpoint.ReadMirror(state)
		if err == nil {
			err = found(r, may)
		}
		if err != nil {
			return fmt.Errorf("read the mirror: %w", err)
		}
		for _, c := range []struct {
			may   []int
			files []string
		}{
			{may, []string{"progress-a", "progress-b"}},
			{since, []string{"progress-a"}},
			{since, []string{"progress-b"}},
			{since, []string{"checkpoint.db"}},
		} {
			if err := resumesFrom(state, c.may, c.files); err != nil {
				return fmt.Errorf("open %v alone: %w", c.files, err)
			}
		}
		if err := resumes(state, may); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		return resumes(state, may) // what was found is durable now
	})
}

// mayLoad returns the savings that may be found: that acknowledged last, -1 for none,
// and that under way. since are those that an older copy may hold: all since the last
// one that took something back, and none at all, which claims nothing.
func mayLoad(notes []string) (may, since []int) {
	acked, began := -1, -1
	for _, text := range notes {
		var n int
		if _, err := fmt.Sscanf(text, "began %d", &n); err == nil {
			began = n
		} else if _, err := fmt.Sscanf(text, "saved %d", &n); err == nil {
			acked = n
		}
	}
	may, since = []int{acked}, []int{-1}
	if began > acked {
		may = append(may, began)
	}
	all := savings()
	for n := began; n >= 0; n-- {
		since = append(since, n)
		if all[n].less && n <= acked {
			break
		}
	}
	return may, since
}

// found reports whether a record is one of those.
func found(r recovery.Record, may []int) error {
	all := savings()
	var diffs []string
	for _, n := range may {
		want := recovery.Record{}
		if n >= 0 {
			want = all[n].record
		}
		diff := cmp.Diff(want, r, cmp.Comparer(func(a, b recovery.Mark) bool { return a == b }), cmp.Comparer(shards.Set.Equal),
			cmp.FilterValues(func(a, b []recovery.Unsettled) bool { return len(a)+len(b) == 0 }, cmp.Ignore()))
		if diff == "" {
			return nil
		}
		diffs = append(diffs, fmt.Sprintf("not saving %d (-want +got):\n%s", n, diff))
	}
	return fmt.Errorf("it goes on from something else: %v", diffs)
}

// resumes opens a state directory.
func resumes(state string, may []int) error {
	s, err := checkpoint.Open(checkpoint.Config{Dir: state})
	if err != nil {
		return err
	}
	r, _, err := s.Load()
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	return found(r, may)
}

// resumesFrom opens a directory that holds some of the copies only.
func resumesFrom(state string, may []int, names []string) error {
	dir, err := os.MkdirTemp(state+"/..", "copies-")
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(state, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return resumes(dir, may)
}
