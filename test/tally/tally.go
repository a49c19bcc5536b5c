package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of go test -json; see "go doc test2json".
type event struct {
	Action      string
	Package     string
	ImportPath  string // on build-output
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

type key struct{ pkg, test string }

// tally collects the outcome of each test.
type tally struct {
	outcome map[key]string           // pass, fail or skip
	output  map[key]*strings.Builder // of tests that have not passed
	builds  map[string]*strings.Builder
	broken  []string                // packages that failed without a failing test
	order   []key                   // of outcome
	below   map[key]map[string]bool // the outcomes of a test's subtests
}

func newTally() *tally {
	return &tally{
		outcome: make(map[key]string),
		output:  make(map[key]*strings.Builder),
		builds:  make(map[string]*strings.Builder),
		below:   make(map[key]map[string]bool),
	}
}

// add takes one line; when it ends a package it returns a line to print.
func (t *tally) add(line []byte) string {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return strings.TrimRight(string(line), "\n") // go test's own words
	}
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		write(t.builds, e.ImportPath, e.Output)
	case "output":
		write(t.output, k, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			return t.endPackage(e)
		}
		t.record(k, e.Action)
		if e.Action == "pass" {
			delete(t.output, k)
		}
	}
	return ""
}

func (t *tally) record(k key, outcome string) {
	t.outcome[k] = outcome
	t.order = append(t.order, k)
	for i, r := range k.test {
		if r != '/' {
			continue
		}
		parent := key{k.pkg, k.test[:i]}
		if t.below[parent] == nil {
			t.below[parent] = make(map[string]bool)
		}
		t.below[parent][outcome] = true
	}
}

func write[K comparable](m map[K]*strings.Builder, k K, text string) {
	b := m[k]
	if b == nil {
		b = new(strings.Builder)
		m[k] = b
	}
	b.WriteString(text)
}

func (t *tally) endPackage(e event) string {
	if e.Action == "skip" {
		return "" // no test files
	}
	word := "ok  "
	if e.Action == "fail" {
		word = "FAIL"
		if !t.anyFailed(e.Package) {
			t.broken = append(t.broken, e.Package)
			if e.FailedBuild != "" {
				write(t.output, key{e.Package, ""}, t.buildOutput(e.FailedBuild))
			}
		}
	} else {
		delete(t.output, key{e.Package, ""})
	}
	return fmt.Sprintf("%s %s %.1fs", word, e.Package, e.Elapsed)
}

func (t *tally) buildOutput(importPath string) string {
	if b := t.builds[importPath]; b != nil {
		return b.String()
	}
	return ""
}

func (t *tally) anyFailed(pkg string) bool {
	return slices.ContainsFunc(t.order, func(k key) bool { return k.pkg == pkg && t.outcome[k] == "fail" })
}

// leaf tells whether k's outcome is its own: it has no subtests, or none that
// ended the same way.
func (t *tally) leaf(k key) bool {
	below := t.below[k]
	return len(below) == 0 || t.outcome[k] != "pass" && !below[t.outcome[k]]
}

func (t *tally) count() (passed, failed, skipped int) {
	failed = len(t.broken)
	for _, k := range t.leaves() {
		switch t.outcome[k] {
		case "pass":
			passed++
		case "fail":
			failed++
		case "skip":
			skipped++
		}
	}
	return passed, failed, skipped
}

func (t *tally) leaves() []key {
	return slices.DeleteFunc(slices.Clone(t.order), func(k key) bool { return !t.leaf(k) })
}

// report prints what failed, with its output, and what was skipped, with the
// reason.
func (t *tally) report(out io.Writer) {
	for _, pkg := range t.broken {
		fmt.Fprintf(out, "\n--- FAIL: %s\n%s", pkg, t.text(key{pkg, ""}))
	}
	for _, k := range t.leaves() {
		if t.outcome[k] == "fail" {
			fmt.Fprintf(out, "\n--- FAIL: %s %s\n%s", k.pkg, k.test, t.text(k))
		}
	}
	for _, k := range t.leaves() {
		if t.outcome[k] == "skip" {
			fmt.Fprintf(out, "skipped: %s %s: %s\n", k.pkg, k.test, reason(t.text(k)))
		}
	}
	fmt.Fprintln(out)
}

func (t *tally) text(k key) string {
	if b := t.output[k]; b != nil {
		return b.String()
	}
	return ""
}

// reason finds what t.Skip was told, in output such as
//
//	=== RUN   TestX
//	    x_test.go:3: the reason
//	--- SKIP: TestX (0.00s)
func reason(output string) string {
	var words []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, text, ok := strings.Cut(after, ": "); ok {
				line = text
			}
		}
		words = append(words, line)
	}
	return strings.Join(words, " ")
}
