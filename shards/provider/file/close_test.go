package file

import (
	"path/filepath"
	"testing"
)

// When Close returns, nothing of the provider runs any more.
func TestCloseJoins(t *testing.T) {
	p, err := Open(Config{Path: filepath.Join(t.TempDir(), "ownership.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-p.done:
	default:
		t.Error("the goroutine still runs")
	}
}
