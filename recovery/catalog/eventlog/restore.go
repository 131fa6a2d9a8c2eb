package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// markerName names the file that says that a restore is under way.
const markerName = "restoring"

// marker is its content, for people.
type marker struct {
	From     string `json:"from,omitempty"` // the snapshot's file; empty: the archive
	Position uint64 `json:"position"`
}

// Seed fills an empty directory with a full snapshot, which is proven first: the
// snapshot is put into the archive, then the log is made that lies over it, and
// both take effect together (hazard 59). It has three phases, of which a restart
// begins the first again: until the last one has ended Open refuses the directory
// with ErrUnfinished. Errors are those of Open, of snapshot.Open and Verify, wrap
// ErrNotEmpty, or are those of the archive.
func Seed(ctx context.Context, cfg Config, path string) (recovery.Bound, error) {
	cfg = cfg.withDefaults()
	r, err := snapshot.Open(path)
	if err != nil {
		return recovery.Bound{}, err
	}
	err = seed(ctx, cfg, r, path)
	return r.Bound(), errors.Join(err, r.Close())
}

func seed(ctx context.Context, cfg Config, r *snapshot.Reader, path string) error {
	switch at := r.Header(); {
	case at.Base != nil:
		return fmt.Errorf("%w: %s is no state by itself", snapshot.ErrKind, path)
	case cfg.Network != "" && at.Network != cfg.Network:
		return fmt.Errorf("%w: %s is of network %q, not %q", recovery.ErrMisconfigured, path, at.Network, cfg.Network)
	}
	if err := r.Verify(ctx); err != nil {
		return fmt.Errorf("verify snapshot: %w", err)
	}
	return restore(ctx, cfg, marker{From: path, Position: r.Header().Position}, func(a *archive.Archive, fresh bool) error {
		if !fresh {
			return fmt.Errorf("%w: %s has a log (restore it to a position, or name an empty one)", ErrNotEmpty, cfg.Dir)
		}
		e, err := a.CreateFull(ctx, r, archive.CreateOptions{MaxChunk: cfg.MaxChunk, Estimate: r.Size()})
		if err != nil {
			return err
		}
		cfg.between("snapshot in place")
		return rebuild(ctx, cfg, a, plan{target: e.Position, only: &e})
	})
}

// RestoreTo brings a directory to a position: the best full snapshot of its
// archive, the best incremental over that, and the events of its own log. What came
// behind the position is dropped from the log, and comes from the source again.
// archive.Latest stands for the highest position that can be reached. The way that
// was taken is returned. Errors are those of Open and of archive.MakePlan.
func RestoreTo(ctx context.Context, cfg Config, target uint64) (way archive.Plan, err error) {
	cfg = cfg.withDefaults()
	err = restore(ctx, cfg, marker{Position: target}, func(a *archive.Archive, _ bool) error {
		old, err := examine(filepath.Join(cfg.Dir, logName))
		switch {
		case errors.Is(err, os.ErrNotExist) || isDamage(err):
			old = nil // the archive has to do
		case err != nil:
			return err
		}
		p := plan{target: target, old: old}
		if way, err = p.make(ctx, a); err != nil {
			return err
		}
		return rebuild(ctx, cfg, a, p)
	})
	return way, err
}

// restore runs fn under the directory's lock with the marker set. fresh: there is
// no log, or one that an unfinished restore made.
func restore(ctx context.Context, cfg Config, mark marker, fn func(a *archive.Archive, fresh bool) error) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	lock, err := lockDir(cfg.Dir, cfg.LockTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	unfinished, err := readMarker(cfg.Dir)
	if err != nil {
		return err
	}
	_, err = os.Lstat(filepath.Join(cfg.Dir, logName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh := err != nil || unfinished != nil && unfinished.From != ""
	a, err := openArchive(ctx, cfg)
	if err != nil {
		return err
	}
	if err := setMarker(cfg.Dir, mark); err != nil {
		return fmt.Errorf("%w: %w", ErrCreate, err)
	}
	cfg.between("marker set")
	if err := fn(a, fresh); err != nil {
		if unfinished == nil { // nothing has taken effect: it is as it was
			err = errors.Join(err, clearMarker(cfg.Dir))
		}
		return fmt.Errorf("restore %s: %w", cfg.Dir, err)
	}
	err = clearMarker(cfg.Dir)
	cfg.between("marker cleared")
	return err
}

func openArchive(ctx context.Context, cfg Config) (*archive.Archive, error) {
	a, err := archive.Open(archive.Config{Dir: cfg.Dir, MinFree: cfg.MinFree})
	if err != nil {
		return nil, err
	}
	_, err = a.Clean(ctx)
	return a, err
}

func setMarker(dir string, m marker) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, markerName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(dir)
}

func clearMarker(dir string) error {
	if err := os.Remove(filepath.Join(dir, markerName)); err != nil {
		return err
	}
	return syncDir(dir)
}

// readMarker returns the marker, or nil if there is none. What cannot be understood
// is one.
func readMarker(dir string) (*marker, error) {
	raw, err := os.ReadFile(filepath.Join(dir, markerName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &marker{}
	if json.Unmarshal(raw, m) != nil {
		return &marker{}, nil // it was being written
	}
	return m, nil
}

// checkMarker returns an error that wraps ErrUnfinished if the marker is there.
func checkMarker(dir string) error {
	m, err := readMarker(dir)
	switch {
	case err != nil || m == nil:
		return err
	case m.From != "":
		return fmt.Errorf("%w: %s was being filled from %s (do it again)", ErrUnfinished, dir, m.From)
	}
	return fmt.Errorf("%w: %s was being brought to position %d (do it again)", ErrUnfinished, dir, m.Position)
}
