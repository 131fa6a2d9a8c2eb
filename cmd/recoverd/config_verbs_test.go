package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A flag wins over the environment, that over the file, and that over the default; and
// config print says which it was, without secrets.
func TestConfigPrintNamesSources(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recoverd.yaml")
	writeFile(t, path, "state-dir: /from/file\nconcurrency: 7\npark-after: 3\npeer:\n  - http://user:hunter2@one/{id}\n  - http://two/{id}\n")
	t.Setenv("RECOVERD_CONFIG", path)
	t.Setenv("RECOVERD_CONCURRENCY", "9")
	t.Setenv("RECOVERD_BWLIMIT", "20MiB")
	args := []string{"config", "print", "--concurrency", "11", "--catalog", "postgres://me:hunter2@db/blobs?sslpassword=hunter2"}
	var list []setting
	if err := json.Unmarshal([]byte(must(t, append(args, "-o", "json")...)), &list); err != nil {
		t.Fatal(err)
	}
	got := map[string]setting{}
	for _, s := range list {
		got[s.Name] = s
	}
	for _, want := range []setting{
		{"concurrency", []string{"11"}, "flag", ""},
		{"bwlimit", []string{"20MiB"}, "environment", "RECOVERD_BWLIMIT"},
		{"config", []string{path}, "environment", "RECOVERD_CONFIG"},
		{"state-dir", []string{"/from/file"}, "file", path},
		{"park-after", []string{"3"}, "file", path},
		{"peer", []string{"http://***@one/{id}", "http://two/{id}"}, "file", path},
		{"catalog", []string{"postgres://***@db/blobs?sslpassword=***"}, "flag", ""},
		{"stop-grace", []string{"10s"}, "default", ""},
		{"allowed-host", []string{}, "default", ""},
	} {
		if toJSON(got[want.Name]) != toJSON(want) {
			t.Errorf("got %s, want %s", toJSON(got[want.Name]), toJSON(want))
		}
	}
	flags := 0
	text := must(t, args...)
	for name := range got {
		flags++
		if !strings.Contains(text, "\n"+name+" ") && !strings.HasPrefix(text, name+" ") {
			t.Errorf("--%s is not printed", name)
		}
	}
	if flags < 30 || strings.Contains(text, "hunter2") || strings.Contains(text, "output") {
		t.Errorf("%d settings:\n%s", flags, text)
	}
	if _, stderr, code := invoke(t, "config", "print", "--concurrency", "many"); code != exitUsage {
		t.Errorf("nonsense: exit code %d\n%s", code, stderr)
	}
	t.Setenv("RECOVERD_COLOUR", "red")
	if _, stderr, code := invoke(t, "config", "print"); code != exitConfig || !strings.Contains(stderr, "RECOVERD_COLOUR") {
		t.Errorf("an unknown variable: exit code %d\n%s", code, stderr)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	for text, want := range map[string]string{
		"http://host:8080/{shard}/{id}":              "http://host:8080/{shard}/{id}",
		"http://[::1]:80/a@b":                        "http://[::1]:80/a@b",
		"https://token@host/":                        "https://***@host/",
		"https://a:b@c:d@host/x":                     "https://***@host/x",
		"postgres://me:pa/ss#w@db:5432/x":            "postgres://***@db:5432/x",
		"postgres://db/x?user=me&password=p&a=b":     "postgres://db/x?user=me&password=***&a=b",
		"host=db user=me password=secret sslmode=on": "host=db user=me password=*** sslmode=on",
		`password = 'it\'s here' dbname=x`:           "password = *** dbname=x",
		"https://s3/x?X-Amz-Signature=abc&n=1":       "https://s3/x?X-Amz-Signature=***&n=1",
		"/etc/recoverd/tls.key":                      "/etc/recoverd/tls.key",
		"":                                           "",
	} {
		if got := hideSecrets(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// config check reads what run would, changes nothing, and tells every problem at once.
func TestConfigCheck(t *testing.T) {
	f := newFleet(t, 10, 100)
	args := append([]string{"config", "check"}, f.run()[1:]...)
	before := tree(t, f.dir)
	out := must(t, args...)
	for _, part := range []string{"every flag makes sense", "4 of 4 shards owned, epoch 1", "1 template", "10 certified blobs", "will be made"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is missing:\n%s", part, out)
		}
	}
	if after := tree(t, f.dir); after != before {
		t.Errorf("it made something:\n%s\n%s", before, after)
	}
	start(t, f.run()...)
	f.tells([]string{"wait", "-q"})
	if out := must(t, args...); !strings.Contains(out, "a daemon is running") || !strings.Contains(out, "cursor") {
		t.Errorf("beside a daemon:\n%s", out)
	}

	catalog, err := os.ReadFile(f.catalog)
	if err != nil {
		t.Fatal(err)
	}
	catalog[len(catalog)/2] ^= 1
	writeFile(t, f.path("rotten.rsnap"), string(catalog))
	writeFile(t, f.path("bad.yaml"), "epoch: 1\ntotal_shards: 4\nowned: \"0-9\"\n")
	writeFile(t, f.path("state/limits.json"), `{"concurrency": -1}`)
	stdout, stderr, code := invoke(t, "config", "check", "--state-dir", f.path("state"), "--catalog", f.path("rotten.rsnap"), "--ownership", f.path("bad.yaml"),
		"--store", f.path("none/store"), "--peer", "ftp://me:hunter2@host/{id}", "--peer", "http://host/blob", "--listen", "0.0.0.0:7070", "--log-format", "xml", "--park-after", "0", "--hedge", "-1")
	if code != exitConfig {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	for _, part := range []string{
		"--park-after must be more than zero", "--hedge must not be less than zero", `--log-format "xml"`, "ownership", "rotten.rsnap", "none/store cannot be made", "http://host/blob",
		"it must begin with http:// or https://", "--listen", "limits.json, which `recoverd limits` wrote", "PROBLEM",
	} {
		if !strings.Contains(stdout, part) {
			t.Errorf("%q is missing:\n%s", part, stdout)
		}
	}
	if strings.Contains(stdout+stderr, "hunter2") {
		t.Errorf("a secret is told:\n%s%s", stdout, stderr)
	}
	stdout, _, code = invoke(t, "config", "check", "-o", "json")
	var found []checked
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || code != exitConfig || len(found) < 5 || found[0].Problem == "" {
		t.Errorf("with no flag at all: exit code %d, %v\n%s", code, err, stdout)
	}
}

// tree lists what is below a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			names = append(names, path+info.ModTime().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}
