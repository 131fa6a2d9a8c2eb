package recovery

import (
	"encoding"
	"errors"
	"strings"
	"testing"
)

// Text is an id in one of its two forms, or it is refused.
func FuzzParseBlobID(f *testing.F) {
	id := BlobID{0xde, 0xad, 31: 0xff}
	for _, text := range []string{"", id.String(), strings.ToUpper(id.String()), id.Base64URL(), id.Base64URL() + "=", strings.Repeat("g", 64), id.String()[:63], "../" + id.String()[3:]} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseBlobID(text)
		switch {
		case err != nil && (!errors.Is(err, ErrBlobID) || got != BlobID{} || len(err.Error()) > 500):
			t.Fatalf("%v, %v", got, err)
		case err == nil && got.String() != strings.ToLower(text) && got.Base64URL() != text:
			t.Fatalf("%q is %v", text, got)
		}
	})
}

// What the words of JSON are read as is written as the same words, or it is refused.
func FuzzUnmarshalText(f *testing.F) {
	for _, text := range []string{"none", "end", "scanning", "cancelled", Digest{1}.String(), strings.ToUpper(BlobID{0xab}.String()), BlobID{0xab}.Base64URL(), "halted "} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		readAndWritten(t, text, new(BlobID))
		readAndWritten(t, text, new(Digest))
		readAndWritten(t, text, new(Mark))
		readAndWritten(t, text, new(Phase))
		readAndWritten(t, text, new(Result))
	})
}

// readAndWritten wants what was read to be written so that it is read again, as the same.
func readAndWritten[T comparable, P interface {
	*T
	encoding.TextUnmarshaler
	encoding.TextMarshaler
}](t *testing.T, text []byte, into P) {
	t.Helper()
	if into.UnmarshalText(text) != nil {
		return
	}
	written, err := into.MarshalText()
	if err != nil {
		t.Fatalf("%T of %q: %v", into, text, err)
	}
	var again T
	if err := P(&again).UnmarshalText(written); err != nil || again != *into {
		t.Fatalf("%T of %q is written as %q, and read as %v, %v", into, text, written, again, err)
	}
}
