package config

import (
	"reflect"
	"slices"
	"strings"
)

// validate lets the options in v speak for themselves.
func (d *structDecoder) validate(v reflect.Value) {
	d.validateEach(v)
	d.validateAll(v)
}

// validateEach adds what v says about single options, unless enough is said
// about them already.
func (d *structDecoder) validateEach(v reflect.Value) {
	own, ok := reflect.TypeAssert[eachValidator](v.Addr())
	if !ok || d.absent && !d.ok {
		return
	}
	more := Report{Getenv: d.r.Getenv}
	own.ValidateEach(d.n, &more)
	said := d.r.Faults()
	isNew := func(f Fault) bool { return d.ok || f.File != "" && !covers(said, f) }
	for _, f := range more.faults {
		if isNew(f) {
			d.r.add(f)
		}
	}
	for _, f := range more.warnings {
		if isNew(f) {
			d.r.warn(f)
		}
	}
}

func (d *structDecoder) validateAll(v reflect.Value) {
	if own, ok := reflect.TypeAssert[validator](v.Addr()); ok && d.ok {
		own.Validate(d.n, d.r)
	}
}

// covers reports whether one of said is about the same option as f.
func covers(said []Fault, f Fault) bool {
	return slices.ContainsFunc(said, func(s Fault) bool { return s.File == f.File && s.Path == f.Path })
}

// Blame records each error of err, which came of the options in n, at the first
// of them that its text names ("hosts: want …", "user and password go
// together"), else at n. partial says that some options could not be decoded:
// then only what is said about the others counts.
func (r *Report) Blame(n *Node, err error, partial bool) {
	said := r.Faults()
	for _, e := range flatten(err) {
		at, text := blamed(n, e.Error())
		if f := at.fault(text); !partial || at != n && !covers(said, f) {
			r.add(f)
		}
	}
}

func flatten(err error) []error {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range many.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

func blamed(n *Node, text string) (*Node, string) {
	words := strings.FieldsFunc(text, func(c rune) bool { return c != '_' && (c < 'a' || c > 'z') })
	for _, word := range words {
		if at := n.Get(word); !at.IsNull() {
			return at, strings.TrimPrefix(text, word+": ")
		}
	}
	return n, text
}
