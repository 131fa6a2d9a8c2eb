package provider

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/recoverd/recoverd/shards"
)

// MaxDocument bounds an ownership document, in bytes. A source reads at most one
// byte more than this.
const MaxDocument = 1 << 20

// ParseDocument reads an ownership document (DESIGN 5), YAML or JSON:
//
//	epoch: 42
//	total_shards: 100
//	owned: "0-39,77"    # "" is a node without shards; a bare 7 is shard 7
//	continuity: "a1"    # default ""
//	node: active        # or catching_up, standby; default active
//
// It is strict, because a misread ownership costs the whole cursor: one document,
// plain keys and values, no key unknown or twice, nothing rounded or converted. A
// key without a value counts as absent; epoch, total_shards and owned must be
// there. JSON is read as the subset of YAML it nearly is: of its escapes \/ and
// surrogate pairs are refused. Errors wrap shards.ErrOwnership and name the line
// and the key where there is one.
func ParseDocument(data []byte) (shards.Ownership, error) {
	o, err := parse(data)
	if err == nil {
		err = o.Validate()
	}
	switch {
	case err == nil:
		return o, nil
	case errors.Is(err, shards.ErrOwnership):
		return shards.Ownership{}, err
	}
	return shards.Ownership{}, fmt.Errorf("%w: %w", shards.ErrOwnership, err)
}

func parse(data []byte) (shards.Ownership, error) {
	root, err := decodeOne(data)
	if err != nil {
		return shards.Ownership{}, err
	}
	if root.Kind != yaml.MappingNode {
		return shards.Ownership{}, fmt.Errorf("line %d: want keys and values, found %s", root.Line, describe(root))
	}
	f := newFields()
	for i := 0; i < len(root.Content); i += 2 {
		if err := f.set(root.Content[i], root.Content[i+1]); err != nil {
			return shards.Ownership{}, err
		}
	}
	return f.ownership()
}

// decodeOne returns the root of the only document in data.
func decodeOne(data []byte) (*yaml.Node, error) {
	if len(data) > MaxDocument {
		return nil, fmt.Errorf("the document is larger than %d bytes", MaxDocument)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the document is empty")
	case err != nil:
		return nil, syntaxError(err)
	}
	switch err := d.Decode(&second); {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return nil, fmt.Errorf("after the document's end: %w", syntaxError(err))
	}
	return nil, fmt.Errorf("line %d: a second document begins", second.Line)
}

// syntaxError keeps a decoder's message, which may quote the input, to one line
// of at most 200 characters.
func syntaxError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	return fmt.Errorf("%.200s", strings.Join(strings.Fields(text), " "))
}

// describe names what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return fmt.Sprintf("the alias *%.40s", n.Value)
	}
	if n.Value == "" {
		return "nothing"
	}
	return fmt.Sprintf("%.40q", n.Value)
}
