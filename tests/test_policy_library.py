"""The shipped policies as a whole: profiles and presets, standards, and what must never allow.

One OPA serves every profile: each is a role, and the caller's name says which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from authz_plugin import dockerd, policy
from authz_plugin.caller import Caller
from authz_plugin.decision import Decision
from authz_plugin.document import input_document
from authz_plugin.engine import Engine
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import UnseenHostPaths
from authz_plugin.tools.compliance.controls import TABLED, Control, standard
from authz_plugin.tools.importer.client_requests import (
    ATTACH,
    CLIENTS,
    EXEC,
    INSPECTED,
    LOGS,
    PING,
    RECREATED,
    Request,
    act,
    create,
)
from tests.conftest import MakeEngine
from tests.harness.embedded_policy import EmbeddedEngine
from tests.sweep import poisoned, without_each_part

_JSON: Final = {"content-type": "application/json"}
_TAR: Final = {"content-type": "application/x-tar"}
NOW: Final = datetime.now(UTC)


@pytest.fixture
def engine(every_profile: EmbeddedEngine) -> EmbeddedEngine:
    return every_profile


@pytest.fixture(scope="module")
def restricted_engine(make_engine: MakeEngine) -> EmbeddedEngine:
    """An engine that decides by ``restricted`` for every caller. It evaluates a document in less
    time than one with a role for each profile."""
    return make_engine(profile="restricted")


def document(role: str, request: Request) -> dict[str, Any]:
    """The input document of a caller's request; a body of bytes is a tar archive."""
    method, uri, body = request
    headers = {} if body is None else _TAR if isinstance(body, bytes) else _JSON
    content = b"" if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    read = dockerd.read(method, f"/v1.44{uri}", headers, content)
    made = input_document(
        read, Caller(role, "TLS", ()), UnseenHostPaths(), NOW, UnseenEngineState()
    )
    plain: dict[str, Any] = json.loads(json.dumps(made))
    return plain


def decide(engine: Engine, role: str, request: Request) -> Decision:
    return engine.decide(document(role, request))


def decide_each(
    engine: EmbeddedEngine, role: str, requests: Iterable[Request]
) -> list[Decision | None]:
    """The decision on each of a caller's requests; None if the policy cannot be computed."""
    return engine.decide_each([document(role, request) for request in requests])


def rules(decision: Decision) -> set[str]:
    return {denial.rule for denial in decision.denials}


LEAKS: Final[dict[str, Request]] = {
    "container.archive.get": ("GET", "/containers/web/archive?path=/etc/shadow", None),
    "container.archive.put": ("PUT", "/containers/web/archive?path=/", b"tar"),
    "container.attach": ATTACH,
    "container.attach.ws": ("GET", "/containers/web/attach/ws", None),
    "container.checkpoint.create": ("POST", "/containers/web/checkpoints", {"CheckpointID": "x"}),
    "container.export": ("GET", "/containers/web/export", None),
    "container.logs": LOGS,
    "exec.create": EXEC,
    "image.build": ("POST", "/build?t=x", b"tar"),
    "image.export": ("GET", "/images/app/get", None),
    "image.load": ("POST", "/images/load", b"tar"),
    "image.push": ("POST", "/images/app/push", None),
    "build.grpc": ("POST", "/grpc", b""),
    "build.session": ("POST", "/session", b""),
    "config.inspect": ("GET", "/configs/x", None),
    "plugin.disable": ("POST", "/plugins/x/disable", None),
    "registry.login": ("POST", "/auth", b""),
    "service.create": ("POST", "/services/create", {"Name": "x"}),
    "swarm.inspect": ("GET", "/swarm", None),
    "volume.create": ("POST", "/volumes/create", {"Name": "x"}),
}

ATTACKS: Final[dict[str, Request]] = {
    "privileged": create({"Privileged": True}),
    "a capability": create({"CapAdd": ["SYS_ADMIN"]}),
    "the host's processes": create({"PidMode": "host"}),
    "the host's network": create({"NetworkMode": "host"}),
    "another's network": create({"NetworkMode": "container:web"}),
    "everything mounted": create({"Binds": ["/:/host"]}),
    "the Docker socket": create({"Binds": ["/var/run/docker.sock:/s"]}),
    "dockerd's settings": create({"Binds": ["/etc/docker:/x"]}),
    "OPA's socket": create({"Binds": ["/run/opa-authz-x:/x"]}),
    "a disguised bind": create(
        {
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": "x",
                    "Target": "/x",
                    "VolumeOptions": {
                        "DriverConfig": {
                            "Name": "local",
                            "Options": {"type": "none", "o": "bind", "device": "/"},
                        }
                    },
                }
            ]
        }
    ),
    "a disk by a volume": create(
        {
            "Mounts": [
                {
                    "Type": "volume",
                    "Target": "/x",
                    "VolumeOptions": {
                        "DriverConfig": {"Options": {"type": "ext4", "device": "/dev/sda1"}}
                    },
                }
            ]
        }
    ),
    "a device": create({"Devices": [{"PathOnHost": "/dev/sda"}]}),
    "a GPU": create({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["x=y"]}]}),
    "no seccomp": create({"SecurityOpt": ["seccomp=unconfined"]}),
    "a runtime": create({"Runtime": "other"}),
    "a cgroup": create({"CgroupParent": "system.slice"}),
    "a group": create({"GroupAdd": ["docker"]}),
    "a log driver": create({"LogConfig": {"Type": "syslog", "Config": {}}}),
    "an annotation": create({"Annotations": {"run.oci.keep_original_groups": "1"}}),
    "a kernel parameter": create({"Sysctls": {"kernel.core_pattern": "|/x"}}),
    "an executable tmpfs": create({"Tmpfs": {"/x": "exec,suid,dev"}}),
    "an OOM score": create({"OomScoreAdj": -1000}),
    "real-time priority": create({"CpuRealtimeRuntime": 1000}),
    "the host by name": create({"ExtraHosts": ["h:host-gateway"]}),
    "a link": create({"Links": ["victim:alias"]}),
    "a kernel parameter by a network": create(
        NetworkingConfig={
            "EndpointsConfig": {
                "x": {"DriverOpts": {"com.docker.network.endpoint.sysctls": "net.x=1"}}
            }
        }
    ),
    "another's volumes": create({"VolumesFrom": ["web"]}),
    "unmasked paths": create({"MaskedPaths": []}),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_preset_allows_what_its_client_sends(engine: EmbeddedEngine, client: str) -> None:
    requests = [PING, *CLIENTS[client]]
    decided = zip(requests, decide_each(engine, client, requests), strict=True)
    refused = {
        request[:2]: decision and rules(decision)
        for request, decision in decided
        if decision is None or not decision.allow
    }
    assert refused == {}


def test_portainer_recreates_no_container_with_paths_of_its_own_or_a_network_of_another(
    engine: EmbeddedEngine,
) -> None:
    paths = {"MaskedPaths": None, "ReadonlyPaths": None}
    another = {"NetworkMode": "container:" + "0" * 64, "PortBindings": None}
    assert rules(decide(engine, "portainer", RECREATED)) == {"security-options.paths"}
    assert rules(decide(engine, "portainer", create({**INSPECTED, **paths}))) == set()
    assert rules(decide(engine, "portainer", create({**INSPECTED, **paths, **another}))) == {
        "namespaces.container"
    }


def test_a_runner_gives_no_job_the_docker_socket(engine: EmbeddedEngine) -> None:
    host = {"Binds": ["/var/run/docker.sock:/var/run/docker.sock"]}
    assert "mounts.protected" in rules(decide(engine, "act-runner", create(host)))


def test_every_preset_has_a_client() -> None:
    general = {
        "agent", "baseline", "cis", "closed", "devcontainer", "observe", "production",
        "read-only", "restricted",
    }  # fmt: skip
    assert set(policy.profiles()) == set(CLIENTS) | general


@pytest.mark.parametrize("client", CLIENTS)
def test_a_preset_allows_nothing_else_that_leaks_or_runs(
    engine: EmbeddedEngine, client: str
) -> None:
    needed = {document(client, request)["operation"]["id"] for request in CLIENTS[client]}
    others = {name: request for name, request in LEAKS.items() if name not in needed}
    decided = zip(others, decide_each(engine, client, others.values()), strict=True)
    allowed = [name for name, decision in decided if decision is None or decision.allow]
    whole = {"portainer": ["image.build", "container.logs"]}
    assert [name for name in allowed if name not in whole.get(client, [])] == []


@pytest.mark.parametrize("profile", sorted(set(policy.profiles()) - {"closed", "observe"}))
def test_no_profile_lets_a_container_out(engine: EmbeddedEngine, profile: str) -> None:
    decided = zip(ATTACKS, decide_each(engine, profile, ATTACKS.values()), strict=True)
    assert [name for name, decision in decided if decision is None or decision.allow] == []


RESTRICTED: Final = {
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "NetworkMode": "front",
    "Memory": 1 << 28,
    "NanoCpus": 10**9,
    "PidsLimit": 100,
}


def restricted(changes: dict[str, Any] | None = None, **config: Any) -> Request:
    return create({**RESTRICTED, **(changes or {})}, **{"User": "1000:1000", **config})


def otherwise_restricted(attack: Request) -> Request:
    """An attack that creates a container which is ``restricted`` in everything else, so that few
    rules deny it."""
    method, uri, body = attack
    changes = {name: value for name, value in body.items() if name != "HostConfig"}
    assert (method, uri) == restricted()[:2]
    return restricted(body["HostConfig"], **changes)


def test_restricted_runs_an_ordinary_restricted_container(engine: Engine) -> None:
    for request in (
        restricted(),
        restricted({"CapAdd": ["NET_BIND_SERVICE"], "Binds": ["data:/data"]}),
        restricted({"Tmpfs": {"/tmp": "noexec,size=64m"}, "ReadonlyRootfs": True}),
        act("start"),
        act("wait"),
        LOGS,
    ):
        assert rules(decide(engine, "restricted", request)) == set()


HARM: Final[dict[str, tuple[Request, str]]] = {
    "root": (restricted(User="0"), "users.container"),
    "the image's user": (restricted(User=""), "users.container"),
    "a name": (restricted(User="app"), "users.container"),
    "capabilities kept": (restricted({"CapDrop": []}), "hardening.drop"),
    "privileges that grow": (restricted({"SecurityOpt": []}), "hardening.no-new-privileges"),
    "the last word": (
        restricted({"SecurityOpt": ["no-new-privileges", "no-new-privileges=false"]}),
        "hardening.no-new-privileges",
    ),
    "CHOWN": (restricted({"CapAdd": ["CHOWN"]}), "capabilities.add"),
    "no memory limit": (restricted({"Memory": 0}), "resources.required"),
    "no CPU limit": (restricted({"NanoCpus": 0}), "resources.required"),
    "no process limit": (restricted({"PidsLimit": -1}), "resources.required"),
    "unlimited swap": (restricted({"MemorySwap": -1}), "resources.max"),
    "an unlimited tmpfs": (restricted({"Tmpfs": {"/x": ""}}), "resources.required"),
    "a bind": (restricted({"Binds": ["/srv:/x"]}), "mounts.source"),
    "the default bridge": (restricted({"NetworkMode": ""}), "networks.default-bridge"),
    "a neighbour's name": (
        restricted(NetworkingConfig={"EndpointsConfig": {"front": {"Aliases": ["db"]}}}),
        "networks.alias",
    ),
    "a neighbour's address": (
        restricted(
            NetworkingConfig={
                "EndpointsConfig": {"front": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}}}
            }
        ),
        "networks.address",
    ),
    "a port": (restricted({"PortBindings": {"1/tcp": [{"HostPort": "8080"}]}}), "ports.range"),
    "restarts without end": (
        restricted({"RestartPolicy": {"Name": "on-failure"}}),
        "containers.restart-retries",
    ),
    "latest": (restricted(Image="registry.example/app"), "images.latest"),
    "an id": (restricted(Image="0a1b2c"), "images.latest"),
    "limits raised": (
        ("POST", "/containers/web/update", {"Memory": -1}),
        "resources.required",
    ),
    "CPU limits raised": (
        ("POST", "/containers/web/update", {"CpuPeriod": 1000}),
        "resources.required",
    ),
    "an exec": (EXEC, "sections.operation"),
    "another's files": (LEAKS["container.archive.put"], "sections.operation"),
    "another's name": (act("rename?name=db"), "sections.operation"),
}


@pytest.mark.parametrize("harm", HARM)
def test_restricted_denies_what_harms_the_host_or_its_neighbours(engine: Engine, harm: str) -> None:
    request, rule = HARM[harm]
    assert rule in rules(decide(engine, "restricted", request))


CONTROLS: Final[dict[str, dict[str, Control]]] = {
    part.title: {control.id: control for control in part.controls}
    for name in TABLED
    for part in standard(name).parts
}
"""The controls by the tables of docs/reference/controls.md."""


def test_every_rule_of_a_control_exists_and_every_denial_of_a_danger_has_a_control() -> None:
    named = {
        rule for part in CONTROLS.values() for control in part.values() for rule in control.rules
    }
    assert named <= policy.rule_ids()
    plumbing = {rule for rule in policy.rule_ids() if rule.endswith(".unreadable")}
    plumbing |= {rule for rule in policy.rule_ids() if rule.startswith("request.")}
    rest = {"containers.ps-arguments", "mounts.moved", "mounts.read-only", "mounts.subfolders"}
    rest |= {"volumes.named"}
    assert policy.rule_ids() - named - plumbing - {rule for rule in rest if rule} == {
        rule for rule in policy.rule_ids() if rule.startswith("identity.") and rule not in named
    }


PORTS: Final = {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}
BREAKING: Final[dict[str, dict[str, Request]]] = {
    "Pod Security Standards": {
        "Host namespaces": ATTACKS["the host's processes"],
        "Privileged containers": ATTACKS["privileged"],
        "Capabilities": create({"CapAdd": ["NET_RAW"]}),
        "HostPath volumes": ATTACKS["a disguised bind"],
        "Host ports": create(PORTS),
        "AppArmor": create({"SecurityOpt": ["apparmor=unconfined"]}),
        "SELinux": create({"SecurityOpt": ["label=type:spc_t"]}),
        "/proc mount type": create({"MaskedPaths": []}),
        "Seccomp": create({"SecurityOpt": ["seccomp=unconfined"]}),
        "Sysctls": create({"Sysctls": {"kernel.msgmax": "1"}}),
        "Volume types": restricted({"Binds": ["/srv:/x"]}),
        "Privilege escalation": restricted({"SecurityOpt": []}),
        "Running as non-root": restricted(User=""),
        "Running as non-root user": restricted(User="0"),
        "Capabilities dropped": restricted({"CapDrop": []}),
    },
    "CIS Docker Benchmark, section 5": {
        "5.1": ("POST", "/swarm/init", {}),
        "5.2": create({"SecurityOpt": ["apparmor=unconfined"]}),
        "5.3": create({"SecurityOpt": ["label=disable"]}),
        "5.4": create({"CapAdd": ["SYS_ADMIN"]}),
        "5.5": create({"Privileged": True}),
        "5.6": create({"Binds": ["/usr/lib:/x"]}),
        "5.7": create(Cmd=["/usr/sbin/sshd", "-D"]),
        "5.8": create(PORTS),
        "5.9": create({"PublishAllPorts": True}),
        "5.10": create({"NetworkMode": "host"}),
        "5.11": create(),
        "5.12": create(),
        "5.13": create(),
        "5.14": create({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}),
        "5.15": create({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 6}}),
        "5.16": create({"PidMode": "host"}),
        "5.17": create({"IpcMode": "host"}),
        "5.18": create({"Devices": [{"PathOnHost": "/dev/sda"}]}),
        "5.19": create({"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1 << 20}]}),
        "5.20": create({"Binds": ["/srv:/x:rshared"]}),
        "5.21": create({"UTSMode": "host"}),
        "5.22": create({"SecurityOpt": ["seccomp=unconfined"]}),
        "5.23": ("POST", "/containers/web/exec", {"Cmd": ["x"], "Privileged": True}),
        "5.24": ("POST", "/containers/web/exec", {"Cmd": ["x"], "User": "0"}),
        "5.25": create({"CgroupParent": "x"}),
        "5.26": create(),
        "5.27": create(),
        "5.28": create(Image="app"),
        "5.29": create(),
        "5.30": create(),
        "5.31": create({"UsernsMode": "host"}),
        "5.32": create({"Binds": ["/run/docker.sock:/x"]}),
    },
    "Portainer's switches": {
        "Bind mounts": create({"Mounts": [{"Type": "bind", "Source": "/srv", "Target": "/x"}]}),
        "Privileged": create({"Privileged": True}),
        "Host PID": create({"PidMode": "host"}),
        "Devices": create({"Devices": [{"PathOnHost": "/dev/sda"}]}),
        "Capabilities": create({"CapAdd": ["NET_ADMIN"]}),
        "Sysctls": create({"Sysctls": {"kernel.msgmax": "1"}}),
        "Security options": create({"SecurityOpt": ["seccomp=unconfined"]}),
    },
}
KEEPER: Final = dict(zip(BREAKING, ("restricted", "cis", "portainer"), strict=True))


@pytest.mark.parametrize(
    ("heading", "control"), [(h, control) for h, found in BREAKING.items() for control in found]
)
def test_a_request_that_breaks_a_control_is_denied_by_its_rules(
    engine: Engine, heading: str, control: str
) -> None:
    broken = CONTROLS[heading][control]
    profile = broken.title if heading == "Pod Security Standards" else KEEPER[heading]
    found = rules(decide(engine, profile, BREAKING[heading][control]))
    assert found & set(broken.rules)


@pytest.mark.parametrize("heading", BREAKING)
def test_every_control_is_tried(heading: str) -> None:
    assert set(BREAKING[heading]) == set(CONTROLS[heading])


def test_a_container_as_the_benchmark_wants_it_runs(engine: Engine) -> None:
    request = create(
        {
            **RESTRICTED,
            "ReadonlyRootfs": True,
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
        },
        Healthcheck={"Test": ["CMD", "true"]},
    )
    assert rules(decide(engine, "cis", request)) == set()


@pytest.mark.parametrize("attack", [*ATTACKS, *(f"harm: {name}" for name in HARM)])
def test_no_field_can_be_left_out_to_be_allowed(
    restricted_engine: EmbeddedEngine, attack: str
) -> None:
    harm = attack.removeprefix("harm: ")
    request = HARM[harm][0] if harm != attack else otherwise_restricted(ATTACKS[attack])
    whole = document("restricted", request)
    assert not restricted_engine.decide(whole).allow
    places, documents = zip(*without_each_part(whole), strict=True)
    decided = zip(places, restricted_engine.decide_each(documents), strict=True)
    allowed = [place for place, decision in decided if decision is None or decision.allow]
    assert [place for place in allowed if place not in THE_ATTACKS] == []


THE_ATTACKS: Final = {("body", "HostConfig", "Annotations", "run.oci.keep_original_groups")}
"""Keys that are what a client adds, not fields: without them there is no attack."""

HOSTILE: Final = '/etc"}],"allow":true,"q":[{"a":"\u202e\n*'


def test_hostile_text_in_any_field_changes_no_denial_into_an_allow(
    restricted_engine: EmbeddedEngine,
) -> None:
    full = restricted(
        {
            "Privileged": True,
            "Binds": ["data:/data"],
            "LogConfig": {"Type": "json-file", "Config": {"tag": "x"}},
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}],
            "Sysctls": {"net.ipv4.tcp_syncookies": "1"},
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
            "ExtraHosts": ["db:10.0.0.1"],
            "Tmpfs": {"/x": "noexec"},
        },
        Labels={"a": "b"},
        Cmd=["x"],
    )
    whole = document("restricted", full)
    places, documents = zip(*poisoned(whole, HOSTILE), strict=True)
    decided = zip(places, restricted_engine.decide_each(documents), strict=True)
    assert [place for place, decision in decided if decision is None or decision.allow] == []
