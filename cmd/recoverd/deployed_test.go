package main

import (
	"debug/elf"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	storefs "github.com/recoverd/recoverd/syncer/store/fs"
)

// deployed is how a file of deploy/ starts recoverd, and with which files.
type deployed struct {
	argv  []string          // as written
	files map[string]string // by path, as written
	owner int               // of what it writes
}

// after returns what follows a word that begins a line.
func after(t testing.TB, text, word string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\n"+text, "\n"+word)
	if !ok {
		t.Fatalf("no line begins with %s", word)
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// theUnit is the command line of the systemd unit, with the configuration that the
// package puts where it says.
func theUnit(t testing.TB) deployed {
	t.Helper()
	return deployed{
		argv: strings.Fields(after(t, readText(t, "deploy/systemd/recoverd.service"), "ExecStart=")),
		files: map[string]string{
			"/etc/recoverd/recoverd.yaml":  readText(t, "deploy/package/recoverd.yaml"),
			"/etc/recoverd/ownership.yaml": "epoch: 1\ntotal_shards: 10\nowned: \"0-4,7\"\n",
		},
		owner: 1,
	}
}

// theSidecar is the entry point of the Dockerfile with the arguments and the files of
// the Kubernetes manifest, as the user of the image.
func theSidecar(t testing.TB) deployed {
	t.Helper()
	docker := readText(t, "deploy/package/Dockerfile")
	d := deployed{files: map[string]string{}, owner: 65532}
	if err := json.Unmarshal([]byte(after(t, docker, "ENTRYPOINT")), &d.argv); err != nil {
		t.Fatal(err)
	}
	if user := after(t, docker, "USER"); user != "65532:65532" {
		t.Fatalf("the image's user is %s", user)
	}
	for y := yaml.NewDecoder(strings.NewReader(readText(t, "deploy/kubernetes/sidecar.yaml"))); ; {
		var o struct {
			Data map[string]string
			Spec struct {
				Template struct {
					Spec struct {
						InitContainers []struct {
							Name string
							Args []string
						} `yaml:"initContainers"`
					}
				}
			}
		}
		if err := y.Decode(&o); err == io.EOF {
			return d
		} else if err != nil {
			t.Fatal(err)
		}
		for name, text := range o.Data {
			d.files["/etc/recoverd/"+name] = text
		}
		for _, c := range o.Spec.Template.Spec.InitContainers {
			if c.Name == "recoverd" {
				d.argv = append(d.argv, c.Args...)
			}
		}
	}
}

// What the unit, the image and the manifest start recoverd with is what it understands:
// every flag, and every key of the files.
func TestDeployedCommandLines(t *testing.T) {
	for name, d := range map[string]deployed{"unit": theUnit(t), "sidecar": theSidecar(t)} {
		args := d.argv[1:]
		if len(args) != 3 || args[0] != "run" || args[1] != "--config" {
			t.Fatalf("%s: it starts %v", name, d.argv)
		}
		config := filepath.Join(t.TempDir(), "recoverd.yaml")
		writeFile(t, config, d.files[args[2]])
		out := must(t, "config", "print", "--config", config)
		for _, key := range []string{"state-dir", "store", "catalog", "ownership"} {
			if value := after(t, d.files[args[2]], key+":"); !strings.Contains(out, value) {
				t.Errorf("%s: %s is %s, and recoverd reads\n%s", name, key, value, out)
			}
		}
	}
	var cmd []string
	if err := json.Unmarshal([]byte(after(t, readText(t, "deploy/package/Dockerfile"), "CMD")), &cmd); err != nil || strings.Join(cmd, " ") != "run" {
		t.Errorf("the image runs %v: %v", cmd, err)
	}
	if _, stderr, code := invoke(t, cmd...); code != exitUsage || !strings.Contains(stderr, "--state-dir is required") {
		t.Errorf("alone, the image ends with %d: %s", code, stderr)
	}
}

// Each command line runs for real, word for word, in a root that holds nothing but the
// program, its files and what is mounted: as an image from scratch, and as the unit's
// user, with a socket to notify. It becomes ready, completes, and ends as it is told to.
func TestServersDeployedAsWritten(t *testing.T) {
	if os.Getuid() != 0 {
		lack(t, "only root may change the root directory")
	}
	if self, err := elf.Open(executable(t)); err != nil || self.Section(".interp") != nil {
		lack(t, "the test program is not static, as with CGO_ENABLED=0")
	}
	f := &fleet{t: t, dir: t.TempDir()}
	f.generate("files", 60, 3_000, 1)
	must(t, "store", "import", "--from", f.path("files"), "--store", f.path("source"), "--out", f.path("catalog.rsnap"), "--total-shards", "10")
	reader, err := storefs.OpenReader(t.Context(), f.path("source"))
	f.must(err)
	defer func() { _ = reader.Close() }()
	source := httptest.NewServer(newBlobHandler(reader))
	defer source.Close()
	for name, make := range map[string]func(testing.TB) deployed{"unit": theUnit, "sidecar": theSidecar} {
		t.Run(name, func(t *testing.T) { make(t).runs(t, f, source.URL+"/{id}") })
	}
}

func executable(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// runs starts it in a root of its own. What differs from what is written wins by the
// environment: the peer, and addresses that are free here.
func (d deployed) runs(t *testing.T, f *fleet, peer string) {
	root := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(path string, data []byte, mode os.FileMode) {
		t.Helper()
		check(os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755))
		check(os.WriteFile(filepath.Join(root, path), data, mode))
	}
	check(os.Chmod(root, 0o755))
	program, err := os.ReadFile(executable(t))
	check(err)
	catalog, err := os.ReadFile(f.path("catalog.rsnap"))
	check(err)
	put(d.argv[0], program, 0o755)
	for path, text := range d.files {
		put(path, []byte(text), 0o644)
	}
	for _, dir := range []string{"/var/lib/recoverd", "/srv/recoverd", "/state/recoverd", "/blobs", "/run"} {
		check(os.MkdirAll(filepath.Join(root, dir), 0o755))
		check(os.Chown(filepath.Join(root, dir), d.owner, d.owner))
	}
	put("/etc/recoverd/catalog.rsnap", catalog, 0o644) // where the unit's configuration
	put("/state/catalog.rsnap", catalog, 0o644)        // and the manifest want it

	socket, err := net.ListenPacket("unixgram", filepath.Join(root, "run/notify"))
	check(err)
	defer func() { _ = socket.Close() }()
	check(os.Chmod(filepath.Join(root, "run/notify"), 0o777))
	probed := freePort(t)
	cmd := &exec.Cmd{Path: d.argv[0], Args: d.argv, Dir: "/", SysProcAttr: &syscall.SysProcAttr{
		Chroot: root, Credential: &syscall.Credential{Uid: uint32(d.owner), Gid: uint32(d.owner)},
	}}
	cmd.Env = []string{
		"RECOVERD_PEER=" + peer, "RECOVERD_LISTEN=" + freePort(t), "RECOVERD_METRICS_LISTEN=" + probed, "RECOVERD_MIN_FREE=1",
		"NOTIFY_SOCKET=/run/notify", "TMPDIR=/nowhere",
	}
	p := startCommand(t, cmd)
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + probed + path)
		if err != nil {
			return 0, ""
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	until(t, "it is complete", func() bool {
		_, metrics := get("/metrics")
		return p.hasEnded() || strings.Contains(metrics, `recoverd_phase{phase="complete"} 1`)
	})
	for _, path := range []string{"/livez", "/readyz"} {
		if code, body := get(path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	check(socket.SetReadDeadline(time.Now().Add(patience)))
	for ready := false; !ready; {
		told := make([]byte, 4096)
		n, _, err := socket.ReadFrom(told)
		if err != nil {
			t.Fatalf("it did not notify that it is ready: %v", err)
		}
		ready = strings.Contains(string(told[:n]), "READY=1")
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("it ended with %d: %s", code, p.stderr.String())
	}
}
