package statusapi

import (
	_ "embed"
	"net/http"
)

// openAPI describes everything that can be asked. It is written by hand; the
// tests hold the answers against it.
//
//go:embed openapi.yaml
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	if _, err := parameters(r); err != nil {
		answerError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI) // the client has left; nobody is there to be told
}
