package bench

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// notebook gathers the figures of all benchmarks of one run.
type notebook struct{ figures []*figure }

// figure is one line of the tables.
type figure struct {
	table   string // which one
	name    string
	bound   *bound
	command string
	values  []*value
}

// bound is what the first value of a figure must not exceed.
type bound struct {
	limit float64
	text  string
}

// atMost is a bound.
func atMost(limit float64, text string) *bound { return &bound{limit, text} }

// value is one number of a figure, once per run.
type value struct {
	label, unit string
	samples     []float64
}

// val is one measured number.
func val(label string, n float64, unit string) value { return value{label, unit, []float64{n}} }

// note records a figure of this run.
func note(b *testing.B, table, name string, limit *bound, values ...value) {
	b.Helper()
	i := slices.IndexFunc(notes.figures, func(f *figure) bool { return f.table == table && f.name == name })
	if i < 0 {
		i = len(notes.figures)
		top, _, _ := strings.Cut(strings.TrimPrefix(b.Name(), "Benchmark"), "/")
		top, _, _ = strings.Cut(top, "-")
		f := &figure{table: table, name: name, bound: limit, command: "make bench BENCH=" + top}
		for _, v := range values {
			f.values = append(f.values, &value{label: v.label, unit: v.unit})
		}
		notes.figures = append(notes.figures, f)
	}
	f := notes.figures[i]
	for k, v := range values {
		f.values[k].samples = append(f.values[k].samples, v.samples...)
	}
	b.ReportMetric(0, "ns/op")
}

// median is the middle of the runs.
func (v *value) median() float64 {
	s := slices.Sorted(slices.Values(v.samples))
	return s[len(s)/2]
}

func (v *value) String() string {
	n := v.median()
	text := fmt.Sprintf("%.0f", n)
	switch {
	case n != 0 && n < 1 && v.unit != "":
		text = fmt.Sprintf("%.2f", n)
	case n < 100 && n != float64(int(n)):
		text = fmt.Sprintf("%.1f", n)
	}
	if v.unit == "×" {
		text = fmt.Sprintf("%.2f", n)
	}
	return strings.TrimSpace(strings.TrimSpace(v.label+" "+text) + " " + v.unit)
}

// cells are the columns of the figure's line.
func (f *figure) cells() []string {
	var measured []string
	for _, v := range f.values {
		measured = append(measured, v.String())
	}
	verdict := ""
	if f.bound != nil {
		verdict = f.bound.text
		if f.values[0].median() > f.bound.limit {
			verdict += " **(missed)**"
		}
	}
	return []string{f.name, strings.Join(measured, ", "), verdict, "`" + f.command + "`"}
}

func row(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }

// print shows the figures on the terminal.
func (n *notebook) print(w io.Writer) {
	for _, f := range n.figures {
		c := f.cells()
		fmt.Fprintf(w, "%-58s %s", c[0], c[1])
		if c[2] != "" {
			fmt.Fprintf(w, "   [bound: %s]", c[2])
		}
		fmt.Fprintln(w)
	}
}

// renew replaces the lines of the measured figures in the document's tables,
// which stand between <!-- table NAME --> and <!-- end -->.
func (n *notebook) renew(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, f := range n.figures {
		if text, err = f.renew(text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return os.WriteFile(path, text, 0o644)
}

func (f *figure) renew(text []byte) ([]byte, error) {
	begin := "<!-- table " + f.table + " -->\n"
	before, rest, ok := bytes.Cut(text, []byte(begin))
	if !ok {
		return nil, fmt.Errorf("has no line %q", strings.TrimSpace(begin))
	}
	table, after, ok := bytes.Cut(rest, []byte("<!-- end -->"))
	if !ok {
		return nil, fmt.Errorf("table %s has no end", f.table)
	}
	lines := slices.DeleteFunc(strings.Split(string(table), "\n"), func(s string) bool { return s == "" })
	if len(lines) == 0 {
		lines = []string{row([]string{"Figure", "Measured", "Bound", "Command"}), "|---|---|---|---|"}
	}
	i := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "| "+f.name+" |") })
	if i < 0 {
		i, lines = len(lines), append(lines, "")
	}
	lines[i] = row(f.cells())
	return fmt.Appendf(nil, "%s%s%s\n<!-- end -->%s", before, begin, strings.Join(lines, "\n"), after), nil
}

// TestRenew keeps the lines of figures that were not measured.
func TestRenew(t *testing.T) {
	f := &figure{table: "one", name: "b", bound: atMost(1, "1 s"), command: "c", values: []*value{{unit: "s", samples: []float64{3, 2, 9}}}}
	text := "x\n<!-- table one -->\n| Figure |\n|---|\n| a | 1 |\n| b | 1 |\n| bb | 1 |\n<!-- end -->\ny\n"
	want := "x\n<!-- table one -->\n| Figure |\n|---|\n| a | 1 |\n| b | 3 s | 1 s **(missed)** | `c` |\n| bb | 1 |\n<!-- end -->\ny\n"
	got, err := f.renew([]byte(text))
	if err != nil || string(got) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
	got, err = f.renew([]byte("<!-- table one --><!-- end -->"))
	if err == nil {
		t.Errorf("a table without a beginning was taken: %s", got)
	}
}
