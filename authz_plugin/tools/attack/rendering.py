"""Replace the placeholders of an attack by the values of a context."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from authz_plugin.tools.attack.model import ContainerBody, Proof, RequestTemplate
from authz_plugin.tools.docker_client import Request

_PADDING: Final = 1_200_000
_PLACEHOLDER: Final = re.compile(r"<([a-z_]+)>")


@dataclass(frozen=True, slots=True)
class AttackContext:
    """The values that one attack is rendered with.

    ``placeholders`` maps the names in angle brackets to their values, ``container`` is the body of
    a container create request that the guard allows. In request bodies, three placeholders are
    added to those: ``<top>`` and ``<host>`` are the members of ``container`` and of its HostConfig
    as they are written within JSON, and ``<mib>`` is more than 1 MiB of text.

    ``success_errors`` is the attack's own expression, extended by the errors that this context
    causes. ``creates_nothing`` says that the attack names objects that cannot be created.
    """

    placeholders: Mapping[str, str]
    container: Mapping[str, Any]
    success_errors: str = ""
    creates_nothing: bool = False


def render(template: RequestTemplate, context: AttackContext) -> Request:
    """Return the request of a template; raises ``KeyError`` for an unknown placeholder."""
    target = fill(template.target, context.placeholders)
    headers = tuple((name, fill(value, context.placeholders)) for name, value in template.headers)
    body = _render_body(template.body, context)
    return Request(template.method, target, headers, body, template.chunked)


def render_proof(proof: Proof, context: AttackContext) -> Proof:
    """Return a proof whose path and value have their placeholders replaced."""
    values = context.placeholders
    return replace(proof, path=fill(proof.path, values), value=fill_json(proof.value, values))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders replaced; raises ``KeyError`` for an unknown one."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def fill_json(value: Any, values: Mapping[str, str]) -> Any:
    """Return a JSON value with the placeholders in its strings replaced."""
    match value:
        case str():
            return fill(value, values)
        case dict():
            return {key: fill_json(item, values) for key, item in value.items()}
        case list():
            return [fill_json(item, values) for item in value]
    return value


def merge_host_config(host: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a HostConfig with changes: a list extends the one that is there, unless it is empty;
    other values replace it."""
    both = {k: [*host[k], *v] for k, v in changes.items() if v and isinstance(host.get(k), list)}
    return {**host, **changes, **both}


def _render_body(body: ContainerBody | str | bytes, context: AttackContext) -> bytes:
    if isinstance(body, bytes):
        return body
    top = {key: value for key, value in context.container.items() if key != "HostConfig"}
    host = context.container["HostConfig"]
    if isinstance(body, ContainerBody):
        merged = merge_host_config(host, body.host_config)
        body = json.dumps({**top, **body.members, "HostConfig": merged})
    values = {name: _json_content(value) for name, value in context.placeholders.items()}
    members = _json_content(host)
    values |= {"top": _json_content(top), "host": members and f"{members},", "mib": "x" * _PADDING}
    return fill(body, values).encode()


def _json_content(value: Any) -> str:
    """Return a string or an object as JSON, without the enclosing quotation marks or braces."""
    return json.dumps(value)[1:-1]
