package fs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
)

// direntBuffer is the size in bytes of the buffer that a directory is read with.
const direntBuffer = 128 << 10

// errDirents: the kernel's answer is not a list of entries.
var errDirents = errors.New("bad directory entries")

// readEntries calls fn with the name and the type (DT_*) of every entry of a
// directory, in the order of the file system. The name is fn's only until it
// returns. "." and ".." are among them.
func readEntries(ctx context.Context, dir *os.File, buf []byte, fn func(name []byte, kind uint8) error) error {
	defer runtime.KeepAlive(dir)
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list %s: %w", dir.Name(), err)
		}
		var n int
		err := retryEINTR(func() (err error) { n, err = unix.ReadDirent(int(dir.Fd()), buf); return err })
		if err != nil {
			return fmt.Errorf("list %s: %w", dir.Name(), err)
		}
		if n <= 0 {
			return nil
		}
		if err := parseDirents(buf[:n], fn); err != nil {
			return fmt.Errorf("list %s: %w", dir.Name(), err)
		}
	}
}

// parseDirents walks a buffer of struct linux_dirent64: inode (8 bytes), offset
// (8), length of the record (2), type (1), name, NUL.
func parseDirents(buf []byte, fn func(name []byte, kind uint8) error) error {
	const lengthAt, kindAt, nameAt = 16, 18, 19
	for len(buf) > 0 {
		if len(buf) < nameAt {
			return errDirents
		}
		length := int(binary.NativeEndian.Uint16(buf[lengthAt:]))
		if length <= nameAt || length > len(buf) {
			return errDirents
		}
		name := buf[nameAt:length]
		end := bytes.IndexByte(name, 0)
		if end < 0 {
			return errDirents
		}
		if err := fn(name[:end], buf[kindAt]); err != nil {
			return err
		}
		buf = buf[length:]
	}
	return nil
}

// parseID reads 64 lower-case hex digits, eight at a time; about 10 ns. A digit c
// has the value (c & 15) + 9 * (bit 6 of c); what does not turn back into the
// same characters was no digit.
func parseID(name []byte, id *recovery.BlobID) bool {
	const ones = 0x0101010101010101
	if len(name) != 2*len(id) {
		return false
	}
	var bad uint64
	for i := 0; i < len(id); i += 4 {
		text := binary.LittleEndian.Uint64(name[2*i:])
		nibbles := text&(ones*0x0f) + (text>>6&ones)*9
		letters := (nibbles + ones*(0x80-10)) >> 7 & ones
		bad |= nibbles & (ones * 0xf0)
		bad |= (nibbles + ones*'0' + letters*('a'-'0'-10)) ^ text
		pairs := (nibbles<<4 | nibbles>>8) & 0x00ff00ff00ff00ff
		pairs = (pairs | pairs>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(id[i:], uint32(pairs|pairs>>16))
	}
	return bad == 0
}

// isRegular reports whether an entry is a regular file, asking the file system
// where the listing does not say.
func isRegular(dir *os.File, name []byte, kind uint8) (bool, error) {
	if kind != unix.DT_UNKNOWN {
		return kind == unix.DT_REG, nil
	}
	var st unix.Stat_t
	err := retryEINTR(func() error {
		return unix.Fstatat(int(dir.Fd()), string(name), &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	runtime.KeepAlive(dir)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s in %s: %w", name, dir.Name(), err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFREG, nil
}
