package s3peer

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"testing"
)

// Whatever document an error has: its code is one word that stands in it, and the body
// can still be read whole.
func FuzzReadCode(f *testing.F) {
	for _, text := range []string{
		"", "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>m</Message></Error>", "<Code>SlowDown", "<Code></Code><Code>A</Code>", "<Code>a b</Code>",
	} {
		f.Add([]byte(text))
	}
	word := regexp.MustCompile(`^[A-Za-z0-9]{0,64}$`)
	f.Fuzz(func(t *testing.T, document []byte) {
		resp := &http.Response{Body: io.NopCloser(bytes.NewReader(document))}
		code := readCode(resp)
		if !word.MatchString(code) || !bytes.Contains(document, []byte(code)) {
			t.Fatalf("the code of %q is %q", document, code)
		}
		if all, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(all, document) {
			t.Fatalf("%q is left of %q: %v", all, document, err)
		}
	})
}
