package statusapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, w := sampleConfig()
		s := newServer(t, cfg)
		for _, tc := range []struct {
			name   string
			turned time.Time
			code   int
		}{
			{"just now", time.Now(), 200},
			{"as long ago as may be", time.Now().Add(-30 * time.Second), 200},
			{"too long ago", time.Now().Add(-30*time.Second - 1), 503},
			{"never", time.Unix(0, 0), 503},
			{"before the clock went back", time.Now().Add(time.Hour), 200},
		} {
			w.turned = tc.turned
			if answer := ask(s, "/livez"); answer.Code != tc.code {
				t.Errorf("%s: code %d, want %d: %s", tc.name, answer.Code, tc.code, answer.Body)
			}
		}
	})
}

func TestReady(t *testing.T) {
	cfg, w := sampleConfig()
	var missing error
	cfg.Ready = func() error { return missing }
	s := newServer(t, cfg)

	// A blob is parked and the pass is not over: ready is not recovered.
	w.status.Phase = recovery.PhaseIncomplete
	if answer := ask(s, "/readyz"); answer.Code != http.StatusOK {
		t.Errorf("with work left: code %d: %s", answer.Code, answer.Body)
	}
	missing = errors.New("the checkpoint is being opened")
	if answer := ask(s, "/readyz"); answer.Code != 503 || !strings.Contains(answer.Body.String(), "checkpoint") {
		t.Errorf("without a checkpoint: code %d: %s", answer.Code, answer.Body)
	}
	missing, w.status.Ownership = nil, nil
	if answer := ask(s, "/readyz"); answer.Code != 503 || !strings.Contains(answer.Body.String(), "ownership") {
		t.Errorf("without an ownership: code %d: %s", answer.Code, answer.Body)
	}
}
