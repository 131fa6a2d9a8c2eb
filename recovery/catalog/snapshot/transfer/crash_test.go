package transfer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// victim, if set, makes this process fetch and kill itself after some pieces:
// "DIR URL PIECES".
const victim = "RECOVERD_TRANSFER_VICTIM"

func TestVictim(t *testing.T) {
	words := strings.Fields(os.Getenv(victim))
	if len(words) != 3 {
		t.Skip("only to be killed")
	}
	left, err := strconv.Atoi(words[2])
	if err != nil {
		t.Fatal(err)
	}
	c := config(openArchive(t, words[0]))
	c.Peers = []string{words[1]}
	c.Progress = func(Progress) {
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it arrives
		}
	}
	r := fetchAll(t, c)
	fmt.Println("unharmed", r.Reused)
}

// A fetch that is killed again and again leaves nothing but its draft, and goes
// on with what had arrived.
func TestKilledFetchGoesOn(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 12_000)
	s := serve(t, from, nil)
	a := newArchive(t)
	const each = 3 // pieces
	for kept := int64(0); ; kept += each * piece {
		cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", victim, a.Dir(), s.URL, each))
		out, err := cmd.CombinedOutput()
		if err == nil {
			if want := fmt.Sprintf("unharmed %d", kept); !strings.Contains(string(out), want) || kept == 0 {
				t.Errorf("want %q: %s", want, out)
			}
			break
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, out)
		}
		if files := dir(t, a.Dir()); len(entries(t, a)) != 0 || len(files) != 1 || !archive.IsDraft(files[0]) {
			t.Fatalf("it left %q", files)
		}
		if kept > e.Size {
			t.Fatal("it never ends")
		}
	}
	has(t, a, from, e)
}

// Hazard 51: a full disk is told as such, what has arrived stays, and with room
// again the fetch goes on.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "none", disk).CombinedOutput(); err != nil {
		t.Skipf("no mounts here: %s", out)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	from := newArchive(t)
	e := full(t, from, 12_000)
	s := serve(t, from, nil)
	if err := os.Mkdir(filepath.Join(disk, "archive"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := openArchive(t, filepath.Join(disk, "archive"))
	old := full(t, a, 100)
	c := config(a, s)
	filled := false
	c.Progress = func(p Progress) {
		if !filled && p.Done > 5*piece { // only now, so that it looked as if there were room
			filled = true
			f, err := os.Create(filepath.Join(disk, "ballast"))
			if err != nil {
				t.Error(err)
			}
			for err == nil {
				_, err = f.Write(make([]byte, 4096))
			}
			f.Close()
		}
	}
	failed := fails(t, c)
	if !errors.Is(failed, syscall.ENOSPC) || failed.Peers[0].Err != nil {
		t.Errorf("%v", failed)
	}
	var space *archive.SpaceError
	if err := fails(t, c); !errors.As(err, &space) {
		t.Errorf("%v", err)
	}
	if all := entries(t, a); len(all) != 1 || all[0].Name != old.Name {
		t.Errorf("%+v", all)
	}
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	r := fetchAll(t, c)
	if r.Reused < 5*piece || r.Reused+r.Fetched != e.Size || len(entries(t, a)) != 2 {
		t.Errorf("%+v", r)
	}
}
