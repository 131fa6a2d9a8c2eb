package crashstate

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// take adds what a call did to the history.
func (t *trace) take(c call) error {
	if c.failed() {
		return nil
	}
	switch c.name {
	case "openat":
		return t.takeOpen(c, 0, 1)
	case "open":
		return t.takeOpen(c, -1, 0)
	case "write":
		return t.takeWrite(c)
	case "pwrite64":
		return t.takePwrite(c)
	case "ftruncate":
		return t.takeTruncate(c)
	case "lseek":
		return t.takeSeek(c)
	case "mkdirat":
		return t.takeName(c, Mkdir, 0, 1)
	case "mkdir":
		return t.takeName(c, Mkdir, -1, 0)
	case "unlinkat":
		return t.takeName(c, Remove, 0, 1)
	case "unlink", "rmdir":
		return t.takeName(c, Remove, -1, 0)
	case "renameat", "renameat2":
		return t.takeRename(c, Rename, 0)
	case "linkat":
		return t.takeLink(c)
	case "fsync", "fdatasync":
		p, ok, err := t.open(c, 0)
		if ok {
			t.put(c, Op{Kind: Sync, Path: p})
		}
		return err
	case "syncfs", "sync":
		t.put(c, Op{Kind: SyncAll, Path: "."})
		return nil
	case "close":
		return nil
	}
	return t.refuse(c)
}

// put adds an operation with the moments of a call.
func (t *trace) put(c call, o Op) {
	o.Begin, o.End = c.begin, c.end
	t.history = append(t.history, o)
}

// refuse fails for a call that could change something below the root in a way that is
// not understood.
func (t *trace) refuse(c call) error {
	switch {
	case c.name == "fallocate" && strings.Contains(c.arg(1), "KEEP_SIZE") && !strings.Contains(c.arg(1), "PUNCH"):
		return nil // room, which no reader sees
	case c.name == "mmap" && (!strings.Contains(c.arg(2), "PROT_WRITE") || !strings.Contains(c.arg(3), "MAP_SHARED")):
		return nil
	}
	for i := range c.args {
		if _, ok, err := t.open(c, i); ok || err != nil {
			return fmt.Errorf("a call that is not understood (%v)", err)
		}
		if text, err := decode(c.arg(i)); err == nil && strings.HasPrefix(string(text), t.root) {
			return fmt.Errorf("a call that is not understood")
		}
	}
	return nil
}

func (t *trace) takeOpen(c call, dir, name int) error {
	flags := c.arg(name + 1)
	fd := numberOf(c.result)
	o := &opened{since: c.end}
	// Calls are taken as they began, and found as they ended.
	at := slices.IndexFunc(t.opened[fd], func(o *opened) bool { return o.since > c.end })
	if at < 0 {
		at = len(t.opened[fd])
	}
	t.opened[fd] = slices.Insert(t.opened[fd], at, o)
	p, ok, err := t.at(c, dir, name)
	switch {
	case strings.Contains(flags, "O_TMPFILE"):
		if err == nil && ok {
			t.unnamed++
			o.called = fmt.Sprint("/", t.unnamed)
			t.put(c, Op{Kind: Nameless, Path: o.called})
		}
		return err
	case !strings.Contains(flags, "O_CREAT") && !strings.Contains(flags, "O_TRUNC"):
		return nil // only read, wherever it is
	case err != nil || !ok:
		return err
	case strings.Contains(flags, "O_APPEND"):
		return fmt.Errorf("flags that are not understood")
	}
	switch {
	case !t.names[p]:
		t.names[p] = true
		t.put(c, Op{Kind: Create, Path: p})
	case strings.Contains(flags, "O_TRUNC"):
		t.put(c, Op{Kind: Truncate, Path: p})
	}
	return nil
}

func (t *trace) takeWrite(c call) error {
	path, _, err := descriptor(c.arg(0))
	if err != nil {
		return err
	}
	p, ok, err := t.open(c, 0)
	if err != nil || !ok && path != t.notes {
		return err
	}
	data, err := decode(c.arg(1))
	if err != nil {
		return err
	}
	data = data[:c.count(len(data))]
	if path == t.notes {
		t.put(c, Op{Kind: Note, Path: path, Text: strings.TrimSpace(string(data))})
		return nil
	}
	file := t.by(c, numberOf(c.arg(0)))
	t.put(c, Op{Kind: Write, Path: p, Off: file.offset, Data: data})
	file.offset += int64(len(data))
	return nil
}

func (t *trace) takePwrite(c call) error {
	p, ok, err := t.open(c, 0)
	if err != nil || !ok {
		return err
	}
	data, err := decode(c.arg(1))
	if err != nil {
		return err
	}
	off, err := c.number(3)
	t.put(c, Op{Kind: Write, Path: p, Off: off, Data: data[:c.count(len(data))]})
	return err
}

func (t *trace) takeTruncate(c call) error {
	p, ok, err := t.open(c, 0)
	if err != nil || !ok {
		return err
	}
	size, err := c.number(1)
	t.put(c, Op{Kind: Truncate, Path: p, Size: size})
	return err
}

func (t *trace) takeSeek(c call) error {
	if _, ok, err := t.open(c, 0); err != nil || !ok {
		return err
	}
	t.by(c, numberOf(c.arg(0))).offset = int64(c.count(0))
	return nil
}

func (t *trace) takeName(c call, kind Kind, dir, name int) error {
	p, ok, err := t.at(c, dir, name)
	if err != nil || !ok {
		return err
	}
	if kind == Remove && !t.names[p] {
		return nil // a socket, which no call here made
	}
	t.names[p] = kind != Remove
	t.put(c, Op{Kind: kind, Path: p})
	return nil
}

func (t *trace) takeRename(c call, kind Kind, from int) error {
	p, ok, err := t.at(c, from, from+1)
	if err != nil {
		return err
	}
	to, toOK, err := t.at(c, from+2, from+3)
	switch {
	case err != nil || !ok && !toOK:
		return err
	case !ok || !toOK || strings.Contains(c.arg(4), "EXCHANGE"):
		return fmt.Errorf("a rename that is not understood")
	}
	if !t.names[p] {
		return nil // a socket, which no call here made
	}
	t.names[to] = true
	if kind == Rename {
		t.names[p] = false
		t.moveBelow(p, to)
	}
	t.put(c, Op{Kind: kind, Path: p, To: to})
	return nil
}

// takeLink takes links of names, and of descriptors: by an empty name, or by their names
// in /proc.
func (t *trace) takeLink(c call) error {
	from, err := decode(c.arg(1))
	fd, follows := strings.CutPrefix(string(from), "/proc/self/fd/")
	empty := strings.Contains(c.arg(4), "AT_EMPTY_PATH") && len(from) == 0
	if empty {
		fd = numberOf(c.arg(0))
	}
	if err != nil || !follows && !empty {
		return errors.Join(err, t.takeRename(c, Link, 0))
	}
	to, ok, err := t.at(c, 2, 3)
	called := t.by(c, fd).called
	switch {
	case err != nil || !ok && called == "":
		return err
	case !ok || called == "" || !empty && !strings.Contains(c.arg(4), "AT_SYMLINK_FOLLOW"):
		return fmt.Errorf("a link that is not understood")
	}
	t.names[to] = true
	t.put(c, Op{Kind: Link, Path: called, To: to})
	return nil
}

// moveBelow renames what is known below a directory.
func (t *trace) moveBelow(from, to string) {
	for p, there := range t.names {
		if rest, below := strings.CutPrefix(p, from+"/"); below && there {
			t.names[p] = false
			t.names[path.Join(to, rest)] = true
		}
	}
}
