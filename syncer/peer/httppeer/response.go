package httppeer

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/peer"
)

// read makes a Body of a response, or says why it is none.
func read(resp *http.Response, from peer.Resume) (peer.Body, error) {
	body := peer.Body{ReadCloser: resp.Body, Length: resp.ContentLength}
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
	case code == http.StatusPartialContent && from.Offset > 0:
		first, last, ok := parseContentRange(resp.Header.Get("Content-Range"))
		if !ok || first != from.Offset {
			return peer.Body{}, peer.Errorf(recovery.PeerFailed,
				"asked for the bytes from %d, it answers %.80q", from.Offset, resp.Header.Get("Content-Range"))
		}
		if n := last - first + 1; body.Length < 0 {
			body.Length = n
		} else if body.Length != n {
			return peer.Body{}, peer.Errorf(recovery.PeerFailed, "its range has %d bytes, its length says %d", n, body.Length)
		}
		body.Offset = first
	case code == http.StatusNotFound, code == http.StatusGone:
		return peer.Body{}, peer.Errorf(recovery.Absent, "%s", statusText(code))
	case code >= 300 && code < 400:
		return peer.Body{}, peer.Errorf(recovery.PeerFailed, "redirect refused (%s)", statusText(code))
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		rest := retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return peer.Body{}, &peer.Error{
			Reason: recovery.PeerFailed, Rest: rest, Err: fmt.Errorf("%s, to be left alone for %v", statusText(code), rest),
		}
	default:
		return peer.Body{}, peer.Errorf(recovery.PeerFailed, "%s", statusText(code))
	}
	if etag := resp.Header.Get("Etag"); strongETag(etag) {
		body.Validator = etag
	}
	return body, nil
}

// statusText never shows the server's own words.
func statusText(code int) string {
	return strings.TrimSpace("status " + strconv.Itoa(code) + " " + http.StatusText(code))
}

// strongETag reports whether an entity tag names bytes: a weak one may stay the
// same when they change.
func strongETag(tag string) bool {
	return len(tag) >= 2 && len(tag) <= 256 && tag[0] == '"' && tag[len(tag)-1] == '"'
}

// parseContentRange reads "bytes <first>-<last>/<total or *>".
func parseContentRange(text string) (first, last int64, ok bool) {
	text, ok = strings.CutPrefix(text, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, totalText, ok1 := strings.Cut(text, "/")
	low, high, ok2 := strings.Cut(span, "-")
	if !ok1 || !ok2 {
		return 0, 0, false
	}
	first, err1 := parseDigits(low)
	last, err2 := parseDigits(high)
	if err1 != nil || err2 != nil || last < first {
		return 0, 0, false
	}
	if totalText != "*" {
		// Only the rest of the piece was asked for, so it must end at its end.
		if total, err := parseDigits(totalText); err != nil || last != total-1 {
			return 0, 0, false
		}
	}
	return first, last, true
}

// parseDigits takes digits only: no sign, no space; below 2^62, so that sums of
// two do not overflow.
func parseDigits(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 62)
	return int64(n), err
}

// retryAfter reads seconds or an HTTP date, and returns a rest between
// peer.RestMin and peer.RestMax (hazard 72). Without a readable value it is
// RestMin.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	rest := peer.RestMin
	if text != "" && strings.Trim(text, "0123456789") == "" {
		rest = peer.RestMax // also where the number does not fit
		if n, err := strconv.ParseUint(text, 10, 32); err == nil {
			rest = time.Duration(n) * time.Second
		}
	} else if at, err := http.ParseTime(text); err == nil {
		rest = at.Sub(now)
	}
	return min(max(rest, peer.RestMin), peer.RestMax)
}

const (
	drainMax  = 4 << 10                // bytes of an error's body that are read
	drainTime = 100 * time.Millisecond // to read them in: what is there comes with the header
)

// drain ends a response whose body is not wanted. A small body is read, so that
// the connection can be used again: a peer that lacks many pieces would need a
// new one for each.
func drain(resp *http.Response) {
	defer resp.Body.Close()
	if resp.ContentLength > drainMax || resp.StatusCode < 300 {
		return
	}
	hurry := time.AfterFunc(drainTime, func() { resp.Body.Close() })
	defer hurry.Stop()
	// Whether this ends well shows when the connection is used again.
	_, _ = io.CopyN(io.Discard, resp.Body, drainMax+1)
}
