"""A proposal allows what happened, no more than needed, and nothing dangerous that is not named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from authz_plugin import policy
from authz_plugin.rules import RULES
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.learning.proposal import Proposal, propose
from authz_plugin.tools.rule_sources import rule_sources
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.tools.learning.days import create, day, get, message, post, send


def learned(sandbox: Sandbox, requests: Sequence[Request], *named: str) -> Proposal:
    """What is proposed of a day; decisions are called by their positions in it."""
    recordings = [
        recording._replace(record={**recording.record, "decision_id": str(position)})
        for position, recording in enumerate(day(sandbox, requests))
    ]
    assert all(recording.record["verdict"] == "allow" for recording in recordings)
    return propose(sandbox, lambda: iter(recordings), named)


def allows(sandbox: Sandbox, settings: dict[str, Any], request: Request, user: str = "") -> bool:
    return sandbox.judge(message(request, user), sandbox.configured(settings)).allow


def at(settings: dict[str, Any], key: str) -> Any:
    found: Any = settings
    for name in key.split("/"):
        found = found[name]
    return found


def endpoint(network: str, **settings: Any) -> dict[str, Any]:
    return {"NetworkingConfig": {"EndpointsConfig": {network: settings}}}


DIGEST: Final = f"sha256:{'a' * 64}"
NETWORK: Final = {"Name": "shop"}
BRIDGE: Final = "networks/default_bridge"

GRANTS: Final = {
    "an operation": (
        get("/info"),
        "operations",
        {"system.info": "allow"},
        get("/volumes"),
        "sections.operation",
    ),
    "a write": (
        send("/containers/web/stop"),
        "operations",
        {"container.stop": "allow"},
        send("/containers/web/kill"),
        "sections.operation",
    ),
    "a mount": (
        create(Binds=["/srv/shop/data:/d"]),
        "mounts/allow",
        [{"path": "/srv/shop/data"}],
        create(Binds=["/srv/shop/data2:/d"]),
        "mounts.source",
    ),
    "a read-only mount": (
        create(Binds=["/srv/shop/data:/d:ro"]),
        "mounts/allow",
        [{"path": "/srv/shop/data", "read_only": True}],
        create(Binds=["/srv/shop/data:/d"]),
        "mounts.read-only",
    ),
    "a capability": (
        create(CapAdd=["CAP_NET_RAW"]),
        "capabilities/allow",
        ["NET_RAW"],
        create(CapAdd=["CHOWN"]),
        "capabilities.add",
    ),
    "an image": (
        create(),
        "images/allow",
        ["alpine:3"],
        create({"Image": "alpine:4"}),
        "images.source",
    ),
    "an image by digest": (
        create({"Image": f"registry.local/app@{DIGEST}"}),
        "images/allow",
        [f"registry.local/app@{DIGEST}"],
        create({"Image": "registry.local/app:1"}),
        "images.source",
    ),
    "an image of somebody on Docker Hub": (
        create({"Image": "grafana/grafana:11"}),
        "images/allow",
        ["grafana/grafana:11"],
        create({"Image": "grafana/loki:11"}),
        "images.source",
    ),
    "latest": (
        create({"Image": "alpine"}),
        "images/latest",
        True,
        create({"Image": "busybox"}),
        "images.source",
    ),
    "a pull": (
        send("/images/create?fromImage=registry.local/app&tag=1"),
        "registries/allow",
        ["registry.local"],
        send("/images/create?fromImage=registry.example/app&tag=1"),
        "registries.host",
    ),
    "a tag": (
        send("/images/x/tag?repo=registry.local/app&tag=2"),
        "images/names",
        ["registry.local/app:2"],
        send("/images/x/tag?repo=registry.local/app&tag=3"),
        "images.name",
    ),
    "a push": (
        send("/images/registry.local/app/push?tag=2"),
        "images/push",
        ["registry.local/app:2"],
        send("/images/registry.local/other/push?tag=2"),
        "images.push",
    ),
    "a port": (
        create(PortBindings={"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}),
        "ports",
        {"ranges": [{"first": 8080, "last": 8080}], "addresses": ["127.0.0.1"]},
        create(PortBindings={"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}]}),
        "ports.range",
    ),
    "a port on one address": (
        create(PortBindings={"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}),
        "ports/addresses",
        ["127.0.0.1"],
        create(PortBindings={"80/tcp": [{"HostPort": "8080"}]}),
        "ports.address",
    ),
    "a port of dockerd's choice": (
        create(PortBindings={"80/tcp": [{}]}),
        "ports/random",
        True,
        create(PortBindings={"80/tcp": [{"HostPort": "8080"}]}),
        "ports.range",
    ),
    "all exposed ports": (
        create(PublishAllPorts=True),
        "ports/publish_all",
        True,
        create(PublishAllPorts=True, PortBindings={"80/tcp": [{"HostPort": "8080"}]}),
        "ports.range",
    ),
    "a network": (
        create(NetworkMode="shop"),
        "networks/join",
        ["shop"],
        create(NetworkMode="shop2"),
        "networks.join",
    ),
    "the default bridge": (create(), BRIDGE, True, create(NetworkMode="shop"), "networks.join"),
    "an alias": (
        create(endpoint("bridge", Aliases=["db"])),
        "networks/aliases",
        True,
        create(Links=["db:db"]),
        "networks.link",
    ),
    "an address": (
        create(endpoint("n", IPAMConfig={"IPv4Address": "10.1.1.1"}), NetworkMode="n"),
        "networks/static_addresses",
        True,
        create(Dns=["10.0.0.1"], NetworkMode="n"),
        "networks.dns",
    ),
    "an entry for the hosts file": (
        create(ExtraHosts=["db:10.0.0.1"]),
        "networks/extra_hosts",
        True,
        create(ExtraHosts=["host:host-gateway"]),
        "networks.extra-host",
    ),
    "the host by its gateway": (
        create(ExtraHosts=["host:host-gateway"]),
        "networks/host_gateway",
        True,
        create(ExtraHosts=["db:10.0.0.1"]),
        "networks.extra-host",
    ),
    "DNS": (
        create(Dns=["10.0.0.1"]),
        "networks/dns",
        True,
        create(ExtraHosts=["a:10.0.0.1"]),
        "networks.extra-host",
    ),
    "a link": (
        create(Links=["db:db"]),
        "networks/links",
        True,
        create(Dns=["10.0.0.1"]),
        "networks.dns",
    ),
    "a new network": (
        post("/networks/create", {**NETWORK, "Driver": "overlay", "Scope": "swarm"}),
        "networks/drivers",
        ["", "bridge", "overlay"],
        post("/networks/create", {**NETWORK, "Driver": "macvlan"}),
        "networks.driver",
    ),
    "a subnet": (
        post("/networks/create", {**NETWORK, "IPAM": {"Config": [{"Subnet": "10.1.0.0/16"}]}}),
        "networks/subnets",
        True,
        post("/networks/create", {**NETWORK, "Internal": True, "Ingress": True}),
        "networks.ingress",
    ),
    "a named volume": (
        create(Binds=["data:/d"]),
        "volumes/named",
        True,
        create(Binds=["/srv/data:/d"]),
        "mounts.source",
    ),
    "a user": (
        create({"User": "1000"}),
        "users/containers",
        ["numeric"],
        create({"User": "root"}),
        "users.container",
    ),
    "an exec's user": (
        post("/containers/web/exec", {"Cmd": ["id"], "User": "root"}),
        "users/execs",
        ["root"],
        post("/containers/web/exec", {"Cmd": ["id"], "User": "daemon"}),
        "users.exec",
    ),
    "a process limit": (
        create(Ulimits=[{"Name": "memlock", "Soft": -1, "Hard": -1}]),
        "resources/ulimits",
        {"memlock": None},
        create(Ulimits=[{"Name": "rtprio", "Soft": 1, "Hard": 1}]),
        "resources.ulimit",
    ),
    "a higher process limit": (
        create(Ulimits=[{"Name": "nofile", "Soft": 2000000, "Hard": 3000000}]),
        "resources/ulimits",
        {"nofile": 3000000},
        create(Ulimits=[{"Name": "nofile", "Soft": 2000000, "Hard": 3000001}]),
        "resources.ulimit",
    ),
    "a kernel parameter": (
        create(Sysctls={"net.core.somaxconn": "1024"}),
        "sysctls/allow",
        None,
        create(Sysctls={"net.core.rmem_max": "1024"}),
        "sysctls.name",
    ),
    "an option of a tmpfs": (
        create(Tmpfs={"/t": "exec"}),
        "tmpfs/options",
        None,
        create(Tmpfs={"/t": "suid"}),
        "tmpfs.option",
    ),
    "a group of the container's own": (
        create(GroupAdd=["1500"]),
        "containers/groups",
        ["1500"],
        create(GroupAdd=["1501"]),
        "containers.group",
    ),
    "a storage option": (
        create(StorageOpt={"size": "1G"}),
        "containers/storage_options",
        ["size"],
        create(StorageOpt={"other": "1"}),
        "containers.storage-option",
    ),
}
"""By what is granted: a request, where the grant stands and what is there, and a request that is
much alike and stays denied, by which rule."""


@pytest.mark.parametrize("case", GRANTS)
def test_a_grant_allows_what_happened_and_not_what_is_like_it(sandbox: Sandbox, case: str) -> None:
    request, key, expected, sibling, rule = GRANTS[case]
    proposal = learned(sandbox, [request])
    assert proposal.survey.allowed == 1
    if expected is not None:
        assert at(proposal.settings, key) == expected
    config = sandbox.configured(proposal.settings)
    assert sandbox.judge(message(request), config).allow
    other = sandbox.judge(message(sibling), config)
    assert rule in {denial.rule for denial in other.record.denials}


def local(**options: str) -> Request:
    """A container with a volume of the local driver."""
    driver = {"Name": "local", "Options": options}
    volume = {"Type": "volume", "Source": "v", "Target": "/v"}
    return create(Mounts=[{**volume, "VolumeOptions": {"DriverConfig": driver}}])


def service(query: str = "", **spec: Any) -> Request:
    container = {"Image": "alpine:3", **spec.pop("Container", {})}
    body = {"Name": "web", "TaskTemplate": {"ContainerSpec": container, **spec}}
    return post(f"/services/{query or 'create'}", body)


def mounted(path: str) -> Request:
    return create(Binds=[f"{path}:/m"])


PLUGIN: Final = {
    "Runtime": "plugin",
    "PluginSpec": {"remote": "x/y:1", "privileges": [{"name": "mount", "value": ["/"]}]},
}
SIGNING: Final = {"Spec": {"CAConfig": {"SigningCACert": "x"}}}
ID: Final = f"sha256:{'b' * 64}"

DANGERS: Final[dict[str, tuple[Request, set[str]]]] = {
    "a privileged container": (create(Privileged=True), {"privileged.container"}),
    "a privileged exec": (
        post("/containers/web/exec", {"Cmd": ["id"], "Privileged": True}), {"privileged.exec"},
    ),
    "SYS_ADMIN": (create(CapAdd=["SYS_ADMIN"]), {"capabilities.add=SYS_ADMIN"}),
    "SYS_ADMIN in a service": (
        service(Container={"CapabilityAdd": ["SYS_ADMIN"]}), {"capabilities.add=SYS_ADMIN"},
    ),
    "all capabilities": (create(CapAdd=["all"]), {"capabilities.add=ALL"}),
    "NET_ADMIN": (create(CapAdd=["cap_net_admin"]), {"capabilities.add=NET_ADMIN"}),
    "the host's processes": (create(PidMode="host"), {"namespaces.host=pid:host"}),
    "the host's network": (
        create(NetworkMode="host"), {"namespaces.host=network:host"},
    ),
    "the host's users": (create(UsernsMode="host"), {"namespaces.host=user:host"}),
    "another container's memory": (
        create(IpcMode="container:db"), {"namespaces.container=ipc:container"},
    ),
    "a namespace that is not known": (
        create(CgroupnsMode="odd"), {"namespaces.unknown=cgroup"},
    ),
    "a service's network by an id": (
        service(Networks=[{"Target": "abc"}]),
        {"namespaces.service-network=network:unresolved"},
    ),
    "the host": (mounted("/"), {"mounts.source=/", "mounts.protected=/", "guard.mount=/"}),
    "/etc": (mounted("/etc"), {"mounts.source=/etc", "mounts.protected=/etc", "guard.mount=/etc"}),
    "/etc in disguise": (
        local(type="none", o="bind", device="/etc"),
        {"mounts.source=/etc", "mounts.protected=/etc", "guard.mount=/etc"},
    ),
    "the Docker socket": (
        mounted("/var/run/docker.sock"),
        {"mounts.source=/var/run/docker.sock", "mounts.protected=/var/run/docker.sock"},
    ),
    "dockerd's data": (
        mounted("/var/lib/docker/volumes"),
        {"mounts.source=/var/lib/docker/volumes", "mounts.protected=/var/lib/docker/volumes"},
    ),
    "a system path": (mounted("/proc/sys"), {"mounts.source=/proc/sys"}),
    "a user's home": (mounted("/home/alice"), {"mounts.source=/home/alice"}),
    "a user's keys": (mounted("/srv/a/.ssh"), {"mounts.source=/srv/a/.ssh"}),
    "all of /opt": (mounted("/opt"), {"mounts.source=/opt"}),
    "a socket": (mounted("/srv/db/db.sock"), {"mounts.source=/srv/db/db.sock"}),
    "a mount that reaches the host": (
        create(Binds=["/srv/x:/x:rshared"]), {"mounts.propagation=rshared"},
    ),
    "another container's volumes": (create(VolumesFrom=["db"]), {"mounts.volumes-from"}),
    "a mount of another type": (
        create(Mounts=[{"Type": "npipe", "Source": "x", "Target": "/x"}]), {"mounts.type=npipe"},
    ),
    "a network share": (local(type="nfs", device=":/x"), {"volumes.options=nfs"}),
    "a volume driver": (
        create(VolumeDriver="rexray", Binds=["v:/v"]), {"volumes.driver=rexray"},
    ),
    "a device": (create(Devices=[{"PathOnHost": "/dev/kvm"}]), {"devices.mapping=/dev/kvm"}),
    "arguments of ps": (
        get("/containers/web/top?ps_args=-eo%20pid"), {"containers.ps-arguments=-eo pid"},
    ),
    "GPUs by a variable": (
        create({"Env": ["NVIDIA_VISIBLE_DEVICES=all"]}), {"devices.environment"},
    ),
    "GPUs": (create(DeviceRequests=[{"Count": -1}]), {"devices.request"}),
    "devices by a rule": (create(DeviceCgroupRules=["b *:* rwm"]), {"devices.cgroup-rule"}),
    "no seccomp": (
        create(SecurityOpt=["seccomp=unconfined"]), {"security-options.value=seccomp=unconfined"},
    ),
    "no label": (
        create(SecurityOpt=["label:disable"]), {"security-options.value=label=disable"},
    ),
    "no masked paths": (create(MaskedPaths=[]), {"security-options.paths"}),
    "a runtime": (create(Runtime="kata"), {"containers.runtime=kata"}),
    "a parent cgroup": (create(CgroupParent="/x"), {"containers.cgroup-parent=/x"}),
    "the docker group": (create(GroupAdd=["docker"]), {"containers.group=docker"}),
    "a group of the system": (create(GroupAdd=["999"]), {"containers.group=999"}),
    "an annotation": (create(Annotations={"run.oci.x": "1"}), {"containers.annotation=run.oci.x"}),
    "a low OOM score": (create(OomScoreAdj=-500), {"resources.oom-score"}),
    "no OOM killer": (create(OomKillDisable=True), {"resources.oom-kill"}),
    "real-time priority": (create(CpuRealtimeRuntime=1), {"resources.realtime"}),
    "a block device's limit": (
        create(BlkioDeviceReadBps=[{"Path": "/dev/sda", "Rate": 1}]), {"resources.block-device"},
    ),
    "a log driver": (
        create(LogConfig={"Type": "syslog", "Config": {"syslog-address": "tcp://x:1"}}),
        {"logging.driver=syslog", "logging.option=syslog-address"},
    ),
    "set-user-id programs in a tmpfs": (create(Tmpfs={"/t": "suid"}), {"tmpfs.option=suid"}),
    "an image by its id": (create({"Image": ID}), {f"images.source={ID}"}),
    "an image from a URL": (send("/images/create?fromSrc=http://x/y"), {"images.url"}),
    "a build from a URL": (send("/build?remote=http://x/y"), {"build.remote=http://x/y"}),
    "a build in the host's network": (send("/build?networkmode=host"), {"build.network=host"}),
    "a build in a parent cgroup": (send("/build?cgroupparent=/x"), {"build.cgroup-parent=/x"}),
    "a build's output": (send("/build?outputs=[{}]"), {"build.output"}),
    "BuildKit unseen": (send("/grpc"), {"sections.operation=build.grpc"}),
    "a MAC address": (
        create(endpoint("bridge", MacAddress="02:42:ac:11:00:02")), {"networks.mac-address"},
    ),
    "an option of an endpoint": (
        create(endpoint("bridge", DriverOpts={"x": "y"})), {"networks.endpoint-option=x"},
    ),
    "a network beside the host": (
        post("/networks/create", {**NETWORK, "Driver": "macvlan"}), {"networks.driver=macvlan"},
    ),
    "a bridge of the host": (
        post("/networks/create", {**NETWORK, "Options": {"com.docker.network.bridge.name": "br0"}}),
        {"networks.option=com.docker.network.bridge.name"},
    ),
    "a network's hidden options": (
        post("/networks/create", {**NETWORK, "ConfigFrom": {"Network": "x"}}), {"networks.config"},
    ),
    "an ingress network": (
        post("/networks/create", {**NETWORK, "Ingress": True}), {"networks.ingress"},
    ),
    "a field that is not known": (create({"Novelty": 1}), {"request.unknown-field"}),
    "dockerd's memory": (get("/debug/vars"), {"sections.operation=debug.vars"}),
    "a directory by a checkpoint": (
        post("/containers/x/checkpoints", {"CheckpointID": "a", "CheckpointDir": "/srv/c"}),
        {"sections.operation=container.checkpoint.create"},
    ),
    "the proof that requests are denied": (get("/plugins"), {"sections.operation=plugin.list"}),
    "a plugin that is installed": (
        post("/plugins/pull?remote=x/y:1", [{"Name": "network", "Value": ["host"]}]),
        {
            "sections.operation=plugin.pull",
            "plugins.install=docker.io/x/y:1",
            "plugins.privilege=network",
        },
    ),
    "a plugin that is switched off": (
        send("/plugins/y/disable"), {"sections.operation=plugin.disable", "plugins.change=y"},
    ),
    "a plugin that is made": (
        send("/plugins/create?name=x"), {"sections.operation=plugin.create", "plugins.create"},
    ),
    "a plugin as a task": (
        post("/services/create", {"Name": "x", "TaskTemplate": PLUGIN}),
        {"swarm.runtime=plugin", "plugins.install=docker.io/x/y:1", "plugins.privilege=mount"},
    ),
    "a swarm's authority": (
        post("/swarm/init", SIGNING), {"sections.operation=swarm.init", "swarm.ca"},
    ),
    "another swarm": (
        post("/swarm/join", {"RemoteAddrs": ["10.0.0.1"]}),
        {"sections.operation=swarm.join", "swarm.join=10.0.0.1"},
    ),
    "a swarm's tokens": (get("/swarm"), {"sections.operation=swarm.inspect"}),
    "a manager": (post("/nodes/x/update?version=1", {"Role": "manager"}), {"swarm.manager"}),
    "a service set back": (service("web/update?version=1&rollback=previous"), {"swarm.rollback"}),
    "a secret's driver": (
        post("/secrets/create", {"Name": "x", "Driver": {"Name": "y"}}), {"swarm.driver"},
    ),
}  # fmt: skip
"""Requests that lead out of a container, each with what has to be named to allow it."""


@pytest.fixture(scope="module")
def silent(sandbox: Sandbox) -> Proposal:
    """What is proposed of a day on which everything dangerous happened."""
    return learned(sandbox, [request for request, _ in DANGERS.values()])


@pytest.fixture(scope="module")
def nothing(sandbox: Sandbox) -> dict[str, Any]:
    """What is proposed of a day on which nothing happened but a ping."""
    return learned(sandbox, [get("/_ping")]).settings


def test_what_is_dangerous_is_not_granted(
    sandbox: Sandbox, silent: Proposal, nothing: dict[str, Any]
) -> None:
    assert silent.settings == nothing
    config = sandbox.configured(silent.settings)
    for request, _ in DANGERS.values():
        assert not sandbox.judge(message(request), config).allow


@pytest.mark.parametrize("position", range(len(DANGERS)), ids=DANGERS)
def test_what_has_to_be_named_is_told_with_what_it_means(silent: Proposal, position: int) -> None:
    _, names = list(DANGERS.values())[position]
    assert withheld(silent, position) == names
    assert all(change.danger for _, change in silent.survey.withheld)


def test_what_is_dangerous_is_granted_once_it_is_named(sandbox: Sandbox) -> None:
    requests = [request for request, _ in DANGERS.values()]
    named = {name for _, names in DANGERS.values() for name in names}
    proposal = learned(sandbox, requests, *named)
    assert proposal.survey.allowed == len(requests)
    assert proposal.unmet == []
    config = sandbox.configured(proposal.settings)
    assert all(sandbox.judge(message(request), config).allow for request in requests)
    granted = {rule for grant in proposal.grants if grant.dangers for rule in grant.rules}
    assert granted >= {name.partition("=")[0] for name in named}


@pytest.mark.parametrize("left_out", range(3))
def test_each_of_several_dangers_has_to_be_named(
    sandbox: Sandbox, nothing: dict[str, Any], left_out: int
) -> None:
    least = max(left_out, 1)
    several = [(r, sorted(names)) for r, names in DANGERS.values() if len(names) > least]
    named = {name for _, names in several for name in names if name != names[left_out]}
    proposal = learned(sandbox, [request for request, _ in several], *named)
    assert proposal.settings == nothing
    assert withheld(proposal) == {names[left_out] for _, names in several}


def withheld(proposal: Proposal, position: int | None = None) -> set[str]:
    """What has to be named to be granted: of the request at a position of the day, or at all."""
    return {
        f"{change.rule}={change.value}" if change.value else change.rule
        for (_, change), tally in proposal.survey.withheld.items()
        if position is None or str(position) in tally.examples
    }


DEMANDING: Final = {
    "mode": "warn",
    "profile": "production",
    "hardening": {
        "read_only_root": True, "no_new_privileges": True, "drop": ["ALL"], "healthcheck": True,
    },
    "users": {"containers": ["numeric"], "groups": ["default", "numeric"]},
    "containers": {
        "restart": ["", "no", "on-failure"], "restart_retries": 3, "deny_commands": ["*sshd"],
    },
    "resources": {"required": ["pids"], "max": {"memory": "512m"}},
    "labels": {"required": {"team": ["shop"]}, "reserved": ["traefik.*"]},
    "images": {"digest": "required"},
    "tenancy": {"names": ["shop-*"], "labels": {"tenant": "shop"}},
    "mounts": {
        "deny": ["/srv/secret"], "allow": [{"path": "/srv/shared"}], "subfolders": "deny",
    },
}  # fmt: skip

LABELS: Final = {"team": "shop", "tenant": "shop"}
SOUND: Final = {
    "Image": f"registry.local/app@{DIGEST}",
    "User": "1000",
    "Labels": LABELS,
    "Healthcheck": {"Test": ["CMD", "true"]},
}
HOST: Final = {
    "ReadonlyRootfs": True,
    "SecurityOpt": ["no-new-privileges"],
    "CapDrop": ["ALL"],
    "PidsLimit": 10,
    "Memory": 1 << 20,
}


def sound(top: dict[str, Any] | None = None, name: str = "shop-web", **host: Any) -> Request:
    """A container that fulfils every demand, but for what is said."""
    return create({**SOUND, **(top or {})}, f"?name={name}", **{**HOST, **host})


DEMANDS: Final = {
    "a read-only root": (sound(ReadonlyRootfs=False), "hardening.read-only-root"),
    "no new privileges": (sound(SecurityOpt=[]), "hardening.no-new-privileges"),
    "dropped capabilities": (sound(CapDrop=[]), "hardening.drop=ALL"),
    "a health check": (sound({"Healthcheck": None}), "hardening.healthcheck"),
    "a user": (sound({"User": "root"}), "users.container=root"),
    "few restarts": (
        sound(RestartPolicy={"Name": "on-failure"}), "containers.restart-retries",
    ),
    "a limit": (sound(PidsLimit=None), "resources.required=pids"),
    "a ceiling": (sound(Memory=1 << 30), "resources.max=memory"),
    "a label": (sound({"Labels": {"tenant": "shop"}}), "labels.required=team"),
    "a label that is left out": (
        sound({"Labels": {**LABELS, "traefik.enable": "true"}}),
        "labels.reserved=traefik.enable",
    ),
    "a group": (sound({"User": "1000:0"}), "users.group=root"),
    "only the root": (
        sound(Binds=["/srv/shared:/w", "/srv/shared/x:/x"]), "mounts.subfolders",
    ),
    "a digest": (sound({"Image": "registry.local/app:1"}), "images.digest"),
    "a name": (sound(name="bank-web"), "tenancy.name=bank-web"),
    "a tenant's label": (sound({"Labels": {"team": "shop"}}), "tenancy.label=tenant"),
    "a tenant's filter": (get("/containers/json"), "tenancy.filter=tenant"),
    "a path": (sound(Binds=["/srv/secret/x:/x"]), "mounts.protected=/srv/secret/x"),
}  # fmt: skip
"""What a configuration demands: a request that does not fulfil it, and what has to be named."""


@pytest.fixture(scope="module")
def demanding() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(**DEMANDING)) as opened:
        yield opened


@pytest.fixture(scope="module")
def demands(demanding: Sandbox) -> Proposal:
    """What is proposed of a day on which no demand was fulfilled but by one container."""
    return learned(demanding, [*(request for request, _ in DEMANDS.values()), sound()])


@pytest.mark.parametrize("position", range(len(DEMANDS)), ids=DEMANDS)
def test_a_demand_is_not_dropped_and_what_to_name_is_told(demands: Proposal, position: int) -> None:
    assert demands.survey.allowed == 1
    _, name = list(DEMANDS.values())[position]
    assert name in withheld(demands, position)


def test_a_demand_is_dropped_once_it_is_named(demanding: Sandbox, demands: Proposal) -> None:
    requests = [request for request, _ in DEMANDS.values()]
    proposal = learned(demanding, requests, *withheld(demands))
    assert proposal.survey.allowed == len(requests)
    config = demanding.configured(proposal.settings)
    assert all(demanding.judge(message(request), config).allow for request in requests)


def test_what_was_closed_is_opened_as_far_as_it_was_used(demanding: Sandbox) -> None:
    request = sound(RestartPolicy={"Name": "always"})
    proposal = learned(demanding, [sound(), request])
    assert proposal.survey.allowed == 2
    assert proposal.settings["containers"]["restart"] == ["", "no", "on-failure", "always"]
    other = sound(RestartPolicy={"Name": "unless-stopped"})
    assert not allows(demanding, proposal.settings, other)


def test_demands_stay_whatever_happened(demanding: Sandbox) -> None:
    settings = learned(demanding, [sound()]).settings
    for key in ("hardening", "labels", "tenancy"):
        assert settings[key] == DEMANDING[key]
    assert settings["users"] == {"containers": ["numeric"], "execs": [], "groups": ["default"]}
    assert settings["containers"] == DEMANDING["containers"]
    assert settings["resources"] == {"required": ["pids"], "max": {"memory": "512m"}}
    assert settings["images"]["digest"] == "required"
    assert "/srv/secret" in settings["mounts"]["deny"]
    assert "/run/docker.sock" in settings["mounts"]["deny"]


def test_every_rule_has_a_row_and_every_row_that_grants_is_tried(sandbox: Sandbox) -> None:
    assert set(RULES) == policy.rule_ids()
    tried = {name.partition("=")[0] for _, names in DANGERS.values() for name in names}
    tried |= {name.partition("=")[0] for _, name in DEMANDS.values()}
    day_ = [request for request, *_ in GRANTS.values()]
    grants = learned(sandbox, day_).grants
    tried |= {rule for grant in grants for rule in grant.rules}
    granting = {id_ for id_, rule in RULES.items() if rule.change is not None}
    elsewhere = {"containers.restart", "identity.unmatched-caller", "mounts.read-only"}
    assert granting - tried == elsewhere


def test_what_a_rule_is_granted_by_is_what_its_metadata_names(sandbox: Sandbox) -> None:
    sources = rule_sources(sandbox.find_opa, sandbox.sources)
    requests = [request for request, *_ in GRANTS.values()]
    requests += [request for request, _ in DANGERS.values()]
    for grant in learned(sandbox, requests, *RULES).grants:
        key = ".".join(grant.key)
        for rule in grant.rules:
            opened = sources[rule].rule.settings
            assert any(key == name or key.startswith(f"{name}.") for name in opened), (rule, key)
