package event

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"
)

// member is one member of a flat JSON object: a name and a value that is a
// string, a number or a boolean.
type member struct {
	name  string
	value []byte // as it stands in the line, quotes included
}

// scanner reads a flat object. It accepts a part of what encoding/json does,
// without its leniency: no name twice or in another case, nothing nested, no null.
type scanner struct {
	src []byte
	n   int
}

// members calls visit for each member of the object that line must be.
func members(line []byte, visit func(member) error) error {
	s := scanner{src: line}
	if !s.take('{') {
		return s.expected("{")
	}
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return s.expected(", or }")
		}
		m, err := s.member()
		if err != nil {
			return err
		}
		if err := visit(m); err != nil {
			return err
		}
	}
	if s.space(); s.n != len(s.src) {
		return s.expected("the end of the line")
	}
	return nil
}

func (s *scanner) member() (m member, err error) {
	name, err := s.string()
	if err != nil {
		return m, err
	}
	if !s.take(':') {
		return m, s.expected(":")
	}
	m.name = string(name[1 : len(name)-1])
	s.space()
	switch {
	case s.n < len(s.src) && s.src[s.n] == '"':
		m.value, err = s.string()
	default:
		m.value, err = s.word()
	}
	return m, err
}

// string returns a string as it stands there, quotes included.
func (s *scanner) string() ([]byte, error) {
	s.space()
	start := s.n
	if s.n == len(s.src) || s.src[s.n] != '"' {
		return nil, s.expected("a string")
	}
	for i := start + 1; i < len(s.src); i++ {
		switch s.src[i] {
		case '\\':
			i++
		case '"':
			s.n = i + 1
			return s.src[start:s.n], nil
		}
	}
	s.n = len(s.src)
	return nil, s.expected("the end of a string")
}

// word returns a number or a boolean.
func (s *scanner) word() ([]byte, error) {
	start := s.n
	for s.n < len(s.src) && (s.src[s.n] >= '0' && s.src[s.n] <= '9' || s.src[s.n] >= 'a' && s.src[s.n] <= 'z') {
		s.n++
	}
	if start == s.n {
		return nil, s.expected("a string, an unsigned number, true or false")
	}
	return s.src[start:s.n], nil
}

func (s *scanner) take(c byte) bool {
	s.space()
	if s.n < len(s.src) && s.src[s.n] == c {
		s.n++
		return true
	}
	return false
}

func (s *scanner) space() {
	for s.n < len(s.src) {
		switch s.src[s.n] {
		case ' ', '\t', '\r', '\n':
			s.n++
		default:
			return
		}
	}
}

func (s *scanner) expected(what string) error {
	return fmt.Errorf("%w: byte %d of the line: expected %s", ErrMalformed, s.n, what)
}

func (m member) bad(want string) error {
	return fmt.Errorf("%w: %q is %.80s, want %s", ErrMalformed, m.name, m.value, want)
}

// text returns a value that must be a string.
func (m member) text() (string, error) {
	if len(m.value) < 2 || m.value[0] != '"' {
		return "", m.bad("a string")
	}
	body, plain := m.value[1:len(m.value)-1], true
	for _, c := range body {
		plain = plain && c != '\\' && c >= ' '
	}
	if plain && utf8.Valid(body) {
		return string(body), nil
	}
	var s string
	if !utf8.Valid(body) || json.Unmarshal(m.value, &s) != nil {
		return "", m.bad("a string")
	}
	return s, nil
}

// number returns a value that must be an unsigned number up to limit, in its
// shortest form.
func (m member) number(limit uint64) (v uint64, err error) {
	for i, c := range m.value {
		digit := uint64(c - '0')
		if c < '0' || c > '9' || i > 0 && v == 0 || v > (math.MaxUint64-digit)/10 {
			return 0, m.bad(fmt.Sprintf("a number up to %d", limit))
		}
		v = 10*v + digit
	}
	if v > limit {
		return 0, m.bad(fmt.Sprintf("a number up to %d", limit))
	}
	return v, nil
}

func (m member) boolean() (bool, error) {
	switch string(m.value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, m.bad("true or false")
}
