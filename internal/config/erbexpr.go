package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// rubyValue is the result of an expression: a text, or nil because the
// variable unset is not in the environment.
type rubyValue struct {
	text  string
	unset string
}

// evaluate computes the few Ruby expressions that configuration files use:
//
//	expression = term { "||" term }
//	term       = ( variable | hostname | string | number ) { ".strip" | ".chomp" | ".to_s" | ".to_i" | split }
//	split      = ".split(string)" ( ".first" | "[0]" | ".to_json" )
func evaluate(code string, o ReadOptions) (rubyValue, error) {
	x := &ruby{rest: strings.TrimSpace(code), o: o}
	if x.rest == "" {
		return rubyValue{}, nil
	}
	v, err := x.term()
	for err == nil && x.take("||") {
		skip := x.o
		if v.unset == "" {
			// Ruby does not run what stands behind; it must still be readable.
			x.o = ReadOptions{Getenv: func(string) (string, bool) { return "", true }, Hostname: func() (string, error) { return "", nil }}
		}
		var other rubyValue
		if other, err = x.term(); v.unset != "" {
			v = other
		}
		x.o = skip
	}
	if err == nil && x.rest != "" {
		err = errNotRuby
	}
	if errors.Is(err, errNotRuby) {
		return v, fmt.Errorf("%s", unsupported("="+code))
	}
	return v, err
}

var errNotRuby = errors.New("expression not known")

type ruby struct {
	rest string
	o    ReadOptions
}

// take consumes word, and the blanks behind it, if it comes next.
func (x *ruby) take(word string) bool {
	rest, ok := strings.CutPrefix(x.rest, word)
	if ok {
		x.rest = strings.TrimLeft(rest, " \t\r\n")
	}
	return ok
}

func (x *ruby) term() (rubyValue, error) {
	v, err := x.primary()
	for err == nil && x.take(".") {
		does, text := "strip", strings.TrimSpace(v.text)
		switch {
		case x.take("strip()"), x.take("strip"):
			v.text = text
		case x.take("split("):
			does = "split"
			if v.text, err = x.split(v.text); err != nil {
				return v, err
			}
		case x.take("to_i()"), x.take("to_i"):
			v = rubyValue{text: "0"} // nil.to_i, too
			if m := leadingInteger.FindStringSubmatch(text); m != nil {
				v.text = strings.TrimPrefix(m[1], "+") + m[2]
			}
			continue
		case x.take("chomp()"), x.take("chomp"):
			v.text = strings.TrimSuffix(strings.TrimSuffix(v.text, "\n"), "\r")
		case x.take("to_s()"), x.take("to_s"):
			v.unset = "" // nil.to_s is ""
			continue
		default:
			return v, errNotRuby
		}
		if v.unset != "" {
			return v, fmt.Errorf("the environment has no %s, so nothing to %s; set it or give a default", v.unset, does)
		}
	}
	return v, err
}

func (x *ruby) primary() (rubyValue, error) {
	switch {
	case x.take("ENV.fetch"):
		return x.fetch()
	case x.take("ENV"):
		if !x.take("[") {
			return rubyValue{}, errNotRuby
		}
		name, err := x.quoted()
		if err != nil || !x.take("]") {
			return rubyValue{}, errNotRuby
		}
		return x.getenv(name), nil
	case x.take("Socket.gethostname"), x.take("`hostname`"), x.take("`hostname -f`"):
		return x.hostname()
	}
	if number := x.number(); number != "" {
		return rubyValue{text: number}, nil
	}
	s, err := x.quoted()
	return rubyValue{text: s}, err
}

var (
	leadingInteger = regexp.MustCompile(`^([-+]?)0*([0-9]+)`)
	// literal is a number as Ruby reads and prints it; with a leading zero it would
	// be octal.
	literal = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*(?:_[0-9]+)*)(?:\.[0-9]+)?(?:[ \t\r\n]+|$|[),}])`)
)

// number reads a number; empty when none comes next.
func (x *ruby) number() string {
	found := strings.TrimRight(literal.FindString(x.rest), " \t\r\n),}")
	x.rest = strings.TrimLeft(x.rest[len(found):], " \t\r\n")
	return strings.ReplaceAll(found, "_", "")
}

// split reads what follows text.split( and returns the result.
func (x *ruby) split(text string) (string, error) {
	by, err := x.quoted()
	if err != nil || by == "" || by == " " || !x.take(")") {
		return "", errNotRuby
	}
	parts := strings.Split(text, by)
	for len(parts) > 1 && parts[len(parts)-1] == "" { // as Ruby does
		parts = parts[:len(parts)-1]
	}
	switch {
	case x.take(".first"), x.take("[0]"):
		return parts[0], nil
	case x.take(".to_json"):
		if text == "" {
			parts = []string{}
		}
		var list strings.Builder
		encoder := json.NewEncoder(&list)
		encoder.SetEscapeHTML(false)
		err := encoder.Encode(parts)
		return strings.TrimSpace(list.String()), err
	}
	return "", errNotRuby
}

// fetch reads what follows ENV.fetch: ('X'), ('X', 'default') or ('X') { 'default' }.
func (x *ruby) fetch() (rubyValue, error) {
	if !x.take("(") {
		return rubyValue{}, errNotRuby
	}
	name, err := x.quoted()
	if err != nil {
		return rubyValue{}, err
	}
	var other rubyValue
	hasDefault := x.take(",")
	if hasDefault {
		if other, err = x.term(); err != nil {
			return other, err
		}
	}
	if !x.take(")") {
		return rubyValue{}, errNotRuby
	}
	if !hasDefault && x.take("{") {
		hasDefault = true
		if other, err = x.term(); err != nil || !x.take("}") {
			return other, errNotRuby
		}
	}
	v := x.getenv(name)
	if v.unset == "" {
		return v, nil
	}
	if !hasDefault {
		return v, fmt.Errorf("the environment has no %s, and ENV.fetch demands it; set it or give a default", name)
	}
	return other, nil
}

func (x *ruby) getenv(name string) rubyValue {
	if x.o.Getenv != nil {
		if s, ok := x.o.Getenv(name); ok {
			return rubyValue{text: s}
		}
	}
	return rubyValue{unset: name}
}

func (x *ruby) hostname() (rubyValue, error) {
	if x.o.Hostname == nil {
		return rubyValue{}, fmt.Errorf("the host's name is not available here")
	}
	name, err := x.o.Hostname()
	if err != nil {
		return rubyValue{}, fmt.Errorf("cannot find the host's name: %w", err)
	}
	return rubyValue{text: strings.TrimSpace(name)}, nil
}

// quoted reads a string in either kind of quotes; escapes and #{} are not known.
func (x *ruby) quoted() (string, error) {
	if x.rest == "" || x.rest[0] != '\'' && x.rest[0] != '"' {
		return "", errNotRuby
	}
	quote := x.rest[:1]
	s, rest, ok := strings.Cut(x.rest[1:], quote)
	if !ok || strings.Contains(s, `\`) || quote == `"` && strings.Contains(s, "#{") {
		return "", errNotRuby
	}
	x.rest = strings.TrimLeft(rest, " \t\r\n")
	return s, nil
}
