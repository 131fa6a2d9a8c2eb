package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// hostileFiles are what may lie where a file is named, by what it is.
func hostileFiles() map[string]func(path string) error {
	text := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	link := func(target string) func(string) error {
		return func(path string) error { return os.Symlink(target, path) }
	}
	return map[string]func(string) error{
		"named pipe": func(path string) error { return unix.Mkfifo(path, 0o600) }, "directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"socket": func(path string) error { return putSocket(path, "") }, "endless device": link("/dev/zero"), "standard input": link("/proc/self/fd/0"), "terminal": link("/dev/tty"),
		"loop": func(path string) error { return os.Symlink(path, path) }, "a directory of the kernel": link("/proc/self"),
		"empty": text(""), "NULs": text(strings.Repeat("\x00", 1<<20)), "huge and empty": func(path string) error { return errorsOf(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<42)) },
		"large": text(strings.Repeat("a: 1\n", 1<<20)), "one long line": text("a: " + strings.Repeat("x", 2<<20)), "garbage": text(strings.Repeat("\x80\xfe{[:\x1b[31m", 1000)),
		"laughs": text(laughs()), "deep lists": text(strings.Repeat("[", 500_000)), "deep maps": text("a: " + strings.Repeat("{a: ", 100_000)), "deep blocks": text(deepBlocks()),
		"keys twice": text("a: 1\na: 2\nepoch: 1\nepoch: 2\n"), "merged into itself": text("a: &a {<<: *a}\n"), "anchored in itself": text("a: &a [*a, *a]\nepoch: *a\n"), "a tag": text("epoch: !!python/object/apply:os.system [id]\n"),
		"many documents": text(strings.Repeat("---\na: 1\n", 100_000)), "many anchors": text(manyAnchors()), "deep JSON": text(strings.Repeat(`{"a":`, 200_000)), "a long number": text("epoch: " + strings.Repeat("9", 1_000_000) + "\n"),
		"PEM without an end": text("-----BEGIN CERTIFICATE-----\n" + strings.Repeat("QUFB", 1<<18)), "many PEM blocks": text(strings.Repeat("-----BEGIN X-----\nQUFB\n-----END X-----\n", 1<<15)),
	}
}

// laughs is a document of a few hundred bytes that would be 10^9 texts.
func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for _, n := range "123456789" {
		before := string(n - 1)
		b.WriteString("a" + string(n) + ": &a" + string(n) + " [" + strings.Repeat("*a"+before+", ", 9) + "*a" + before + "]\n")
	}
	return b.String() + "peer: *a9\nepoch: *a9\n"
}

func deepBlocks() string {
	var b strings.Builder
	for n := range 1_300 {
		b.WriteString(strings.Repeat(" ", n) + "a:\n")
	}
	return b.String()
}

func manyAnchors() string {
	var b strings.Builder
	for range 50_000 {
		b.WriteString("- &a x\n- *a\n")
	}
	return b.String()
}

// maxSecurityRSS is the most memory that reading one of them may take, in KiB.
const maxSecurityRSS = 200 << 10

// TestSecurityHostileFiles names each of them wherever a file is named: every verb ends,
// soon and in little memory, with a code of its own and a message that names the file.
func TestSecurityHostileFiles(t *testing.T) {
	f := newFleet(t, 5, 100)
	check := append([]string{"config", "check"}, f.run()[1:]...)
	store := []string{"--store", f.path("source"), "--ownership", f.path("ownership.yaml")}
	uses := map[string]func(path string) []string{
		"--config":    func(p string) []string { return append(check, "--config", p) },
		"--ownership": func(p string) []string { return append(check, "--ownership", p) },
		"--catalog":   func(p string) []string { return append(check, "--catalog", p) },
		"--events":    func(p string) []string { return append(check, "--catalog", "", "--network", "n", "--events", p) },
		"--tls-cert": func(p string) []string {
			return append(check, "--listen", "127.0.0.1:0", "--tls-cert", p, "--tls-key", p, "--tls-client-ca", p)
		},
		"--peer-ca":         func(p string) []string { return append(check, "--peer", "https://127.0.0.1:1/{id}", "--peer-ca", p) },
		"--peer-token-file": func(p string) []string { return append(check, "--peer-token-file", p) },
		"--ownership-token-file": func(p string) []string {
			return append(check, "--ownership", "http://127.0.0.1:1/o", "--ownership-token-file", p)
		},
		"run --ownership": func(p string) []string { return f.run("--ownership", p) },
		"run --catalog":   func(p string) []string { return f.run("--catalog", p) },
		"run --config":    func(p string) []string { return f.run("--config", p) },
		"verify":          func(p string) []string { return append([]string{"verify", "--catalog", p}, store...) },
		"plan": func(p string) []string {
			return append([]string{"plan", "--catalog", p, "--state-dir", f.path("state")}, store...)
		},
		"snapshot verify":  func(p string) []string { return []string{"snapshot", "verify", p} },
		"snapshot inspect": func(p string) []string { return []string{"snapshot", "inspect", p} },
		"snapshot diff":    func(p string) []string { return []string{"snapshot", "diff", f.catalog, p} },
		"snapshot list":    func(p string) []string { return []string{"snapshot", "list", "--dir", p} },
		"catalog list":     func(p string) []string { return []string{"catalog", "list", p} },
		"catalog export":   func(p string) []string { return []string{"catalog", "export", p} },
		"serve --store":    func(p string) []string { return []string{"serve", "--listen", "127.0.0.1:0", "--store", p} },
	}
	tried, i, most := 0, 0, int64(0)
	for use, args := range uses {
		for name, put := range hostileFiles() {
			if i++; !*securityFull && i%20 != 0 && name != "named pipe" {
				continue
			}
			if strings.Contains(name, "directory") && (use == "--events" || use == "snapshot list" || use == "serve --store") || name == "empty" && (use == "--events" || use == "--config" || use == "run --config") {
				continue // it is what was asked for
			}
			path := f.path("hostile")
			if err := errorsOf(os.RemoveAll(path), put(path)); err != nil {
				t.Fatal(err)
			}
			tried++
			p := start(t, args(path)...)
			code := p.wait()
			text, usage := p.stdout.String()+p.stderr.String(), p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
			if code != exitFailure && code != exitUsage && code != exitConfig && code != exitNoCreate && code != exitTryAgain || !strings.Contains(text, path) {
				t.Errorf("%s of %s: exit code %d: %.500q", use, name, code, text)
			}
			if len(text) > 8_000 || strings.ContainsAny(text, "\x1b\x00") || strings.Contains(text, "goroutine ") {
				t.Errorf("%s of %s: it says %.500q (%d bytes)", use, name, text, len(text))
			}
			most = max(most, usage.Maxrss)
			if usage.Maxrss > maxSecurityRSS {
				t.Errorf("%s of %s: %d MiB of memory", use, name, usage.Maxrss>>10)
			}
		}
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "hostile files wherever a file is named", Tried: uint64(tried), Unit: "processes", Violations: failed(t), Detail: fmt.Sprintf("at most %d MiB of memory", most>>10)})
}
