package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/audit"
)

// What a configuration file is read as are flags' values, or it is refused: the whole
// way, into the flags of run.
func FuzzConfigFile(f *testing.F) {
	for _, text := range []string{
		"peer: [http://h/{id}, 'http://g/{id}']\nconcurrency: auto\nbwlimit: 20MiB\n", "concurrency: {a: 1}", "peer: [[a]]", "a: &a [*a]", "- 1", "bwlimit: 1e3", "exit-when-complete: maybe", "\xff",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		values, err := readConfigFile(path)
		if err != nil {
			return
		}
		flags := newRunCommand().Flags()
		for name, list := range values {
			if list == nil {
				t.Fatalf("%s has no values, and no error", name)
			}
			if flag := flags.Lookup(name); flag != nil {
				_ = setFlag(flags, flag, path, list) // refused, or not: it does not panic
			}
		}
	})
}

// A size is written as it is read again.
func FuzzByteSize(f *testing.F) {
	for _, text := range []string{"0", "1048576", "64MiB", "1GB", "20 mib", "-1", "1e3", "0.5KiB", "99999999999999999999", "18446744073709551615", "16EiB", "NaN", "Inf", "1,000"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size, again byteSize
		if size.Set(text) != nil {
			return
		}
		if err := again.Set(size.String()); err != nil || again != size {
			t.Fatalf("%q is %d, written as %q, and read as %d, %v", text, size, size.String(), again, err)
		}
	})
}

// The small values of command lines and requests: read, or refused.
func FuzzArguments(f *testing.F) {
	for _, text := range []string{"", "auto", "64", "-1", "latest", "7", "18446744073709551615", "3-9", "9-3", "0-1", "info", "trace", "host:1=/a/b", "/a=b", "65535", recovery.BlobID{1}.String()} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c, again concurrency
		if c.Set(text) == nil && (again.Set(c.String()) != nil || again != c) {
			t.Errorf("concurrency %q is %+v", text, c)
		}
		if n, err := parseTarget(text); err == nil && (n == 0 || n == archive.Latest && text != "latest") {
			t.Errorf("target %q is %d", text, n)
		}
		if r, err := parseRange(text); err == nil && (r.Empty() || r.First == 0) {
			t.Errorf("range %q is %v", text, r)
		}
		if n, err := parseShard(text); err == nil && n >= shards.MaxTotal {
			t.Errorf("shard %q is %d", text, n)
		}
		if level, err := parseLevel(text); err == nil && level.String() != text && text != "" {
			if again, err := parseLevel(level.String()); err != nil || again != level {
				t.Errorf("level %q is %v", text, level)
			}
		}
		if files, err := parseHostFiles("peer-ca", []string{text}); err == nil && len(files) != 1 {
			t.Errorf("files of %q: %v", text, files)
		}
		if ids, err := parseIDs([]string{text}); err == nil && len(ids) != 1 {
			t.Errorf("ids of %q: %v", text, ids)
		}
	})
}

// What is kept of a verification has a right checksum and makes sense, or it is refused.
func FuzzVerifyState(f *testing.F) {
	for _, s := range []*verifyState{
		newVerifyState(verifyKey{Placement: shards.Hashed, Owned: shards.Range(0, 3), TotalShards: 4}),
		{Version: verifyVersion, Of: verifyKey{Placement: shards.Striped, Repair: true}, Mark: recovery.MarkAt(recovery.BlobID{7}), Sums: verifySums{Wrong: map[audit.Kind]uint64{}, Repair: &repairSums{Queued: 3}}},
	} {
		text, err := encodeVerifyState(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		line, _, _ := bytes.Cut(given, []byte("\n"))
		for _, data := range [][]byte{given, sealed(bytes.Clone(line))} {
			s, err := decodeVerifyState(data)
			if err != nil {
				continue
			}
			once, err := encodeVerifyState(s)
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeVerifyState(once)
			if err != nil || s.Mark.End() || s.Sums.Wrong == nil {
				t.Fatalf("%q is %+v: %v", data, s, err)
			}
			if twice, err := encodeVerifyState(again); err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%s became %s, %v", once, twice, err)
			}
		}
	})
}

// A line of the history is one event that is written again as the same, or it is none.
func FuzzHistory(f *testing.F) {
	for _, e := range someHistory(2) {
		text, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var e, again worker.RunEvent
		if json.Unmarshal(line, &e) != nil {
			return
		}
		once, err := json.Marshal(e)
		if err != nil {
			return // a time that JSON has no form for
		}
		if err := json.Unmarshal(once, &again); err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
	})
}
