package s3peer

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/peer"
)

// The most that is read of an error's document, and the time for it (hazard 70).
const (
	maxDocument  = 4 << 10
	documentTime = time.Second
)

// explain passes on what an HTTP peer understands, and makes an error of what it would
// take for something else or could not name.
func explain(resp *http.Response) (*http.Response, error) {
	if resp.StatusCode < 300 {
		return resp, nil
	}
	code := readCode(resp)
	text := strings.TrimSpace(fmt.Sprintf("status %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
	switch status := resp.StatusCode; {
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		return resp, nil
	case status < 400:
		if region := resp.Header.Get("X-Amz-Bucket-Region"); regionName(region) {
			finish(resp)
			return nil, peer.Errorf(recovery.PeerFailed, "redirect refused (%s): the bucket is in region %s", text, region)
		}
		return resp, nil
	case code == "", status == http.StatusNotFound && code == "NoSuchKey":
		return resp, nil
	}
	finish(resp)
	err := peer.Errorf(recovery.PeerFailed, "%s (%s)", text, code)
	if code == "SlowDown" {
		err.Rest = peer.RestMin
	}
	return nil, err
}

// readCode returns the code of an error's document, or "". The body can still be read
// from its beginning.
func readCode(resp *http.Response) string {
	hurry := time.AfterFunc(documentTime, func() { resp.Body.Close() })
	// A document that is cut off, or does not come, has no code.
	document, _ := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	hurry.Stop()
	resp.Body = &replayed{io.MultiReader(bytes.NewReader(document), resp.Body), resp.Body}
	found := regexp.MustCompile(`<Code>([A-Za-z0-9]{1,64})</Code>`).FindSubmatch(document)
	if found == nil {
		return ""
	}
	return string(found[1])
}

func regionName(text string) bool { return regexp.MustCompile(`^[a-z0-9-]{1,40}$`).MatchString(text) }

// replayed is a body of which a part was read already.
type replayed struct {
	io.Reader
	io.Closer
}

// finish ends an answer that is not wanted. One that is short is read to its end, so
// that the connection can be used again.
func finish(resp *http.Response) {
	hurry := time.AfterFunc(documentTime, func() { resp.Body.Close() })
	defer hurry.Stop()
	// Whether this ends well shows when the connection is used again.
	_, _ = io.CopyN(io.Discard, resp.Body, maxDocument)
	resp.Body.Close()
}
