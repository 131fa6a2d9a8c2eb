package fs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestParseDirty(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want int64
		bad  bool
	}{
		"linux":        {text: "MemTotal:  100 kB\nDirty:             260 kB\nWriteback:         4 kB\nWritebackTmp:  9 kB\n", want: 264 << 10},
		"no dirty":     {text: "MemTotal:  100 kB\nWriteback: 4 kB\n", bad: true},
		"no writeback": {text: "MemTotal:  100 kB\nDirty: 4 kB\nWritebackTmp: 9 kB\n", bad: true},
		"pages":        {text: "A: 1 kB\nDirty: 4\nWriteback: 0 kB\n", bad: true},
		"less than 0":  {text: "A: 1 kB\nDirty: -4 kB\nWriteback: 0 kB\n", bad: true},
		"huge":         {text: "A: 1 kB\nDirty: 99999999999999999999 kB\nWriteback: 0 kB\n", bad: true},
		"cut":          {text: "A: 1 kB\nDirty: 4 kB\nWriteback:", bad: true},
		"empty":        {bad: true},
	} {
		got, err := parseDirty([]byte(tt.text))
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	if _, err := dirtyPages(); err != nil {
		t.Error(err)
	}
	if got := othersOf(100, nil, 30); got != 70 {
		t.Errorf("of 100, 30 of them ours: %d", got)
	}
	if got := othersOf(100, nil, 200) + othersOf(100, os.ErrPermission, 0); got != 0 {
		t.Errorf("fewer than ours, or unknown: %d", got)
	}
}

func TestParseWritten(t *testing.T) {
	for text, want := range map[string]int64{
		"  94  0 752 20 3 0 24 9 0 28 29 0 0 0 0 1 0\n": 24 * 512,
		"94 0 752 20 3 0":     -1,
		"94 0 752 20 3 0 x 9": -1,
		"":                    -1,
	} {
		got, ok := parseWritten(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestTenancy(t *testing.T) {
	const mounts = `22 27 0:21 / /proc rw - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 8:16 / /data rw - xfs /dev/sdb rw
41 27 8:32 / /data/store rw - xfs /dev/sdc rw
42 27 8:48 / /data/store/7 rw - xfs /dev/sdd rw
43 27 8:64 /volumes/a /pod rw - xfs /dev/sde rw
44 27 8:80 / /two\040words rw - xfs /dev/sdf rw
45 27 8:96 / /x rw - xfs /dev/sdg rw
46 27 8:96 / /y rw - xfs /dev/sdg rw
`
	for _, tt := range []struct {
		device, path string
		want         tenancy
	}{
		{"254:0", "/srv/store", theSystems},
		{"8:16", "/data/blobs", aVolume},
		{"8:16", "/data", itsOwn},
		{"8:32", "/data/store", itsOwn},
		{"8:48", "/data/store", itsOwn},
		{"8:64", "/pod", theSystems}, // a part of a volume
		{"8:80", "/two words", itsOwn},
		{"8:96", "/x", aVolume}, // mounted twice
		{"9:1", "/data", theSystems},
	} {
		if got := tenancyIn([]byte(mounts), tt.device, tt.path); got != tt.want {
			t.Errorf("%s at %s: %v", tt.device, tt.path, got)
		}
	}
	mount := filepath.Join(t.TempDir(), "mount")
	check(t, os.Mkdir(mount, 0o755))
	tmpfs(t, mount, "size=1m")
	check(t, os.Mkdir(filepath.Join(mount, "store"), 0o755))
	for path, want := range map[string]tenancy{mount: itsOwn, filepath.Join(mount, "store"): aVolume, "/": theSystems} {
		dir, err := os.Open(path)
		check(t, err)
		if got := tenancyOf(dir); got != want {
			t.Errorf("%s: %v", path, got)
		}
		check(t, dir.Close())
	}
}

// Whatever the kernel says: a number of bytes that can be, or an error.
func FuzzKernelTables(f *testing.F) {
	for _, text := range []string{"MemTotal: 1 kB\nDirty:  12 kB\nWriteback: 0 kB\n", "\nDirty: -1 kB\nWriteback: 1 kB", "\nDirty:\nWriteback:", "1 2 3 4 5 6 7 8", "1 2 3 4 5 6 99999999999999999999"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := parseDirty([]byte(text)); n < 0 || err != nil && n != 0 {
			t.Errorf("%d dirty bytes, %v", n, err)
		}
		if d, err := ParseDurability(text); err == nil && d.String() != text {
			t.Errorf("%q is the durability %v", text, d)
		}
		if n, ok := parseWritten(text); ok && n < 0 {
			t.Errorf("%d bytes written", n)
		}
	})
}
