// Package serve decodes request bodies into Docker's own types and says what they then hold.
package serve

import (
	"bufio"
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
)

// Types maps a name that the test knows to a new value of a type of Docker's.
type Types map[string]func() any

type question struct {
	Type string `json:"type"`
	Body []byte `json:"body"`
}

// Main answers questions, one JSON document a line, until standard input ends. An answer is what
// the type holds after decoding, or an error. strict says that this engine refuses trailing data.
func Main(types Types, strict bool) {
	if len(os.Args) > 1 && os.Args[1] == "fields" {
		fields := map[string]any{}
		for name, make := range types {
			fields[name] = describe(reflect.TypeOf(make()).Elem(), map[reflect.Type]bool{})
		}
		write(os.Stdout, fields)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "paths" {
		writePaths(os.Stdout, types)
		return
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(err)
		}
		write(out, answer(types[asked.Type](), asked.Body, strict))
		if err := out.Flush(); err != nil {
			panic(err)
		}
	}
}

func write(out interface{ Write([]byte) (int, error) }, value any) {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
}

func answer(into any, body []byte, strict bool) map[string]any {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(into); err != nil {
		return map[string]any{"error": err.Error()}
	}
	if strict && decoder.More() {
		return map[string]any{"error": "unexpected content after JSON"}
	}
	return map[string]any{"holds": held(reflect.ValueOf(into).Elem())}
}

// held is a value with every field of every struct in it, under its JSON name.
func held(value reflect.Value) any {
	if text, ok := asText(value); ok {
		return text
	}
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		if value.IsNil() {
			return nil
		}
		return held(value.Elem())
	case reflect.Struct:
		fields := map[string]any{}
		addFields(fields, value)
		return fields
	case reflect.Map:
		if value.IsNil() {
			return nil
		}
		entries := map[string]any{}
		for _, key := range value.MapKeys() {
			entries[fmt.Sprint(key.Interface())] = held(value.MapIndex(key))
		}
		return entries
	case reflect.Slice:
		if value.IsNil() {
			return nil
		}
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return value.Bytes() // as base64
		}
		fallthrough
	case reflect.Array:
		items := make([]any, value.Len())
		for i := range items {
			items[i] = held(value.Index(i))
		}
		return items
	}
	return value.Interface()
}

func addFields(fields map[string]any, value reflect.Value) {
	for i := range value.NumField() {
		field := value.Type().Field(i)
		name, shown := nameOf(field)
		switch {
		case !shown:
		case field.Anonymous && field.Tag.Get("json") == "":
			inner := value.Field(i)
			if inner.Kind() == reflect.Pointer {
				if inner.IsNil() {
					inner = reflect.New(field.Type.Elem())
				}
				inner = inner.Elem()
			}
			nested := map[string]any{}
			addFields(nested, inner)
			for name, item := range nested {
				if _, there := fields[name]; !there {
					fields[name] = item
				}
			}
		default:
			fields[name] = held(value.Field(i))
		}
	}
}

func nameOf(field reflect.StructField) (string, bool) {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if name == "-" || (!field.IsExported() && !field.Anonymous) {
		return "", false
	}
	if name == "" {
		name = field.Name
	}
	return name, true
}

func asText(value reflect.Value) (string, bool) {
	if !value.CanInterface() || value.Kind() == reflect.Pointer {
		return "", false
	}
	marshaler, ok := value.Interface().(encoding.TextMarshaler)
	if !ok {
		return "", false
	}
	text, err := marshaler.MarshalText()
	return string(text), err == nil
}

// describe names the fields of a type, and of the types within it.
func describe(kind reflect.Type, above map[reflect.Type]bool) any {
	switch kind.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return describe(kind.Elem(), above)
	case reflect.Struct:
		_, isText := reflect.New(kind).Interface().(encoding.TextUnmarshaler)
		if isText || above[kind] {
			return nil
		}
		above[kind] = true
		defer delete(above, kind)
		fields := map[string]any{}
		for i := range kind.NumField() {
			field := kind.Field(i)
			name, shown := nameOf(field)
			if !shown {
				continue
			}
			if field.Anonymous && field.Tag.Get("json") == "" {
				inner, _ := describe(field.Type, above).(map[string]any)
				for name, item := range inner {
					fields[name] = item
				}
				continue
			}
			fields[name] = describe(field.Type, above)
		}
		return fields
	}
	return nil
}
