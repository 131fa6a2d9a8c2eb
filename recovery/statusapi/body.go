package statusapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/recoverd/recoverd/recovery"
)

// maxBody bounds the body of a request, in bytes. About 900 ids fit.
const maxBody = 64 << 10

// object is the JSON object of a body, by key. What is understood is taken out;
// what is left is an error.
type object map[string]json.RawMessage

// readBody reads the body of a request to change something: one JSON object, in
// UTF-8, with nothing after it and no key given twice. Errors are refusals.
func readBody(w http.ResponseWriter, r *http.Request) (object, error) {
	if err := checkJSON(r.Header); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is longer than %d bytes", maxBody)
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, refuse(http.StatusRequestTimeout, "the body did not come within %v", requestTimeout)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body cannot be read")
	}
	w.Header().Del("Connection") // the next request begins where this one ends
	return parseObject(text)
}

// checkJSON wants JSON by name. A form that a page of another origin posts has
// another type, and cannot be given this one.
func checkJSON(h http.Header) error {
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, hasCharset := parameters["charset"]
	switch {
	case len(h["Content-Type"]) > 1, err != nil, kind != "application/json", len(parameters) > 1, len(parameters) == 1 && !hasCharset,
		hasCharset && !strings.EqualFold(charset, "utf-8"):
		return refuse(http.StatusUnsupportedMediaType, "the body must have Content-Type: application/json, not %.80q", h.Get("Content-Type"))
	case len(h["Content-Encoding"]) > 0:
		return refuse(http.StatusUnsupportedMediaType, "the body must not be compressed")
	}
	return nil
}

// parseObject reads an object key by key: encoding/json itself would take the
// last of two equal keys, and keys in other letters than ours.
func parseObject(text []byte) (object, error) {
	if !utf8.Valid(text) {
		return nil, refuse(http.StatusBadRequest, "the body is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, refuse(http.StatusBadRequest, "the body is not a JSON object")
	}
	o := object{}
	for decoder.More() {
		var value json.RawMessage
		token, err := decoder.Token()
		key, _ := token.(string)
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "the body is not a JSON object")
		}
		if _, twice := o[key]; twice {
			return nil, refuse(http.StatusBadRequest, "key %.40q is given twice", key)
		}
		o[key] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, refuse(http.StatusBadRequest, "the body is not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(http.StatusBadRequest, "something follows the JSON object")
	}
	return o, nil
}

// take decodes the value of a key and takes it out; given is false where it is
// not there. want says in words what it should be.
func (o object) take(key string, into any, want string) (given bool, err error) {
	raw, given := o[key]
	if !given {
		return false, nil
	}
	delete(o, key)
	err = json.Unmarshal(raw, into)
	switch {
	case errors.Is(err, recovery.ErrBlobID):
		return true, refuse(http.StatusBadRequest, "%s: %v", key, err)
	case err != nil || string(raw) == "null":
		return true, refuse(http.StatusBadRequest, "%s is %.80q, want %s", key, raw, want)
	}
	return true, nil
}

// ids takes a list of at least one blob id, and returns it in order, each once.
func (o object) ids() (ids []recovery.BlobID, given bool, err error) {
	var list []*recovery.BlobID // a null among them would else be the id 0
	if given, err = o.take("ids", &list, "a list of blob ids"); err != nil || !given {
		return nil, given, err
	}
	for _, id := range list {
		if id == nil {
			return nil, true, refuse(http.StatusBadRequest, "ids: null is not a blob id")
		}
		ids = append(ids, *id)
	}
	if len(ids) == 0 {
		return nil, true, refuse(http.StatusBadRequest, "ids is empty")
	}
	slices.SortFunc(ids, recovery.BlobID.Compare)
	return slices.Compact(ids), true, nil
}

// end reports a key that nobody took.
func (o object) end() error {
	if len(o) == 0 {
		return nil
	}
	return refuse(http.StatusBadRequest, "unknown key %.40q", slices.Min(slices.Collect(maps.Keys(o))))
}

// refusal is an error with the status that it is answered with.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(code int, format string, values ...any) error {
	return &refusal{code: code, text: fmt.Sprintf(format, values...)}
}
