package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The unit is verified with a program that is there in the place of recoverd.
func unit(t *testing.T) (path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, "systemd", "recoverd.service")
	if strings.Count(text, "/usr/bin/recoverd ") != 1 {
		t.Fatal("the unit does not start /usr/bin/recoverd")
	}
	path = filepath.Join(t.TempDir(), "recoverd.service")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "/usr/bin/recoverd ", self+" ")), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServersSystemdVerify(t *testing.T) {
	if out := must(t, "systemd-analyze", "verify", "--man=no", unit(t)); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
}

func TestServersSystemdSecurity(t *testing.T) {
	must(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", unit(t))
}

// What the exit codes, the main loop and the way to stop ask of the unit.
func TestUnit(t *testing.T) {
	text := read(t, "systemd", "recoverd.service")
	for _, line := range []string{
		"Type=notify", "WatchdogSec=60", "TimeoutStartSec=infinity", "TimeoutStopSec=60", "KillMode=mixed", "ExecReload=/bin/kill -HUP $MAINPID",
		"Restart=on-failure", "RestartPreventExitStatus=64 78", "StartLimitIntervalSec=0", "StateDirectory=recoverd",
		"NoNewPrivileges=yes", "ProtectSystem=strict", "SystemCallFilter=@system-service",
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
}
