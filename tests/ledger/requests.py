"""Makes the requests of the ledger's rows: with the witness, and without it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from authz_plugin import dockerd
from authz_plugin.caller import Caller
from authz_plugin.dockerd import routes
from authz_plugin.document import input_document
from tests.fakes import FakeEngineState, FakeHostPaths
from tests.ledger import LedgerError, Row

HOST: Final = FakeHostPaths({"/srv/w/moved": "/elsewhere"}, ["/srv/data/busy"])
STATE: Final = FakeEngineState({"own-moved": ["/srv/w/moved"]})
"""One container binds a folder that has become a symbolic link; the others have no mounts."""

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
"""The names in the path of a request, if the row is not about them."""

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
"""The key of an entry of a map, by the name of the map; ``own-net`` for the others."""


@dataclass(slots=True)
class LedgerRequest:
    """A request of a row; ``body`` is a JSON value, or None for none."""

    operation: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    def method(self) -> str:
        """Return the HTTP method of the route."""
        return _method(self.operation)

    def document(self) -> dict[str, Any]:
        """Return the input document; raises ``Refused``, or ``LedgerError`` for another route."""
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


def requests_of(row: Row, operation: str) -> tuple[LedgerRequest, LedgerRequest]:
    """Return the request with a row's witness, and the request without it."""
    context = row.context_object
    base = _base(operation)
    base.query |= context.get("query", {})
    if "body" in context:
        base.body = merged(base.body, context["body"])
    given, without = copy.deepcopy(base), copy.deepcopy(base)
    has_without = "without" in context
    match row.place:
        case "body":
            at = context.get("at") or row.name.removesuffix("**").removesuffix(".")
            given.body = _with_value(given.body, at, row.value)
            if has_without:
                without.body = _with_value(without.body, at, context["without"])
            else:
                without.body = _without_field(given.body, context.get("remove", at))
        case "query":
            given.query[row.name] = row.value
            without.query.pop(row.name, None)
            if has_without:
                without.query[row.name] = context["without"]
        case "filter":
            given.query["filters"] = json.dumps({row.name: row.value})
            without.query["filters"] = json.dumps(
                {row.name: context["without"]} if has_without else {}
            )
        case "path":
            given.path = _path(operation, {row.name: row.value})
        case "header":
            given.headers[row.name.lower()] = row.value
        case _:
            raise LedgerError(f"{row.where}: a {row.place} has no witness")
    return given, without


def _base(operation: str) -> LedgerRequest:
    query = {"fromImage": "app"} if operation == "image.pull" else {}
    shape = routes.OPERATIONS[operation].body
    body = None if shape is None or shape == routes.STREAM else _BODIES.get(operation, {})
    if operation in {"container.start", "container.checkpoint.restore"}:
        return LedgerRequest(operation, _path(operation, {}), query, {}, None)
    return LedgerRequest(operation, _path(operation, {}), query, {}, copy.deepcopy(body))


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
    """Split a field's path: ``A.B[].C{}`` into ``A B [] C {}``."""
    return re.findall(r"\[\]|\{\}|[^.\[\]{}]+", path)


def _with_value(body: Any, path: str, value: Any) -> Any:
    """Return a body with a value at a path; a last ``[]`` or ``{}`` is the whole list or map."""
    steps = _steps(path)
    if steps and steps[-1] in {"[]", "{}"}:
        steps = steps[:-1]
    return _with_value_at(body, steps, value, "")


def _with_value_at(node: Any, steps: list[str], value: Any, name: str) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step == "[]":
        items = list(node or [{}])
        items[0] = _with_value_at(items[0], rest, value, name)
        return items
    key = _KEYS.get(name, "own-net") if step == "{}" else step
    entries = dict(node or {})
    entries[key] = _with_value_at(entries.get(key), rest, value, step)
    return entries


def _without_field(body: Any, path: str) -> Any:
    """Return a body without a field; a last ``[]`` or ``{}`` is the whole list or map."""
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


def merged(base: Any, change: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return copy.deepcopy(change)
    return {**base, **{key: merged(base.get(key), value) for key, value in change.items()}}
