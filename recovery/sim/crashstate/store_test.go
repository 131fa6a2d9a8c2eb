package crashstate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

const (
	storeShards = 2
	storeBlobs  = 14
)

// content is the bytes of blob n: from one to thousands.
func content(n int) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("blob %d ", n), 1+(n%5)*(n%5)*25))
}

func blobOf(n int) recovery.Blob {
	id := sha256.Sum256(content(n))
	return recovery.Blob{ID: id, Size: int64(len(content(n))), Encoding: recovery.Raw, Digest: id}
}

// origin is a Fetcher that has every blob.
type origin struct{}

// Fetch implements syncer.Fetcher. It writes in pieces, as a peer would.
func (origin) Fetch(_ context.Context, p syncer.Piece, sink syncer.Sink) (string, error) {
	for n := range storeBlobs {
		if blobOf(n).ID != p.Blob.ID {
			continue
		}
		for part := range slices.Chunk(content(n), 700) {
			if _, err := sink.Write(part); err != nil {
				return "", err
			}
		}
		return "origin", sink.Verify()
	}
	return "", errors.New("no such blob")
}

func storeRequest() recovery.StoreRequest {
	return recovery.StoreRequest{Network: "n", TotalShards: storeShards, Placement: shards.Hashed, Owned: shards.Range(0, storeShards-1)}
}

func newStore(root string, m mode) (*fs.Store, error) {
	return fs.Open(fs.Config{Root: filepath.Join(root, "node"), Create: true, Durability: m.durability, Layout: m.layout, MinFree: 1})
}

func openStore(root string, m mode) (*fs.Store, error) {
	s, err := newStore(root, m)
	if err != nil {
		return nil, err
	}
	return prepared(s)
}

func prepared(s *fs.Store) (*fs.Store, error) {
	if _, err := s.Prepare(context.Background(), storeRequest()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// mode is how a store is kept, and whether its drafts have temporary names.
type mode struct {
	durability fs.Durability
	layout     store.Layout
	named      bool
}

func (m mode) String() string {
	text := m.durability.String() + "-" + m.layout.String()
	if m.named {
		text += "-named"
	}
	return text
}

func modes() (all []mode) {
	for _, named := range []bool{false, true} {
		for _, durability := range []fs.Durability{fs.Syncfs, fs.Fdatasync} {
			all = append(all, mode{durability, store.Flat, named}, mode{durability, store.Fanout, named})
		}
	}
	return all
}

// storeIn opens the store of a subject. A process that may open next to nothing keeps
// no draft open: then each gets a name, as where no file can be without one.
func storeIn(root string, m mode) (*fs.Store, error) {
	if !m.named {
		return openStore(root, m)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: limit.Max}); err != nil {
		return nil, err
	}
	s, err := newStore(root, m)
	if err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)); err != nil {
		return nil, err
	}
	return prepared(s)
}

// publishAndDie publishes some blobs and is killed before their names are flushed.
func publishAndDie(root string, m mode) error {
	s, err := storeIn(root, m)
	if err != nil {
		return err
	}
	var drafts []syncer.Draft
	for i := range 5 {
		blob := blobOf(i)
		d, err := s.Create(context.Background(), syncer.Piece{Blob: blob, Shard: shards.Home(blob.ID, storeShards)}, blob.Size)
		if err != nil {
			return err
		}
		if _, err := d.Write(content(i)); err != nil {
			return err
		}
		if err := d.Seal(); err != nil {
			return err
		}
		drafts = append(drafts, d)
	}
	if err := drafts[0].Volume().Flush(drafts[:4], nil); err != nil {
		return err
	}
	for _, d := range drafts[:4] {
		if err := d.Publish(); err != nil {
			return err
		}
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// syncAll syncs all blobs, a few at a time, says which of them were stored already, and
// of each other one when it is a Success. Half of those that were stored are replaced.
func syncAll(root string, n *notes, m mode) error {
	s, err := storeIn(root, m)
	if err != nil {
		return err
	}
	rows, err := marked(s)
	if err != nil {
		return err
	}
	h, err := syncer.New(syncer.Config{Store: s, Fetcher: origin{}, Barrier: syncer.BarrierConfig{Blobs: 4}})
	if err != nil {
		return err
	}
	for group := range slices.Chunk(rows, 6) {
		watches := map[recovery.BlobID]*syncer.Watch{}
		for i, row := range group {
			if row.Stored {
				err = errors.Join(err, n.put("stored %s", row.ID))
			}
			if row.Stored && i%2 == 0 {
				continue
			}
			covers := recovery.Covers{Total: storeShards, Owned: storeRequest().Owned}
			watches[row.ID] = h.Sync(syncer.Request{Run: 1, Blob: row.Blob, Covers: covers, Placement: shards.Hashed, Replace: row.Stored})
		}
		for id, w := range watches {
			o, waiting := w.Wait(context.Background())
			if waiting != nil || o.Result != recovery.Success {
				return fmt.Errorf("%v, %v", o, waiting)
			}
			err = errors.Join(err, n.put("stored %s", id))
		}
	}
	return errors.Join(err, h.Close(), s.Close())
}

// marked returns all rows, in order, with what the store says of them.
func marked(s *fs.Store) ([]recovery.Row, error) {
	rows := make([]recovery.Row, storeBlobs)
	for i := range rows {
		rows[i].Blob = blobOf(i)
	}
	slices.SortFunc(rows, func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
	return rows, s.Mark(context.Background(), rows)
}

// TestStore: after a power cut at any moment no final name has other bytes than its
// blob, what was acknowledged is there, and the next start takes for stored what is.
//
// Hazards 14, 46, 49, 76 and 85.
func TestStore(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.String(), func(t *testing.T) {
			m.explore(t, "store, ", "store-"+m.String())
		})
	}
}

// TestStoreAfterAKill: a first process is killed when its names are in the page cache
// only; what a second one takes for stored outlives a power cut all the same.
//
// Hazard 77.
func TestStoreAfterAKill(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.String(), func(t *testing.T) {
			m.explore(t, "store after a kill, ", "killed-"+m.String(), "store-"+m.String())
		})
	}
}

// explore tries what subjects leave, and sees that their drafts were of the mode's kind.
// Drafts with names can be torn under them, which makes ten times as many states.
func (m mode) explore(t *testing.T, what string, subjects ...string) {
	t.Helper()
	h := recorded(t, subjects...)
	made := 0
	for _, op := range h {
		if op.Kind == Nameless {
			made++
		}
	}
	what += m.String()
	switch {
	case m.named && made > 0:
		t.Fatalf("%d drafts had no name", made)
	case !m.named && made == 0:
		skip(t, what, "the file system here has no files without a name")
	}
	o, least := Options{}, 250
	if m.named {
		o, least = Options{Exhaustive: 100, Samples: 12}, 500
	}
	explore(t, what, h, o, least, storeHolds(m))
}

func storeHolds(m mode) Check {
	return func(dir string, notes []string) error {
		there, err := pieces(filepath.Join(dir, "node"))
		if err != nil {
			return err
		}
		for _, text := range notes {
			if id := strings.TrimPrefix(text, "stored "); !there[id] {
				return fmt.Errorf("%s was acknowledged and is not stored", id)
			}
		}
		s, err := openStore(dir, m)
		if err != nil {
			return fmt.Errorf("open the store: %w", err)
		}
		rows, err := marked(s)
		if err = errors.Join(err, s.Close()); err != nil {
			return err
		}
		for _, row := range rows {
			if row.Stored != there[row.ID.String()] {
				return fmt.Errorf("%s: the store says %v", row.ID, row.Stored)
			}
		}
		left, err := filepath.Glob(filepath.Join(dir, "node", "*", store.TempDir, "*"))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("leftovers stay: %v", left)
		}
		return err
	}
}

// pieces returns the ids of all final names, once their bytes were proved. It shares no
// code with the store.
func pieces(node string) (map[string]bool, error) {
	there := map[string]bool{}
	err := filepath.WalkDir(node, func(p string, d os.DirEntry, err error) error {
		name := filepath.Base(p)
		switch {
		case errors.Is(err, os.ErrNotExist) && p == node:
			return nil
		case err != nil || d.IsDir() || len(name) != 2*sha256.Size:
			return err
		}
		data, err := os.ReadFile(p)
		if sum := fmt.Sprintf("%x", sha256.Sum256(data)); err == nil && sum != name {
			err = fmt.Errorf("%s has %d bytes that are not its own", p, len(data))
		}
		there[name] = true
		return err
	})
	return there, err
}
