package fs

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dirtyPages is how many bytes the machine has to write to all of its volumes,
// those being written included. Nothing cheap tells it for one volume.
func dirtyPages() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("look for dirty pages: %w", err)
	}
	return parseDirty(text)
}

func parseDirty(meminfo []byte) (total int64, err error) {
	for _, name := range []string{"\nDirty:", "\nWriteback:"} {
		_, rest, ok := bytes.Cut(meminfo, []byte(name))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		digits, unit := bytes.CutSuffix(bytes.TrimSpace(line), []byte(" kB"))
		kib, err := strconv.ParseInt(string(digits), 10, 53)
		if !ok || !unit || err != nil || kib < 0 {
			return 0, fmt.Errorf("look for dirty pages: /proc/meminfo says %.40q of%s", line, name[1:])
		}
		total += kib << 10
	}
	return total, nil
}

// othersOf is what of the machine's dirty pages is not ours. Where it cannot be
// told nothing is known of others, and what a flush took has to say it.
func othersOf(total int64, err error, ours int64) int64 {
	if err != nil {
		return 0
	}
	return max(total-ours, 0)
}

// isOwn reports whether a directory's volume is mounted there, or below, and
// nowhere else: others have no way to write to it. Where it cannot be found out it
// is not.
func isOwn(dir *os.File) bool {
	var st unix.Stat_t
	err := retryEINTR(func() error { return unix.Fstat(int(dir.Fd()), &st) })
	path, linkErr := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	runtime.KeepAlive(dir)
	mounts, readErr := os.ReadFile("/proc/self/mountinfo")
	if err != nil || linkErr != nil || readErr != nil {
		return false
	}
	return onlyAt(mounts, fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)), path)
}

// onlyAt looks whether a device (major:minor) is mounted, whole, at path or below
// it, and nowhere else.
func onlyAt(mountinfo []byte, device, path string) bool {
	found := false
	lines := bufio.NewScanner(bytes.NewReader(mountinfo))
	for lines.Scan() {
		// Number, parent, device, root of the mount within the volume, mount point.
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[2] != device {
			continue
		}
		point := unescapeMount(fields[4])
		if fields[3] != "/" || point != path && !strings.HasPrefix(point, filepath.Clean(path)+"/") {
			return false
		}
		found = true
	}
	return found && lines.Err() == nil
}

// unescapeMount turns what mountinfo writes for blanks and backslashes back.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
