package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// plainMain downloads a list of paths below a URL into the current directory:
//
//	two-flushes|one-flush URL LIST BYTES
//
// It is what somebody would write who knows the order of DESIGN I5, and nothing more:
// no cursor, no retry, no second peer, no look at what is there. With one-flush the
// names come before the bytes are durable.
func plainMain(args []string) int {
	if len(args) != 4 {
		fmt.Fprintln(os.Stderr, "want: two-flushes|one-flush URL LIST BYTES")
		return 64
	}
	size, err := strconv.ParseInt(args[3], 10, 64)
	if err == nil {
		p := plain{safe: args[0] == "two-flushes", base: args[1], size: size}
		err = p.run(context.Background(), args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// plain is a download under way.
type plain struct {
	safe   bool
	base   string
	size   int64
	client http.Client
	sealed chan string // paths whose bytes are written
}

// plainGroup is how many blobs, or bytes, are made durable together.
const (
	plainGroup      = 1_000
	plainGroupBytes = 64 << 20
)

func (p *plain) run(ctx context.Context, list string) error {
	paths, err := readPaths(list)
	if err != nil {
		return err
	}
	p.client.Transport = &http.Transport{
		MaxIdleConns: asMany, MaxIdleConnsPerHost: asMany, MaxConnsPerHost: asMany,
		DisableCompression: true, ReadBufferSize: 16 << 10,
	}
	p.sealed = make(chan string, plainGroup)
	flushing := make(chan error, 1)
	go func() { flushing <- p.flushGroups() }()

	todo := make(chan string)
	group, ctx := errgroup.WithContext(ctx)
	for range asMany {
		group.Go(func() error { return p.fetchAll(todo) })
	}
	group.Go(func() error {
		defer close(todo)
		for _, name := range paths {
			select {
			case todo <- name:
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
	err = group.Wait()
	close(p.sealed)
	return errors.Join(err, <-flushing)
}

func (p *plain) fetchAll(todo <-chan string) error {
	buf := make([]byte, min(max(p.size, 4<<10), 256<<10))
	for name := range todo {
		if err := p.fetch(name, buf); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		p.sealed <- name
	}
	return nil
}

// partial is the name of a file while it is written, in the directory of its last.
func partial(name string) string { return path.Dir(name) + "/." + path.Base(name) }

func (p *plain) fetch(name string, buf []byte) (err error) {
	answer, err := p.client.Get(p.base + "/" + name)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // only read
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	f, err := os.OpenFile(partial(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	// Without ReadFrom and WriteTo, which would not use buf.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, sum)}, struct{ io.Reader }{answer.Body}, buf); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != path.Base(name) {
		return fmt.Errorf("its sha-256 is %s", got)
	}
	if p.safe {
		return nil
	}
	return os.Rename(partial(name), name)
}

// flushGroups makes group after group durable while others are fetched. The flush of
// a group makes the names of the one before durable too.
func (p *plain) flushGroups() error {
	volume, err := os.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = volume.Close() }() // only flushed
	most := int(min(plainGroup, max(plainGroupBytes/p.size, 1)))
	var failed error
	for group := p.collect(most); len(group) > 0; group = p.collect(most) {
		if failed != nil {
			continue // the others must be able to end
		}
		failed = p.flushGroup(int(volume.Fd()), group)
	}
	if failed == nil && p.safe {
		failed = unix.Syncfs(int(volume.Fd())) // the names of the last
	}
	return failed
}

func (p *plain) collect(most int) (group []string) {
	for name := range p.sealed {
		if group = append(group, name); len(group) == most {
			break
		}
	}
	return group
}

func (p *plain) flushGroup(volume int, group []string) error {
	if err := unix.Syncfs(volume); err != nil {
		return err
	}
	if !p.safe {
		return nil
	}
	for _, name := range group {
		if err := os.Rename(partial(name), name); err != nil {
			return err
		}
	}
	return nil
}

// The plain programs make the same tree, and refuse wrong bytes.
func TestPlainPrograms(t *testing.T) {
	source := t.TempDir()
	s := makeSet(t, source, "small", 300, 4<<10)
	g := newGate(t, filepath.Join(source, s.name), s.ids)
	list := filepath.Join(t.TempDir(), "list")
	var text string
	for _, id := range s.ids {
		text += pathOf(id) + "\n"
	}
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"two-flushes", "one-flush"} {
		target := t.TempDir()
		makeShardDirs(t, target)
		t.Chdir(target)
		if code := plainMain([]string{how, g.url + "/small", list, "4096"}); code != 0 {
			t.Fatalf("%s: exit code %d", how, code)
		}
		s.check(t, target, true)
	}
	victim := filepath.Join(source, s.name, pathOf(s.ids[7]))
	if err := os.WriteFile(victim, make([]byte, s.size), 0o644); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	makeShardDirs(t, target)
	t.Chdir(target)
	if code := plainMain([]string{"two-flushes", g.url + "/small", list, "4096"}); code == 0 {
		t.Error("it took wrong bytes")
	}
	if _, err := os.Lstat(pathOf(s.ids[7])); err == nil {
		t.Error("wrong bytes have a final name")
	}
}
