package statusapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openToken(t *testing.T, dir string) Token {
	t.Helper()
	token, err := OpenToken(dir)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	first := openToken(t, dir)
	text, err := os.ReadFile(TokenPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(TokenPath(dir))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want a file with 0600", info.Mode(), err)
	}
	secret := strings.TrimSuffix(string(text), "\n")
	if raw, err := base64.RawURLEncoding.DecodeString(secret); err != nil || len(raw) != 32 {
		t.Errorf("it holds %d bytes, %v", len(raw), err)
	}
	if !first.matches(secret) || first != openToken(t, dir) {
		t.Error("the second start reads another token")
	}
	if other := openToken(t, t.TempDir()); other == first {
		t.Error("two directories have one token")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// A start that was killed at any step leaves nothing that stops the next one, or
// that half a token could be read from.
func TestTokenAfterAKill(t *testing.T) {
	for name, draft := range map[string]string{"nothing written": "", "half": "c2Vj", "all but the name": sampleToken + "\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(TokenPath(dir)+".new", []byte(draft), 0o600); err != nil {
			t.Fatal(err)
		}
		if token := openToken(t, dir); draft != "" && token.matches(strings.TrimSpace(draft)) {
			t.Errorf("%s: the draft became the token", name)
		}
		if _, err := os.Lstat(TokenPath(dir) + ".new"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the draft is still there", name)
		}
	}
}

func TestTokenThatMustNotBeUsed(t *testing.T) {
	write := func(mode os.FileMode, text string) func(string) error {
		return func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode))
		}
	}
	for _, tc := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"others may read it", write(0o644, sampleToken), "mode 0644, want 0600"},
		{"the group may read it", write(0o640, sampleToken), "mode 0640"},
		{"even its owner may not write it", write(0o400, sampleToken), "mode 0400"},
		{"empty", write(0o600, ""), "does not hold a token"},
		{"too short", write(0o600, sampleToken[:40]), "does not hold a token"},
		{"two lines", write(0o600, sampleToken+"\n"+sampleToken+"\n"), "does not hold a token"},
		{"endless", write(0o600, strings.Repeat(sampleToken, 1000)), "does not hold a token"},
		{"a word", write(0o600, "password"), "does not hold a token"},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o600) }, "not a regular file"},
		{"a link", func(path string) error { return os.Symlink("/dev/zero", path) }, "symbolic link"},
		{"a link to nothing", func(path string) error { return os.Symlink(path+".gone", path) }, "symbolic link"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tc.make(TokenPath(dir)); err != nil {
				t.Fatal(err)
			}
			_, err := OpenToken(dir)
			if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), TokenPath(dir)) {
				t.Errorf("got %v, want ErrToken, the path and %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), sampleToken[:8]) {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func TestTokenOfAnotherUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(sampleToken), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	if err := os.Chown(path, 4711, 4711); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenToken(filepath.Dir(path)); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "another user") {
		t.Errorf("got %v", err)
	}
}

func TestTokenWhereNoneCanBeMade(t *testing.T) {
	if _, err := OpenToken(filepath.Join(t.TempDir(), "none")); err == nil || errors.Is(err, ErrToken) {
		t.Errorf("got %v, want an error of making it", err)
	}
}

// However a configuration is printed, its token is not told; and no token is not
// the empty one.
func TestTokenIsNotTold(t *testing.T) {
	token := NewToken(sampleToken)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, Config{Token: token}); strings.Contains(text, sampleToken) {
			t.Errorf("%s tells it: %s", format, text)
		}
	}
	if none := (Token{}); none.matches("") || NewToken("").matches("") {
		t.Error("no token is matched by nothing")
	}
}
