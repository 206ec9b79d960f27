// Lists what each route of a dockerd reads beside a typed body: query parameters, headers and the
// body itself, as tab-separated lines "METHOD PATH  place  name", from the source of its routers.
//
// Further arguments list something else: "filters" and folders, the filters that a daemon accepts;
// "handlers", the handler of each route; "code" and files or folders, their declarations.
//
// Every use of a *http.Request in a handler, and in the functions of its package that it is passed
// to, must be one that this program knows. Any other use is an error, so that no read is missed.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// read is one thing of a request that a handler looks at. place is query, list, header or body.
type read struct{ place, name string }

// place "list" is a parameter of which every value counts, "query" one of which the first does.
const (
	query  = "query"
	list   = "list"
	header = "header"
	body   = "body"
)

// valueReaders are the functions of httputils that read the parameter that their argument names.
var valueReaders = map[string]bool{
	"BoolValue": true, "BoolValueOrDefault": true, "Int64Value": true, "Int64ValueOrZero": true,
	"Int64ValueOrDefault": true, "Uint32Value": true,
}

// otherReaders are functions outside of the routers' packages that get a request, its headers or
// its body, with what they read (moby 28.5.2 and v2.0.0-beta.24, each in the package named).
var otherReaders = map[string][]read{
	"httputils.ParseForm":                   nil,
	"httputils.ParseMultipartForm":          nil,
	"httputils.ReadJSON":                    {{body, "json"}},
	"httputils.CheckForJSON":                {{header, "Content-Type"}},
	"httputils.ArchiveFormValues":           {{query, "path"}},
	"httputils.VersionFromContext":          nil,
	"contenttype.MatchAcceptStrict":         {{header, "Accept"}},
	"contenttype.Negotiate":                 {{header, "Accept"}},
	"contenttype.MatchAccept":               {{header, "Accept"}},
	"contentencoding.Negotiate":             {{header, "Accept-Encoding"}},
	"httputil.NegotiateContentEncoding":     {{header, "Accept-Encoding"}},
	"json.NewDecoder":                       {{body, "json"}},
	"handler":                               profiles, // net/http/pprof, in the debug router
	"handler.ServeHTTP":                     profiles,
	"pprof.Handler.ServeHTTP":               profiles,
	"srv.ServeHTTP":                         {{header, "Sec-WebSocket-*"}, {header, "Origin"}},
	"sr.backend.HandleHTTPRequest":          {{header, "Upgrade"}, {header, "X-Docker-Expose-Session-*"}, {body, "stream"}},
	"gddohttputil.NegotiateContentEncoding": {{header, "Accept-Encoding"}},
	"ioutils.NewCancelReadCloser":           {{body, "stream"}},
	"ioutils.NewReadCloserWrapper":          {{body, "stream"}},
	"config.DecodeRequest":                  {{body, "json"}},
	"runconfig.DecodeCreateRequest":         {{body, "json"}},
	"runconfig.DecodeConfig":                {{body, "json"}},
	"runconfig.DecodeContainerConfig":       {{body, "json"}},
	"decoder.DecodeConfig":                  {{body, "json"}},
	"decoder.DecodeHostConfig":              {{body, "json"}},
}

// profiles are the parameters of net/http/pprof (Go 1.26 net/http/pprof/pprof.go).
var profiles = []read{{query, "debug"}, {query, "gc"}, {query, "seconds"}}

// constants are the names that handlers give to parameters and headers.
var constants = map[string]string{
	"registry.AuthHeader":       "X-Registry-Auth",
	"registry.AuthConfigHeader": "X-Registry-Config",
}

// fieldReads are the fields and methods of a request that are not parameters, and what they read.
var fieldReads = map[string][]read{
	"Context": nil, "Method": nil, "ContentLength": nil, "Proto": nil, "ProtoMajor": nil,
	"WithContext": nil, "TransferEncoding": nil,
	"Body": {{body, "stream"}},
}

type pack struct {
	name      string
	functions map[string][]*ast.FuncDecl
	files     *token.FileSet
	problems  map[string]bool
}

func main() {
	root := os.Args[1]
	if len(os.Args) > 2 {
		switch os.Args[2] {
		case "filters":
			listFilters(root, os.Args[3:])
		case "handlers":
			listHandlers(root)
		case "code":
			listCode(root, os.Args[3:])
		default:
			check(fmt.Errorf("%s is nothing that this program lists", os.Args[2]))
		}
		return
	}
	var lines []string
	var problems []string
	folders, err := os.ReadDir(root)
	check(err)
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		p := load(filepath.Join(root, folder.Name()))
		routes := 0
		for _, declared := range p.functions {
			for _, function := range declared {
				ast.Inspect(function, func(node ast.Node) bool {
					call, ok := node.(*ast.CallExpr)
					if !ok {
						return true
					}
					method, path, handler := p.route(call)
					if method == "" {
						return true
					}
					routes++
					if p.name == "debug" && !strings.HasPrefix(path, "/debug") {
						path = "/debug" + path // moby v20.10.24 api/server/server.go createMux
					}
					route := method + " " + path
					lines = append(lines, route+"\troute\t"+p.name)
					found := map[read]bool{}
					p.handler(route, handler, found)
					for one := range found {
						lines = append(lines, route+"\t"+one.place+"\t"+one.name)
					}
					return true
				})
			}
		}
		if routes == 0 {
			problems = append(problems, p.name+": no route is found in this package")
		}
		for problem := range p.problems {
			problems = append(problems, problem)
		}
	}
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
	if len(problems) > 0 {
		sort.Strings(problems)
		fmt.Fprintln(os.Stderr, "not understood, teach tests/oracle/go/routers to read it:")
		for _, problem := range problems {
			fmt.Fprintln(os.Stderr, problem)
		}
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func load(folder string) *pack {
	p := &pack{filepath.Base(folder), map[string][]*ast.FuncDecl{}, token.NewFileSet(), map[string]bool{}}
	for _, name := range sources(folder) {
		file, err := parser.ParseFile(p.files, name, nil, 0)
		check(err)
		for _, declaration := range file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Body != nil {
				p.functions[function.Name.Name] = append(p.functions[function.Name.Name], function)
			}
		}
	}
	return p
}

func (p *pack) problem(route string, node ast.Node, text string) {
	at := p.files.Position(node.Pos())
	p.problems[fmt.Sprintf("%s/%s:%d: %s: %s", p.name, filepath.Base(at.Filename), at.Line, route, text)] = true
}

// route is the method, path and handler of a call of router.NewGetRoute and its like.
func (p *pack) route(call *ast.CallExpr) (string, string, ast.Expr) {
	name := lastName(call.Fun)
	if name == "NewRoute" && len(call.Args) > 2 {
		return text(call.Args[0]), text(call.Args[1]), call.Args[2]
	}
	if !strings.HasPrefix(name, "New") || !strings.HasSuffix(name, "Route") || len(call.Args) < 2 {
		return "", "", nil
	}
	path := text(call.Args[0])
	if path == "" {
		p.problem("", call, "a route without a literal path")
	}
	return strings.ToUpper(strings.TrimSuffix(strings.TrimPrefix(name, "New"), "Route")), path, call.Args[1]
}

func (p *pack) handler(route string, handler ast.Expr, found map[read]bool) {
	seen := map[*ast.FuncDecl]bool{}
	switch handler := handler.(type) {
	case *ast.FuncLit:
		p.function(route, handler.Type, handler.Body, found, seen)
	case *ast.SelectorExpr, *ast.Ident:
		p.called(route, handler, lastName(handler), found, seen)
	case *ast.CallExpr: // an adapter around another handler, as in the debug router
		p.called(route, handler, lastName(handler.Fun), found, seen)
	default:
		p.problem(route, handler, "a handler of an unknown form")
	}
}

func (p *pack) called(route string, at ast.Node, name string, found map[read]bool, seen map[*ast.FuncDecl]bool) {
	if len(p.functions[name]) == 0 {
		p.problem(route, at, "function "+name+" is not in this package")
	}
	for _, function := range p.functions[name] {
		if seen[function] {
			continue
		}
		seen[function] = true
		p.function(route, function.Type, function.Body, found, seen)
	}
}

// function collects what a function reads of the requests among its parameters.
func (p *pack) function(route string, kind *ast.FuncType, code *ast.BlockStmt, found map[read]bool, seen map[*ast.FuncDecl]bool) {
	requests := map[string]string{}
	note(kind, requests)
	ast.Inspect(code, func(node ast.Node) bool {
		if inner, ok := node.(*ast.FuncLit); ok {
			note(inner.Type, requests)
		}
		return true
	})
	var parents []ast.Node
	ast.Inspect(code, func(node ast.Node) bool {
		if node == nil {
			parents = parents[:len(parents)-1]
			return true
		}
		if name, ok := node.(*ast.Ident); ok && requests[name.Name] != "" && isUse(name, parents) {
			p.use(route, code, name, requests[name.Name], parents, found, seen)
		}
		parents = append(parents, node)
		return true
	})
}

// note adds the names of parameters of type *http.Request, url.Values and http.Header.
func note(kind *ast.FuncType, requests map[string]string) {
	for _, field := range kind.Params.List {
		typed := field.Type
		if star, ok := typed.(*ast.StarExpr); ok {
			typed = star.X
		}
		name := written(typed)
		if name == "http.Request" || name == "url.Values" || name == "http.Header" {
			for _, one := range field.Names {
				requests[one.Name] = name
			}
		}
	}
}

// isUse says whether a name is the variable and not a field, a method or a parameter of its name.
func isUse(name *ast.Ident, parents []ast.Node) bool {
	if name.Obj != nil {
		if _, isParameter := name.Obj.Decl.(*ast.Field); !isParameter {
			return false // a variable of the same name in an inner block
		}
	}
	switch parent := parents[len(parents)-1].(type) {
	case *ast.SelectorExpr:
		return parent.X == name
	case *ast.Field:
		return false
	case *ast.KeyValueExpr:
		return parent.Value == name
	}
	return true
}

// use says what one occurrence of a request is read for.
func (p *pack) use(route string, code *ast.BlockStmt, name *ast.Ident, kind string, parents []ast.Node, found map[read]bool, seen map[*ast.FuncDecl]bool) {
	add := func(place string, key ast.Expr) {
		if key == nil {
			p.problem(route, name, "a "+place+" without a name")
			return
		}
		known := text(key)
		if known == "" {
			known = constants[written(key)]
		}
		if known == "" {
			if names := passedNames(code, key); len(names) > 0 {
				for _, one := range names {
					found[read{place, one}] = true
				}
				return
			}
			p.problem(route, key, "the name of a "+place+" that is no literal: "+written(key))
			return
		}
		found[read{place, known}] = true
	}
	up := func(n int) ast.Node {
		if len(parents) < n {
			return nil
		}
		return parents[len(parents)-n]
	}
	// A parameter handed to a call as it is.
	if call, ok := up(1).(*ast.CallExpr); ok {
		p.passed(route, call, name, add, found, seen)
		return
	}
	selector, ok := up(1).(*ast.SelectorExpr)
	if !ok {
		if assigned, ok := up(1).(*ast.AssignStmt); ok && isWithContext(assigned) {
			return
		}
		if index, ok := up(1).(*ast.IndexExpr); ok {
			if kind == "http.Header" {
				add(header, index.Index)
			} else {
				add(list, index.Index)
			}
			return
		}
		if loop, ok := up(1).(*ast.RangeStmt); ok && loop.X == name && prefixIn(loop.Body) != "" {
			found[read{header, prefixIn(loop.Body) + "*"}] = true
			return
		}
		p.problem(route, name, fmt.Sprintf("the request is used in a %T", up(1)))
		return
	}
	holder, rest := selector.Sel.Name, 2
	if holder == "URL" {
		if inner, ok := up(2).(*ast.SelectorExpr); ok && inner.Sel.Name == "Query" {
			holder, rest = "Query", 4 // r.URL.Query()
		} else if ok && inner.Sel.Name == "Path" {
			return
		} else {
			p.problem(route, name, "another use of r.URL")
			return
		}
	}
	switch holder {
	case "Get", "Has": // of url.Values and http.Header
		if call, ok := up(2).(*ast.CallExpr); ok {
			if kind == "http.Header" {
				add(header, call.Args[0])
			} else {
				add(query, call.Args[0])
			}
			return
		}
	case "FormValue", "PostFormValue":
		if call, ok := up(2).(*ast.CallExpr); ok {
			add(query, call.Args[0])
			return
		}
	case "Form", "Query", "Header", "PostForm":
		place, all := query, list
		if holder == "Header" {
			place, all = header, header
		}
		switch outer := up(rest).(type) {
		case *ast.SelectorExpr:
			if call, ok := up(rest + 1).(*ast.CallExpr); ok && (outer.Sel.Name == "Get" || outer.Sel.Name == "Has") {
				add(place, call.Args[0])
				return
			}
			if call, ok := up(rest + 1).(*ast.CallExpr); ok && outer.Sel.Name == "Values" {
				add(all, call.Args[0])
				return
			}
		case *ast.IndexExpr:
			add(all, outer.Index)
			return
		case *ast.RangeStmt:
			if prefix := prefixIn(outer.Body); holder == "Header" && prefix != "" {
				found[read{header, prefix + "*"}] = true
				return
			}
		case *ast.CallExpr:
			p.passed(route, outer, selector, add, found, seen)
			return
		}
	default:
		if reads, ok := fieldReads[holder]; ok {
			if call, isCall := up(2).(*ast.CallExpr); isCall && holder == "Body" {
				if known, there := otherReaders[written(call.Fun)]; there {
					reads = known
				}
			}
			for _, one := range reads {
				found[one] = true
			}
			return
		}
	}
	p.problem(route, name, "an unknown use of the request's "+holder)
}

// passed says what a function reads that gets a request or a part of it.
func (p *pack) passed(route string, call *ast.CallExpr, what ast.Expr, add func(string, ast.Expr), found map[read]bool, seen map[*ast.FuncDecl]bool) {
	name := written(call.Fun)
	if package_, function, ok := strings.Cut(name, "."); ok && package_ == "httputils" && valueReaders[function] {
		add(query, call.Args[1])
		return
	}
	if reads, ok := otherReaders[name]; ok {
		for _, one := range reads {
			found[one] = true
		}
		return
	}
	if _, ok := p.functions[lastName(call.Fun)]; ok {
		p.called(route, call, lastName(call.Fun), found, seen)
		return
	}
	p.problem(route, what, "the request is passed to "+name)
}

// passedNames are the literals that stand for a parameter of a local function where it is called.
func passedNames(code *ast.BlockStmt, key ast.Expr) []string {
	name, ok := key.(*ast.Ident)
	if !ok || name.Obj == nil {
		return nil
	}
	var names []string
	ast.Inspect(code, func(node ast.Node) bool {
		assigned, ok := node.(*ast.AssignStmt)
		if !ok || len(assigned.Rhs) != 1 {
			return true
		}
		function, ok := assigned.Rhs[0].(*ast.FuncLit)
		if !ok || len(function.Type.Params.List) != 1 || function.Type.Params.List[0] != name.Obj.Decl {
			return true
		}
		ast.Inspect(code, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok && lastName(call.Fun) == lastName(assigned.Lhs[0]) {
				names = append(names, text(call.Args[0])) // "" fails in the ledger's tests
			}
			return true
		})
		return true
	})
	return names
}

func isWithContext(assigned *ast.AssignStmt) bool {
	for _, value := range assigned.Rhs {
		if call, ok := value.(*ast.CallExpr); ok && lastName(call.Fun) == "WithContext" {
			return true
		}
	}
	return false
}

// prefixIn is the literal that a loop over headers compares their names with.
func prefixIn(code *ast.BlockStmt) string {
	found := ""
	ast.Inspect(code, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && written(call.Fun) == "strings.HasPrefix" {
			found = text(call.Args[1])
		}
		return true
	})
	return found
}

func text(value ast.Expr) string {
	literal, ok := value.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	unquoted, err := strconv.Unquote(literal.Value)
	check(err)
	return unquoted
}

func lastName(value ast.Expr) string {
	switch value := value.(type) {
	case *ast.Ident:
		return value.Name
	case *ast.SelectorExpr:
		return value.Sel.Name
	}
	return ""
}

func written(value ast.Expr) string {
	switch value := value.(type) {
	case *ast.Ident:
		return value.Name
	case *ast.SelectorExpr:
		return written(value.X) + "." + value.Sel.Name
	case *ast.CallExpr:
		return written(value.Fun)
	}
	return fmt.Sprintf("%T", value)
}
