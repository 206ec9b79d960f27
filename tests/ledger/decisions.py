"""What the rules say to the ledger's witnesses: every case decided by OPA, in one run.

A witness is decided four times: as it is; without the field, or with the value that the rules
accept; and each of these once more for every fact of the row, with that fact taken out of the
input document.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from ruamel.yaml import YAML

from authz_plugin import dockerd, policy
from authz_plugin.caller import Caller
from authz_plugin.dockerd import routes
from authz_plugin.document import input_document
from authz_plugin.errors import Refused
from tests.conftest import with_policy
from tests.hosts import Containers, Host
from tests.ledger import STRICT, LedgerError, Row

Denials = frozenset[str]
"""What the rules of a row deny, as text that two decisions can be compared by."""

_NAMES: Final[Mapping[str, str]] = {
    "config": "own-config",
    "container": "own-container",
    "exec": "e" * 64,
    "image": "app",
    "network": "own-net",
    "node": "node",
    "plugin": "plugin",
    "secret": "own-secret",
    "service": "own-service",
    "task": "task",
    "volume": "own-volume",
}
"""What the path names where the row is about something else."""

_BODIES: Final[Mapping[str, Any]] = {
    "container.create": {"Image": "app", "HostConfig": {"NetworkMode": "none"}},
    "network.connect": {"Container": "own-container"},
    "network.create": {"Name": "own-net", "Driver": "bridge"},
    "network.disconnect": {"Container": "own-container"},
    "node.update": {"Role": "worker"},
    "plugin.pull": [],
    "plugin.set": [],
    "plugin.upgrade": [],
    "service.create": {"Name": "own-service", "TaskTemplate": {"ContainerSpec": {"Image": "app"}}},
    "service.update": {"Name": "own-service", "TaskTemplate": {"ContainerSpec": {"Image": "app"}}},
    "volume.create": {"Name": "own-volume"},
}
_KEYS: Final[Mapping[str, str]] = {"PortBindings": "80/tcp"}
"""The key of a map's entry within which a field stands; ``own-net`` elsewhere."""

HOST: Final = Host({"/srv/w/moved": "/elsewhere"}, ["/srv/data/busy"])
STATE: Final = Containers({"own-moved": ["/srv/w/moved"]})
"""A container whose folder was replaced by a link; all others have no mounts."""

_HELPER: Final = """\
package ledger

answers := [found |
    some case in data.cases
    config := data.configs[case.config]
    found := [denied |
        some name in case.packages
        denied := data.docker.authz.rules[name].denials[_]
            with input as case.input
            with data.docker.authz.config as config
    ]
]
"""


@dataclass(slots=True)
class Asked:
    """A request and what is taken out of its input document; ``refused`` is by which rule."""

    document: dict[str, Any] | None
    config: int
    packages: list[str]
    refused: str = ""
    denied: list[dict[str, Any]] = field(default_factory=list)

    def by(self, rule: str) -> Denials:
        """What a rule denies of it."""
        if self.refused:
            return frozenset({self.refused} & {rule})
        return frozenset(
            json.dumps(one, sort_keys=True) for one in self.denied if one["rule"] == rule
        )

    def places(self, rule: str) -> frozenset[str]:
        """The fields that a rule denies of it, whatever stands there."""
        if self.refused:
            return frozenset({self.refused} & {rule})
        return frozenset(one["field"] for one in self.denied if one["rule"] == rule)


@dataclass(slots=True)
class Witness:
    """A row's witness for one operation, decided: ``as_is`` and ``without``, and each by fact."""

    row: Row
    operation: str
    as_is: Asked
    without: Asked
    lacking: dict[str, tuple[Asked, Asked]]

    def problems(self) -> Iterator[str]:
        """What the ledger claims of the row and the rules do not do."""
        for rule in self.row.rules.split():
            denied, accepted = self.as_is.by(rule), self.without.by(rule)
            if not denied:
                yield f"{rule} does not deny the witness {self.row.witness}"
            elif self.as_is.places(rule) <= self.without.places(rule):
                yield f"{rule} denies the same place without the field: it does not read it"
            for fact, (as_is, without) in self.lacking.items():
                if as_is.by(rule) == denied and without.by(rule) == accepted:
                    yield f"{rule} denies the same without {fact} in its input: it does not read it"


class Decider:
    """Collects requests and has OPA decide them all at once."""

    def __init__(self) -> None:
        self._strict: dict[str, Any] = YAML(typ="safe", pure=True).load(STRICT)
        self._configs: dict[str, int] = {}
        self._compiled: list[Mapping[str, Any]] = []
        self._asked: list[Asked] = []

    def witness(self, row: Row, operation: str) -> Witness:
        """The witness of a row, to be decided."""
        config = self._config(row.more.get("config", {}))
        given, left_out = requests_of(row, operation)
        packages = sorted({rule.partition(".")[0].replace("-", "_") for rule in row.rules.split()})
        as_is, without = (self._ask(one, config, packages) for one in (given, left_out))
        lacking = {
            fact: (
                self._ask(given, config, packages, fact),
                self._ask(left_out, config, packages, fact),
            )
            for fact in row.facts.split()
        }
        return Witness(row, operation, as_is, without, lacking)

    def decide(self, opa: Path, folder: Path) -> None:
        """Decide everything that was asked; ``folder`` is an empty one to write to."""
        asked = [one for one in self._asked if one.document is not None]
        cases = [
            {"input": one.document, "config": one.config, "packages": one.packages} for one in asked
        ]
        data = folder / "cases.json"
        helper = folder / "ledger.rego"
        helper.write_text(_HELPER)
        data.write_text(json.dumps({"cases": cases, "configs": self._compiled}))
        shipped = policy.SHIPPED / policy.ROOT
        words: list[str | Path] = [opa, "eval", "--format", "json", "data.ledger.answers"]
        for source in (shipped, data, helper):
            words += ["--data", source]
        done = subprocess.run(
            words,
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode:
            raise LedgerError(f"OPA did not decide the ledger's witnesses: {done.stdout}")
        (answers,) = (
            expression["value"]
            for result in json.loads(done.stdout)["result"]
            for expression in result["expressions"]
        )
        for one, denied in zip(asked, answers, strict=True):
            one.denied = denied

    def _config(self, change: Mapping[str, Any]) -> int:
        key = json.dumps(change, sort_keys=True)
        if key not in self._configs:
            merged = _merged(self._strict, change)
            self._compiled.append(policy.configuration(with_policy(**merged), HOST))
            self._configs[key] = len(self._compiled) - 1
        return self._configs[key]

    def _ask(self, request: Asking, config: int, packages: list[str], without: str = "") -> Asked:
        try:
            document = request.document()
        except Refused as refusal:
            asked = Asked(None, config, packages, refused=refusal.rule)
        else:
            if without:
                _remove(document, without.split("."))
            asked = Asked(document, config, packages)
        self._asked.append(asked)
        return asked


@dataclass(slots=True)
class Asking:
    """A request to be read as dockerd shows it."""

    operation: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    def method(self) -> str:
        """The HTTP method of its route."""
        return _method(self.operation)

    def document(self) -> dict[str, Any]:
        method, content, headers = self.method(), b"", dict(self.headers)
        if self.body is not None and "content-type" not in headers:
            content = json.dumps(self.body).encode()
            headers |= {"content-type": "application/json", "content-length": str(len(content))}
        target = "?".join(filter(None, (self.path, urlencode(self.query))))
        read = dockerd.read(method, target, headers, content)
        if read.operation.id != self.operation:
            raise LedgerError(f"{method} {target} is {read.operation.id}, not {self.operation}")
        made = input_document(read, Caller("", "", ()), HOST, datetime.now(UTC), STATE)
        plain: dict[str, Any] = json.loads(json.dumps(made))
        return plain


def requests_of(row: Row, operation: str) -> tuple[Asking, Asking]:
    """The request with the witness, and the one without."""
    more = row.more
    base = _base(operation)
    base.query |= more.get("query", {})
    if "body" in more:
        base.body = _merged(base.body, more["body"])
    given, left_out = copy.deepcopy(base), copy.deepcopy(base)
    has_without = "without" in more
    match row.place:
        case "body":
            at = more.get("at") or row.name.removesuffix("**").removesuffix(".")
            given.body = _put(given.body, at, row.value)
            if has_without:
                left_out.body = _put(left_out.body, at, more["without"])
            else:
                left_out.body = _left_out(given.body, more.get("remove", at))
        case "query":
            given.query[row.name] = row.value
            left_out.query.pop(row.name, None)
            if has_without:
                left_out.query[row.name] = more["without"]
        case "filter":
            given.query["filters"] = json.dumps({row.name: row.value})
            left_out.query["filters"] = json.dumps(
                {row.name: more["without"]} if has_without else {}
            )
        case "path":
            given.path = _path(operation, {row.name: row.value})
        case "header":
            given.headers[row.name.lower()] = row.value
        case _:
            raise LedgerError(f"{row.where}: a {row.place} has no witness")
    return given, left_out


def _base(operation: str) -> Asking:
    query = {"fromImage": "app"} if operation == "image.pull" else {}
    shape = routes.OPERATIONS[operation].body
    body = None if shape is None or shape == routes.STREAM else _BODIES.get(operation, {})
    if operation in {"container.start", "container.checkpoint.restore"}:
        return Asking(operation, _path(operation, {}), query, {}, None)
    return Asking(operation, _path(operation, {}), query, {}, copy.deepcopy(body))


def _route(operation: str) -> tuple[str, str]:
    found = [(m, path) for m, path, known in routes.ROUTES if known.id == operation]
    if operation == "image.import":
        return "POST", "/images/create"
    return max(found, key=lambda route: len(route[1]))


def _method(operation: str) -> str:
    return _route(operation)[0].replace("ANY", "GET")


def _path(operation: str, values: Mapping[str, str]) -> str:
    kind = routes.OPERATIONS[operation].kind

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        return values.get(name) or (
            "check" if name == "checkpoint" else _NAMES[kind or "container"]
        )

    return re.sub(r"\{(\w+)[^}]*\}", fill, _route(operation)[1])


def _steps(path: str) -> list[str]:
    """``A.B[].C{}`` as ``A B [] C {}``."""
    return re.findall(r"\[\]|\{\}|[^.\[\]{}]+", path)


def _put(body: Any, path: str, value: Any) -> Any:
    """A body with a value at a path: of a last ``[]`` or ``{}`` it is the whole list or map."""
    steps = _steps(path)
    if steps and steps[-1] in {"[]", "{}"}:
        steps = steps[:-1]
    return _put_at(body, steps, value, "")


def _put_at(node: Any, steps: list[str], value: Any, name: str) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step == "[]":
        items = list(node or [{}])
        items[0] = _put_at(items[0], rest, value, name)
        return items
    key = _KEYS.get(name, "own-net") if step == "{}" else step
    entries = dict(node or {})
    entries[key] = _put_at(entries.get(key), rest, value, step)
    return entries


def _left_out(body: Any, path: str) -> Any:
    """A body without what stands at a path: of a last ``[]`` or ``{}`` the whole list or map."""
    steps = _steps(path)
    while steps and steps[-1] in {"[]", "{}"}:
        steps.pop()
    if not steps:
        return []
    copied = copy.deepcopy(body)
    node, name = copied, ""
    for step in steps[:-1]:
        node = (
            node[0] if step == "[]" else node[_KEYS.get(name, "own-net") if step == "{}" else step]
        )
        name = step
    node.pop(steps[-1], None)
    return copied


def _remove(node: Any, keys: list[str]) -> None:
    """Take out what keys lead to; nothing where they lead nowhere."""
    *outer, last = keys
    for key in outer:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node.pop(last, None)


def _merged(base: Any, change: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return copy.deepcopy(change)
    return {**base, **{key: _merged(base.get(key), value) for key, value in change.items()}}
