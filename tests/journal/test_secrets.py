"""No secret of a request is written anywhere: log, audit file, metrics, OPA's own log, answer.

A marked value, a different one each time, goes through every field of every body, through every
query parameter and header, alone and with all others, and through what dockerd reports. Marks of
secret fields must be nowhere. Other marks may be where a rule says what it denies, and in the
recorded inputs of the audit file where they are listed here, and only there.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from authz_plugin.dockerd import gojson
from authz_plugin.dockerd.routes import ROUTES
from tests.harness.client import call
from tests.harness.plugin import Connection, Plugin, running_plugin

MARK: Final = re.compile(r"canary\d{6}")

SECRET: Final = re.compile(
    r"""
    \bEnv\b                                     # containers, execs, services, builds
    | ^body\.Data$                              # secrets and configs
    | JoinToken | UnlockKey | SigningCAKey | SigningCACert | CACert
    | ^body\[\]$                                # plugin settings: NAME=value
    | LogConfig\.Config\. | LogDriver\.Options\.   # tokens of log services
    | ExternalCAs | Cmd | Entrypoint | Args | Test | Shell
    | \bData\b | CredentialSpec | \b(DriverOpts|Options)\.
    | ^query\.(buildargs|changes|message|comment|author|remote-password|rotate\w+)$
    | ^header\.                                 # registry credentials
    | ^answer
    """,
    re.VERBOSE,
)
"""Fields whose values nothing may show, by where the mark was put."""

NAMES: Final = re.compile(r"(^|\.)(key|name)$|^path$")
"""Names, which rules may show: of a thing in the path, of labels and options."""

RECORDED: Final = re.compile(
    r"""
    (.*[.\]])?key | path                        # names, of things, options and labels
    | (.*\.)?Labels\..*
    | body\[\]\.(Name|Value\[\])               # privileges of plugins
    | body\.HostConfig\.Tmpfs\..*               # names of options
    | .*\.(
        Aliases | Binds | CgroupParent | CheckpointDir | ConfigID | ConfigName | Container
        | Condition | Driver | ExtraHosts | FailureAction | GroupAdd | Groups | HostIp | Hostname
        | Hosts | IPv4Address
        | IPv6Address | Image | Level | LinkLocalIPs | Links | MacAddress | Mode | Name | Network
        | NetworkID | NetworkMode | PathOnHost | Propagation | RemoteAddrs | Role | Runtime | Scope
        | Secret | SecretID | SecretName | SecurityOpt | Source | Target | Type | User
        | VolumeDriver | VolumesFrom | name | remote | value
    )(\[\])?
    | query\.(
        cgroupparent | checkpoint-dir | container | extrahosts | fromImage | name | networkmode
        | ps_args | remote | repo | t | tag
    )
    """,
    re.VERBOSE,
)
"""Where marks may be put that recorded inputs show: names, paths, references and kinds."""

QUERY: Final = (
    *("buildargs", "changes", "message", "comment", "author", "repo", "tag", "fromImage"),
    *("fromSrc", "platform", "labels", "cachefrom", "extrahosts", "networkmode", "remote", "t"),
    *("dockerfile", "cgroupparent", "target", "outputs", "name", "filters", "signal", "ps_args"),
    *("path", "container", "checkpoint", "checkpoint-dir", "detachKeys", "all", "force", "version"),
    *("rotateWorkerToken", "rotateManagerUnlockKey", "registryAuthFrom", "unknown", "names"),
)
QUERIED: Final = {
    *("container.create", "container.commit", "container.top", "container.archive.get"),
    *("image.pull", "image.import", "image.push", "image.build", "system.events", "swarm.update"),
}
"""Operations that get each parameter alone; all others get all at once."""

HEADERS: Final = ("X-Registry-Auth", "X-Registry-Config", "Authorization", "Cookie", "User-Agent")

RULE: Final = """\
package docker.authz.rules.custom_loud

# METADATA
# title: A rule of an operator's own that quotes a secret
# description: What the masking is the second lock for.
# custom:
#   id: custom.loud
denials contains {
	"rule": "custom.loud", "field": sprintf("Env[%d]", [i]), "value": variable,
	"message": sprintf("variable %s is not allowed", [variable]), "hint": variable,
} if {
	input.operation.id == "container.create"
	some i, variable in input.body.Env
}
"""


class Marks:
    """Makes marked values and remembers where they were put."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def new(self, operation: str, place: str) -> str:
        mark = f"canary{len(self.places):06}"
        self.places[mark] = f"{operation} {place}"
        return mark

    def filled(self, shape: Any, operation: str, place: str) -> Any:  # noqa: PLR0911 - one case a type
        """A value of a shape in which every text is marked."""
        match shape:
            case gojson.Pointer():
                return self.filled(shape.element, operation, place)
            case gojson.Struct():
                return {
                    name: self.filled(field, operation, f"{place}.{name}")
                    for name, field in shape.fields.items()
                }
            case gojson.Map():
                key = self.new(operation, f"{place}.key")
                return {key: self.filled(shape.element, operation, f"{place}.{key}")}
            case gojson.Array():
                return [
                    self.filled(shape.element, operation, f"{place}[]") for _ in range(shape.length)
                ]
            case gojson.Slice():
                return [self.filled(shape.element, operation, f"{place}[]")]
            case gojson.Bytes():
                mark = self.new(operation, place)
                return base64.b64encode(mark.encode()).decode()
            case gojson.String():
                return self.new(operation, place)
        return shape.zero()


def alone(value: Any, keep: str) -> Any:
    """A filled value with one mark, and nothing beside it."""
    if isinstance(value, dict):
        inner = {name: alone(item, keep) for name, item in value.items()}
        return {n: i for n, i in inner.items() if i is not None or n == keep} or None
    if isinstance(value, list):
        items = [item for item in (alone(item, keep) for item in value) if item is not None]
        return items or None
    if not isinstance(value, str):
        return None
    encoded = base64.b64encode(keep.encode()).decode()
    return value if value in {keep, encoded} else None


def messages(marks: Marks) -> Iterator[dict[str, Any]]:
    for method, template, operation in ROUTES:
        id_ = operation.id
        path = "/v1.44"
        for part in re.split(r"(\{.+?\})", template):
            path += marks.new(id_, "path") if part.startswith("{") else part
        asked = {"RequestMethod": "GET" if method == "ANY" else method, "RequestUri": path}
        no_body = {**asked, "RequestHeaders": {"Content-Length": "0"}}
        queries = [f"{name}={marks.new(id_, f'query.{name}')}" for name in QUERY]
        queries.append(f"remote=https://u:{marks.new(id_, 'query.remote-password')}@host/")
        for query in queries if id_ in QUERIED else ["&".join(queries[:-1])]:
            yield {**no_body, "RequestUri": f"{path}?{query}"}
        marked = {name: marks.new(id_, f"header.{name}") for name in HEADERS}
        yield {**no_body, "RequestHeaders": {**marked, "Content-Length": "0"}}
        if operation.body is None or isinstance(operation.body, str):
            continue
        headers = {"Content-Type": "application/json"}

        def with_body(body: Any, asked: Any = asked, headers: Any = headers) -> dict[str, Any]:
            content = base64.b64encode(orjson.dumps(body)).decode()
            return {**asked, "RequestHeaders": headers, "RequestBody": content}

        yield with_body(marks.filled(operation.body, id_, "body"))
        before = len(marks.places)
        whole = marks.filled(operation.body, id_, "body")
        for mark in list(marks.places)[before:]:
            one = alone(whole, mark)
            if one is not None:
                yield with_body(one)


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Plugin]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/loud.rego").write_text(RULE)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"profile: production\npolicies: {tmp_path}/rules\n"
        "opa: {decision_log: true}\nlog: {level: debug, queue: 1000000}\n"
        f"audit: {{file: {tmp_path}/audit.jsonl, inputs: true, queue: 1000000}}\n"
    )
    environment = {"OPA_AUTHZ_METRICS_LISTEN": f"unix:{tmp_path}/metrics.sock"}
    with running_plugin(tmp_path, f"--config={config}", environment=environment) as running:
        yield running


def test_no_secret_is_written_anywhere(plugin: Plugin, tmp_path: Path) -> None:
    marks, answers, asked = Marks(), [], 0
    with Connection(plugin.socket) as connection:
        for message in messages(marks):
            answer = connection.post("/AuthZPlugin.AuthZReq", message)
            answers.append(answer["Msg"])
            asked += 1
            if answer["Allow"]:
                names = ("Id", "ID", "Name", "UnlockKey", "JoinTokens", "Env")
                body = orjson.dumps({name: f"{marks.new('any', 'answer')} x" for name in names})
                report = {
                    "ResponseStatusCode": 201,
                    "ResponseBody": base64.b64encode(body).decode(),
                }
                connection.post("/AuthZPlugin.AuthZRes", {**message, **report})
    metrics = call(tmp_path / "metrics.sock", "GET", "/metrics").text
    assert plugin.stop() == 0
    assert asked > 1000
    audit = (tmp_path / "audit.jsonl").read_text()
    opa = [line for line in plugin.log.splitlines() if '"msg":"Decision Log"' in line]
    ours = [line for line in plugin.log.splitlines() if '"msg":"Decision Log"' not in line]
    assert len(opa) > asked / 2
    assert audit.count('"event":"blocked_operation"') + audit.count('"event":"allowed') == asked
    assert "variable *** is not allowed" in audit

    assert not MARK.search(metrics)
    written = {"log": "\n".join(ours), "audit": audit, "opa": "\n".join(opa)}
    for where, text in {**written, "answer": "\n".join(answers)}.items():
        shown = {marks.places[mark].partition(" ")[2] for mark in MARK.findall(text)}
        secret = {place for place in shown if SECRET.search(place) and not NAMES.search(place)}
        assert not secret, (where, secret)
    inputs = [line["input"] for line in map(orjson.loads, audit.splitlines()) if line.get("input")]
    assert len(inputs) > asked / 2
    marked = set(MARK.findall(str(inputs)))
    places = {MARK.sub("*", marks.places[mark].partition(" ")[2]) for mark in marked}
    assert len(places) > 100
    assert {place for place in places if not RECORDED.fullmatch(place)} == set()
    encoded = base64.b64encode(b"canary")[:-1].decode()
    assert not any(encoded in text for text in written.values())
