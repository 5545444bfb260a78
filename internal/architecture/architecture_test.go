// Package architecture holds no code, only the test of how the packages of walkd may depend on each other. The table
// is that of docs/ARCHITECTURE.md.
package architecture

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/walkd/walkd/"

// A rule says what the non-test code of a folder may import of ours. In both a pattern as of path.Match; the first rule
// whose dir matches holds.
type rule struct {
	dir    string
	may    []string
	but    []string // exceptions from may
	pure   bool     // no I/O, no context, no logging, no clock
	stdlib bool     // nothing but the standard library besides ours
}

var rules = []rule{
	{dir: "internal/walking", pure: true, stdlib: true},
	{dir: "internal/routine", may: []string{"internal/walking"}, pure: true, stdlib: true},
	{dir: "internal/nudges", may: []string{"internal/walking", "internal/routine"}, pure: true, stdlib: true},
	{dir: "internal/ingest", may: []string{"internal/walking"}},
	{dir: "internal/ingest/*", may: []string{"internal/ingest", "internal/walking"}},
	{dir: "internal/notify", may: []string{"internal/nudges"}},
	{dir: "internal/notify/*", may: []string{"internal/notify", "internal/nudges"}},
	{dir: "internal/store", may: append(pure, "internal/ingest", "internal/notify")},
	{dir: "internal/pull", may: []string{"internal/walking", "internal/ingest", "internal/store"}},
	{dir: "internal/vault", stdlib: true},
	{dir: "internal/influx", may: pure},
	{dir: "internal/control", may: []string{"internal/engine", "internal/influx", "internal/pull"}},
	{dir: "internal/config", may: append(pure, "internal/vault")},
	{dir: "internal/simulate", may: []string{"internal/ingest", "internal/walking"}},
	{dir: "internal/simulate/*", may: []string{"internal/simulate", "internal/walking"}},
	{dir: "internal/web", may: append(pure, "internal/ingest")},
	{dir: "internal/engine", may: everything, but: []string{"internal/web", "internal/config", "internal/control"}},
	{dir: "cmd/walkd", may: everything},
}

var (
	pure       = []string{"internal/walking", "internal/routine", "internal/nudges"}
	everything = []string{"internal/*", "internal/ingest/*", "internal/notify/*", "internal/simulate/*"}
	// pureImports is what pure packages may import of the standard library.
	pureImports = strings.Fields(`bytes cmp container/heap encoding encoding/binary encoding/json errors fmt hash/fnv iter
		maps math math/bits slices sort strconv strings time unicode unicode/utf8`)
	// impure are calls of those that read the clock or write to the terminal.
	impure = strings.Fields(`time.Now time.Since time.Until time.After time.AfterFunc time.NewTimer time.NewTicker
		time.Tick time.Sleep fmt.Print fmt.Printf fmt.Println`)
	vagueNames = strings.Fields("util utils common helper helpers misc base shared")
)

// testSupport reports whether dir holds help for tests, by its name: influxtest, or healthgen, which generates test
// data. Such packages may import what they like, and only tests may import them.
func testSupport(dir string) bool {
	return strings.HasPrefix(dir, "internal/") && (strings.HasSuffix(dir, "test") || strings.HasSuffix(dir, "gen"))
}

func match(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, dir)
		return ok && err == nil
	})
}

// violations returns what in the Go files of cmd and internal below root breaks the rules, as "file: what".
func violations(root fs.FS) ([]string, error) {
	var found []string
	folders := map[string][]*ast.File{} // non-test files
	positions := token.NewFileSet()
	visit := func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == "testdata":
			return fs.SkipDir
		case e.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(positions, name, text, 0)
		if err != nil {
			return err
		}
		say := func(format string, a ...any) { found = append(found, name+": "+fmt.Sprintf(format, a...)) }
		if pkg := strings.TrimSuffix(f.Name.Name, "_test"); slices.Contains(vagueNames, pkg) {
			say("package %s: name it after what it is for", pkg)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				say("func init: call it from where it is needed")
			}
		}
		dir := path.Dir(name)
		if strings.HasSuffix(name, "_test.go") || testSupport(dir) {
			return nil
		}
		folders[dir] = append(folders[dir], f)
		i := slices.IndexFunc(rules, func(r rule) bool { return match([]string{r.dir}, dir) })
		if i < 0 {
			say("no rule for this package: add it to the table of this test and of docs/ARCHITECTURE.md")
			return nil
		}
		checkImports(rules[i], f, say)
		if rules[i].pure {
			checkPure(f, say)
		}
		return nil
	}
	for _, top := range []string{"cmd", "internal"} {
		if err := fs.WalkDir(root, top, visit); err != nil {
			return nil, err
		}
	}
	for _, files := range folders {
		found = append(found, assignedGlobals(positions, files)...)
	}
	slices.Sort(found)
	return found, nil
}

func checkImports(r rule, f *ast.File, say func(string, ...any)) {
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			say("import %s: %v", spec.Path.Value, err)
			continue
		}
		ours, isOurs := strings.CutPrefix(name, module)
		first, _, _ := strings.Cut(name, "/")
		switch {
		case isOurs && testSupport(ours):
			say("imports %s, which is for tests only", ours)
		case isOurs && (!match(r.may, ours) || match(r.but, ours)):
			say("imports %s; %s may not", ours, r.dir)
		case !isOurs && r.stdlib && strings.Contains(first, "."):
			say("imports %s; %s takes the standard library alone", name, r.dir)
		case !isOurs && r.pure && !slices.Contains(pureImports, name):
			say("imports %s; %s is pure", name, r.dir)
		}
	}
}

func checkPure(f *ast.File, say func(string, ...any)) {
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(impure, x.Name+"."+sel.Sel.Name) {
				say("%s.%s in a pure package: the caller hands in what it yields", x.Name, sel.Sel.Name)
			}
		}
		return true
	})
}

// assignedGlobals returns the assignments in a package's files to its own package-level variables. Declared once and
// never assigned, such a variable is a constant that Go has no word for.
func assignedGlobals(positions *token.FileSet, files []*ast.File) []string {
	globals := map[string]bool{}
	declarations := map[any]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, s := range gen.Specs {
				declarations[s] = true
				for _, n := range s.(*ast.ValueSpec).Names {
					globals[n.Name] = n.Name != "_"
				}
			}
		}
	}
	var found []string
	check := func(target ast.Expr) {
		id := root(target)
		if id == nil || !globals[id.Name] {
			return
		}
		// The parser resolves names within a file; one of another file of the package stays unresolved.
		if id.Obj == nil || declarations[id.Obj.Decl] {
			p := positions.Position(id.Pos())
			found = append(found, fmt.Sprintf("%s: assigns to the package-level variable %s", p.Filename, id.Name))
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, l := range n.Lhs {
						check(l)
					}
				}
			case *ast.IncDecStmt:
				check(n.X)
			}
			return true
		})
	}
	return found
}

// root returns the variable that an assignment to e changes: v in v, v.f, v[i], *v; nil if there is none.
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

func TestArchitecture(t *testing.T) {
	found, err := violations(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

func TestTheRulesCatch(t *testing.T) {
	const ours = `"github.com/walkd/walkd/internal/`
	tree := fstest.MapFS{"cmd/walkd/main.go": {Data: []byte("package main; import _ " + ours + `engine"`)}}
	for name, text := range map[string]string{
		"internal/walking/clock.go":    `package walking; import "time"; var Start = time.Now()`,
		"internal/walking/log.go":      `package walking; import _ "log/slog"`,
		"internal/walking/up.go":       `package walking; import _ ` + ours + `routine"`,
		"internal/routine/foreign.go":  `package routine; import _ "example.org/x"`,
		"internal/nudges/fine.go":      `package nudges; import _ ` + ours + `routine"`,
		"internal/ingest/csv/csv.go":   `package csv; import _ ` + ours + `ingest/oura"`,
		"internal/ingest/oura/oura.go": `package oura; import _ ` + ours + `store"`,
		"internal/ingest/oura/oura_test.go": `package oura; import _ ` + ours + `ingest/ingesttest"; ` +
			`import _ ` + ours + `store"`,
		"internal/ingest/ingesttest/x.go": `package ingesttest; import _ ` + ours + `store"`,
		"internal/influx/influx.go":       `package influx; import _ ` + ours + `influx/influxtest"`,
		"internal/engine/engine.go":       `package engine; import _ ` + ours + `store"; import _ ` + ours + `config"`,
		"internal/engine/server.go":       `package engine; import _ ` + ours + `control"`,
		"internal/store/init.go":          `package store; func init() {}`,
		"internal/store/state.go":         `package store; var _, n, m = 0, 0, 0; func f() { n++; m := 1; m = 2; _ = m }`,
		"internal/store/other.go":         `package store; func g() { n = 3 }`,
		"internal/store/testdata/x.go":    `not even Go`,
		"internal/strings/utils.go":       `package utils`,
	} {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	got, err := violations(tree)
	if err != nil {
		t.Fatal(err)
	}
	noRule := "no rule for this package: add it to the table of this test and of docs/ARCHITECTURE.md"
	want := []string{
		"internal/engine/engine.go: imports internal/config; internal/engine may not",
		"internal/engine/server.go: imports internal/control; internal/engine may not",
		"internal/influx/influx.go: imports internal/influx/influxtest, which is for tests only",
		"internal/ingest/csv/csv.go: imports internal/ingest/oura; internal/ingest/* may not",
		"internal/ingest/oura/oura.go: imports internal/store; internal/ingest/* may not",
		"internal/routine/foreign.go: imports example.org/x; internal/routine takes the standard library alone",
		"internal/store/init.go: func init: call it from where it is needed",
		"internal/store/other.go: assigns to the package-level variable n",
		"internal/store/state.go: assigns to the package-level variable n",
		"internal/strings/utils.go: " + noRule,
		"internal/strings/utils.go: package utils: name it after what it is for",
		"internal/walking/clock.go: time.Now in a pure package: the caller hands in what it yields",
		"internal/walking/log.go: imports log/slog; internal/walking is pure",
		"internal/walking/up.go: imports internal/routine; internal/walking may not",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}
