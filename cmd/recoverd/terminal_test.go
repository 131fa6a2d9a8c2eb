package main

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// onTerminal runs recoverd on a terminal of its own and collects what it writes there.
func onTerminal(t *testing.T, rows, columns uint16, args ...string) (*exec.Cmd, *lockedBuffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		t.Skipf("no terminal can be had here: %v", err)
	}
	written, ended := &lockedBuffer{}, make(chan struct{})
	go func() {
		_, _ = io.Copy(written, terminal) // ends with EIO when the process has ended
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = terminal.Close()
	})
	return cmd, written
}

// On a terminal the status is redrawn in place, with a bar for each phase, cut to its
// width; elsewhere it is a line each time, without any control character. Both end with
// the daemon, and say that it is not running.
func TestWatchOnATerminal(t *testing.T) {
	f := newFleet(t, 60, 600)
	f.source.newLife(20) // then everything hangs
	p := start(t, f.run("--concurrency", "4", "--stop-grace", "10ms")...)
	f.hangs(4)
	const columns = 72
	_, screen := onTerminal(t, 40, columns, "status", "--watch", "--state-dir", f.path("state"))
	piped := start(t, "status", "--watch", "--state-dir", f.path("state"))
	until(t, "it is drawn more than once", func() bool { return strings.Count(screen.String(), "scanning: looking at") > 1 })
	until(t, "a line is there", func() bool { return strings.Contains(piped.stdout.String(), " scanning: ") })
	drawn := screen.String()
	for _, part := range []string{"\x1b[", "scanning  [", "draining  [", "not yet", "settled   [", "of 60", "1 of 1 reachable", "limits"} {
		if !strings.Contains(drawn, part) {
			t.Errorf("%q is missing on the terminal:\n%q", part, drawn)
		}
	}
	f.source.newLife(-1)
	f.source.letGo()
	until(t, "it is complete on the terminal", func() bool { return strings.Contains(screen.String(), "100 %") })
	p.kill()
	until(t, "the terminal says that it ended", func() bool {
		return strings.Contains(screen.String(), "not running: everything up to position 60 was settled")
	})
	if code := piped.wait(); code != exitOK {
		t.Errorf("the watch ended with %d: %s", code, piped.stderr.String())
	}
	lines := piped.stdout.String()
	if strings.ContainsRune(lines, '\x1b') || !strings.Contains(lines, "not running") || !strings.Contains(lines, " complete: 100 % settled") {
		t.Errorf("elsewhere:\n%q", lines)
	}
	for line := range strings.Lines(strings.ReplaceAll(drawn, "\r", "")) {
		if n := len([]rune(withoutControl(line))); n > columns+1 {
			t.Errorf("%d characters on a terminal of %d: %q", n, columns, line)
		}
	}
}

// withoutControl drops escape sequences.
func withoutControl(line string) string {
	var text strings.Builder
	for inside, at := false, 0; at < len(line); at++ {
		switch c := line[at]; {
		case c == '\x1b':
			inside = true
		case inside:
			inside = c == '[' || c >= '0' && c <= '9' || c == ';' || c == '?'
		default:
			text.WriteByte(c)
		}
	}
	return text.String()
}
