package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// partSuffix ends the name of a fetch's draft, which a restart goes on with.
const partSuffix = ".rsnap-part"

// isPart reports whether a name is that of a fetch's draft.
func isPart(name string) bool { return IsDraft(name) && strings.HasSuffix(name, partSuffix) }

// Part is the draft of a snapshot that is brought here piece by piece. Whoever
// has it is the only one; it outlives its process. What lies in it proves
// nothing before Prove.
type Part struct {
	a *Archive
	d *draft
	e Entry
}

// TakePart makes or takes over the draft of a snapshot in a number of files, and
// keeps what is there of these files. The caller ends it with Publish, Keep or
// Drop. Errors wrap ErrBusy where somebody else has it.
func (a *Archive) TakePart(name Name, chunks int) (*Part, error) {
	d, err := a.takeDraft("." + name.String() + partSuffix)
	if err != nil {
		return nil, err
	}
	p := &Part{a: a, d: d, e: Entry{Name: name, Chunks: chunks}}
	var wanted []string
	for _, f := range p.e.Files() {
		wanted = append(wanted, f.String())
	}
	if err := d.empty(wanted...); err != nil {
		return nil, errors.Join(err, p.Keep())
	}
	return p, nil
}

// Path is where one of the draft's files lies, or will.
func (p *Part) Path(f File) string { return filepath.Join(p.d.dir, f.String()) }

func (p *Part) paths() (paths []string) {
	for _, f := range p.e.Files() {
		paths = append(paths, p.Path(f))
	}
	return paths
}

// Prove reads all of the files, proves them, and returns what they hold, which
// is what their name says. base is the full snapshot that an incremental must
// fit; nil: it is not looked at. Errors are those of snapshot.Open, Verify and
// Over, a *MisnamedError, or those of ctx and of opening the base.
func (p *Part) Prove(ctx context.Context, base *Entry) (Entry, error) {
	e, err := p.a.describe(p.paths())
	if err != nil {
		return Entry{}, err
	}
	r, err := snapshot.OpenSet(p.paths()...)
	if err != nil {
		return Entry{}, err
	}
	err = r.Verify(ctx)
	if err == nil && base != nil {
		err = p.a.fits(ctx, *base, r)
	}
	return e, errors.Join(err, r.Close())
}

// fits reports whether an incremental is one over base.
func (a *Archive) fits(ctx context.Context, base Entry, incremental *snapshot.Reader) error {
	full, err := a.OpenEntry(ctx, base)
	if err != nil {
		return err
	}
	_, err = snapshot.Over(full.Reader, incremental)
	return errors.Join(err, full.Close())
}

// Publish makes the files durable and gives them their names, as CreateFull
// does, and ends the draft where it succeeds.
func (p *Part) Publish(ctx context.Context) (Entry, error) {
	for _, path := range p.paths() {
		if err := p.a.sync(path); err != nil {
			return Entry{}, err
		}
	}
	e, err := p.a.publish(ctx, p.d, p.paths())
	if err != nil {
		return Entry{}, err
	}
	_ = p.d.drop() // an empty draft: the next clean-up or fetch removes it
	return e, nil
}

// Keep lets go of the draft and leaves it for later.
func (p *Part) Keep() error { return p.d.held.Close() }

// Drop removes the draft.
func (p *Part) Drop() error { return p.d.drop() }

// DropParts removes the drafts of fetches, other than those of some snapshots
// and those that somebody has. It waits for the directory's lock.
func (a *Archive) DropParts(ctx context.Context, except ...Name) error {
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return a.dropParts(func(n Name) bool { return slices.Contains(except, n) })
}

func (a *Archive) dropParts(keep func(Name) bool) error {
	files, err := os.ReadDir(a.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list drafts: %w", err)
	}
	for _, f := range files {
		if !isPart(f.Name()) {
			continue
		}
		stem := strings.TrimSuffix(strings.TrimPrefix(f.Name(), "."), partSuffix)
		if name, err := ParseName(stem); err == nil && keep(name) {
			continue
		}
		if _, err := a.clear(f.Name()); err != nil {
			return fmt.Errorf("remove draft: %w", err)
		}
	}
	return nil
}
