package serve

import (
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"sort"
)

// writePaths lists the paths of all fields of all types as tab-separated lines "type  path  kind":
// "HostConfig.Mounts[].Source", with [] for each item of a list and {} for each entry of a map. A
// struct within has no line of its own unless it holds nothing that could have one.
func writePaths(out io.Writer, types Types) {
	var lines []string
	for name, make := range types {
		w := walk{above: map[reflect.Type]bool{}, found: map[string]string{}}
		w.value(reflect.TypeOf(make()).Elem(), "")
		for path, kind := range w.found {
			lines = append(lines, name+"\t"+path+"\t"+kind)
		}
	}
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
}

type walk struct {
	above map[reflect.Type]bool
	found map[string]string
}

var (
	ofJSON = reflect.TypeFor[json.Unmarshaler]()
	ofText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (w walk) value(kind reflect.Type, path string) {
	if kind.Kind() == reflect.Pointer {
		w.value(kind.Elem(), path)
		return
	}
	pointer := reflect.PointerTo(kind)
	if pointer.Implements(ofText) || pointer.Implements(ofJSON) {
		if kind.Kind() == reflect.Struct && pointer.Implements(ofJSON) && !pointer.Implements(ofText) {
			panic(fmt.Sprintf("%s: %s reads JSON by itself: say here which fields it has", path, kind))
		}
		if kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.String {
			path += "[]" // strslice.StrSlice: a list, or a text for a list of one
		}
		w.found[path] = kind.String()
		return
	}
	switch kind.Kind() {
	case reflect.Slice, reflect.Array:
		if kind.Elem().Kind() == reflect.Uint8 {
			w.found[path] = kind.String()
			return
		}
		w.value(kind.Elem(), path+"[]")
	case reflect.Map:
		w.found[path+"{}"] = kind.String()
		w.value(kind.Elem(), path+"{}")
	case reflect.Struct:
		w.structure(kind, path)
	case reflect.Interface, reflect.Func, reflect.Chan:
		panic(fmt.Sprintf("%s is a %s: what it may hold is not known", path, kind))
	default:
		w.found[path] = kind.String()
	}
}

func (w walk) structure(kind reflect.Type, path string) {
	if w.above[kind] {
		panic(fmt.Sprintf("%s: %s holds itself", path, kind))
	}
	w.above[kind] = true
	defer delete(w.above, kind)
	before := len(w.found)
	for i := range kind.NumField() {
		field := kind.Field(i)
		name, shown := nameOf(field)
		if !shown {
			continue
		}
		if field.Anonymous && field.Tag.Get("json") == "" {
			w.value(field.Type, path)
			continue
		}
		inner := name
		if path != "" {
			inner = path + "." + name
		}
		w.value(field.Type, inner)
	}
	if len(w.found) == before && path != "" {
		w.found[path] = kind.String()
	}
}
