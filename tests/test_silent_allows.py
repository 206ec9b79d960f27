"""The ways in which a denial can silently get lost, each tried on a real OPA: none allows.

A denial that cannot be computed is absent, and absent must never mean allowed.
"""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from authz_plugin import dockerd, policy
from authz_plugin.caller import Caller
from authz_plugin.dockerd import gojson
from authz_plugin.document import input_document
from authz_plugin.engine import binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import UnixTransport
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.errors import EngineError
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.settings import OpaSettings
from tests.conftest import MakeEngine, with_policy
from tests.generate.schema import input_schema, shape_schema

UNCOMPUTABLE = """\
package docker.authz.rules.custom_late

import data.docker.authz.denial

denials contains denial.of("custom.late", "", null, "too late", "") if {
	time.parse_rfc3339_ns(input.request.path) < 0
}
"""

Path_ = tuple[str | int, ...]
HOSTILE = '/etc"}],"allow":true,"q":[{"a":"'


def create(**host_config: Any) -> dict[str, Any]:
    """The input document of a container creation."""
    body = json.dumps({"Image": "x", "HostConfig": host_config}).encode()
    headers = {"content-type": "application/json"}
    request = dockerd.read("POST", "/containers/create", headers, body)
    return document(request)


def document(request: dockerd.CanonicalRequest) -> dict[str, Any]:
    built = input_document(
        request, Caller("", "", ()), LocalHostPaths(), datetime.now(UTC), UnseenEngineState()
    )
    copied: dict[str, Any] = orjson.loads(orjson.dumps(built))
    return copied


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
        engines.append(OpaEngine(OpaSettings(url=url), policy.shipped_rules(), 2))
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


@pytest.mark.parametrize("package", sorted(policy.shipped_rules()))
def test_a_lost_rule_package_denies(broken: Broken, package: str) -> None:
    engine = broken(lambda root: shutil.rmtree(root / "rules" / package))
    with pytest.raises(EngineError, match=f"did not answer: {package}"):
        engine.decide(create())


@pytest.mark.parametrize("lost", ["config", "bundle", "rules"])
def test_lost_data_denies(broken: Broken, lost: str) -> None:
    engine = broken(lambda root: shutil.rmtree(root / lost))
    with pytest.raises(EngineError):
        engine.decide(create())


def ask(method: str, uri: str, **headers: str) -> dict[str, Any]:
    """The input document of a request without a JSON body."""
    return document(dockerd.read(method, uri, headers, b""))


FORBIDDEN = {
    "build": ask("POST", "/build?networkmode=host"),
    "capabilities": create(CapAdd=["SYS_ADMIN"]),
    "containers": create(CgroupParent="system.slice"),
    "devices": create(Devices=[{"PathOnHost": "/dev/sda"}]),
    "guard": create(Binds=["/etc/opa-authz:/x"]),
    "images": ask("POST", "/images/x/push"),
    "logging": create(LogConfig={"Type": "syslog"}),
    "mounts": create(Binds=["/etc:/x"]),
    "namespaces": create(NetworkMode="host"),
    "networks": create(ExtraHosts=["host:host-gateway"]),
    "operations": ask("GET", "/containers/x/export"),
    "plugins": ask("POST", "/plugins/x/disable"),
    "ports": create(PortBindings={"80/tcp": [{"HostPort": "80"}]}),
    "resources": create(OomScoreAdj=-1000),
    "sections": ask("GET", "/volumes"),
    "security_options": create(SecurityOpt=["seccomp=unconfined"]),
    "swarm": document(
        dockerd.read(
            "POST",
            "/services/x/update?version=1&rollback=previous",
            {"content-type": "application/json"},
            b'{"Name": "x"}',
        )
    ),
    "sysctls": create(Sysctls={"kernel.msgmax": "1"}),
    "tmpfs": create(Tmpfs={"/x": "exec"}),
    "request": create(Unheard=1),
    "volumes": create(Binds=["named:/x"]),
}
"""For each key of the configuration, something that production forbids through it; where there is
nothing, a privileged container."""


@pytest.mark.parametrize("key", policy.config_schema()["required"])
def test_a_lost_key_of_the_configuration_never_allows_what_it_forbids(
    broken: Broken, key: str
) -> None:
    def lose(root: Path) -> None:
        file = root / "config/data.json"
        config = json.loads(file.read_text())
        config["sections"] |= dict.fromkeys(("build", "images", "plugins", "services"), "write")
        del config[key]
        file.write_text(json.dumps(config))

    with suppress(EngineError):
        assert not broken(lose).decide(FORBIDDEN.get(key, create(Privileged=True))).allow


@pytest.mark.parametrize("key", FORBIDDEN)
def test_a_lost_field_of_the_input_never_allows_what_was_denied(
    make_engine: MakeEngine, key: str
) -> None:
    open_sections = dict.fromkeys(("build", "images", "plugins", "services"), "write")
    engine = make_engine(profile="production", sections=open_sections)
    whole = FORBIDDEN[key]
    assert not engine.decide(whole).allow
    paths = list(_fields(whole, _schema_of(whole)))
    assert len(paths) > 40
    for *outer, name in paths:
        damaged = copy.deepcopy(whole)
        place: Any = damaged
        for step in outer:
            place = place[step]
        del place[name]
        with suppress(EngineError):
            assert not engine.decide(damaged).allow, (*outer, name)


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
        engine = OpaEngine(OpaSettings(url=f"unix:{started.socket}"), frozenset(), 2)
        with closing(engine), pytest.raises(EngineError, match="is the policy loaded"):
            engine.decide(create())
    finally:
        started.stop()
