// Peer is the least that a Go plugin with OPA inside has to do for a decision.
//
// It stands in for such plugins where none can be had, in the two ways in which they work: "file"
// compiles the policy for each request, "sdk" asks OPA's SDK, which compiles it once. To be a fair
// rival to the policies of this project it is handed the finished input document of each case
// (header X-Case) and so is spared all the work of making one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/sdk"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

type request struct {
	RequestMethod  string
	RequestUri     string //nolint:revive // dockerd's name
	RequestHeaders map[string]string
	RequestBody    []byte
}

type response struct {
	Allow bool
	Msg   string
}

type decider func(ctx context.Context, input any) (bool, error)

func main() {
	mode := flag.String("mode", "sdk", "file or sdk")
	bundle := flag.String("bundle", "", "folder of the bundle")
	documents := flag.String("documents", "", "JSON file with the input document of each case")
	socket := flag.String("socket", "", "unix socket to serve on")
	flag.Parse()

	text, err := os.ReadFile(*documents)
	check(err)
	inputs := map[string]any{}
	check(json.Unmarshal(text, &inputs))
	decide := fromFile(*bundle)
	if *mode == "sdk" {
		decide = fromSDK(*bundle)
	}

	http.HandleFunc("POST /AuthZPlugin.AuthZReq", func(w http.ResponseWriter, r *http.Request) {
		var asked request
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var body any
		if len(asked.RequestBody) > 0 {
			if err := json.Unmarshal(asked.RequestBody, &body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		allow, err := decide(r.Context(), inputs[asked.RequestHeaders["X-Case"]])
		answer := response{Allow: allow && err == nil}
		line, _ := json.Marshal(map[string]any{
			"method": asked.RequestMethod, "uri": asked.RequestUri, "body": body, "result": answer.Allow,
		})
		log.Printf("%s", line)
		check(json.NewEncoder(w).Encode(answer))
	})
	http.HandleFunc("POST /AuthZPlugin.AuthZRes", func(w http.ResponseWriter, r *http.Request) {
		var asked request
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		check(json.NewEncoder(w).Encode(response{Allow: true}))
	})
	listener, err := net.Listen("unix", *socket)
	check(err)
	check(http.Serve(listener, nil)) //nolint:gosec // a benchmark needs no timeouts
}

func fromFile(bundle string) decider {
	return func(ctx context.Context, input any) (bool, error) {
		options := []func(*rego.Rego){rego.Query("data.docker.authz.decision.allow"), rego.Input(input)}
		data := map[string]any{}
		err := filepath.WalkDir(bundle, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			switch filepath.Base(path) {
			case "data.json":
				folder, _ := filepath.Rel(bundle, filepath.Dir(path))
				return put(data, strings.Split(folder, "/"), text)
			case ".manifest":
				return nil
			}
			options = append(options, rego.Module(path, string(text)))
			return nil
		})
		if err != nil {
			return false, err
		}
		options = append(options, rego.Store(inmem.NewFromObject(data)))
		results, err := rego.New(options...).Eval(ctx)
		if err != nil || len(results) == 0 {
			return false, errors.Join(err, errors.New("undefined"))
		}
		allow, _ := results[0].Expressions[0].Value.(bool)
		return allow, nil
	}
}

func put(data map[string]any, path []string, text []byte) error {
	for _, name := range path[:len(path)-1] {
		inner, ok := data[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			data[name] = inner
		}
		data = inner
	}
	var value any
	err := json.Unmarshal(text, &value)
	data[path[len(path)-1]] = value
	return err
}

func fromSDK(bundle string) decider {
	config := fmt.Sprintf(
		`{"bundles": {"authz": {"resource": "file://%s"}}, "decision_logs": {"console": true}}`, bundle,
	)
	opa, err := sdk.New(context.Background(), sdk.Options{Config: strings.NewReader(config)})
	check(err)
	return func(ctx context.Context, input any) (bool, error) {
		result, err := opa.Decision(ctx, sdk.DecisionOptions{Path: "/docker/authz/decision", Input: input})
		if err != nil {
			return false, err
		}
		decision, _ := result.Result.(map[string]any)
		allow, _ := decision["allow"].(bool)
		return allow, nil
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
