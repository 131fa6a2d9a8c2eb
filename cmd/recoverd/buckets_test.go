package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/syncer/peer/s3peer/s3test"
)

// spoil serves all of a fleet's pieces with put, but the first, which is left out, and
// the second, in which a bit is flipped. It returns the ids of both, and what mends them.
func (f *fleet) spoil(put func(id string, content []byte)) (missing, wrong string, mend func()) {
	f.t.Helper()
	names := []string{}
	for name := range pieces(f.t, f.path("source")) {
		names = append(names, name)
	}
	slices.Sort(names)
	content := func(name string) []byte { return []byte(readText(f.t, filepath.Join(f.path("source"), name))) }
	for i, name := range names {
		bytes := content(name)
		if i == 1 {
			bytes[len(bytes)/2] ^= 1
		}
		if i > 0 {
			put(path.Base(name), bytes)
		}
	}
	return path.Base(names[0]), path.Base(names[1]), func() {
		put(path.Base(names[0]), content(names[0]))
		put(path.Base(names[1]), content(names[1]))
	}
}

// unsettledNames fails unless a run ended incomplete, naming just these two with what
// the peer did.
func unsettledNames(t *testing.T, f *fleet, args []string, missing, wrong string) {
	t.Helper()
	stdout, stderr, code := invoke(t, append(args, "--exit-when-complete", "--park-after", "1", "--log-level", "debug")...)
	if code != exitIncomplete || !strings.Contains(stdout, "2 unsettled:") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	for id, says := range map[string]string{missing: "404", wrong: "wrong bytes"} {
		if i := strings.Index(stdout, id); i < 0 || !strings.Contains(strings.SplitN(stdout[i:], "\n", 2)[0], says) {
			t.Errorf("it does not say that %s is %q: %s", id, says, stdout)
		}
	}
	if strings.Contains(stdout+stderr, s3test.SecretKey) || strings.Contains(stdout+stderr, "Signature=") {
		t.Error("a secret is told")
	}
	held, all := pieces(t, f.path("node")), pieces(t, f.path("source"))
	if len(held) != len(all)-2 {
		t.Errorf("%d of %d pieces are stored", len(held), len(all))
	}
}

// Recovering from a bucket: what is there comes byte for byte, what is missing or wrong
// is named, and comes once it is mended.
func TestServersS3(t *testing.T) {
	g := s3test.Start(t)
	f := newFleet(t, 300, 4_096)
	missing, wrong, mend := f.spoil(func(id string, content []byte) { g.Put(t, "net/"+id[:2]+"/"+id, content) })
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
	bucket := "s3://" + g.Bucket + "/net/{aa}/{id}?endpoint=" + g.URL + "&region=" + s3test.Region
	args := append(f.args[:len(f.args):len(f.args)], "--peer", bucket)
	unsettledNames(t, f, args, missing, wrong)

	mend()
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	replace(t, f.path("keys"), fmt.Sprintf("[node]\naws_access_key_id=%s\naws_secret_access_key=%s\n", s3test.AccessKey, s3test.SecretKey))
	args[len(args)-1] = bucket + "&profile=node&keys=" + f.path("keys")
	must(t, append([]string{"config", "check"}, args[1:]...)...)
	must(t, append([]string{"doctor"}, args[1:]...)...)
	if plan := must(t, append([]string{"plan"}, args[1:]...)...); !strings.Contains(plan, "2 blobs") {
		t.Errorf("plan: %s", plan)
	}
	must(t, append(args, "--exit-when-complete")...)
	f.sameStore()
}

// Transfers from a gateway that are cut off go on where they were, with If-Match.
func TestServersS3Resumes(t *testing.T) {
	g := s3test.Start(t)
	f := newFleet(t, 6, 3<<20)
	for name := range pieces(t, f.path("source")) {
		g.Put(t, path.Base(name), []byte(readText(t, filepath.Join(f.path("source"), name))))
	}
	replace(t, f.path("keys"), fmt.Sprintf("[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n", s3test.AccessKey, s3test.SecretKey))
	c := startCutter(t, strings.TrimPrefix(g.URL, "http://"), 1<<20)
	bucket := "s3://" + g.Bucket + "/{id}?endpoint=http://" + c.address + "&keys=" + f.path("keys")
	must(t, append(f.args[:len(f.args):len(f.args)], "--peer", bucket, "--exit-when-complete", "--concurrency", "2")...)
	f.sameStore()
	if c.cuts.Load() == 0 {
		t.Error("no connection was cut off")
	}
}

// startRegistry runs Debian's OCI registry over an empty directory.
func startRegistry(t testing.TB) (url string) {
	t.Helper()
	need(t, "docker-registry")
	dir, address := t.TempDir(), freePort(t)
	writeFile(t, filepath.Join(dir, "config.yml"), fmt.Sprintf(`version: 0.1
log: {level: error}
storage:
  filesystem: {rootdirectory: %s/blobs}
  redirect: {disable: true}
http: {addr: %s}
`, dir, address))
	cmd := exec.Command("docker-registry", "serve", filepath.Join(dir, "config.yml"))
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the registry said: %s", &said)
		}
	})
	until(t, "the registry answers", func() bool { return listens(address) })
	return "http://" + address
}

// pushBlob uploads a blob under the digest that its id says, as a client of a registry
// does.
func pushBlob(t testing.TB, registry, name, id string, content []byte) {
	t.Helper()
	send := func(method, url string, body []byte, want int) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/octet-stream")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != want {
			t.Fatalf("%s %s: %s", method, url, response.Status)
		}
		return response.Header.Get("Location")
	}
	upload := send(http.MethodPost, registry+"/v2/"+name+"/blobs/uploads/", nil, http.StatusAccepted)
	if strings.HasPrefix(upload, "/") {
		upload = registry + upload
	}
	join := "?"
	if strings.Contains(upload, "?") {
		join = "&"
	}
	send(http.MethodPut, upload+join+"digest=sha256:"+id, content, http.StatusCreated)
}

// Recovering from an OCI registry, which names blobs by their SHA-256 as well.
func TestServersRegistry(t *testing.T) {
	registry := startRegistry(t)
	f := newFleet(t, 100, 4_096)
	names := pieces(t, f.path("source"))
	left := ""
	for name := range names {
		if left == "" {
			left = name
			continue
		}
		pushBlob(t, registry, "app", path.Base(name), []byte(readText(t, filepath.Join(f.path("source"), name))))
	}
	args := append(f.args[:len(f.args):len(f.args)], "--peer", registry+"/v2/app/blobs/sha256:{id}", "--exit-when-complete", "--park-after", "1")
	stdout, stderr, code := invoke(t, args...)
	if code != exitIncomplete || !strings.Contains(stdout, "1 unsettled:") || !strings.Contains(stdout, path.Base(left)) {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	pushBlob(t, registry, "app", path.Base(left), []byte(readText(t, filepath.Join(f.path("source"), left))))
	must(t, args...)
	f.sameStore()
}
