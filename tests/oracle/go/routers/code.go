package main

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// listHandlers lists the routes of all routers, those of one package in the order in which its source
// registers them, as tab-separated lines "METHOD PATH  package  handler  hash". The hash is that of the
// code of the route, its handler and everything of the package that they use, without comments.
func listHandlers(root string) {
	folders, err := os.ReadDir(root)
	check(err)
	for _, folder := range folders {
		if folder.IsDir() {
			listHandlersOf(filepath.Join(root, folder.Name()))
		}
	}
}

func listHandlersOf(folder string) {
	p := load(folder)
	code := map[string][]string{}
	uses := map[string]map[string]bool{}
	calls := []*ast.CallExpr{}
	texts := map[*ast.CallExpr]string{}
	for _, name := range sources(folder) {
		content, err := os.ReadFile(name)
		check(err)
		file, err := parser.ParseFile(p.files, name, content, 0)
		check(err)
		for _, declared := range declarations(file) {
			if spec, ok := declared.node.(*ast.TypeSpec); ok {
				if _, ok := spec.Type.(*ast.InterfaceType); ok {
					continue // what the daemon offers: a handler that uses more of it changes itself
				}
			}
			code[declared.name] = append(code[declared.name], p.tokens(content, declared.node))
			if uses[declared.name] == nil {
				uses[declared.name] = map[string]bool{}
			}
			ast.Inspect(declared.node, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.Ident:
					uses[declared.name][node.Name] = true
				case *ast.CallExpr:
					if method, _, _ := p.route(node); method != "" {
						calls = append(calls, node)
						texts[node] = p.tokens(content, node)
					}
				}
				return true
			})
		}
	}
	sort.Slice(calls, func(i, j int) bool { return calls[i].Pos() < calls[j].Pos() })
	for _, call := range calls {
		method, path, handler := p.route(call)
		if path == "" {
			continue // a problem, which is listed with the reads
		}
		if p.name == "debug" && !strings.HasPrefix(path, "/debug") {
			path = "/debug" + path
		}
		reached := map[string]bool{}
		ast.Inspect(call, func(node ast.Node) bool {
			if name, ok := node.(*ast.Ident); ok {
				reach(name.Name, uses, reached)
			}
			return true
		})
		parts := []string{texts[call]}
		for name := range reached {
			parts = append(parts, code[name]...)
		}
		fmt.Printf("%s %s\t%s\t%s\t%s\n", method, path, p.name, handlerName(handler), hash(parts))
	}
}

// listCode lists the declarations of Go files, and of those of folders and below, as tab-separated lines
// "file  declaration  hash", the hash without comments.
func listCode(root string, places []string) {
	for _, place := range places {
		check(filepath.WalkDir(filepath.Join(root, place), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !isSource(name) {
				return err
			}
			content, err := os.ReadFile(name)
			check(err)
			p := &pack{files: token.NewFileSet()}
			file, err := parser.ParseFile(p.files, name, content, 0)
			check(err)
			shown, err := filepath.Rel(root, name)
			check(err)
			for _, declared := range declarations(file) {
				fmt.Printf("%s\t%s\t%s\n", shown, declared.title, hash([]string{p.tokens(content, declared.node)}))
			}
			return nil
		}))
	}
}

type declaration struct {
	name, title string
	node        ast.Node
}

// declarations are the functions, types, variables and constants of a file, without its imports.
func declarations(file *ast.File) []declaration {
	var found []declaration
	for _, one := range file.Decls {
		switch one := one.(type) {
		case *ast.FuncDecl:
			title := one.Name.Name
			if one.Recv != nil {
				kind := one.Recv.List[0].Type
				if star, ok := kind.(*ast.StarExpr); ok {
					kind = star.X
				}
				title = written(kind) + "." + title
			}
			found = append(found, declaration{one.Name.Name, title, one})
		case *ast.GenDecl:
			for _, spec := range one.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					found = append(found, declaration{spec.Name.Name, spec.Name.Name, spec})
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						found = append(found, declaration{name.Name, name.Name, spec})
					}
				}
			}
		}
	}
	return found
}

func reach(name string, uses map[string]map[string]bool, reached map[string]bool) {
	if uses[name] == nil || reached[name] {
		return
	}
	reached[name] = true
	for used := range uses[name] {
		reach(used, uses, reached)
	}
}

// tokens is the code of a node without comments and layout.
func (p *pack) tokens(content []byte, node ast.Node) string {
	from, to := p.files.Position(node.Pos()).Offset, p.files.Position(node.End()).Offset
	part := content[from:to]
	var scan scanner.Scanner
	scan.Init(token.NewFileSet().AddFile("", -1, len(part)), part, nil, 0)
	var written strings.Builder
	for {
		_, kind, literal := scan.Scan()
		if kind == token.EOF {
			return written.String()
		}
		if kind != token.SEMICOLON {
			fmt.Fprintf(&written, "%s%s ", kind, literal)
		}
	}
}

func hash(parts []string) string {
	sort.Strings(parts)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(parts, "\n"))))[:16]
}

func handlerName(handler ast.Expr) string {
	if name := lastName(handler); name != "" {
		return name
	}
	if call, ok := handler.(*ast.CallExpr); ok {
		return lastName(call.Fun)
	}
	return "(a function literal)"
}

func sources(folder string) []string {
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	check(err)
	var found []string
	for _, name := range names {
		if isSource(name) {
			found = append(found, name)
		}
	}
	return found
}

func isSource(name string) bool {
	return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") &&
		!strings.HasSuffix(name, "_windows.go")
}
