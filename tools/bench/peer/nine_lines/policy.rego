package docker.authz

default allow := false

allow if { not input.body.HostConfig.Privileged; not unconfined }

unconfined if "seccomp=unconfined" in input.body.HostConfig.SecurityOpt

decision := {"allow": allow}
