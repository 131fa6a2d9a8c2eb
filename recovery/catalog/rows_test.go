package catalog_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
)

// pages is a source that gives what it is told to, one page a call.
type pages struct {
	catalog.Source
	infos []recovery.PageInfo
	rows  [][]recovery.Row
}

func (p *pages) Page(_ context.Context, _ recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	info := p.infos[0]
	info.N = copy(rows, p.rows[0])
	p.infos, p.rows = p.infos[1:], p.rows[1:]
	return info, nil
}

// Hazard 11. TestUnorderedSource also covers the other broken promises.
func TestUnorderedSource(t *testing.T) {
	for name, c := range map[string]struct {
		src  pages
		says []string
	}{
		"backwards": {
			pages{infos: make([]recovery.PageInfo, 1), rows: [][]recovery.Row{{row(5, 1), row(4, 1)}}},
			[]string{blobID(5).String(), blobID(4).String()},
		},
		"twice": {
			pages{infos: make([]recovery.PageInfo, 2), rows: [][]recovery.Row{{row(5, 1)}, {row(5, 1)}}},
			[]string{blobID(5).String()},
		},
		"empty": {pages{infos: make([]recovery.PageInfo, 1), rows: [][]recovery.Row{nil}}, []string{"not the end"}},
		"back": {
			pages{infos: []recovery.PageInfo{{Stamp: recovery.Stamp{Position: 2}}, {}}, rows: [][]recovery.Row{{row(5, 1)}, {row(6, 1)}}},
			[]string{"Position:2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var last error
			for _, err := range catalog.Rows(t.Context(), &c.src, recovery.Mark{}) {
				last = err
			}
			if !errors.Is(last, catalog.ErrBroken) {
				t.Fatalf("error %v", last)
			}
			for _, text := range c.says {
				if !strings.Contains(last.Error(), text) {
					t.Errorf("%q does not name %q", last, text)
				}
			}
		})
	}
}
