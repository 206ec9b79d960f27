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

// volumeUpdate is what PUT /volumes/{name} decodes into (moby v2.0.0-beta.24
// daemon/server/volumebackend/options.go).
type volumeUpdate struct {
	Spec *volume.ClusterVolumeSpec `json:"Spec,omitempty"`
}

func main() {
	serve.Main(serve.Types{
		"container.create":   func() any { return new(container.CreateRequest) },
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
		"service.create":     func() any { return new(swarm.ServiceSpec) },
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
