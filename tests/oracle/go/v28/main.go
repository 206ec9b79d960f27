// The oracle of Docker 28.5: what its API types hold after a body was decoded into them.
package main

import (
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/checkpoint"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/volume"
	"opa-authz/oracle/serve"
)

func main() {
	serve.Main(serve.Types{
		"container.create":   func() any { return new(container.CreateRequest) },
		"container.commit":   func() any { return new(container.CreateRequest) },
		"container.update":   func() any { return new(container.UpdateConfig) },
		"checkpoint.create":  func() any { return new(checkpoint.CreateOptions) },
		"exec.create":        func() any { return new(container.ExecOptions) },
		"exec.start":         func() any { return new(container.ExecStartOptions) },
		"network.create":     func() any { return new(network.CreateRequest) },
		"network.connect":    func() any { return new(network.ConnectOptions) },
		"network.disconnect": func() any { return new(network.DisconnectOptions) },
		"volume.create":      func() any { return new(volume.CreateOptions) },
		"volume.update":      func() any { return new(volume.UpdateOptions) },
		"service.create":     func() any { return new(swarm.ServiceSpec) },
		"swarm.init":         func() any { return new(swarm.InitRequest) },
		"swarm.join":         func() any { return new(swarm.JoinRequest) },
		"swarm.update":       func() any { return new(swarm.Spec) },
		"swarm.unlock":       func() any { return new(swarm.UnlockRequest) },
		"node.update":        func() any { return new(swarm.NodeSpec) },
		"secret.create":      func() any { return new(swarm.SecretSpec) },
		"config.create":      func() any { return new(swarm.ConfigSpec) },
		"plugin.privileges":  func() any { return new(types.PluginPrivileges) },
		"plugin.settings":    func() any { return new([]string) },
	}, true)
}
