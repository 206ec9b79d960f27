package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"sort"
)

var accepting = regexp.MustCompile(`(?i)accepted|filter|tags`)

// listFilters lists the names of filters that a daemon accepts, as tab-separated lines "file  map
// name", from every map[string]bool literal of a variable whose name tells; a local variable is
// called by its function.
func listFilters(root string, folders []string) {
	var lines []string
	for _, folder := range folders {
		check(filepath.WalkDir(filepath.Join(root, folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !isSource(name) {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				return err
			}
			place, err := filepath.Rel(root, name)
			for _, declaration := range file.Decls {
				for _, one := range acceptedIn(declaration) {
					lines = append(lines, place+"\t"+one)
				}
			}
			return err
		}))
	}
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
}

func acceptedIn(declaration ast.Decl) []string {
	within := ""
	if function, ok := declaration.(*ast.FuncDecl); ok {
		within = function.Name.Name
	}
	var found []string
	add := func(name string, value ast.Expr) {
		literal, ok := value.(*ast.CompositeLit)
		if !ok || !accepting.MatchString(name) || !isSet(literal.Type) {
			return
		}
		if within != "" {
			name = within
		}
		for _, element := range literal.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok && text(pair.Key) != "" {
				found = append(found, name+"\t"+text(pair.Key))
			}
		}
	}
	ast.Inspect(declaration, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.ValueSpec:
			for i, value := range node.Values {
				add(node.Names[i].Name, value)
			}
		case *ast.AssignStmt:
			if len(node.Lhs) == 1 && len(node.Rhs) == 1 {
				add(lastName(node.Lhs[0]), node.Rhs[0])
			}
		}
		return true
	})
	return found
}

func isSet(kind ast.Expr) bool {
	typed, ok := kind.(*ast.MapType)
	return ok && written(typed.Key) == "string" && written(typed.Value) == "bool"
}
