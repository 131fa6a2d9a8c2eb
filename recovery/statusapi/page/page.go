// Package page is the operator's page: what a daemon does, when it will be done,
// what stands in its way, and the buttons to steer it (DESIGN 9).
//
// It is a few static files without a build step. The page reads the JSON of
// package statusapi and nothing else: it asks no other origin, and its policy
// lets it run no script but its own. Texts from peers, paths and errors are
// shown as text only.
//
// All addresses in the page are relative, so that it also works below a path of
// a host's own server: mount it with http.StripPrefix, the API beside it.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// ContentSecurityPolicy is what every answer of the handler carries. Scripts and
// styles come from files of this package; no text can become one.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

//go:embed static
var static embed.FS

// asset is one file as it is served.
type asset struct {
	body        []byte
	contentType string
	etag        string // quoted; of the content
}

// Handler answers GET and HEAD of the page's own paths; everything else is not
// found. It asks for revalidation each time: after an update a browser that
// keeps one old file beside a new one would show nonsense.
type Handler struct {
	assets map[string]asset // by path
}

// New returns the handler.
func New() *Handler {
	h := &Handler{assets: map[string]asset{}}
	files, err := static.ReadDir("static")
	if err != nil {
		panic(fmt.Sprintf("page: the embedded files: %v", err)) // the program was built without them
	}
	for _, file := range files {
		name := file.Name()
		body, err := static.ReadFile("static/" + name)
		if err != nil {
			panic(fmt.Sprintf("page: the embedded %s: %v", name, err))
		}
		sum := sha256.Sum256(body)
		h.assets[pathOf(name)] = asset{body: body, contentType: typeOf(name), etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return h
}

// pathOf returns where a file is served: the page itself at the root.
func pathOf(name string) string {
	if name == "index.html" {
		return "/"
	}
	return "/page/" + name
}

// typeOf does not ask the machine, whose table of types may say anything.
func typeOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	}
	panic(fmt.Sprintf("page: %s has no content type", name))
}

// Patterns returns the exact patterns of http.ServeMux that the handler answers,
// sorted.
func (h *Handler) Patterns() []string {
	var patterns []string
	for p := range h.assets {
		if strings.HasSuffix(p, "/") {
			p += "{$}"
		}
		patterns = append(patterns, p)
	}
	slices.Sort(patterns)
	return patterns
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", ContentSecurityPolicy)
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	a, ok := h.assets[r.URL.Path]
	switch {
	case !ok:
		http.Error(w, "there is no such file", http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
	default:
		header.Set("Cache-Control", "no-cache")
		header.Set("Content-Type", a.contentType)
		header.Set("ETag", a.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	}
}
