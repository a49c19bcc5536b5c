package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "smartstack"

// levels is the floor plan. A package imports only from lower levels, never
// sideways, so that loops know no plugin and plugins know neither loops nor
// one another. The longest prefix counts; "/*" stands for one folder more.
var levels = map[string]int{
	"internal/awsconn":  0, // knows AWS and nothing of ours: what all who call AWS share
	"internal/httpconn": 0, // what the clients of registries over HTTP share; the standard library alone
	"internal/mailbox":  0, // a slot for one value, made of the standard library alone
	"internal/secret":   0, // what nobody may see; the standard library alone
	"internal/ranges":   0,
	"haproxy/syntax":    0,
	"internal/service":  0,

	"internal/atomicfile":   1,
	"internal/checkconn":    1,
	"internal/command":      1,
	"internal/config":       1,
	"internal/confwatch":    1,
	"internal/consulconn":   1,
	"internal/control":      1,
	"internal/dockerconn":   1,
	"internal/ec2poll":      1,
	"internal/etcdconn":     1,
	"internal/facts":        1,
	"internal/marathonconn": 1,
	"internal/reaper":       1,
	"internal/registration": 1,
	"internal/sdnotify":     1,
	"internal/supervise":    1,
	"internal/telemetry":    1,
	"internal/zkconn":       1,

	"checks/*":            2,
	"haproxy/master":      2,
	"haproxy/preflight":   2,
	"haproxy/serverstate": 2,
	"haproxy/socket":      2,
	"internal/blablacar":  2,
	"internal/containers": 2, // what containers offer, as a service of the configuration
	"internal/inside":     2, // health, board, events, metrics and the page, the same for both programs
	"reporters/*":         2,
	"watchers/*":          2,

	"checks":            3,
	"haproxy":           3,
	"haproxy/filewatch": 3,
	"internal/cli":      3,
	"internal/fileout":  3,
	"internal/nerve":    3,
	"internal/synapse":  3,
	"reporters":         3,
	"watchers":          3,

	"cmd/*": 4,
}

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Dir, Name, Doc         string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

// path returns the package's path inside the module.
func (p pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// forTests tells whether p exists for tests only: everything below test/, and
// the suites that plugins sign, such as watchers/watchertest.
func (p pkg) forTests() bool { return testOnly(p.path()) }

func testOnly(path string) bool {
	return path == "test" || strings.HasPrefix(path, "test/") || strings.HasSuffix(path, "test")
}

// level returns where a package stands in the floor plan.
func level(dir string) (int, bool) {
	if n, ok := levels[dir]; ok {
		return n, true
	}
	n, ok := levels[path.Dir(dir)+"/*"]
	return n, ok
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,Name,Doc,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("go list names %d packages only", len(all))
	}
	return all
}

// TestImportsGoDown draws every arrow between our packages and refuses those
// that are not in the floor plan.
func TestImportsGoDown(t *testing.T) {
	for _, p := range packages(t) {
		if p.forTests() {
			continue // tests may look at everything
		}
		from, ok := level(p.path())
		if !ok {
			t.Errorf("%s has no level: give it one in the floor plan above", p.path())
			continue
		}
		for _, imported := range p.Imports {
			if why := refuse(p.path(), from, imported); why != "" {
				t.Errorf("%s imports %s: %s", p.path(), imported, why)
			}
		}
	}
}

// refuse returns why a package at level from must not import another.
func refuse(importer string, from int, imported string) string {
	if imported == "text/template" || imported == "html/template" {
		return "templates call methods by name, so the linker keeps them all: 35 MB more in the binary (docs/decisions/0007)"
	}
	if from == 0 && strings.Contains(imported, ".") && !(importer == "internal/awsconn" && strings.HasPrefix(imported, "github.com/aws/")) {
		return "what everyone shares needs the standard library only"
	}
	if imported != module && !strings.HasPrefix(imported, module+"/") {
		return ""
	}
	dir := strings.TrimPrefix(imported, module+"/")
	if testOnly(dir) {
		return "only tests may use what is made for tests"
	}
	to, ok := level(dir)
	switch {
	case !ok:
		return "it has no level"
	case to == from:
		return fmt.Sprintf("both are on level %d, and imports never go sideways", from)
	case to > from:
		return fmt.Sprintf("it is on level %d and %s on level %d: imports go down", to, importer, from)
	case from < 4 && from > 2 && strings.Contains(dir, "/") && isPlugin(dir) && !isCatalogue(importer, dir):
		return "only a family's own catalogue knows its plugins"
	}
	return ""
}

func isPlugin(dir string) bool {
	return strings.HasPrefix(dir, "watchers/") || strings.HasPrefix(dir, "reporters/") || strings.HasPrefix(dir, "checks/")
}

func isCatalogue(importer, plugin string) bool { return importer == path.Dir(plugin) }

func TestPackagesHaveNamesAndDocs(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "misc", "lib"}
	for _, p := range packages(t) {
		if slices.Contains(vague, p.Name) {
			t.Errorf("%s: the name %s says nothing about what belongs there", p.path(), p.Name)
		}
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.path())
		}
	}
}

// rooms are owned by one goroutine each: a mutex there means two owners.
var rooms = []string{"internal/synapse", "internal/nerve", "haproxy"}

func TestFiles(t *testing.T) {
	for _, p := range packages(t) {
		inRoom := slices.ContainsFunc(rooms, func(r string) bool {
			return p.path() == r || strings.HasPrefix(p.path(), r+"/")
		})
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			file := filepath.Join(p.Dir, name)
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			fset := token.NewFileSet()
			tree, err := parser.ParseFile(fset, file, src, 0)
			if err != nil {
				t.Error(err)
				continue
			}
			short := path.Join(p.path(), name)
			isTest := strings.HasSuffix(name, "_test.go")
			if lines := bytes.Count(src, []byte("\n")); lines > 400 && !isTest {
				t.Errorf("%s has %d lines, more than 400: it does more than one thing", short, lines)
			}
			forbidden(t, fset, tree, short, inRoom && !isTest)
		}
	}
}

func forbidden(t *testing.T, fset *token.FileSet, tree *ast.File, short string, inRoom bool) {
	t.Helper()
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s:%d: func init() works behind the reader's back: call it from main", short, fset.Position(n.Pos()).Line)
			}
		case *ast.SelectorExpr:
			if inRoom && (isName(n, "sync", "Mutex") || isName(n, "sync", "RWMutex")) {
				t.Errorf("%s:%d: a mutex, where one goroutine owns the state", short, fset.Position(n.Pos()).Line)
			}
		}
		return true
	})
}

func isName(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}

func TestRefuse(t *testing.T) {
	tests := []struct {
		importer, imported string
		allowed            bool
	}{
		{"internal/synapse", module + "/internal/service", true},
		{"internal/synapse", module + "/internal/nerve", false},
		{"internal/config", module + "/internal/mailbox", true},
		{"internal/config", module + "/internal/telemetry", false},
		{"internal/config", module + "/internal/synapse", false},
		{"watchers", module + "/watchers/etcd", true},
		{"checks", module + "/watchers/etcd", false},
		{"internal/nerve", module + "/checks/http", false},
		{"watchers/etcd", module + "/watchers/zookeeper", false},
		{"watchers/etcd", module + "/test/servers", false},
		{"haproxy", module + "/haproxy/socket", true},
		{"cmd/nerve", module + "/reporters", true},
		{"cmd/nerve", "text/template", false},
		{"internal/service", "gopkg.in/yaml.v3", false},
		{"internal/config", "gopkg.in/yaml.v3", true},
	}
	for _, tt := range tests {
		from, ok := level(tt.importer)
		if !ok {
			t.Fatalf("%s has no level", tt.importer)
		}
		if why := refuse(tt.importer, from, tt.imported); (why == "") != tt.allowed {
			t.Errorf("%s imports %s: allowed is %v, want %v: %s", tt.importer, tt.imported, why == "", tt.allowed, why)
		}
	}
}
