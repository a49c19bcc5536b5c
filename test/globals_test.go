package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowedGlobals are package-level variables that break the rule below, each
// with the reason why it may.
var allowedGlobals = map[string]string{
	"cmd/nerve.version":   "written by the linker",
	"cmd/synapse.version": "written by the linker",
}

// makers are the functions whose results do not change once made.
var makers = []string{
	"errors.New", "fmt.Errorf", "fmt.Sprintf", "netip.MustParseAddr", "netip.MustParsePrefix",
	"reflect.TypeFor", "regexp.MustCompile", "slices.Concat", "strings.Fields",
	"strings.NewReplacer", "strings.Repeat",
	"wordSet", // haproxy: a table from a list of words
}

// TestNoPackageState refuses package-level variables that hold state: those
// without a value, those made by an unknown function, and those that any
// function of the module writes to. Tables, errors and compiled patterns pass.
func TestNoPackageState(t *testing.T) {
	for _, p := range packages(t) {
		if p.forTests() {
			continue
		}
		files := parse(t, p)
		vars := make(map[string]bool)
		for name, f := range files {
			for _, v := range globals(f) {
				vars[v.name] = true
				full := p.path() + "." + v.name
				if why := mutable(v); why != "" && allowedGlobals[full] == "" {
					t.Errorf("%s: the package-level variable %s %s: state belongs to one owner", name, v.name, why)
				}
			}
		}
		for name, f := range files {
			for _, written := range writes(f, vars) {
				if allowedGlobals[p.path()+"."+written] == "" {
					t.Errorf("%s writes to the package-level variable %s", name, written)
				}
			}
		}
	}
}

func parse(t *testing.T, p pkg) map[string]*ast.File {
	t.Helper()
	files := make(map[string]*ast.File)
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[path.Join(p.path(), name)] = f
	}
	return files
}

type global struct {
	name  string
	typ   ast.Expr
	value ast.Expr // nil when there is none
	doc   string
}

func globals(f *ast.File) []global {
	var found []global
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.VAR {
			continue
		}
		for _, s := range decl.Specs {
			spec := s.(*ast.ValueSpec)
			for i, name := range spec.Names {
				g := global{name: name.Name, typ: spec.Type, doc: text(decl.Doc) + text(spec.Doc)}
				if i < len(spec.Values) {
					g.value = spec.Values[i]
				}
				if g.name != "_" {
					found = append(found, g)
				}
			}
		}
	}
	return found
}

// text returns a comment with its directives, which CommentGroup.Text drops.
func text(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	for _, line := range c.List {
		b.WriteString(line.Text)
	}
	return b.String()
}

// mutable returns what is wrong with a variable, "" when nothing is.
func mutable(g global) string {
	if strings.Contains(g.doc, "//go:embed") {
		return ""
	}
	if g.value == nil {
		return "has no value, so something must write it"
	}
	switch v := g.value.(type) {
	case *ast.CallExpr:
		_, conversion := v.Fun.(*ast.ArrayType) // []byte("x")
		if !conversion && !slices.Contains(makers, source(v.Fun)) {
			return "is made by " + source(v.Fun) + ", which is not known to make something that never changes"
		}
	case *ast.UnaryExpr:
		if v.Op == token.AND {
			return "is a pointer"
		}
	case *ast.FuncLit:
		return "is a function that can be swapped: make it a func, or a field"
	}
	if t := source(g.typ); strings.HasPrefix(t, "sync.") || strings.HasPrefix(t, "atomic.") {
		return "is made to be shared"
	}
	return ""
}

// source spells a name such as errors.New.
func source(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return source(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return source(e.X)
	}
	return ""
}

// writes returns which of vars a file's functions assign to, increment, delete
// from or take the address of. A name that the file also declares inside a
// function is not judged.
func writes(f *ast.File, vars map[string]bool) []string {
	var found []string
	local := locals(f)
	note := func(e ast.Expr) {
		if id := root(e); id != nil && vars[id.Name] && !local[id.Name] {
			found = append(found, id.Name)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, lhs := range n.Lhs {
					note(lhs)
				}
			}
		case *ast.IncDecStmt:
			note(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				if _, ok := n.X.(*ast.CompositeLit); !ok {
					note(n.X)
				}
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
				note(n.Args[0])
			}
		}
		return true
	})
	return found
}

// locals returns the names that a file's functions declare themselves: a name
// that is both is not judged.
func locals(f *ast.File) map[string]bool {
	found := make(map[string]bool)
	fields := func(list *ast.FieldList) {
		if list == nil {
			return
		}
		for _, field := range list.List {
			for _, name := range field.Names {
				found[name.Name] = true
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, lhs := range n.Lhs {
					if id, ok := lhs.(*ast.Ident); ok {
						found[id.Name] = true
					}
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					found[id.Name] = true
				}
			}
		case *ast.FuncDecl:
			fields(n.Recv)
		case *ast.FuncType:
			fields(n.Params)
			fields(n.Results)
		case *ast.DeclStmt:
			for _, s := range n.Decl.(*ast.GenDecl).Specs {
				if v, ok := s.(*ast.ValueSpec); ok {
					for _, name := range v.Names {
						found[name.Name] = true
					}
				}
			}
		}
		return true
	})
	return found
}

// root returns the variable at the start of x.f[i].g.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func TestMutable(t *testing.T) {
	const src = `package p
var (
	good1 = errors.New("x")
	good2 = map[string]int{"a": 1}
	good3 = []byte("x")
	good4, good5 = "a", regexp.MustCompile("x")
	bad1 int
	bad2 = make(map[string]int)
	bad3 = &T{}
	bad4 = func() {}
	bad5 sync.Mutex
)
var table = map[string]int{}
func f(x int) { table["a"] = x; x = 2; good2 := 3; good2++ }
`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	vars := make(map[string]bool)
	for _, g := range globals(f) {
		vars[g.name] = true
		if bad := mutable(g) != ""; bad != strings.HasPrefix(g.name, "bad") {
			t.Errorf("%s: %q", g.name, mutable(g))
		}
	}
	if got := writes(f, vars); !slices.Equal(got, []string{"table"}) {
		t.Errorf("written: %v, want table alone", got)
	}
}
