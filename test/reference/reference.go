// Package reference writes the pages of docs/reference from the options'
// struct tags, and fails a test when a page is out of date. Run the tests with
// -update-reference to write the pages.
package reference

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
)

// Section is one table of a page.
type Section struct {
	Title  string
	Text   string // what stands before the table; may be empty
	Fields []config.Field
}

var update = flag.Bool("update-reference", false, "write the pages of docs/reference")

// Check compares the page in file with what the options say.
func Check(t *testing.T, file, title string, sections []Section) {
	t.Helper()
	want := page(title, sections)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(have)); d != "" {
		t.Errorf("%s is out of date, run `make docs`:\n%s", file, d)
	}
}

func page(title string, sections []Section) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\nGenerated from the option types by `make docs`; do not edit.\n", title)
	for _, s := range sections {
		fmt.Fprintf(&out, "\n## %s\n\n", s.Title)
		if s.Text != "" {
			out.WriteString(s.Text + "\n\n")
		}
		if len(s.Fields) == 0 {
			out.WriteString("No options.\n")
			continue
		}
		out.WriteString("| Key | Type | Default | Meaning |\n|---|---|---|---|\n")
		for _, f := range s.Fields {
			out.WriteString(row(f))
		}
	}
	return out.String()
}

func row(f config.Field) string {
	var key strings.Builder
	key.WriteString("`" + f.Path + "`")
	for _, a := range f.Aliases {
		key.WriteString(", `" + a + "`")
	}
	def := f.Default
	switch {
	case f.Required:
		def = "**required**"
	case def != "":
		def = "`" + def + "`"
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", key.String(), f.Type, def, strings.ReplaceAll(f.Doc, "|", "\\|"))
}
