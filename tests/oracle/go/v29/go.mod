module opa-authz/oracle/v29

go 1.24

require opa-authz/oracle/serve v0.0.0

require (
	github.com/docker/go-units v0.5.0 // indirect
	github.com/moby/docker-image-spec v1.3.1 // indirect
	github.com/moby/moby/api v1.56.1
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
)

replace opa-authz/oracle/serve => ../serve
