#!/bin/sh
# Docker's Go client 0.6.2 (that of the CLI 29.9.3, Compose and Buildx): an attach or the start of an exec
# that an authorization plugin denied is reported without the plugin's message.
#
# The client sends these requests with "Upgrade: tcp". If the status is not 101, it returns an error with
# the number only, and reads neither the type nor the body of the answer (client/hijack.go).
#
# Expected: the error of every other method: "Error response from daemon: authorization denied by plugin
#           guard: ...", and of a kind for which errdefs.IsPermissionDenied holds.
# Actual:   "unable to upgrade to tcp, received 403". `docker run` in the foreground, `docker exec`,
#           `docker attach`, `docker start -a`, `docker compose exec` and `docker compose run` print this
#           line, and `docker run` leaves a container that was created.
#
# Why it matters: a caller cannot know from it that a policy decided, which rule, or whom to ask. A policy
# should deny an exec when it is created, where the message is shown, and a closed attach needs a line in
# the site's own documentation. The reason is in the plugin's log.
#
# Builds a program with the client's Go module in a temporary folder, and has it ask a server of its own
# that answers as dockerd does for a denial. Needs Go. Fails if the behaviour changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

const denial = `{"message":"authorization denied by plugin guard: exec is not allowed"}`

func show(method string, err error) {
	fmt.Printf("%-16s permission denied: %-5t %v\n", method, errdefs.IsPermissionDenied(err), err)
}

func main() {
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, denial)
	}))
	defer daemon.Close()
	docker, err := client.New(client.WithHost("tcp://"+daemon.Listener.Addr().String()), client.WithAPIVersion("1.54"))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	_, err = docker.ExecCreate(ctx, "web", client.ExecCreateOptions{Cmd: []string{"true"}})
	show("ExecCreate", err)
	_, err = docker.ExecAttach(ctx, "0123", client.ExecAttachOptions{})
	show("ExecAttach", err)
	_, err = docker.ContainerAttach(ctx, "web", client.ContainerAttachOptions{Stream: true})
	show("ContainerAttach", err)
}
GO
go mod init finding 2> go.log
go get github.com/moby/moby/client@v0.6.2 github.com/containerd/errdefs@v1.0.0 2>> go.log || { cat go.log; exit 1; }
go run . > seen
cat seen
grep -q '^ExecCreate .*true .*authorization denied by plugin guard' seen
for method in ExecAttach ContainerAttach; do
	grep -q "^$method .*false unable to upgrade to tcp, received 403$" seen
done
