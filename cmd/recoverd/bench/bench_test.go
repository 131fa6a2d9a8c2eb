package bench

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	measure  = flag.Bool("measure", false, "take the measurements: half an hour, 6 GB of disk")
	program  = flag.String("recoverd", "", "recoverd to measure; empty: it is built of this tree")
	outFile  = flag.String("out", "", "file for the tables, as Markdown; empty for none")
	nBlobs   = flag.Int("blobs", 50_000, "blobs of 4 KiB")
	nLarge   = flag.Int("large", 200, "blobs of 8 MiB")
	nRounds  = flag.Int("rounds", 5, "rounds; medians are printed")
	onlyTool = flag.String("only", "", "measure these programs alone, separated by commas")
)

// asPlain makes the test binary be one of the plain Go programs: they are measured
// as processes, like everybody else.
const asPlain = "RECOVERD_TEST_PLAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlain) != "" {
		os.Exit(plainMain(os.Args[1:]))
	}
	flag.Parse()
	os.Exit(m.Run())
}

// programs are what the comparison needs, and the Debian package of each.
var programs = []struct{ name, from string }{
	{"nginx", "nginx-light"}, {"rclone", "rclone"}, {"aria2c", "aria2"}, {"curl", "curl"},
}

// missing names what is not installed, and how to get it; empty if all is there.
func missing() string {
	var names, from []string
	for _, p := range programs {
		if _, err := exec.LookPath(p.name); err != nil {
			names, from = append(names, p.name), append(from, p.from)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, ", ") + " is not installed: apt-get install " + strings.Join(from, " ")
}

// TestMeasurePeers takes the measurements that PEERS.md holds. Counts and bytes are
// asserted, times never.
func TestMeasurePeers(t *testing.T) {
	if !*measure {
		t.Skip("run make bench-peers")
	}
	if lacking := missing(); lacking != "" {
		t.Fatalf("nothing was measured: %s", lacking)
	}
	b := newBench(t, t.TempDir(), *nBlobs, *nLarge, *nRounds)
	b.only = *onlyTool
	b.run()
	text := b.report()
	t.Logf("\n%s", text.plain())
	if *outFile == "" {
		return
	}
	if err := os.WriteFile(*outFile, []byte(text.markdown()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The whole comparison with a few blobs: every program is run, and every tree is
// checked to the byte.
func TestServersPeers(t *testing.T) {
	required := os.Getenv("RECOVERD_REQUIRE_SERVERS") != ""
	if !required && flag.Lookup("test.run").Value.String() == "" {
		t.Skip("nobody asked for it; make servers does")
	}
	if lacking := missing(); lacking != "" {
		if required {
			t.Fatal(lacking)
		}
		t.Skip(lacking)
	}
	b := newBench(t, t.TempDir(), 200, 2, 1)
	b.places = []place{newDirectories(t, filepath.Join(b.dir, "out"))}
	b.run()
	for _, c := range b.cases {
		for _, r := range c.runs {
			if len(r.seen) != 1 || r.seen[0].wall <= 0 || r.seen[0].peak == 0 {
				t.Errorf("%s, %s: %+v", c.name(), r.tool.name, r.seen)
			}
		}
	}
	text := b.report()
	for _, want := range []string{"recoverd", "rclone", "aria2c", "curl", limitName, unsafeName} {
		if !strings.Contains(text.markdown(), want) {
			t.Errorf("the report does not speak of %s:\n%s", want, text.markdown())
		}
	}
}

// build makes the program that is measured.
func build(t testing.TB, dir string) string {
	t.Helper()
	if *program != "" {
		return *program
	}
	path := filepath.Join(dir, "recoverd")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", path, "..").CombinedOutput(); err != nil {
		t.Fatalf("build recoverd: %v: %s", err, out)
	}
	return path
}
