package config_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/internal/config"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the .want files")

type check struct {
	Type string `cfg:"type,required"`
}

type web struct {
	Host   string  `cfg:"host,required" doc:"Address to register."`
	Port   int     `cfg:"port,required"`
	Checks []check `cfg:"checks"`
}

type fleet struct {
	ID       string          `cfg:"instance_id,required"`
	Services config.Map[web] `cfg:"services"`
	A, B     int
}

// TestBadFiles compares all that is said about each broken file with the .want
// beside it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*[nl]")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r config.Report
			n, err := config.Parse(filepath.Base(file), data, config.ReadOptions{})
			r.Add(err)
			if n != nil {
				n.Decode(new(fleet), &r)
			}
			var got strings.Builder
			for _, f := range r.Faults() {
				fmt.Fprintln(&got, f.Error())
			}
			for _, w := range r.Warnings() {
				fmt.Fprintln(&got, "warning:", w)
			}
			if *update {
				if err := os.WriteFile(file+".want", []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
