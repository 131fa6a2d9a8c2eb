package statusapi

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// TokenPath is where the token of a state directory is kept.
func TokenPath(stateDir string) string { return filepath.Join(stateDir, "token") }

// ErrToken reports a token file that must not be used. A command leaves with
// exit code 78.
var ErrToken = errors.New("statusapi: bad token file")

// Token is what a request over TCP that changes something must show. Only its
// digest is kept, so that no log, dump or message can tell it. The zero value
// is no token, and nothing matches it.
type Token struct {
	sum [sha256.Size]byte
	set bool
}

// NewToken returns the token that text is; the empty text is no token.
func NewToken(text string) Token {
	return Token{sum: sha256.Sum256([]byte(text)), set: text != ""}
}

// matches compares in a time that does not depend on where the texts differ.
func (t Token) matches(text string) bool {
	given := sha256.Sum256([]byte(text))
	return t.set && subtle.ConstantTimeCompare(t.sum[:], given[:]) == 1
}

// tokenBytes is the number of random bytes of a token, and maxTokenFile bounds
// its file, in bytes.
const (
	tokenBytes   = 32
	maxTokenFile = 256
)

// OpenToken reads the token of a state directory, and makes one that is durable
// if there is none. The caller holds the lock of the directory. It wraps
// ErrToken for a file that others can read or that belongs to somebody else, and
// for anything that holds no token: somebody may know it, or nobody can.
func OpenToken(stateDir string) (Token, error) {
	path := TokenPath(stateDir)
	token, err := readToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	if err := makeToken(path); err != nil {
		return Token{}, fmt.Errorf("make the token %s: %w", path, err)
	}
	return readToken(path)
}

// readToken follows no link, and trusts a file only if nobody else could have
// read it.
func readToken(path string) (Token, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ELOOP):
		return Token{}, fmt.Errorf("%w: %s is a symbolic link; %s", ErrToken, path, tokenRemedy)
	case err != nil:
		return Token{}, fmt.Errorf("open the token: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return Token{}, fmt.Errorf("look at the token: %w", err)
	}
	if why := distrust(info); why != "" {
		return Token{}, fmt.Errorf("%w: %s %s; %s", ErrToken, path, why, tokenRemedy)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
	if err != nil {
		return Token{}, fmt.Errorf("read the token: %w", err)
	}
	secret := strings.TrimSuffix(string(text), "\n")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if err != nil || len(raw) != tokenBytes || len(secret) != base64.RawURLEncoding.EncodedLen(tokenBytes) { // which skips line ends
		return Token{}, fmt.Errorf("%w: %s does not hold a token; %s", ErrToken, path, tokenRemedy)
	}
	return NewToken(secret), nil
}

const tokenRemedy = "remove it, and the next start makes a new one"

// distrust says what is wrong with a token file, or "".
func distrust(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "is not a regular file"
	case info.Mode().Perm() != 0o600:
		return fmt.Sprintf("has mode %04o, want 0600: others may know it", info.Mode().Perm())
	case !ok || stat.Uid != uint32(os.Geteuid()):
		return "belongs to another user, who may know it"
	}
	return ""
}

// makeToken gives a token its name once it is durable, and makes the name
// durable: what a killed process left is either a whole token or a draft.
func makeToken(path string) error {
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	secret := make([]byte, tokenBytes)
	rand.Read(secret) // never fails
	file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, base64.RawURLEncoding.EncodeToString(secret)+"\n")
	if err = errors.Join(err, file.Chmod(0o600), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	if err := os.Rename(draft, path); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
