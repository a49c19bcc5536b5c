package facts

import (
	"fmt"
	"strings"
)

// Text is a text of the configuration in which ${…} stand for facts:
//
//	${NAME}             the environment variable
//	${NAME:-otherwise}  the same, with a text for where it is not set or empty
//	${ec2:PATH}         a value of EC2's metadata
//	${own:NAME}         what the program itself knows by that name
//	$${                 the characters ${
type Text struct{ parts []part }

// part is a literal, or something to put in its place.
type part struct {
	literal string
	want    Want // the zero value is none
}

// Dynamic tells whether text holds anything that Parse would replace.
func Dynamic(text string) bool { return strings.Contains(text, "${") }

// Parse reads a text. own is asked for names with a colon after own's prefix,
// such as ${container:name}; nil knows none.
func Parse(text string, getenv func(string) (string, bool), own func(name string) (string, bool)) (Text, error) {
	var t Text
	for rest := text; rest != ""; {
		at := strings.Index(rest, "${")
		if at < 0 {
			t.add(rest)
			break
		}
		if at > 0 && rest[at-1] == '$' {
			t.add(rest[:at-1] + "${")
			rest = rest[at+2:]
			continue
		}
		end := strings.IndexByte(rest[at:], '}')
		if end < 0 {
			return t, fmt.Errorf("%q: this ${ has no }", text)
		}
		t.add(rest[:at])
		if err := t.expand(rest[at+2:at+end], getenv, own); err != nil {
			return t, err
		}
		rest = rest[at+end+1:]
	}
	return t, nil
}

func (t *Text) add(literal string) { t.parts = append(t.parts, part{literal: literal}) }

// expand reads what stands between ${ and }.
func (t *Text) expand(name string, getenv, own func(string) (string, bool)) error {
	if own != nil {
		if value, ok := own(name); ok {
			t.add(value)
			return nil
		}
	}
	if path, ok := strings.CutPrefix(name, "ec2:"); ok {
		if path == "" || strings.ContainsAny(path, "?#% \\") || strings.Contains(path, "..") {
			return fmt.Errorf("${%s}: want a path of EC2's metadata, such as ec2:local-ipv4", name)
		}
		t.parts = append(t.parts, part{want: EC2(path)})
		return nil
	}
	variable, otherwise, hasOther := strings.Cut(name, ":-")
	if !isVariable(variable) {
		return fmt.Errorf("${%s}: want an environment variable, ec2:PATH or NAME:-otherwise", name)
	}
	value, _ := getenv(variable)
	if value == "" {
		if !hasOther {
			return fmt.Errorf("the environment has no %s; set it, or write ${%s:-otherwise}", variable, variable)
		}
		value = otherwise
	}
	t.add(value)
	return nil
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// Wants returns what has to be found out first.
func (t Text) Wants() []Want {
	var all []Want
	for _, p := range t.parts {
		if p.want != (Want{}) {
			all = append(all, p.want)
		}
	}
	return all
}

// Fill puts the text together; false means that something is not known yet.
func (t Text) Fill(known Set) (string, bool) {
	var out strings.Builder
	for _, p := range t.parts {
		value := p.literal
		if p.want != (Want{}) {
			var ok bool
			if value, ok = known.Get(p.want); !ok {
				return "", false
			}
		}
		out.WriteString(value)
	}
	return out.String(), true
}
