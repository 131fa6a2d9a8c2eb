package crashstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrNoRecorder: strace is not there, or may not trace.
var ErrNoRecorder = errors.New("crashstate: no recorder")

// Recorder records what processes do below Root.
type Recorder struct {
	// Root is a directory that is empty when the first process starts, named without
	// symbolic links.
	Root string
	// Notes is a file outside of Root; each write to it is a note.
	Notes string
	// Dir is for traces.
	Dir string

	trace  *trace
	number int
}

// traced are the calls that are looked at. Those that change files in a way that is not
// understood end the recording with an error.
const traced = "open,openat,creat,close,lseek,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate," +
	"mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir," +
	"fsync,fdatasync,sync,syncfs,msync,mmap,sendfile,splice,copy_file_range,dup,dup2,dup3"

// Run runs a process to its end and records it. It may end by a signal: what it wrote is
// still in the page cache for the next one. Any other failure is an error.
func (r *Recorder) Run(ctx context.Context, cmd *exec.Cmd) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoRecorder, err)
	}
	r.number++
	out := filepath.Join(r.Dir, fmt.Sprintf("trace-%d", r.number))
	args := []string{"-f", "--seccomp-bpf", "-y", "-xx", "-s", "16777216", "-o", out, "-e", "trace=" + traced, "-e", "signal=none", cmd.Path}
	run := exec.CommandContext(ctx, strace, append(args, cmd.Args[1:]...)...)
	run.Env, run.Dir = cmd.Env, cmd.Dir
	// A process that hangs outlives its tracer: both are killed when ctx ends.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGKILL) }
	run.WaitDelay = 5 * time.Second
	said, err := run.CombinedOutput()
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled()
	if err != nil && (!killed || ctx.Err() != nil) {
		if strings.Contains(string(said), "ptrace") {
			return fmt.Errorf("%w: %s", ErrNoRecorder, said)
		}
		return fmt.Errorf("crashstate: record %v: %w\n%s", cmd.Args, err, said)
	}
	if r.trace == nil {
		r.trace = &trace{root: r.Root, notes: r.Notes, names: map[string]bool{".": true}}
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	return r.trace.add(string(text))
}

// History is all that was recorded.
func (r *Recorder) History() History {
	if r.trace == nil {
		return nil
	}
	return r.trace.history
}
