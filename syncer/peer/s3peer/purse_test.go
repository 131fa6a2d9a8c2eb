package s3peer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// told notes what a purse tells.
type told struct{ lines []string }

func (l *told) trouble(err error) {
	if err == nil {
		l.lines = append(l.lines, "over")
		return
	}
	l.lines = append(l.lines, err.Error())
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func keysText(access string) string {
	return "[default]\naws_access_key_id = " + access + "\naws_secret_access_key = hush-" + access + "\n"
}

// bare takes away what the machine or the user may have.
func bare(t *testing.T) (home string) {
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	} {
		t.Setenv(name, "")
	}
	return home
}

// Keys in a file are replaced while it runs; bad ones leave the last good ones, which is
// told once, and quote nothing.
func TestKeysFileIsReplaced(t *testing.T) {
	bare(t)
	synctest.Test(t, func(t *testing.T) {
		path, l := filepath.Join(t.TempDir(), "keys"), &told{}
		p := newPurse(path, "", l.trouble)
		wants := func(what, want string) {
			t.Helper()
			value, err := p.get(t.Context())
			if value.AccessKeyID != want || (err == nil) != (want != "") {
				t.Errorf("%s: %q, %v, want %q", what, value.AccessKeyID, err, want)
			}
			time.Sleep(lookEvery + 1)
		}
		wants("no file", "")
		write(t, path, keysText("one"))
		wants("a first file", "one")
		write(t, path, keysText("two"))
		wants("another one", "two")
		write(t, path, "[default]\naws_access_key_id hush\n")
		for range 3 {
			wants("a broken one", "two")
		}
		write(t, path, "[other]\naws_access_key_id = three\naws_secret_access_key = hush\n")
		wants("no such profile", "two")
		os.Remove(path)
		wants("gone", "two")
		write(t, path, keysText("four"))
		wants("mended", "four")
		if len(l.lines) != 5 || l.lines[1] != "over" || l.lines[4] != "over" {
			t.Errorf("told %q", l.lines)
		}
		if all := strings.Join(l.lines, ""); strings.Contains(all, "hush") || !strings.Contains(all, path) {
			t.Errorf("told %q", all)
		}
	})
}

// Credentials that end are renewed before they do; if that fails they are used until
// then, and no longer. Nobody asks more often than every tryEvery.
func TestCredentialsThatEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, asked, broken := &told{}, 0, false
		p := newPurse("none", "", l.trouble)
		p.paths = nil
		p.wants = []source{{"role", func(context.Context) (credentials.Value, error) {
			asked++
			if broken {
				return credentials.Value{}, errors.New("status 500")
			}
			return credentials.Value{AccessKeyID: fmt.Sprint(asked), SecretAccessKey: "hush", Expiration: time.Now().Add(time.Hour)}, nil
		}}}
		wants := func(what, want string) {
			t.Helper()
			if value, err := p.get(t.Context()); value.AccessKeyID != want || (err == nil) != (want != "") {
				t.Errorf("%s: %q, %v, want %q", what, value.AccessKeyID, err, want)
			}
		}
		wants("at first", "1")
		time.Sleep(47 * time.Minute)
		wants("before it is time", "1")
		time.Sleep(2 * time.Minute)
		wants("when it is", "2")
		broken = true
		time.Sleep(50 * time.Minute)
		for range 10 {
			wants("though it cannot be renewed", "2")
		}
		if asked != 3 {
			t.Errorf("asked %d times", asked)
		}
		time.Sleep(11 * time.Minute)
		wants("past its end", "")
		broken = false
		wants("too soon", "")
		time.Sleep(tryEvery + 1)
		wants("mended", "5")
		if len(l.lines) != 2 || !strings.Contains(l.lines[0], "role: status 500") || l.lines[1] != "over" {
			t.Errorf("told %q", l.lines)
		}
	})
}

// One asks, the others wait for it, and no longer than they may.
func TestOneAsksForCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, let := 0, make(chan struct{})
		p := newPurse("none", "", nil)
		p.wants = []source{{"slow", func(context.Context) (credentials.Value, error) {
			asked++
			<-let
			return credentials.Value{AccessKeyID: "a", SecretAccessKey: "hush"}, nil
		}}}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if value, err := p.get(t.Context()); err != nil || value.AccessKeyID != "a" {
					t.Errorf("%v, %v", value, err)
				}
			})
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.get(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the end of the context", err)
		}
		close(let)
		wg.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// The chain: environment, shared files, role; and an error that names all of them.
func TestChain(t *testing.T) {
	home := bare(t)
	role := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId": "role", "SecretAccessKey": "hush", "Token": %q, "Expiration": "2999-01-01T00:00:00Z"}`, r.Header.Get("Authorization"))
	}))
	t.Cleanup(role.Close)
	wants := func(what, want, text string) {
		t.Helper()
		value, err := newPurse(keysChain, "", nil).get(t.Context())
		if value.AccessKeyID != want || !strings.Contains(fmt.Sprint(err), text) {
			t.Errorf("%s: %q, %v, want %q", what, value.AccessKeyID, err, want)
		}
	}
	wants("nothing", "", "no credentials (environment: none; shared files: none; role: none)")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL)
	wants("a role", "role", "")
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".aws", "credentials"), keysText("shared"))
	wants("a shared file", "shared", "")
	t.Setenv("AWS_ACCESS_KEY_ID", "environment")
	wants("half of the environment", "shared", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hush")
	wants("the environment", "environment", "")
}

// What is wrong with a file of keys is found before a request, and not quoted.
func TestKeysFileIsChecked(t *testing.T) {
	bare(t)
	path := filepath.Join(t.TempDir(), "keys")
	check := func(options string) error {
		t.Helper()
		l, err := Parse("s3://blobs/{id}?" + options)
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSigner(l, nil)
		if err != nil {
			return err
		}
		return s.Check(t.Context())
	}
	for _, tc := range []struct {
		text    string
		mode    os.FileMode
		options string
		want    string // empty: all is well
	}{
		{"", 0, "keys=" + path, "no such file"},
		{"", 0, "keys=none", ""},
		{"", 0, "keys=chain", ""},
		{keysText("a"), 0o600, "keys=" + path, ""},
		{keysText("a"), 0o644, "keys=" + path, "may be read by everybody"},
		{keysText("a"), 0o600, "profile=other&keys=" + path, "lacks the profile"},
		{"[default]\nhush\n", 0o600, "keys=" + path, "cannot be read"},
		{"[default]\naws_access_key_id = hush\n", 0o600, "keys=" + path, "or its keys"},
		{"[default]\n", 0o600, "keys=" + path, "or its keys"},
	} {
		if tc.mode != 0 {
			write(t, path, tc.text)
			if err := os.Chmod(path, tc.mode); err != nil {
				t.Fatal(err)
			}
		}
		err := check(tc.options)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%q, %o, %s: %v, want %q", tc.text, tc.mode, tc.options, err, tc.want)
		}
	}
}
