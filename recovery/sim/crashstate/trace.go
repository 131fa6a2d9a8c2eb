package crashstate

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// trace turns what strace wrote into a history.
type trace struct {
	root    string
	notes   string
	history History
	moment  int
	names   map[string]bool // that are there; directories and files alike
	opened  map[string][]*opened
	unnamed int // files made without a name so far
}

// opened is what a descriptor led to, from the end of the call that opened it.
type opened struct {
	since  int
	offset int64
	called string // of a file made without a name; else empty
}

// call is one system call. Threads interleave: its beginning and its end may be lines
// apart.
type call struct {
	name       string
	args       []string
	result     string // what follows "= "; empty: it never ended
	begin, end int
}

// add reads one process' trace. Calls are taken in the order in which they began.
func (t *trace) add(text string) error {
	t.opened = map[string][]*opened{}
	calls, err := t.calls(text)
	if err != nil {
		return err
	}
	for _, c := range calls {
		if err := t.take(c); err != nil {
			return fmt.Errorf("crashstate: %s(%.300s) = %s: %w", c.name, strings.Join(c.args, ", "), c.result, err)
		}
	}
	return nil
}

// calls joins the halves of calls that were interrupted by other threads' lines.
func (t *trace) calls(text string) (all []call, err error) {
	type half struct {
		begin int
		text  string
	}
	open := map[string]half{}
	finish := func(begin, end int, line string) error {
		c, err := parseCall(line)
		c.begin, c.end = begin, end
		all = append(all, c)
		return err
	}
	for line := range strings.Lines(text) {
		pid, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		t.moment++
		first, interrupted := strings.CutSuffix(strings.TrimSuffix(rest, "<detached ...>"), "<unfinished ...>")
		interrupted = interrupted || first != rest
		switch {
		case strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "???"):
			// An end, a signal, or a thread that died before its call was seen.
		case interrupted:
			open[pid] = half{t.moment, strings.TrimRight(first, " ")}
		case strings.HasPrefix(rest, "<... "):
			_, second, ok := strings.Cut(rest, " resumed>")
			h, begun := open[pid]
			if !ok || !begun {
				return nil, fmt.Errorf("crashstate: a trace resumes what did not begin: %.100q", rest)
			}
			delete(open, pid)
			err = finish(h.begin, t.moment, h.text+second)
		default:
			t.moment++
			err = finish(t.moment-1, t.moment, rest)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, h := range open {
		if err := finish(h.begin, Never, h.text+") = ?"); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b call) int { return a.begin - b.begin })
	return all, nil
}

// parseCall reads `name(arg, arg) = result`.
func parseCall(line string) (call, error) {
	name, rest, ok := strings.Cut(line, "(")
	at := strings.LastIndex(rest, ") ")
	if !ok || at < 0 {
		return call{}, fmt.Errorf("crashstate: no call: %.100q", line)
	}
	_, result, _ := strings.Cut(rest[at:], "= ")
	c := call{name: name, result: strings.TrimSpace(result)}
	// Strings and paths are in hexadecimal: no comma or bracket of theirs confuses.
	depth, from, inside := 0, 0, rest[:at]
	for i := range len(inside) {
		switch inside[i] {
		case '[', '{', '(':
			depth++
		case ']', '}', ')':
			depth--
		case ',':
			if depth == 0 {
				c.args = append(c.args, strings.TrimSpace(inside[from:i]))
				from = i + 1
			}
		}
	}
	c.args = append(c.args, strings.TrimSpace(inside[from:]))
	return c, nil
}

// failed reports whether the call did nothing.
func (c call) failed() bool { return strings.HasPrefix(c.result, "-1 ") }

// count is the number a call returned; what died in it did all it was asked for.
func (c call) count(asked int) int {
	n, err := strconv.Atoi(c.result)
	if err != nil {
		return asked
	}
	return n
}

// arg returns an argument, or nothing.
func (c call) arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

// number reads an argument that is one.
func (c call) number(i int) (int64, error) { return strconv.ParseInt(c.arg(i), 0, 64) }

// decode reads a string argument.
func decode(text string) ([]byte, error) {
	quoted, ok := strings.CutPrefix(text, `"`)
	hex, closed := strings.CutSuffix(quoted, `"`)
	if !ok || !closed || len(hex)%4 != 0 {
		return nil, fmt.Errorf("no whole string: %.60s", text)
	}
	return unhex(hex)
}

// unhex decodes \x61\x62.
func unhex(hex string) ([]byte, error) {
	out := make([]byte, len(hex)/4)
	for i := range out {
		n, err := strconv.ParseUint(hex[4*i+2:4*i+4], 16, 8)
		if err != nil || hex[4*i:4*i+2] != `\x` {
			return nil, fmt.Errorf("not in hexadecimal: %.60s", hex)
		}
		out[i] = byte(n)
	}
	return out, nil
}

// descriptor reads `3<\x2f...>`: the path it had when the call began. gone: the file
// has no name any more.
func descriptor(arg string) (path string, gone bool, err error) {
	_, rest, ok := strings.Cut(arg, "<")
	if !ok {
		return "", true, nil // no file
	}
	hex, after, _ := strings.Cut(rest, ">")
	if !strings.HasPrefix(hex, `\x2f`) {
		return "", true, nil // a pipe, a socket
	}
	text, err := unhex(hex)
	return string(text), after == "(deleted)", err
}

// inside returns a path relative to the root.
func (t *trace) inside(path string) (string, bool) {
	rel, err := filepath.Rel(t.root, path)
	return rel, err == nil && filepath.IsLocal(rel)
}

// at resolves a name in an open directory; a call without one begins with the name.
func (t *trace) at(c call, dir, name int) (string, bool, error) {
	text, err := decode(c.arg(name))
	if err != nil {
		return "", false, err
	}
	path := string(text)
	if dir >= 0 && !filepath.IsAbs(path) {
		parent, gone, err := descriptor(c.arg(dir))
		if err != nil || gone {
			return "", false, err
		}
		path = filepath.Join(parent, path)
	}
	if !filepath.IsAbs(path) {
		return "", false, fmt.Errorf("relative to the working directory")
	}
	rel, ok := t.inside(path)
	return rel, ok, nil
}

// open returns the file of a descriptor argument, relative to the root, or what it is
// called if it was made without a name.
func (t *trace) open(c call, i int) (string, bool, error) {
	path, gone, err := descriptor(c.arg(i))
	if err != nil {
		return "", false, err
	}
	rel, ok := t.inside(path)
	if !gone || !ok {
		return rel, ok, nil
	}
	called := t.by(c, numberOf(c.arg(i))).called
	if called == "" && strings.HasPrefix(filepath.Base(path), "#") {
		return "", false, fmt.Errorf("a file without a name that nobody made")
	}
	return called, called != "", nil
}

// numberOf is that of a descriptor, without its path.
func numberOf(fd string) string {
	n, _, _ := strings.Cut(fd, "<")
	return n
}

// by returns what a descriptor led to when a call began. A number is used again as soon
// as it is closed: of those that were opened with it, the last one that was by then.
func (t *trace) by(c call, fd string) *opened {
	for _, o := range slices.Backward(t.opened[fd]) {
		if o.since < c.begin {
			return o
		}
	}
	return &opened{} // it came from a call that is not looked at
}
