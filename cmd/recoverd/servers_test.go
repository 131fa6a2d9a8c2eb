package main

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// requireServers is set where a missing server is a failure and not a skip.
const requireServers = "RECOVERD_REQUIRE_SERVERS"

// need skips the test, or fails it in CI, where a program is missing.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			lack(t, p+" is not installed")
		}
	}
}

func lack(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(requireServers) != "" {
		t.Fatalf("%s, and %s is set", why, requireServers)
	}
	t.Skip(why)
}

// freePort returns a loopback address nobody listens on now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
