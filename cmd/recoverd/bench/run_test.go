package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// figures are what one run took.
type figures struct {
	wall    time.Duration // of the process, from exec to exit
	flushed time.Duration // the same, and a `sync -f` of where it wrote after it
	cpu     time.Duration // user and system, of the process
	server  time.Duration // user and system, of nginx meanwhile
	peak    uint64        // most memory resident, bytes
}

// tooLong ends a program that hangs.
const tooLong = 10 * time.Minute

// race runs a tool once, in dir, and checks what it left.
func (b *bench) race(tl *tool, j job, whole *blobSet) figures {
	b.t.Helper()
	store := filepath.Join(j.dir, "store")
	if tl.name != ours {
		makeShardDirs(b.t, store)
	}
	if err := os.MkdirAll(store, 0o755); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), tooLong)
	defer cancel()
	line := tl.command(j)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir, cmd.Env = store, environment(b.dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said

	before, began := b.server.cpu(b.t), time.Now()
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	f := figures{wall: time.Since(began)}
	if err := flushAll(j.dir); err != nil {
		b.t.Fatal(err)
	}
	f.flushed = time.Since(began)
	f.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	f.server = b.server.cpu(b.t) - before
	f.peak = peak()

	var exit *exec.ExitError
	if err != nil && !(tl.clumsy && j.resumes && errors.As(err, &exit) && exit.ExitCode() > 0) {
		b.t.Fatalf("%s: %v: %.2000s", strings.Join(line, " "), err, said.String())
	}
	whole.check(b.t, store, !b.proven[tl.name])
	b.proven[tl.name] = true
	return f
}

// watchPeak looks at a process until what it returns is called. The kernel remembers
// the most that was resident; what wait4 reports would not do: it begins with the
// memory of whoever forked.
func watchPeak(pid int) (most func() uint64) {
	stop, ended := make(chan struct{}), make(chan uint64)
	go func() {
		var peak uint64
		for {
			peak = max(peak, residentPeak(pid))
			select {
			case <-stop:
				ended <- peak
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-ended
	}
}

// residentPeak returns 0 for a process that has ended.
func residentPeak(pid int) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(after), " kB")
	kib, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// fill has recoverd fetch the first n blobs of a set into dir, and stops it as an
// operator would. So everybody resumes over the same tree, and recoverd has its
// cursor.
func (b *bench) fill(j job, n int) {
	b.t.Helper()
	gate := newGate(b.t, filepath.Join(b.dir, "source", j.set.name), j.set.ids[:n])
	server := j.server
	if n < len(j.set.ids) {
		server = gate.url
	}
	j.server = server
	line := runRecoverd(j)
	cmd := exec.CommandContext(b.t.Context(), line[0], line[1:]...)
	cmd.Env = environment(b.dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	if n < len(j.set.ids) {
		until(b.t, "all that may be served is served", gate.drained)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			b.t.Fatal(err)
		}
		gate.refuse()
	}
	if err := cmd.Wait(); err != nil {
		b.t.Fatalf("%s: %v: %s", strings.Join(line, " "), err, said.String())
	}
	if err := flushAll(j.dir); err != nil {
		b.t.Fatal(err)
	}
}
