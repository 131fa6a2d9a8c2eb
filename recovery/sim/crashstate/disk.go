package crashstate

import (
	"fmt"
	"path"
)

// node is a file or directory, whatever its names are. 0 is none, 1 the root.
type node int

const (
	none node = iota
	root
)

// effect is one operation as the disk sees it: of names, or of one file's bytes.
type effect struct {
	op Op
	// link and unlink are the names it gives and takes.
	link, unlink *name
	// file is the node whose bytes it changes; none if it is about names.
	file node
	data lasting // of file
}

// name is a place in a directory, what it leads to, and since when that is durable.
type name struct {
	dir  node
	text string
	to   node
	lasting
}

// lasting is the moment since which something is durable; 0: never.
type lasting int

func (l lasting) at(moment int) bool { return l > 0 && int(l) <= moment }

func (l *lasting) since(moment int) {
	if *l == 0 || int(*l) > moment {
		*l = lasting(moment)
	}
}

// disk is a history as effects on nodes.
type disk struct {
	effects []*effect
	names   map[node]map[string]node // of directories, as the process sees them
	files   map[node]bool
	called  map[string]node // files that were made without a name
	named   map[node]int    // since when a file has or had a name
	last    node
}

// newDisk follows a history from an empty root.
func newDisk(h History) (*disk, error) {
	d := &disk{
		names: map[node]map[string]node{root: {}}, files: map[node]bool{},
		called: map[string]node{}, named: map[node]int{}, last: root,
	}
	for i, op := range h {
		if i > 0 && op.Begin < h[i-1].Begin {
			return nil, fmt.Errorf("crashstate: operation %d, %v, begins before the one before it", i, op)
		}
		if err := d.take(op); err != nil {
			return nil, fmt.Errorf("crashstate: operation %d, %v: %w", i, op, err)
		}
	}
	return d, nil
}

func (d *disk) take(op Op) error {
	switch op.Kind {
	case Note:
		return nil
	case Sync, SyncAll:
		return d.flush(op)
	case Write, Truncate:
		file, err := d.find(op.Path)
		if err == nil && !d.files[file] {
			err = fmt.Errorf("no file")
		}
		d.effects = append(d.effects, &effect{op: op, file: file})
		return err
	case Nameless:
		d.last++
		d.files[d.last] = true
		d.called[op.Path] = d.last
		return nil
	case Create, Mkdir:
		d.last++
		if op.Kind == Mkdir {
			d.names[d.last] = map[string]node{}
		} else {
			d.files[d.last] = true
		}
		return d.rename(op, nil, op.Path, d.last)
	}
	target, err := d.find(op.Path)
	if err != nil {
		return err
	}
	if op.Kind == Link {
		return d.rename(op, nil, op.To, target)
	}
	from, err := d.place(op.Path)
	if err != nil {
		return err
	}
	from.to = none
	if op.Kind == Remove {
		return d.rename(op, from, "", none)
	}
	return d.rename(op, from, op.To, target)
}

// rename takes the name from and gives the name to; either may be missing.
func (d *disk) rename(op Op, from *name, to string, target node) error {
	e := &effect{op: op, unlink: from}
	if from != nil {
		delete(d.names[from.dir], from.text)
	}
	if to != "" {
		place, err := d.place(to)
		if err != nil {
			return err
		}
		place.to = target
		d.names[place.dir][place.text] = target
		e.link = place
		if _, before := d.named[target]; !before {
			d.named[target] = op.Begin
		}
	}
	d.effects = append(d.effects, e)
	return nil
}

// place is the name at the end of a path.
func (d *disk) place(p string) (*name, error) {
	dir, err := d.find(path.Dir(p))
	if err == nil && d.names[dir] == nil {
		err = fmt.Errorf("%s is no directory", path.Dir(p))
	}
	return &name{dir: dir, text: path.Base(p)}, err
}

// find follows a path, as the process does.
func (d *disk) find(p string) (node, error) {
	switch {
	case p == ".":
		return root, nil
	case path.IsAbs(p):
		if d.called[p] == none {
			return none, fmt.Errorf("no file is called %s", p)
		}
		return d.called[p], nil
	}
	place, err := d.place(p)
	if err != nil {
		return none, err
	}
	at := d.names[place.dir][place.text]
	if at == none {
		return none, fmt.Errorf("%s is not there", p)
	}
	return at, nil
}

// flush makes durable what had ended when it began, from its end on.
func (d *disk) flush(op Op) error {
	target := none
	if op.Kind == Sync {
		var err error
		if target, err = d.find(op.Path); err != nil {
			return err
		}
	}
	if op.End == Never {
		return nil
	}
	for _, e := range d.effects {
		if e.op.End > op.Begin {
			continue
		}
		if e.file != none && (target == none || target == e.file) {
			e.data.since(op.End)
		}
		for _, n := range []*name{e.link, e.unlink} {
			if n != nil && (target == none || target == n.dir) {
				n.since(op.End)
			}
		}
	}
	return nil
}

// pending returns the effects that have begun by a moment and may be lost: of bytes
// only where the file has had a name by then. Without one nothing of it can be found.
func (d *disk) pending(moment int) (open []*effect) {
	for _, e := range d.effects {
		since, named := d.named[e.file]
		if e.file != none && (!named || since > moment) {
			continue
		}
		if e.op.Begin <= moment && len(e.fates(moment, 0)) > 1 {
			open = append(open, e)
		}
	}
	return open
}
