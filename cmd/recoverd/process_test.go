package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// asProgram makes the test binary be recoverd: the tests start real processes
// of the very code they are compiled with.
const asProgram = "RECOVERD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// process is a running recoverd.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout lockedBuffer
	stderr lockedBuffer
	ended  chan struct{}
}

// lockedBuffer may be read while the process writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs recoverd with args; the test ends it if nothing else does.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is read from ProcessState
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill sends SIGKILL and waits. It does nothing to a process that has ended.
func (p *process) kill() {
	select {
	case <-p.ended:
	default:
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// patience bounds every wait of these tests; it is never what a test measures.
const patience = 60 * time.Second

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("recoverd did not end; it said:\n%s", p.stderr.String())
		return -1
	}
}

// invoke runs a verb to its end.
func invoke(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p := start(t, args...)
	code = p.wait()
	return p.stdout.String(), p.stderr.String(), code
}

// must runs a verb that has to succeed.
func must(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, code := invoke(t, args...)
	if code != 0 {
		t.Fatalf("recoverd %s: exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// until polls a condition about another process.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// status asks a running daemon; ok is false while it does not answer.
func status(t testing.TB, stateDir string) (doc statusapi.Document, ok bool) {
	t.Helper()
	client, err := statusapi.Dial(t.Context(), stateDir)
	if err != nil {
		return doc, false
	}
	defer client.Close()
	doc, err = client.Status(t.Context())
	return doc, err == nil
}

// saved reads what is durable in a state directory.
func saved(t testing.TB, stateDir string) checkpoint.Description {
	t.Helper()
	d, err := checkpoint.Describe(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// writeFile writes a file that a rename puts in place, as publishers should.
func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func toJSON(v any) string {
	text, err := json.Marshal(v)
	return fmt.Sprint(string(text), err)
}
