"""The ways in which a denial can silently get lost, each tried on a real OPA: none allows.

A denial that cannot be computed is absent, and absent must never mean allowed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from authz_plugin import dockerd, policy, renamed
from authz_plugin.caller import Caller
from authz_plugin.configuration import _merged
from authz_plugin.dockerd import gojson
from authz_plugin.document import input_document
from authz_plugin.engine import binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress, UnixTransport
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.errors import EngineError
from authz_plugin.hostpaths import LocalHostPaths
from tests.conftest import MakeEngine, with_policy
from tests.generate.schema import input_schema, shape_schema
from tests.harness.embedded_policy import EmbeddedEngine, EmbeddedPolicy, compiled_policy
from tests.harness.policy_opa import DEADLINE, POLICY_FAILED, PolicyOpa, without_package
from tests.sweep import without

UNCOMPUTABLE = """\
package docker.authz.rules.custom_late

import data.docker.authz.denial

denials contains denial.of("custom.late", "", null, "too late", "") if {
	time.parse_rfc3339_ns(input.request.path) < 0
}
"""

Path_ = tuple[str | int, ...]
Document = dict[str, Any]
HOSTILE = '/etc"}],"allow":true,"q":[{"a":"'
_JSON: Final = {"content-type": "application/json"}
_ANYBODY: Final = Caller("", "", ())


def create(caller: Caller = _ANYBODY, **host_config: Any) -> Document:
    """The input document of a container creation."""
    return create_with({"HostConfig": host_config}, caller)


def create_with(config: Mapping[str, Any], caller: Caller = _ANYBODY) -> Document:
    """The input document of a container creation, with more than a host configuration."""
    return post("/containers/create", {"Image": "x", **config}, caller)


def post(uri: str, body: Mapping[str, Any], caller: Caller = _ANYBODY) -> Document:
    """The input document of a request with a JSON body."""
    return document(dockerd.read("POST", uri, _JSON, json.dumps(body).encode()), caller)


def ask(method: str, uri: str, **headers: str) -> Document:
    """The input document of a request without a JSON body."""
    return document(dockerd.read(method, uri, headers, b""))


def document(
    request: dockerd.CanonicalRequest,
    caller: Caller = _ANYBODY,
) -> Document:
    built = input_document(
        request, caller, LocalHostPaths(), datetime.now(UTC), UnseenEngineState()
    )
    copied: Document = orjson.loads(orjson.dumps(built))
    return copied


@pytest.fixture(scope="session")
def embedded_policy(opa: binary.Opa) -> Iterator[EmbeddedPolicy]:
    with compiled_policy(opa) as made:
        yield made


@pytest.fixture(params=["server", "embedded"])
def engines(
    request: pytest.FixtureRequest, policy_opa: PolicyOpa, embedded_policy: EmbeddedPolicy
) -> PolicyOpa | EmbeddedPolicy:
    """The shipped policies in OPA's server, and compiled."""
    return policy_opa if request.param == "server" else embedded_policy


Broken = Callable[[Callable[[Path], None]], OpaEngine]


@pytest.fixture
def broken(tmp_path: Path, opa: binary.Opa) -> Iterator[Broken]:
    """An engine whose bundle was damaged after it had been checked."""
    running: list[child.ChildOpa] = []
    engines: list[OpaEngine] = []

    def start(damage: Callable[[Path], None]) -> OpaEngine:
        config = policy.configuration(with_policy(), LocalHostPaths())
        bundle = policy.assemble(tmp_path / "bundle", config, None, opa)
        damage(bundle.folder / policy.ROOT)
        running.append(child.start(opa, bundle.folder))
        url = f"unix:{running[0].socket}"
        engines.append(OpaEngine(OpaAddress(url=url), policy.shipped_rules(), DEADLINE))
        return engines[0]

    yield start
    for engine in engines:
        engine.close()
    for started in running:
        started.stop()


def test_the_undamaged_policy_allows_what_the_damaged_ones_are_asked(
    make_engine: MakeEngine,
) -> None:
    assert make_engine().decide(create()).allow


def test_a_lost_rule_package_denies_in_the_embedded_engine(tmp_path: Path, opa: binary.Opa) -> None:
    shutil.copytree(policy.SHIPPED / policy.ROOT, tmp_path / "authz")
    shutil.rmtree(tmp_path / "authz/rules/mounts")
    config = policy.configuration(with_policy(), LocalHostPaths())
    with (
        compiled_policy(opa, tmp_path / "authz") as damaged,
        pytest.raises(EngineError, match="did not answer: mounts"),
    ):
        damaged.engine(config).decide(create())


@pytest.mark.parametrize("package", sorted(policy.shipped_rules()))
def test_a_lost_rule_package_denies(policy_opa: PolicyOpa, package: str) -> None:
    config = policy.configuration(with_policy(), LocalHostPaths())
    engine = policy_opa.engine(config, without_package(package))
    with closing(engine), pytest.raises(EngineError, match=f"did not answer: {package}"):
        engine.decide(create())


def test_lost_files_of_a_rule_package_deny(broken: Broken) -> None:
    engine = broken(lambda root: shutil.rmtree(root / "rules/capabilities"))
    with pytest.raises(EngineError, match="did not answer: capabilities"):
        engine.decide(create())


@pytest.mark.parametrize("lost", ["config", "bundle", "rules"])
def test_lost_data_denies(broken: Broken, lost: str) -> None:
    engine = broken(lambda root: shutil.rmtree(root / lost))
    with pytest.raises(EngineError, match=POLICY_FAILED):
        engine.decide(create())


def test_lost_data_denies_in_the_embedded_engine(embedded_policy: EmbeddedPolicy) -> None:
    with closing(embedded_policy.engine(None)) as engine, pytest.raises(EngineError):
        engine.decide(create())


BASE: Final[Mapping[str, Any]] = {
    "profile": "closed",
    "sections": dict.fromkeys(
        policy.config_schema()["properties"]["sections"]["required"], "write"
    ),
}
"""The policy configuration that each case adds to: every section is open, so that an operation
alone is no reason for a denial."""

_MEMBER: Final = Caller("ci", "TLS", ())
_REVOKED: Final = Caller("ci", "TLS", (), revoked=True)
_SERVICE: Final = {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}}


@dataclass(frozen=True)
class Case:
    """A request that one rule alone denies, because of one fact and by one key of the policy
    configuration.

    ``request`` is denied by ``rule`` and nothing else under ``BASE`` with ``denying``, and allowed
    under ``BASE`` with ``opening``, which gives another value to ``key`` or what is in it. ``fact``
    is the key of the input document that the rule reads.
    """

    key: str
    fact: str
    rule: str
    request: Document
    opening: Mapping[str, Any]
    denying: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.key}-{self.fact}-{self.rule}"


_CAPABILITY: Final = create(CapAdd=["SYS_ADMIN"])
_OPEN_CAPABILITY: Final = {"capabilities": {"allow": ["SYS_ADMIN"]}}
_ROLE: Final = {"ci": {"callers": [{"user": "ci"}], "capabilities": {"allow": []}}}

CASES: Final = [
    # The keys of the configuration that one kind of rule reads, and the facts that it judges.
    Case(
        "sections", "operation", "sections.operation", ask("GET", "/volumes"),
        {"sections": {"volumes": "read"}}, {"sections": {"volumes": "none"}},
    ),
    Case(
        "operations", "operation", "sections.operation", ask("GET", "/containers/x/export"),
        {}, {"operations": {"container.export": "deny"}},
    ),
    Case(
        "privileged", "body", "privileged.container", create(Privileged=True),
        {"privileged": {"allow": True}, **_OPEN_CAPABILITY},
    ),
    Case(
        "namespaces", "namespaces", "namespaces.host", create(PidMode="host"),
        {"namespaces": {"allow": ["pid"]}},
    ),
    Case("capabilities", "capabilities", "capabilities.add", _CAPABILITY, _OPEN_CAPABILITY),
    Case(
        "devices", "body", "devices.mapping", create(Devices=[{"PathOnHost": "/dev/sda"}]),
        {"devices": {"allow": ["/dev/sda"]}},
    ),
    Case(
        "devices", "environment", "devices.environment",
        create_with({"Env": ["NVIDIA_VISIBLE_DEVICES=all"]}), {"devices": {"environment": []}},
    ),
    Case(
        "security_options", "security_options", "security-options.value",
        create(SecurityOpt=["seccomp=unconfined"]),
        {"security_options": {"allow": {"seccomp": ["unconfined"]}}},
    ),
    Case(
        "hardening", "hardening", "hardening.read-only-root", create(),
        {}, {"hardening": {"read_only_root": True}},
    ),
    Case(
        "users", "users", "users.container", create_with({"User": "0"}),
        {}, {"users": {"containers": ["numeric"]}},
    ),
    Case(
        "containers", "body", "containers.cgroup-parent", create(CgroupParent="system.slice"),
        {"containers": {"cgroup_parents": ["", "system.slice"]}},
    ),
    Case(
        "containers", "restart", "containers.restart", create(RestartPolicy={"Name": "always"}),
        {}, {"containers": {"restart": ["", "no"]}},
    ),
    Case(
        "resources", "body", "resources.oom-score", create(OomScoreAdj=-1000),
        {"resources": {"oom_score": -1000}},
    ),
    Case(
        "resources", "limits", "resources.max", create(Memory=1 << 30),
        {}, {"resources": {"max": {"memory": "512m"}}},
    ),
    Case(
        "resources", "ulimits", "resources.ulimit",
        create(Ulimits=[{"Name": "nofile", "Soft": 2048, "Hard": 2048}]),
        {}, {"resources": {"ulimits": {"nofile": 1024}}},
    ),
    Case(
        "tmpfs", "tmpfs", "tmpfs.option", create(Tmpfs={"/x": "exec"}),
        {"tmpfs": {"options": ["exec"]}},
    ),
    Case(
        "sysctls", "sysctls", "sysctls.name", create(Sysctls={"kernel.msgmax": "1"}),
        {"sysctls": {"allow": ["kernel.msgmax"]}},
    ),
    Case(
        "mounts", "mounts", "mounts.source", create(Binds=["/srv:/x"]),
        {"mounts": {"allow": [{"path": "/srv"}]}},
    ),
    Case(
        "volumes", "mounts", "volumes.named", create(Binds=["named:/x"]),
        {}, {"volumes": {"named": False}},
    ),
    Case(
        "networks", "hosts", "networks.extra-host", create(ExtraHosts=["host:host-gateway"]),
        {"networks": {"host_gateway": True}},
    ),
    Case(
        "networks", "endpoints", "networks.join", create(NetworkMode="front"),
        {}, {"networks": {"join": ["back"]}},
    ),
    Case(
        "ports", "ports", "ports.range", create(PortBindings={"80/tcp": [{"HostPort": "80"}]}),
        {"ports": {"ranges": [{"first": 80, "last": 80}]}},
    ),
    Case(
        "logging", "log_drivers", "logging.driver", create(LogConfig={"Type": "syslog"}),
        {"logging": {"drivers": ["syslog"]}},
    ),
    Case(
        "images", "images", "images.push", ask("POST", "/images/x/push"),
        {"images": {"push": ["x"]}},
    ),
    Case(
        "registries", "images", "registries.host",
        ask("POST", "/images/create?fromImage=registry.example/x&tag=1"),
        {}, {"registries": {"allow": ["docker.io"]}},
    ),
    Case(
        "labels", "labels", "labels.reserved", create_with({"Labels": {"reserved.x": ""}}),
        {}, {"labels": {"reserved": ["reserved.*"]}},
    ),
    Case(
        "tenancy", "references", "tenancy.name", ask("GET", "/containers/other-x/json"),
        {}, {"tenancy": {"names": ["own-*"], "full_ids": False}},
    ),
    Case(
        "tenancy", "label_filters", "tenancy.filter",
        ask("GET", "/containers/json?filters=%7B%22label%22%3A%5B%22tenant%3Dother%22%5D%7D"),
        {}, {"tenancy": {"labels": {"tenant": "own"}}},
    ),
    Case(
        "build", "request", "build.network", ask("POST", "/build?networkmode=host"),
        {"build": {"networks": ["host"]}},
    ),
    Case(
        "swarm", "request", "swarm.rollback",
        post("/services/x/update?version=1&rollback=previous", _SERVICE),
        {"swarm": {"rollback": True}},
    ),
    Case(
        "plugins", "operation", "plugins.change", ask("POST", "/plugins/x/disable"),
        {"plugins": {"change": ["x"]}},
    ),
    Case(
        "guard", "mounts", "guard.mount", create(Binds=["/etc/opa-authz:/x"]),
        {
            "guard": {"unprotected_paths": ["/etc/opa-authz"]},
            "mounts": {"allow": [{"path": "/etc/opa-authz"}]},
        },
        {"mounts": {"allow": [{"path": "/etc/opa-authz"}]}},
    ),
    Case(
        "request", "request", "request.unknown-field", create(Unheard=1),
        {"request": {"unknown_fields": "ignore"}},
    ),
    # The keys that count for every rule: who is asked about, what only warns, what is excepted.
    Case("profile", "capabilities", "capabilities.add", _CAPABILITY, _OPEN_CAPABILITY),
    Case("mode", "capabilities", "capabilities.add", _CAPABILITY, {"mode": "warn"}),
    Case(
        "rules", "capabilities", "capabilities.add", _CAPABILITY,
        {"mode": "enforce", "rules": {"capabilities.add": "warn"}},
        {"mode": "warn", "rules": {"capabilities.add": "enforce"}},
    ),
    Case("ping", "capabilities", "capabilities.add", _CAPABILITY, _OPEN_CAPABILITY),
    *(
        Case(
            key, "caller", "capabilities.add", create(_MEMBER, CapAdd=["SYS_ADMIN"]),
            {**_OPEN_CAPABILITY, "roles": {}}, {**_OPEN_CAPABILITY, "roles": _ROLE},
        )
        for key in ("roles", "role_order")
    ),
    Case(
        "default_role", "caller", "capabilities.add", _CAPABILITY,
        {**_OPEN_CAPABILITY, "roles": _ROLE, "default_role": None},
        {**_OPEN_CAPABILITY, "roles": _ROLE, "default_role": "ci"},
    ),
    Case(
        "unmatched_callers", "caller", "identity.unmatched-caller", create(_MEMBER),
        {}, {"unmatched_callers": "deny"},
    ),
    Case(
        "unmatched_callers", "caller", "identity.revoked", create(_REVOKED),
        {"rules": {"identity.revoked": "warn"}},
    ),
    Case(
        "exceptions", "capabilities", "capabilities.add", _CAPABILITY,
        {
            "exceptions": [
                {
                    "rule": "capabilities.add", "value": "SYS_ADMIN", "when": {"image": "x"},
                    "expires": "2099-01-31", "reason": "test",
                }
            ]
        },
    ),
]  # fmt: skip

_ONLY_COMPLETE: Final = ("version", "phase", "body_state", "filters")
"""The facts that no rule compares: they must be there for the others to mean what they say."""

_SWEPT: Final = [
    case
    for case in CASES
    if case.key not in {"profile", "ping", "exceptions", "rules", "role_order"}
]
"""The cases whose requests are asked about again without each of their fields. The others repeat
the request and the denial of one of these; under ``rules`` whatever is not enforced only warns, an
incomplete input document too."""


def configured(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The policy configuration that ``BASE`` with changes makes."""
    return policy.configuration(with_policy(**_merged(BASE, changes)), LocalHostPaths())


def denying_rules(engine: OpaEngine | EmbeddedEngine, asked: Document) -> set[str]:
    """The ids of the rules that deny a request; raises ``EngineError`` where there is no
    decision."""
    return {denial.rule for denial in engine.decide(asked).denials}


def test_every_key_of_the_configuration_has_a_case() -> None:
    assert {case.key for case in CASES} == set(policy.config_schema()["required"])


def test_every_fact_has_a_case() -> None:
    unjudged = {*_ONLY_COMPLETE, "time"}  # exceptions alone read the time
    old_names = renamed.INPUT_KEYS.keys()  # no shipped rule reads them
    facts = input_schema()["properties"].keys() - old_names
    assert {case.fact for case in CASES} | unjudged == facts


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_rule_alone_denies_a_request_that_the_configuration_can_allow(
    engines: PolicyOpa | EmbeddedPolicy, case: Case
) -> None:
    with (
        closing(engines.engine(configured(case.denying))) as denying,
        closing(engines.engine(configured(case.opening))) as opening,
    ):
        assert denying_rules(denying, case.request) == {case.rule}
        assert denying_rules(opening, case.request) == set()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_lost_key_of_the_configuration_never_allows_what_it_forbids(
    engines: PolicyOpa | EmbeddedPolicy, case: Case
) -> None:
    config = configured(case.denying)
    with closing(engines.engine(config)) as engine:
        assert denying_rules(engine, case.request) == {case.rule}
    del config[case.key]
    with closing(engines.engine(config)) as engine:
        decision = engine.decide_or_fail(case.request)
    assert decision is None or not decision.allow


@pytest.mark.parametrize("case", _SWEPT, ids=str)
def test_a_lost_field_of_the_input_never_allows_what_was_denied(
    engines: PolicyOpa | EmbeddedPolicy, case: Case
) -> None:
    paths = list(_fields(case.request, _schema_of(case.request)))
    assert len(paths) > 40
    if isinstance(engines, PolicyOpa):  # decides as the other does (test_same_decisions), slower
        paths = [path for path in paths if len(path) == 1 or path[0] == case.fact]
    with closing(engines.engine(configured(case.denying))) as engine:
        assert denying_rules(engine, case.request) == {case.rule}
        decisions = engine.decide_each([without(case.request, path) for path in paths])
    found = zip(paths, decisions, strict=True)
    assert [path for path, decision in found if decision is None or decision.allow] == []


@pytest.mark.parametrize("fact", _ONLY_COMPLETE)
def test_a_fact_that_no_rule_compares_must_be_there(make_engine: MakeEngine, fact: str) -> None:
    decision = make_engine(**BASE).decide(without(create(), (fact,)))
    assert {denial.rule for denial in decision.denials} == {"request.incomplete"}


def _schema_of(document: dict[str, Any]) -> dict[str, Any]:
    """The schema of the input document, with the one body that the operation has."""
    schema = input_schema()
    body = dockerd.routes.OPERATIONS[document["operation"]["id"]].body
    if isinstance(body, gojson.Struct):
        schema["properties"]["body"] = shape_schema(body)
    return schema


def _fields(value: Any, schema: dict[str, Any], at: Path_ = ()) -> Iterator[Path_]:
    """The paths of all keys that a document must have, in a document."""
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield (*at, name)
                yield from _fields(value[name], inner, (*at, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _fields(item, schema["items"], (*at, i))


def test_a_rule_that_cannot_be_computed_denies_because_strictness_is_asked_for(
    broken: Broken,
) -> None:
    def add(root: Path) -> None:
        (root / "rules/custom_late").mkdir()
        (root / "rules/custom_late/custom_late.rego").write_text(UNCOMPUTABLE)

    engine = broken(add)
    with pytest.raises(EngineError, match=r"eval_builtin_error at .*custom_late\.rego:6"):
        engine.decide(create())
    transport = engine._transport
    assert isinstance(transport, UnixTransport)
    question = orjson.dumps({"input": create()})
    path = "/v1/data/docker/authz/decision"
    _, lax = transport.exchange("POST", path, question, time.monotonic() + 2)
    assert orjson.loads(lax)["result"]["allow"], "without strictness OPA allows this"


@pytest.mark.parametrize(
    "host_config",
    [
        {"Binds": [f"{HOSTILE}:/x"]},
        {"CapAdd": [HOSTILE]},
        {"NetworkMode": f"container:{HOSTILE}"},
        {"SecurityOpt": [f"seccomp={HOSTILE}"]},
        {"Devices": [{"PathOnHost": HOSTILE}]},
        {"Mounts": [{"Type": HOSTILE, "Source": HOSTILE, "Target": HOSTILE}]},
        {"PidMode": HOSTILE},
        {HOSTILE: 1},
    ],
)
def test_a_string_that_closes_the_json_around_it_changes_nothing(
    make_engine: MakeEngine, host_config: dict[str, Any]
) -> None:
    decision = make_engine().decide(create(**host_config))
    assert not decision.allow
    assert decision.denials


def test_a_decision_that_is_asked_for_elsewhere_is_none(tmp_path: Path, opa: binary.Opa) -> None:
    """An OPA that has other policies, as an operator's may, answers without a result."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/other.rego").write_text("package other\n\nallow := true\n")
    bundle = policy.Bundle(tmp_path / "bundle", "", "", frozenset())
    started = child.start(opa, bundle.folder)
    try:
        engine = OpaEngine(OpaAddress(url=f"unix:{started.socket}"), frozenset(), 2)
        with closing(engine), pytest.raises(EngineError, match="is the policy loaded"):
            engine.decide(create())
    finally:
        started.stop()
