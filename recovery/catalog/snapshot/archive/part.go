package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
// is what their name says. Errors are those of snapshot.Open and Verify, a
// *MisnamedError, or those of ctx.
func (p *Part) Prove(ctx context.Context) (Entry, error) {
	e, err := p.a.describe(p.paths())
	if err != nil {
		return Entry{}, err
	}
	r, err := snapshot.OpenSet(p.paths()...)
	if err != nil {
		return Entry{}, err
	}
	return e, errors.Join(r.Verify(ctx), r.Close())
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

// DropParts removes the drafts of fetched snapshots up to a position, other than
// those that somebody has. It waits for the directory's lock.
func (a *Archive) DropParts(ctx context.Context, position uint64) error {
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return a.dropParts(position)
}

func (a *Archive) dropParts(position uint64) error {
	files, err := os.ReadDir(a.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list drafts: %w", err)
	}
	for _, f := range files {
		if !isPart(f.Name()) {
			continue
		}
		stem := strings.TrimSuffix(strings.TrimPrefix(f.Name(), "."), partSuffix)
		if name, err := ParseName(stem); err == nil && name.Position > position {
			continue
		}
		if _, err := a.clear(f.Name()); err != nil {
			return fmt.Errorf("remove draft: %w", err)
		}
	}
	return nil
}
