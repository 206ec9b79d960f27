// The oracle of Docker 20.10: what its API types hold after a body was decoded into them.
package main

import (
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/docker/docker/api/types/volume"
	"opa-authz/oracle/serve"
)

// containerCreate is runconfig.ContainerConfigWrapper, which engines to 26.1 decode into.
type containerCreate struct {
	*container.Config
	InnerHostConfig  *container.HostConfig `json:"HostConfig,omitempty"`
	Cpuset           string                `json:",omitempty"`
	NetworkingConfig *network.NetworkingConfig
	*container.HostConfig
}

func main() {
	serve.Main(serve.Types{
		"container.create":   func() any { return new(containerCreate) },
		"container.commit":   func() any { return new(containerCreate) },
		"container.copy":     func() any { return new(types.CopyConfig) },
		"container.start":    func() any { return new(container.HostConfig) },
		"container.update":   func() any { return new(container.UpdateConfig) },
		"checkpoint.create":  func() any { return new(types.CheckpointCreateOptions) },
		"exec.create":        func() any { return new(types.ExecConfig) },
		"exec.start":         func() any { return new(types.ExecStartCheck) },
		"network.create":     func() any { return new(types.NetworkCreateRequest) },
		"network.connect":    func() any { return new(types.NetworkConnect) },
		"network.disconnect": func() any { return new(types.NetworkDisconnect) },
		"volume.create":      func() any { return new(volume.VolumeCreateBody) },
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
	}, false)
}
