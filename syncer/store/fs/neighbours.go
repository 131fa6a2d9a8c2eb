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

// writtenTo is how many bytes were written to a block device since it is there; ok is
// false where that is not told, as for volumes that are no block device.
func writtenTo(device uint64) (n int64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(device), unix.Minor(device)))
	if err != nil {
		return 0, false
	}
	return parseWritten(string(text))
}

// parseWritten reads the number of sectors written, the seventh in a device's stat.
func parseWritten(stat string) (n int64, ok bool) {
	const at, sector = 6, 512
	fields := strings.Fields(stat)
	if len(fields) <= at {
		return 0, false
	}
	sectors, err := strconv.ParseInt(fields[at], 10, 53)
	return sectors * sector, err == nil
}

// tenancy is who else may write to a volume, as far as its mounts tell.
type tenancy uint8

const (
	// theSystems: it is mounted at /, or only a part of it is seen, or nothing is known.
	theSystems tenancy = iota
	// aVolume is mounted whole, elsewhere than at /.
	aVolume
	// itsOwn: it is mounted at the store or below it, and nowhere else.
	itsOwn
)

// tenancyOf looks at the volume of a directory.
func tenancyOf(dir *os.File) tenancy {
	var st unix.Stat_t
	err := retryEINTR(func() error { return unix.Fstat(int(dir.Fd()), &st) })
	path, linkErr := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	runtime.KeepAlive(dir)
	mounts, readErr := os.ReadFile("/proc/self/mountinfo")
	if err != nil || linkErr != nil || readErr != nil {
		return theSystems
	}
	return tenancyIn(mounts, fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)), path)
}

// tenancyIn looks where a device (major:minor) is mounted that path lies on.
func tenancyIn(mountinfo []byte, device, path string) tenancy {
	found, own := false, true
	lines := bufio.NewScanner(bytes.NewReader(mountinfo))
	for lines.Scan() {
		// Number, parent, device, root of the mount within the volume, mount point.
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[2] != device {
			continue
		}
		point := unescapeMount(fields[4])
		if fields[3] != "/" || point == "/" {
			return theSystems
		}
		found, own = true, own && (point == path || strings.HasPrefix(point, filepath.Clean(path)+"/"))
	}
	switch {
	case !found || lines.Err() != nil:
		return theSystems
	case own:
		return itsOwn
	}
	return aVolume
}

// unescapeMount turns what mountinfo writes for blanks and backslashes back.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
