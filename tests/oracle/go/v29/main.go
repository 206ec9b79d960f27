// The oracle of Docker 29: what its API types hold after a body was decoded into them.
package main

import (
	"github.com/moby/moby/api/types/checkpoint"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/plugin"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/volume"
	"opa-authz/oracle/serve"
)

// containerCreate adds what POST /containers/create decodes below API 1.52 from the same body (moby
// v2.0.0-beta.24 daemon/server/router/container/container_routes.go postContainersCreate).
type containerCreate struct {
	container.CreateRequest
	MacAddress network.HardwareAddr `json:",omitempty"`
}

// service adds what the routers decode and use below API 1.44 (moby v2.0.0-beta.24
// daemon/server/router/swarm/cluster_routes.go serviceWithLegacy).
type service struct {
	swarm.ServiceSpec
	Networks []swarm.NetworkAttachmentConfig `json:",omitempty"`
}

// volumeUpdate is what PUT /volumes/{name} decodes into (moby v2.0.0-beta.24
// daemon/server/volumebackend/volume.go UpdateOptions).
type volumeUpdate struct {
	Spec *volume.ClusterVolumeSpec `json:"Spec,omitempty"`
}

func main() {
	serve.Main(serve.Types{
		"container.create":   func() any { return new(containerCreate) },
		"container.commit":   func() any { return new(container.Config) },
		"container.update":   func() any { return new(container.UpdateConfig) },
		"checkpoint.create":  func() any { return new(checkpoint.CreateRequest) },
		"exec.create":        func() any { return new(container.ExecCreateRequest) },
		"exec.start":         func() any { return new(container.ExecStartRequest) },
		"network.create":     func() any { return new(network.CreateRequest) },
		"network.connect":    func() any { return new(network.ConnectRequest) },
		"network.disconnect": func() any { return new(network.DisconnectRequest) },
		"volume.create":      func() any { return new(volume.CreateRequest) },
		"volume.update":      func() any { return new(volumeUpdate) },
		"service.create":     func() any { return new(service) },
		"swarm.init":         func() any { return new(swarm.InitRequest) },
		"swarm.join":         func() any { return new(swarm.JoinRequest) },
		"swarm.update":       func() any { return new(swarm.Spec) },
		"swarm.unlock":       func() any { return new(swarm.UnlockRequest) },
		"node.update":        func() any { return new(swarm.NodeSpec) },
		"secret.create":      func() any { return new(swarm.SecretSpec) },
		"config.create":      func() any { return new(swarm.ConfigSpec) },
		"plugin.privileges":  func() any { return new(plugin.Privileges) },
		"plugin.settings":    func() any { return new([]string) },
	}, true)
}
