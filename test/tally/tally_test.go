package main

import (
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	tests := []struct {
		name                    string
		lines                   string
		passed, failed, skipped int
	}{
		{"plain", `
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}`, 1, 1, 1},
		{"a parent counts through its subtests", `
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA/y"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, 1, 1, 0},
		{"a parent that fails by itself counts", `
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, 1, 1, 0},
		{"a parent whose subtests are all skipped has passed nothing", `
{"Action":"skip","Package":"p","Test":"TestA/x"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`, 0, 0, 1},
		{"a package that does not build", `
{"Action":"build-output","ImportPath":"p [p.test]","Output":"x.go:1: no\n"}
{"Action":"build-fail","ImportPath":"p [p.test]"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`, 0, 1, 0},
		{"a package that fails after its tests, such as by a leak", `
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"goleak: found a goroutine\n"}
{"Action":"fail","Package":"p"}`, 1, 1, 0},
		{"a package without tests", `{"Action":"skip","Package":"p"}`, 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tl := newTally()
			if err := follow(tl, strings.NewReader(strings.TrimSpace(tt.lines)), new(strings.Builder)); err != nil {
				t.Fatal(err)
			}
			passed, failed, skipped := tl.count()
			if passed != tt.passed || failed != tt.failed || skipped != tt.skipped {
				t.Errorf("got %d, %d, %d, want %d, %d, %d", passed, failed, skipped, tt.passed, tt.failed, tt.skipped)
			}
		})
	}
}

func TestReportShowsWhy(t *testing.T) {
	const lines = `
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: the Debian package x is not installed\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
{"Action":"build-output","ImportPath":"q","Output":"q.go:3: undefined: z\n"}
{"Action":"fail","Package":"q","FailedBuild":"q"}`
	tl := newTally()
	if err := follow(tl, strings.NewReader(strings.TrimSpace(lines)), new(strings.Builder)); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	tl.report(&out)
	for _, want := range []string{
		"skipped: p TestA: the Debian package x is not installed\n",
		"b_test.go:9: got 1, want 2",
		"q.go:3: undefined: z",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
