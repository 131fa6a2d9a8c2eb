package deploy

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// release returns the directory that `make dist` filled.
func release(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("RECOVERD_TEST_DIST")
	if dir == "" {
		lack(t, "RECOVERD_TEST_DIST does not name a release: make deploy-check makes one")
	}
	return dir
}

// SHA256SUMS names every file of the release, and they are what it says.
func TestServersReleaseSums(t *testing.T) {
	dir := release(t)
	listed := []string{"SHA256SUMS"}
	for line := range strings.Lines(read(t, dir, "SHA256SUMS")) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if is := sha256.Sum256([]byte(read(t, dir, name))); hex.EncodeToString(is[:]) != sum {
			t.Errorf("%s has the digest %x", name, is)
		}
		listed = append(listed, name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(listed, e.Name()) {
			t.Errorf("%s is not in SHA256SUMS", e.Name())
		}
	}
	if len(listed) < 3 {
		t.Errorf("the release is %v", listed)
	}
}

// The Debian package holds what it should, starts nothing, and its program runs.
func TestServersDebianPackage(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(release(t), "*_"+runtime.GOARCH+".deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("packages for this machine: %v, %v", found, err)
	}
	root, control := t.TempDir(), t.TempDir()
	must(t, "dpkg-deb", "--extract", found[0], root)
	must(t, "dpkg-deb", "--control", found[0], control)
	if conf := read(t, control, "conffiles"); conf != "/etc/recoverd/recoverd.yaml\n" {
		t.Errorf("conffiles: %q", conf)
	}
	for _, script := range []string{"postinst", "prerm"} {
		text := read(t, control, script)
		if regexp.MustCompile(`systemctl (re)?start|enable|invoke-rc`).MatchString(text) {
			t.Errorf("%s starts something:\n%s", script, text)
		}
		must(t, "sh", "-n", filepath.Join(control, script))
	}
	for packaged, source := range map[string]string{
		"usr/lib/systemd/system/recoverd.service": "systemd/recoverd.service", "etc/recoverd/recoverd.yaml": "package/recoverd.yaml",
		"usr/share/doc/recoverd/OPERATIONS.md": "OPERATIONS.md", "usr/share/doc/recoverd/recoverd.rules.yml": "prometheus/recoverd.rules.yml",
	} {
		if read(t, root, packaged) != read(t, source) {
			t.Errorf("%s is not %s", packaged, source)
		}
	}
	for _, path := range []string{
		"usr/share/man/man1/recoverd.1.gz", "usr/share/man/man1/recoverd-run.1.gz", "usr/share/bash-completion/completions/recoverd",
		"usr/share/zsh/vendor-completions/_recoverd", "usr/share/fish/vendor_completions.d/recoverd.fish", "usr/share/doc/recoverd/LICENSES.txt",
	} {
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	isProgram(t, filepath.Join(root, "usr", "bin", "recoverd"), must(t, "dpkg-deb", "--field", found[0], "Version"))
}

// isProgram wants a static program that says the package's version.
func isProgram(t *testing.T, path, version string) {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program is not static")
		}
	}
	out, err := exec.Command(path, "version").CombinedOutput()
	want := strings.ReplaceAll(strings.TrimSpace(version), "~", "-")
	if err != nil || !strings.HasPrefix(string(out), "recoverd "+want+" ") {
		t.Errorf("recoverd version: %v, %s, want %s", err, out, want)
	}
}

// The image holds one static program, that anybody but root runs.
func TestDockerfile(t *testing.T) {
	_, last, _ := strings.Cut(read(t, "package", "Dockerfile"), "\nFROM scratch\n")
	if !strings.Contains(last, "\nUSER 65532:65532\n") || strings.Contains(last, "RUN ") || !strings.Contains(read(t, "package", "Dockerfile"), "CGO_ENABLED=0") {
		t.Errorf("the image's last stage is\n%s", last)
	}
}
