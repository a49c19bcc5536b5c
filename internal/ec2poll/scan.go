package ec2poll

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// scanner walks through an XML document in memory. It knows what web services
// send: elements, text, entities, comments and the declaration. Whatever else
// it meets is an error, as is an end tag that does not fit.
type scanner struct {
	data  []byte
	pos   int
	depth int
}

// maxDepth bounds how deep elements may lie in one another; EC2 needs 12.
const maxDepth = 64

var errCut = errors.New("ends in the middle of the XML")

// tag is one start or end tag.
type tag struct {
	name  []byte
	end   bool
	empty bool // <name/>: start and end in one
}

// next returns the next tag, past all text.
func (s *scanner) next() (tag, error) {
	for {
		i := bytes.IndexByte(s.data[s.pos:], '<')
		if i < 0 {
			return tag{}, errCut
		}
		s.pos += i + 1
		if s.pos < len(s.data) && (s.data[s.pos] == '!' || s.data[s.pos] == '?') {
			if err := s.aside(); err != nil {
				return tag{}, err
			}
			continue
		}
		j := bytes.IndexByte(s.data[s.pos:], '>')
		if j < 0 {
			return tag{}, errCut
		}
		text := s.data[s.pos : s.pos+j]
		s.pos += j + 1
		return newTag(text)
	}
}

// aside steps over a comment or an instruction.
func (s *scanner) aside() error {
	rest, end := s.data[s.pos:], "?>"
	if rest[0] == '!' {
		end = "-->"
		if !bytes.HasPrefix(rest, []byte("!--")) {
			return errors.New("holds a document type or raw text, which EC2 never sends")
		}
	}
	i := bytes.Index(rest, []byte(end))
	if i < 0 {
		return errCut
	}
	s.pos += i + len(end)
	return nil
}

// newTag takes what stands between < and >.
func newTag(text []byte) (tag, error) {
	t := tag{name: text}
	switch {
	case len(text) == 0:
	case text[0] == '/':
		t.end, t.name = true, text[1:]
	case text[len(text)-1] == '/':
		t.empty, t.name = true, text[:len(text)-1]
	}
	for i, c := range t.name {
		if c <= ' ' {
			t.name = t.name[:i]
			break
		}
	}
	if len(t.name) == 0 {
		return tag{}, fmt.Errorf("holds the tag <%.40s>", text)
	}
	return t, nil
}

// children calls f with the start tag of each child of parent, whose own start
// tag was read last. f must read the child in full, by children, text or skip.
func (s *scanner) children(parent tag, f func(tag) error) error {
	if parent.empty {
		return nil
	}
	if s.depth++; s.depth > maxDepth {
		return fmt.Errorf("holds elements in one another, %d deep", s.depth)
	}
	for {
		t, err := s.next()
		switch {
		case err != nil:
			return err
		case t.end && !bytes.Equal(t.name, parent.name):
			return fmt.Errorf("ends <%.40s> with </%.40s>", parent.name, t.name)
		case t.end:
			s.depth--
			return nil
		}
		if err := f(t); err != nil {
			return err
		}
	}
}

// skip reads the element whose start tag was read last, and forgets it.
func (s *scanner) skip(t tag) error {
	if t.empty {
		return nil
	}
	return s.children(t, s.skip)
}

// text returns what the element holds, which must be nothing but text. The
// result may be a part of the document.
func (s *scanner) text(t tag) ([]byte, error) {
	if t.empty {
		return nil, nil
	}
	i := bytes.IndexByte(s.data[s.pos:], '<')
	if i < 0 {
		return nil, errCut
	}
	text := s.data[s.pos : s.pos+i]
	end, err := s.next()
	if err != nil {
		return nil, err
	}
	if !end.end || !bytes.Equal(end.name, t.name) {
		return nil, fmt.Errorf("holds a tag <%.40s> in the text of <%.40s>", end.name, t.name)
	}
	return unescape(text)
}

// rest reports what follows the root element, if that is not just space and
// comments.
func (s *scanner) rest() error {
	for {
		s.data = bytes.TrimLeft(s.data[s.pos:], " \t\r\n")
		s.pos = 0
		switch {
		case len(s.data) == 0:
			return nil
		case !bytes.HasPrefix(s.data, []byte("<!--")):
			return errors.New("goes on after its end")
		}
		i := bytes.Index(s.data, []byte("-->"))
		if i < 0 {
			return errCut
		}
		s.pos = i + len("-->")
	}
}

// unescape replaces the entities that XML itself knows.
func unescape(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, '&') < 0 {
		return text, nil
	}
	var out []byte
	for {
		i := bytes.IndexByte(text, '&')
		if i < 0 {
			return append(out, text...), nil
		}
		out = append(out, text[:i]...)
		name, after, ok := bytes.Cut(text[i+1:], []byte(";"))
		r, known := entity(string(name))
		if !ok || !known {
			return nil, fmt.Errorf("holds the unknown entity &%.20s", text[i+1:])
		}
		out = append(out, string(r)...)
		text = after
	}
}

func entity(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	base, digits := 10, name[1:]
	if digits[0] == 'x' {
		base, digits = 16, digits[1:]
	}
	n, err := strconv.ParseUint(digits, base, 21)
	return rune(n), err == nil
}
