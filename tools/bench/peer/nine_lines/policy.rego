package docker.authz

default allow := false

allow if {
	not input.body.HostConfig.Privileged
	not "seccomp=unconfined" in input.body.HostConfig.SecurityOpt
}

decision := {"allow": allow}
