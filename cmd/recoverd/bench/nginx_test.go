package bench

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// server is the nginx that everybody fetches from.
type server struct {
	url string
	cmd *exec.Cmd
}

const nginxConf = `%[1]s
daemon off; pid %[2]s/pid; error_log %[2]s/error.log; worker_processes %[3]d;
events { worker_connections 4096; }
http {
	access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000; default_type application/octet-stream;
	client_body_temp_path %[2]s/a; proxy_temp_path %[2]s/b; fastcgi_temp_path %[2]s/c; uwsgi_temp_path %[2]s/d; scgi_temp_path %[2]s/e;
	server { listen %[4]s; root %[5]s; }
}
`

func startServer(t testing.TB, dir, root string) *server {
	t.Helper()
	as := ""
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		as = "user root;" // its workers must be able to read the test's directory
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxConf, as, dir, runtime.NumCPU(), address, root)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &server{url: "http://" + address, cmd: exec.Command("nginx", "-c", conf, "-p", dir, "-e", filepath.Join(dir, "error.log"))}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(os.Interrupt) // nginx ends its workers by itself
		_ = s.cmd.Wait()
	})
	until(t, "nginx answers", func() bool {
		answer, err := http.Get(s.url)
		return err == nil && answer.Body.Close() == nil
	})
	return s
}

// cpu is what the workers have used by now.
func (s *server) cpu(t testing.TB) time.Duration {
	t.Helper()
	master := s.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	if err != nil {
		t.Fatal(err)
	}
	var ticks int64
	for _, pid := range strings.Fields(string(children)) {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), ") ") // the name may hold spaces
		fields := strings.Fields(after)
		for _, at := range []int{11, 12} { // utime, stime
			n, err := strconv.ParseInt(fields[at], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * (time.Second / 100)
}

// until polls a condition about another process.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}
