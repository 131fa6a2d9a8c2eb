// Package s3test starts a real S3 server for tests: versitygw, over a directory.
package s3test

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// The gateway's keys, and its region.
const (
	AccessKey = "gateway-access"
	SecretKey = "gateway-hush-hush"
	Region    = "us-east-1"
)

// module and version are what .cache/bin/versitygw must be made of.
const (
	module  = "github.com/versity/versitygw"
	version = "v1.8.0"
)

// patience bounds the start and the end of the gateway.
const patience = 20 * time.Second

// Gateway is a running server with one bucket.
type Gateway struct {
	URL    string
	Bucket string
}

// Start runs a gateway on a free port of loopback until the test ends. Where it is not
// built the test is skipped, or fails if RECOVERD_REQUIRE_SERVERS is set.
func Start(t testing.TB) *Gateway {
	t.Helper()
	program := find(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	root, meta := t.TempDir(), t.TempDir()
	cmd := exec.Command(program, "--port", address, "--quiet", "--region", Region, "posix", "--sidecar", meta, root)
	cmd.Env = []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, cmd, &said) })
	g := &Gateway{URL: "http://" + address, Bucket: "blobs"}
	g.await(t)
	g.do(t, http.MethodPut, "/"+g.Bucket, nil)
	return g
}

func stop(t testing.TB, cmd *exec.Cmd, said *bytes.Buffer) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	hurry := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	hurry.Stop()
	if t.Failed() {
		t.Logf("the gateway said: %s", said)
	}
}

// find returns the program, which `make .cache/bin/versitygw` builds.
func find(t testing.TB) string {
	t.Helper()
	root, err := os.Getwd()
	for ; err == nil && root != filepath.Dir(root); root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
	}
	program := filepath.Join(root, ".cache", "bin", "versitygw")
	info, err := buildinfo.ReadFile(program)
	if err == nil && info.Main.Path == module && info.Main.Version == version {
		return program
	}
	why := fmt.Sprintf("%s is not versitygw %s: remove what is there, and run make .cache/bin/versitygw (%v)", program, version, err)
	if os.Getenv("RECOVERD_REQUIRE_SERVERS") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

func (g *Gateway) await(t testing.TB) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(patience); ; {
		resp, err := client.Get(g.URL)
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the gateway does not answer: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Put stores an object.
func (g *Gateway) Put(t testing.TB, key string, content []byte) {
	t.Helper()
	g.do(t, http.MethodPut, "/"+g.Bucket+"/"+s3utils.EncodePath(key), content)
}

func (g *Gateway) do(t testing.TB, method, path string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	req = signer.SignV4(*req, AccessKey, SecretKey, "", Region)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s, %v", method, path, resp.Status, text, err)
	}
}
