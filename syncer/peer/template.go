package peer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/recoverd/recoverd/syncer"
)

// ErrTemplate reports text that is not a URL template for pieces.
var ErrTemplate = errors.New("peer: bad URL template")

// MaxTemplate bounds the text of a template, in bytes.
const MaxTemplate = 2048

// Template makes the URL of a piece. Its text is an absolute http or https URL
// whose path or query holds placeholders:
//
//	{id}            the blob id, 64 hex digits
//	{id_base64url}  the blob id, 43 characters
//	{aa}            the first two hex digits of the id
//	{shard}         the number of the shard that is to hold the piece
//	{piece}         the number of the piece; 0 is the whole blob
//
// For the manifest of a striped blob the last two are the word "manifest", so that
// http://peer/{shard}/{id} fits a plain web server over a store's root.
// One of the first two must be there. What a placeholder stands for needs no
// escaping in a URL, and cannot leave its path segment. User info in the URL
// becomes an Authorization header; neither it nor the query is ever shown.
type Template struct {
	name   string
	scheme string
	host   string
	auth   string // value of the Authorization header, or empty
	path   []part
	query  []part
	// escaped: the path was written with escapes that its decoded form alone
	// would not get back.
	escaped bool
}

// part is literal text, or a placeholder.
type part struct {
	field   string // empty: literal
	raw     string
	decoded string
}

var placeholders = []string{"id", "id_base64url", "aa", "shard", "piece"}

// ParseTemplate reads a template. Errors wrap ErrTemplate and show the template
// without its secrets.
func ParseTemplate(text string) (Template, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return Template{}, fmt.Errorf("%w %q: %w", ErrTemplate, redact(text), err)
	}
	return t, nil
}

func parseTemplate(text string) (Template, error) {
	u, err := checkURL(text)
	if err != nil {
		return Template{}, err
	}
	rawPath := u.RawPath
	if rawPath == "" {
		rawPath = u.EscapedPath()
	}
	if rawPath == "" {
		rawPath = "/"
	}
	t := Template{name: u.Scheme + "://" + u.Host + rawPath, scheme: u.Scheme, host: u.Host}
	if u.User != nil {
		password, _ := u.User.Password()
		t.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	if t.path, err = split(rawPath); err != nil {
		return Template{}, err
	}
	if t.query, err = split(u.RawQuery); err != nil {
		return Template{}, err
	}
	if !has(t.path, "id", "id_base64url") && !has(t.query, "id", "id_base64url") {
		return Template{}, errors.New("it holds neither {id} nor {id_base64url}")
	}
	for i, p := range t.path {
		if p.field != "" {
			continue
		}
		if t.path[i].decoded, err = url.PathUnescape(p.raw); err != nil {
			return Template{}, errors.New("its path has a broken escape")
		}
		plain := url.URL{Path: t.path[i].decoded}
		t.escaped = t.escaped || plain.EscapedPath() != p.raw
	}
	return t, nil
}

// checkURL parses the URL around the placeholders. Its errors never quote the
// text, which may hold secrets.
func checkURL(text string) (*url.URL, error) {
	if len(text) > MaxTemplate {
		return nil, fmt.Errorf("it is %d bytes long, at most %d are allowed", len(text), MaxTemplate)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return nil, errors.New("it holds a character that must be escaped in a URL")
		}
	}
	if strings.Contains(text, "#") {
		return nil, errors.New("it has a fragment, which is never sent")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("it must begin with http:// or https://")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("it names no host")
	case strings.ContainsAny(u.Host, "{}"):
		return nil, errors.New("it has a placeholder in its host")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("its port %q is not a number from 1 to 65535", port)
		}
	}
	return u, nil
}

// split cuts text at its placeholders.
func split(text string) ([]part, error) {
	var parts []part
	for text != "" {
		open := strings.IndexAny(text, "{}")
		if open < 0 {
			return append(parts, part{raw: text}), nil
		}
		if open > 0 {
			parts = append(parts, part{raw: text[:open]})
		}
		name, rest, ok := strings.Cut(text[open+1:], "}")
		if text[open] == '}' || !ok {
			return nil, errors.New("its braces do not match")
		}
		if !known(name) {
			return nil, fmt.Errorf("it has an unknown placeholder {%.40s}, want one of {%s}", name, strings.Join(placeholders, "} {"))
		}
		parts = append(parts, part{field: name})
		text = rest
	}
	return parts, nil
}

func known(name string) bool {
	for _, p := range placeholders {
		if p == name {
			return true
		}
	}
	return false
}

func has(parts []part, fields ...string) bool {
	for _, p := range parts {
		for _, f := range fields {
			if p.field == f {
				return true
			}
		}
	}
	return false
}

// redact shows as much of an unparsed template as surely holds no secret.
func redact(text string) string {
	text, _, _ = strings.Cut(text, "?")
	text, _, _ = strings.Cut(text, "#")
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "", text
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	if len(rest) > 200 {
		rest = rest[:200] + "..."
	}
	if !ok {
		return rest
	}
	return scheme + "://" + rest
}

// Name is the template without user info and query: scheme://host/path.
func (t Template) Name() string { return t.name }

// Authorization is the value of the header that the user info asks for, or
// empty. It is a secret.
func (t Template) Authorization() string { return t.auth }

// Scheme returns "http" or "https".
func (t Template) Scheme() string { return t.scheme }

// Host is the URL's host, with its port if it names one.
func (t Template) Host() string { return t.host }

// Address is host:port to dial.
func (t Template) Address() string {
	u := url.URL{Host: t.host}
	port := u.Port()
	switch {
	case port != "":
	case t.scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Expand returns the URL of a piece, without user info.
func (t Template) Expand(p syncer.Piece) *url.URL {
	u := &url.URL{Scheme: t.scheme, Host: t.host, Path: expand(t.path, p, false), RawQuery: expand(t.query, p, true)}
	if t.escaped {
		u.RawPath = expand(t.path, p, true)
	}
	return u
}

func expand(parts []part, p syncer.Piece, raw bool) string {
	if len(parts) == 0 {
		return ""
	}
	var space [256]byte
	b := space[:0]
	for _, part := range parts {
		switch part.field {
		case "id":
			b = append(b, p.Blob.ID.String()...)
		case "id_base64url":
			b = append(b, p.Blob.ID.Base64URL()...)
		case "aa":
			b = append(b, p.Blob.ID.String()[:2]...)
		case "shard":
			b = appendNumber(b, p, p.Shard)
		case "piece":
			b = appendNumber(b, p, p.Index)
		default:
			if raw {
				b = append(b, part.raw...)
			} else {
				b = append(b, part.decoded...)
			}
		}
	}
	return string(b)
}

// appendNumber writes a piece's number, or what stands for it in a manifest's URL.
func appendNumber(b []byte, p syncer.Piece, n uint32) []byte {
	if p.Manifest {
		return append(b, "manifest"...)
	}
	return strconv.AppendUint(b, uint64(n), 10)
}
