package crashstate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hexed writes every text between ' as strace -xx does.
func hexed(line string) string {
	var out strings.Builder
	for i, part := range strings.Split(line, "'") {
		if i%2 == 0 {
			out.WriteString(part)
			continue
		}
		for _, b := range []byte(part) {
			fmt.Fprintf(&out, `\x%02x`, b)
		}
	}
	return out.String()
}

func traceOf(lines ...string) (History, error) {
	tr := &trace{root: "/r", notes: "/notes", names: map[string]bool{".": true}}
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(hexed(line) + "\n")
	}
	err := tr.add(text.String())
	return tr.history, err
}

// TestTrace: descriptors, offsets, short writes, failures, files elsewhere, and two
// threads whose lines are mixed.
func TestTrace(t *testing.T) {
	h, err := traceOf(
		`7 openat(AT_FDCWD<'/'>, "'/r/a,b'", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3<'/r/a,b'>`,
		`7 openat(AT_FDCWD<'/'>, "'/r/a,b'", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3<'/r/a,b'>`,
		`7 openat(AT_FDCWD<'/'>, "'/elsewhere'", O_RDWR|O_CREAT, 0600) = 4<'/elsewhere'>`,
		`7 write(4<'/elsewhere'>, "'x'", 1) = 1`,
		`7 write(3<'/r/a,b'>, "'hello'", 5) = 4`,
		`7 write(3<'/r/a,b'>, "'o!'", 2) = 2`,
		`7 write(2<'pipe:[1]'>, "'x'", 1) = 1`,
		`7 write(9<'/notes'>, "'saved 1`+"\n"+`'", 8) = 8`,
		`7 pwrite64(3<'/r/a,b'>, "'XY'", 2, 8) = 2`,
		`7 pwrite64(3<'/r/a,b'>, "'XY'", 2, 8) = -1 ENOSPC (No space left on device)`,
		`7 fallocate(3<'/r/a,b'>, FALLOC_FL_KEEP_SIZE, 0, 8192) = 0`,
		`8 fsync(3<'/r/a,b'> <unfinished ...>`,
		`7 ftruncate(3<'/r/a,b'>, 2) = 0`,
		`8 <... fsync resumed>) = 0`,
		`7 mkdirat(5<'/r'>, "'d'", 0755) = 0`,
		`7 renameat(5<'/r'>, "'a,b'", 6<'/r/d'>, "'c'") = 0`,
		`7 write(3<'/r/d/c'>(deleted), "'x'", 1) = 1`,
		`7 syncfs(5<'/r'>) = 0`,
		`8 unlinkat(6<'/r/d'>, "'c'", 0 <detached ...>`,
		`9 ???( <detached ...>`,
		`7 +++ killed by SIGKILL +++`,
	)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, op := range h {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%v %s", op, op.Data)))
	}
	want := []string{
		"create a,b", "write a,b 0+4 hell", "write a,b 4+2 o!", "note saved 1", "write a,b 8+2 XY", "sync a,b", "truncate a,b to 2",
		"mkdir d", "rename a,b to d/c", "sync all .", "remove d/c",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if sync, cut := h[5], h[6]; sync.Begin > cut.Begin || sync.End < cut.End || h[10].End != Never {
		t.Errorf("moments: %v %d-%d, %v %d-%d, %v ends at %d", sync, sync.Begin, sync.End, cut, cut.Begin, cut.End, h[10], h[10].End)
	}
}

// TestTraceNameless: two files without a name, one after the other by the same
// descriptor; the second is opened, by another thread, before the first is closed.
func TestTraceNameless(t *testing.T) {
	h, err := traceOf(
		`7 openat(3<'/r/d'>, "'.'", O_WRONLY|O_CLOEXEC|O_TMPFILE, 0644) = 4<'/r/d/#11'>(deleted)`,
		`7 openat(3<'/q'>, "'.'", O_WRONLY|O_CLOEXEC|O_TMPFILE, 0644) = 5<'/q/#12'>(deleted)`,
		`7 write(4<'/r/d/#11'>(deleted), "'abc'", 3) = 3`,
		`7 write(5<'/q/#12'>(deleted), "'abc'", 3) = 3`,
		`8 openat(3<'/r/d'>, "'.'", O_WRONLY|O_CLOEXEC|O_TMPFILE, 0644 <unfinished ...>`,
		`7 write(4<'/r/d/#11'>(deleted), "'de'", 2) = 2`,
		`7 fdatasync(4<'/r/d/#11'>(deleted)) = 0`,
		`7 linkat(AT_FDCWD<'/'>, "'/proc/self/fd/4'", 3<'/r/d'>, "'a'", AT_SYMLINK_FOLLOW) = -1 EEXIST (File exists)`,
		`7 linkat(4<'/r/d/#11'>(deleted), "''", 3<'/r/d'>, "'b'", AT_EMPTY_PATH) = 0`,
		`7 linkat(5<'/q/#12'>(deleted), "''", 3<'/q'>, "'b'", AT_EMPTY_PATH) = 0`,
		`7 renameat(3<'/r/d'>, "'b'", 3<'/r/d'>, "'a'") = 0`,
		`7 close(4<'/r/d/#11'>(deleted)) = 0`,
		`8 <... openat resumed>) = 4<'/r/d/#13'>(deleted)`,
		`8 pwrite64(4<'/r/d/#13'>(deleted), "'xy'", 2, 0) = 2`,
		`8 linkat(AT_FDCWD<'/'>, "'/proc/self/fd/4'", 3<'/r/d'>, "'c'", AT_SYMLINK_FOLLOW) = 0`,
		`8 write(6<'/r/d/#14'>(deleted), "'x'", 1) = 1`,
	)
	if err == nil || !strings.Contains(err.Error(), "#14") && !strings.Contains(err.Error(), "without a name") {
		t.Errorf("a file that nobody opened: %v", err)
	}
	var got []string
	for _, op := range h {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%v %s", op, op.Data)))
	}
	want := []string{
		"nameless /1", "write /1 0+3 abc", "nameless /2", "write /1 3+2 de", "sync /1", "link /1 to d/b", "rename d/b to d/a",
		"write /2 0+2 xy", "link /2 to d/c",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is not understood is refused, if it could touch the root.
func TestTraceRefuses(t *testing.T) {
	for line, refused := range map[string]bool{
		`7 writev(3<'/r/a'>, [{iov_base="'x'", iov_len=1}], 1) = 1`:                           true,
		`7 writev(3<'/q/a'>, [{iov_base="'x'", iov_len=1}], 1) = 1`:                           false,
		`7 fallocate(3<'/r/a'>, FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE, 0, 1) = 0`:          true,
		`7 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3<'/r/a'>, 0) = 0x7f00`:         true,
		`7 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3<'/r/a'>, 0) = 0x7f00`:                    false,
		`7 symlinkat("'x'", 3<'/r'>, "'s'") = 0`:                                              true,
		`7 truncate("'/r/a'", 3) = 0`:                                                         true,
		`7 openat(3<'/r'>, "'.'", O_RDWR|O_TMPFILE, 0600) = 4<'/r/#1'>(deleted)`:              false,
		`7 linkat(AT_FDCWD<'/'>, "'/proc/self/fd/4'", 3<'/r'>, "'b'", 0x400) = 0`:             true,
		`7 linkat(4<'/r/#11'>(deleted), "''", 3<'/r'>, "'b'", AT_EMPTY_PATH) = 0`:             true,
		`7 linkat(AT_FDCWD<'/'>, "'/proc/self/fd/4'", 3<'/r'>, "'b'", AT_SYMLINK_FOLLOW) = 0`: true,
		`7 openat(3<'/r'>, "'a'", O_WRONLY|O_CREAT|O_APPEND, 0600) = 4<'/r/a'>`:               true,
		`7 openat(3<'/r'>, "'a'", O_RDONLY|O_CLOEXEC) = 4<'/r/a'>`:                            false,
		`7 write(3<'/r/a'>, "'abc'"..., 4096) = 4096`:                                         true,
		`7 renameat2(3<'/r'>, "'a'", 3<'/r'>, "'b'", RENAME_EXCHANGE) = 0`:                    true,
		`7 rename("'/q/a'", "'/r/a'") = 0`:                                                    true,
		`7 <... write resumed>) = 1`:                                                          true,
	} {
		if _, err := traceOf(line); (err != nil) != refused {
			t.Errorf("%s: %v", line, err)
		}
	}
}
