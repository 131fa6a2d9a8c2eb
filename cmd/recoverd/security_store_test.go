package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var securityFull = flag.Bool("security", false, "all of the security suite, and not the quick part of it (make security)")

// intruder is what somebody may put in a place of the store. What says is how messages
// call it; empty: it is a regular file like others.
type intruder struct {
	name, says string
	put        func(path, outside string) error
	root       bool // only root can make it
}

func intruders() []intruder {
	link := func(target string) func(string, string) error {
		return func(path, _ string) error { return os.Symlink(target, path) }
	}
	device := func(mode uint32, major uint32) func(string, string) error {
		return func(path, _ string) error { return unix.Mknod(path, mode|0o666, int(unix.Mkdev(major, 0))) }
	}
	return []intruder{
		{name: "link to a file outside", says: "symbolic link", put: func(path, outside string) error { return os.Symlink(outside+"/secret", path) }},
		{name: "link to a directory outside", says: "symbolic link", put: func(path, outside string) error { return os.Symlink(outside, path) }},
		{name: "link by a way up", says: "symbolic link", put: link("../../../outside/secret")},
		{name: "link to passwords", says: "symbolic link", put: link("/etc/passwd")},
		{name: "link to nothing", says: "symbolic link", put: func(path, outside string) error { return os.Symlink(outside+"/none", path) }},
		{name: "link to itself", says: "symbolic link", put: func(path, _ string) error { return os.Symlink(filepath.Base(path), path) }},
		{name: "link to an endless device", says: "symbolic link", put: link("/dev/zero")},
		{name: "named pipe", says: "named pipe", put: func(path, _ string) error { return unix.Mkfifo(path, 0o666) }},
		{name: "socket", says: "socket", put: putSocket},
		{name: "directory", says: "directory", put: func(path, _ string) error { return os.Mkdir(path, 0o755) }},
		{name: "full directory", says: "directory", put: func(path, _ string) error { return os.MkdirAll(path+"/a/b", 0o755) }},
		{name: "character device", says: "device", put: device(unix.S_IFCHR, 1), root: true},
		{name: "block device", says: "device", put: device(unix.S_IFBLK, 7), root: true},
		{name: "hard link", put: func(path, outside string) error { return os.Link(outside+"/secret", path) }},
		{name: "other bytes", put: func(path, _ string) error { return os.WriteFile(path, []byte("not a small"), 0o644) }},
		{name: "empty file", put: func(path, _ string) error { return os.WriteFile(path, nil, 0o644) }},
		{name: "file that nobody may open", put: func(path, _ string) error { return os.WriteFile(path, []byte("x"), 0) }},
		{name: "sparse file", put: func(path, _ string) error {
			return errorsOf(os.WriteFile(path, nil, 0o644), os.Truncate(path, 1<<40))
		}},
	}
}

// putSocket makes it elsewhere: its name would be too long.
func putSocket(path, _ string) error {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return errorsOf(os.Rename(dir+"/s", path), l.Close())
}

// occupied is a copy of a scene's store with an intruder in one place.
type occupied struct {
	t       *testing.T
	scene   *peerScene
	in      intruder
	place   string
	dir     string
	outside map[string]string // what lies there, by path
	wrong   []string
}

// places are where an intruder may be, each as a path in the store.
func (s *peerScene) places() map[string]string {
	shard := s.home(s.small)
	return map[string]string{
		"final": shard + "/" + s.small.String(), "shard": shard, "drafts": shard + "/.tmp", "draft": shard + "/.tmp/0123456789abcdef",
		"root drafts": ".tmp", "marker": ".recoverd", "shard marker": shard + "/.recoverd", "lock": ".recoverd.lock", "root": ".", "fan": shard + "/" + s.small.String()[:2],
	}
}

// TestSecurityHostileStore puts everything that is no piece in every place of a store,
// and uses the store: nothing outside of it is read, served, written or removed, nothing
// hangs, and what is in a piece's place is told or replaced.
func TestSecurityHostileStore(t *testing.T) {
	s := newPeerScene(t)
	writeFile(t, s.path("ownership.yaml"), "epoch: 1\ntotal_shards: 4\nowned: \"0-3\"\n")
	tried, skipped := 0, 0
	for place, at := range s.places() {
		for _, in := range intruders() {
			if !*securityFull && place != "final" && (place != "root" || in.says != "named pipe") {
				continue
			}
			if in.root && os.Geteuid() != 0 {
				skipped++
				continue
			}
			o := &occupied{t: t, scene: s, in: in, place: place, dir: t.TempDir()}
			o.prepare(at)
			ended := make(chan struct{})
			go func() { o.use(); close(ended) }()
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatalf("%s as %s: it hangs", in.name, place)
			}
			for _, text := range o.wrong {
				t.Errorf("%s as %s: %s", in.name, place, text)
			}
			tried++
		}
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "hostile contents in every place of a store, used by verify, serve, plan and import", Tried: uint64(tried), Unit: "stores", Violations: failed(t)})
	if skipped > 0 {
		evidence.Record(t, evidence.Entry{Layer: "security", What: "device files in a store", Skipped: "only root can make them"})
	}
}

func failed(t *testing.T) uint64 {
	if t.Failed() {
		return 1
	}
	return 0
}

// prepare copies the store and puts the intruder at a place in it.
func (o *occupied) prepare(at string) {
	o.t.Helper()
	outside := o.path("outside")
	err := errorsOf(os.CopyFS(o.path("store"), os.DirFS(o.scene.path("store"))), os.Mkdir(outside, 0o755), os.WriteFile(outside+"/secret", []byte(secretText), 0o640))
	path := filepath.Join(o.path("store"), at)
	err = errorsOf(err, os.MkdirAll(filepath.Dir(path), 0o755), os.RemoveAll(path), o.in.put(path, outside))
	if err != nil {
		o.t.Fatalf("%s as %s: %v", o.in.name, o.place, err)
	}
	o.outside = o.look()
}

func (o *occupied) path(name string) string { return filepath.Join(o.dir, name) }

// look describes everything outside.
func (o *occupied) look() map[string]string {
	seen := map[string]string{}
	err := filepath.WalkDir(o.path("outside"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, _ := os.ReadFile(path)
		seen[path] = fmt.Sprint(info.Mode(), info.ModTime(), info.Size(), string(text))
		return nil
	})
	if err != nil {
		o.t.Error(err)
	}
	return seen
}

func (o *occupied) fail(format string, args ...any) {
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

// use does all that a store is for.
func (o *occupied) use() {
	data := []string{"--store", o.path("store"), "--catalog", o.scene.path("snapshots/" + o.scene.snapshot), "--ownership", o.scene.path("ownership.yaml")}
	o.line(func(code int, text string) {
		if o.place == "final" && (code != exitIncomplete || !strings.Contains(text, o.scene.small.String()) || !strings.Contains(text, o.in.says)) {
			o.fail("verify: exit code %d, and it does not say what is wrong: %s", code, text)
		}
	}, append([]string{"verify", "--orphans"}, data...)...)
	o.line(func(int, string) {}, append([]string{"plan", "--state-dir", o.path("state")}, data...)...)
	o.served()
	o.line(func(code int, text string) {
		if code == 0 {
			o.stored()
		} else if o.place == "final" && !strings.Contains(text, o.in.says) {
			o.fail("import: exit code %d, and it does not say what is wrong: %s", code, text)
		}
		if o.place == "final" && (code == 0) != (o.in.says == "") {
			o.fail("import: exit code %d: %s", code, text)
		}
	}, "store", "import", "--from", o.scene.path("files"), "--store", o.path("store"), "--out", o.path("new.rsnap"), "--total-shards", fmt.Sprint(totalShards))
}

// line runs a verb; whatever it says, it tells nothing of what lies outside.
func (o *occupied) line(judge func(code int, text string), args ...string) {
	stdout, stderr, code := line(o.t, args...)
	text := stdout + stderr
	if strings.Contains(text, secretText) || strings.Contains(text, "root:x:0") {
		o.fail("%s tells what is outside: %s", args[0], text)
	}
	isStore := o.place == "root" && o.in.name == "link to a directory outside" // then that is the store
	if now := o.look(); !isStore && fmt.Sprint(now) != fmt.Sprint(o.outside) {
		o.fail("%s changed what is outside: %v, before %v", args[0], now, o.outside)
	}
	judge(code, text)
}

// stored wants the right piece in its place.
func (o *occupied) stored() {
	path := filepath.Join(o.path("store"), o.scene.places()["final"])
	if o.place == "root" { // wherever a link leads, that is the store
		return
	}
	info, err := os.Lstat(path)
	data, readErr := []byte(nil), err
	if err == nil && info.Mode().IsRegular() {
		data, readErr = os.ReadFile(path)
	}
	if readErr != nil || sha256.Sum256(data) != o.scene.small {
		o.fail("import says that all is stored: %v, %v", info, readErr)
	}
}

// served asks for the blob over HTTP.
func (o *occupied) served() {
	handler, letGo, err := newServed(o.t.Context(), serveConfig{store: o.path("store")})
	if err != nil {
		if strings.Contains(err.Error(), secretText) {
			o.fail("serve tells what is outside: %v", err)
		}
		return
	}
	defer func() { _ = letGo() }()
	id := o.scene.small.String()
	for _, path := range []string{"/" + id, "/" + o.scene.home(o.scene.small) + "/" + id, "/0/../outside/secret"} {
		answer := httptest.NewRecorder()
		if o.in.name == "sparse file" {
			continue // what it holds is no secret, and a terabyte
		}
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		// A hard link is the file itself: whoever can make one can read it, and verify tells it
		// by its bytes.
		if strings.Contains(answer.Body.String(), secretText) && o.in.name != "hard link" || strings.Contains(answer.Body.String(), "root:x:0") {
			o.fail("%s: it serves what is outside", path)
		}
		if o.place == "final" && o.in.says != "" && answer.Code < 400 {
			o.fail("%s: code %d for a %s", path, answer.Code, o.in.says)
		}
	}
}

// Names that others chose reach no terminal as they are: not in what verify finds, not
// in an error, not in a list.
func TestSecurityNamesSteerNoTerminal(t *testing.T) {
	s := newPeerScene(t)
	writeFile(t, s.path("ownership.yaml"), "epoch: 1\ntotal_shards: 4\nowned: \"0-3\"\n")
	id := s.small.String()
	var evil []string
	for _, text := range []string{
		"\x1b[2J\x1b[31m", "\x1b]0;title\x07", "\nrecoverd: complete", "\r\x1b[1Aall is stored", "\u009b31m", "\u202egnp.exe", "\x7f\b\b\b", "\t\v\f", "\xff\xfe", "%s%n%d", "$(id)`id`;id|id&", "<script>alert(1)</script>",
	} {
		evil = append(evil, text, id[:len(id)-1]+text, text+id)
	}
	for i, name := range evil {
		name = strings.ReplaceAll(name, "/", "-")
		err := errorsOf(os.WriteFile(filepath.Join(s.path("store"), s.home(s.small), name), nil, 0o644), os.WriteFile(s.path("snapshots/"+name+".rsnap"), nil, 0o644),
			os.Symlink("/none", s.path(fmt.Sprintf("files/%d%s", i, name))))
		if err != nil {
			t.Fatal(err)
		}
	}
	said := 0
	judge := func(stdout, stderr string) {
		for line := range strings.SplitSeq(stdout+stderr, "\n") {
			said++
			if plain := printable(line); plain != line || strings.HasPrefix(line, "recoverd: complete") || strings.HasPrefix(line, "all is stored") {
				t.Errorf("a line steers the terminal: %q", line)
			}
		}
	}
	data := []string{"--store", s.path("store"), "--catalog", s.path("snapshots/" + s.snapshot), "--ownership", s.path("ownership.yaml")}
	stdout, stderr, code := line(t, append([]string{"verify", "--orphans"}, data...)...)
	if judge(stdout, stderr); code != exitIncomplete || strings.Count(stdout, "is a regular file") != len(evil) {
		t.Errorf("exit code %d, strays: %s", code, stdout)
	}
	stdout, stderr, _ = line(t, "snapshot", "list", "--dir", s.path("snapshots"))
	if judge(stdout, stderr); !strings.Contains(stdout, "passed over") {
		t.Errorf("the list is %s", stdout)
	}
	for _, name := range evil {
		for _, args := range [][]string{
			{name}, {"explain", name}, {"retry", name}, {"unsettled", "list", "--after", name}, {"run", "--" + name}, {"snapshot", "verify", s.path(name)}, {"run", "--config", s.path(name)},
			{"store", "import", "--from", s.path(name), "--store", s.path("s"), "--out", s.path("o")}, {"verify", "--store", s.path(name), "--catalog", s.path(name), "--ownership", "x"},
			{"snapshot", "list", "--dir", s.path(name)}, {"catalog", "list", s.path(name)}, {"serve", "--store", s.path(name)}, {"catalog", "import", "--in", s.path(name), "--out", s.path("o")},
			{"status", "--state-dir", s.path(name)}, {"run", "--log-level", name}, {"store", "import", "--layout", name, "--from", s.path("files"), "--store", s.path("s"), "--out", s.path("o")},
		} {
			stdout, stderr, code := line(t, args...)
			if judge(stdout, stderr); code == 0 && args[0] != "status" {
				t.Errorf("%q: exit code 0", args)
			}
		}
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "names and arguments that would steer a terminal", Tried: uint64(said), Unit: "lines", Violations: failed(t)})
}

// A daemon whose store has intruders in its pieces' places goes on with all the rest: a
// repair replaces files with other bytes, and what is no file is told for each blob, left
// alone, and holds up nothing.
func TestSecurityDaemonOverAHostileStore(t *testing.T) {
	f := newFleet(t, 60, 600)
	must(t, f.run("--exit-when-complete")...)
	outside := f.path("outside")
	if err := errorsOf(os.Mkdir(outside, 0o755), os.WriteFile(outside+"/secret", []byte(secretText), 0o640), os.RemoveAll(f.path("state"))); err != nil {
		t.Fatal(err)
	}
	irregular, i := map[string]string{}, 0 // by id
	for name := range pieces(t, f.path("source")) {
		if i == len(intruders()) {
			break
		}
		in := intruders()[i]
		i++
		path := filepath.Join(f.path("node"), name)
		if in.root && os.Geteuid() != 0 || in.name == "sparse file" {
			continue
		}
		if err := errorsOf(os.Remove(path), in.put(path, outside)); err != nil {
			t.Fatal(err)
		}
		if in.says != "" {
			irregular[filepath.Base(name)] = in.says
		}
	}
	p := start(t, f.run()...)
	until(t, "only what is no file is left", func() bool {
		doc, ok := status(t, f.path("state"))
		return p.hasEnded() || ok && int(doc.Unsettled.Total) == len(irregular) && doc.Phase != "loading" && doc.Phase != "scanning"
	})
	invoke(t, f.verify("--repair", "--state-dir", f.path("state"))...)
	until(t, "what has other bytes is replaced", func() bool {
		stdout, _, _ := invoke(t, f.verify()...)
		wrong, _ := found(t, stdout)
		return p.hasEnded() || len(wrong) == len(irregular)
	})
	list := f.tells([]string{"unsettled", "list"})
	for id, says := range irregular {
		_, rest, found := strings.Cut(list, id)
		if told := strings.SplitN(rest, "\n", 3); !found || !strings.Contains(told[1], says) {
			t.Errorf("%s is a %s, and the list says %q", id, says, told)
		}
	}
	p.signal(unix.SIGTERM)
	p.wait()
	for id := range irregular { // so that the rest can be compared
		for shard := range totalShards {
			if err := os.RemoveAll(f.path(fmt.Sprintf("node/%d/%s", shard, id))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := len(pieces(t, f.path("node"))), len(pieces(t, f.path("source"))); got != want-len(irregular) {
		t.Errorf("%d pieces are stored, want %d", got, want-len(irregular))
	}
	if text, err := os.ReadFile(outside + "/secret"); err != nil || string(text) != secretText {
		t.Errorf("what is outside was changed: %q, %v", text, err)
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "a daemon over a store with hostile contents", Tried: uint64(i), Unit: "pieces", Violations: failed(t)})
}
