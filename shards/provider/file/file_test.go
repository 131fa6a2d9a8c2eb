package file_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider"
	"github.com/recoverd/recoverd/shards/provider/file"
	"github.com/recoverd/recoverd/shards/shardstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// never is a Reread that does not come: what is seen, the watch has told.
const never = 24 * time.Hour

// writer is a way in which a file gets new content at one moment.
type writer struct {
	name    string
	replace func(t testing.TB, path, document string)
	remove  func(t testing.TB, path string)
}

func writers() []writer {
	return []writer{
		{"renamed over", renameOver, remove},
		{"swapped behind a link", swapLink, func(t testing.TB, path string) {
			remove(t, filepath.Join(filepath.Dir(path), "..data"))
		}},
	}
}

func renameOver(t testing.TB, path, document string) {
	t.Helper()
	write(t, path+".tmp", document)
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// swapLink does what a kubelet does with a mounted ConfigMap: path is a link into
// ..data, which is a link to a directory of its own for every version.
func swapLink(t testing.TB, path, document string) {
	t.Helper()
	dir, name := filepath.Split(path)
	version, err := os.MkdirTemp(dir, "..version")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(version, name), document)
	link(t, filepath.Base(version), filepath.Join(dir, "..data_tmp"))
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	link(t, filepath.Join("..data", name), path)
}

func write(t testing.TB, path, document string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, c file.Config) *file.Provider {
	t.Helper()
	p, err := file.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestConformance(t *testing.T) {
	for _, w := range writers() {
		t.Run(w.name, func(t *testing.T) {
			shardstest.Run(t, func(t testing.TB, document string) shardstest.Source {
				path := filepath.Join(t.TempDir(), "ownership.yaml")
				w.replace(t, path, document)
				return shardstest.Source{
					Provider: open(t, file.Config{Path: path, Debounce: time.Millisecond, Reread: never}),
					Publish:  func(t testing.TB, document string) { w.replace(t, path, document) },
					Break:    func(t testing.TB) { w.remove(t, path) },
				}
			})
		})
	}
}

func doc(epoch int) string {
	return fmt.Sprintf("epoch: %d\ntotal_shards: 10\nowned: 0-4\n", epoch)
}

// until calls Next until it tells an epoch, over any errors on the way, and returns
// the errors.
func until(t *testing.T, p *file.Provider, epoch uint32) (errs []error) {
	t.Helper()
	for {
		o, err := p.Next(t.Context())
		if err == nil && o.Epoch == epoch {
			return errs
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
}

// What was there and is gone, and what is half written, is told as an
// error at most; the new document is found in the end.
func TestNotReplacedAtOneMoment(t *testing.T) {
	for name, replace := range map[string]func(t testing.TB, path, document string){
		"written in place": write,
		"removed and made again": func(t testing.TB, path, document string) {
			remove(t, path)
			write(t, path, document)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ownership.yaml")
			write(t, path, doc(1))
			p := open(t, file.Config{Path: path, Debounce: time.Millisecond, Reread: never})
			for epoch := range 20 {
				replace(t, path, doc(epoch))
				until(t, p, uint32(epoch))
			}
		})
	}
}

func TestFileThatIsNotThereYet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ownership.yaml")
	p := open(t, file.Config{Path: path, Debounce: time.Millisecond, Reread: never})
	_, err := p.Next(t.Context())
	if !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("got %v, want the missing file named once", err)
	}
	renameOver(t, path, doc(1))
	if errs := until(t, p, 1); errs != nil {
		t.Errorf("more errors: %v", errs)
	}
}

// What can't be a document is an error at once: a pipe without a writer must not
// hold the provider up.
func TestNotARegularFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link(t, pipe, filepath.Join(dir, "link"))
	for path, want := range map[string]string{
		dir: "a directory", pipe: "a pipe", filepath.Join(dir, "link"): "a pipe", os.DevNull: "a device",
	} {
		p := open(t, file.Config{Path: path, Reread: never})
		if _, err := p.Next(t.Context()); !errors.Is(err, file.ErrNotRegular) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want ErrNotRegular, %s", path, err, want)
		}
	}
}

func TestPipeInPlaceOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ownership.yaml")
	write(t, path, doc(1))
	p := open(t, file.Config{Path: path, Debounce: time.Millisecond, Reread: never})
	until(t, p, 1)
	if err := syscall.Mkfifo(path+".tmp", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Next(t.Context()); !errors.Is(err, file.ErrNotRegular) {
		t.Errorf("got %v, want ErrNotRegular", err)
	}
	renameOver(t, path, doc(2))
	until(t, p, 2)
}

func TestTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ownership.yaml")
	write(t, path, doc(1)+"#"+strings.Repeat("x", provider.MaxDocument))
	p := open(t, file.Config{Path: path, Reread: never})
	if _, err := p.Next(t.Context()); !errors.Is(err, file.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

// Changes that no notification tells of: the directory is not there when the
// provider opens, goes away and is another one afterwards, or the document lies
// behind a link that leads elsewhere.
func TestLostNotifications(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "config")
	path := filepath.Join(dir, "ownership.yaml")
	p := open(t, file.Config{Path: path, Debounce: time.Millisecond, Reread: 5 * time.Millisecond})
	if p.Status().Watching {
		t.Error("a directory that is not there is being watched")
	}
	for epoch := range uint32(3) {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		renameOver(t, path, doc(int(epoch)))
		until(t, p, epoch)
		if !p.Status().Watching {
			t.Error("the directory is there and not watched")
		}
		if err := os.Rename(dir, filepath.Join(root, fmt.Sprintf("old-%d", epoch))); err != nil {
			t.Fatal(err)
		}
	}

	elsewhere := filepath.Join(root, "elsewhere")
	write(t, elsewhere, doc(7))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	link(t, elsewhere, path)
	until(t, p, 7)
	renameOver(t, elsewhere, doc(8))
	until(t, p, 8)
}

// A watch that begins later sees what changed before it, and after.
func TestWatchAfter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ownership.yaml")
	write(t, path, doc(1))
	idle := open(t, file.Config{Path: path, Reread: never, WatchAfter: never})
	until(t, idle, 1)
	if idle.Status().Watching {
		t.Error("it watches from the beginning")
	}

	p := open(t, file.Config{Path: path, Debounce: time.Millisecond, Reread: never, WatchAfter: 5 * time.Millisecond})
	for epoch := range uint32(3) {
		renameOver(t, path, doc(int(epoch)+2))
		until(t, p, epoch+2)
		if !p.Status().Watching {
			t.Error("what changed was seen without a watch")
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ownership.yaml")
	write(t, path, doc(3))
	if o, err := file.Load(path); err != nil || o.Epoch != 3 {
		t.Errorf("got %+v, %v, want epoch 3", o, err)
	}
	bad := filepath.Join(dir, "bad.yaml")
	write(t, bad, "epoch: 3\n")
	for path, want := range map[string]error{
		bad: shards.ErrOwnership, dir: file.ErrNotRegular, path + "x": fs.ErrNotExist,
	} {
		if o, err := file.Load(path); !errors.Is(err, want) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: got %+v, %v, want it named and %v", path, o, err, want)
		}
	}
}

func TestStatus(t *testing.T) {
	loaded := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "ownership.yaml")
	write(t, path, doc(1))
	p := open(t, file.Config{Path: path, Debounce: time.Millisecond, Reread: never, Now: func() time.Time { return loaded }})
	want := file.Status{Path: path, Watching: true, Status: provider.Status{Loaded: loaded, Versions: 1}}
	if diff := cmp.Diff(want, p.Status()); diff != "" {
		t.Error(diff)
	}
	until(t, p, 1)
	renameOver(t, path, "epoch: soon\n")
	if _, err := p.Next(t.Context()); !errors.Is(err, shards.ErrOwnership) {
		t.Fatalf("got %v, want ErrOwnership", err)
	}
	want.BadVersions = 1
	if diff := cmp.Diff(want, p.Status(), cmpopts.IgnoreFields(provider.Status{}, "LastError")); diff != "" {
		t.Error(diff)
	}
	if last := p.Status().LastError; !strings.Contains(last, "line 1: epoch") {
		t.Errorf("last error is %q", last)
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]file.Config{
		"no path":           {},
		"negative debounce": {Path: "x", Debounce: -1},
		"negative reread":   {Path: "x", Reread: -1},
		"negative watch":    {Path: "x", WatchAfter: -1},
	} {
		if p, err := file.Open(c); !errors.Is(err, file.ErrConfig) {
			t.Errorf("%s: got %v, %v, want ErrConfig", name, p, err)
		}
	}
}
