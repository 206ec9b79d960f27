"""docs/reference/input.md: the input document, from its schema and an example."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from authz_plugin.dockerd import gojson
from authz_plugin.dockerd.routes import OPERATIONS
from tests.generate.schema import input_schema
from tools.policy_data import examples

_HEAD: Final = """\
# The input document

The input document is what a rule reads as `input`: the facts about one request. Every key is always
present, with `null` or an empty value if there is nothing to report, so that no rule fails to deny
because a key is missing. OPA's type checker uses the same description as a
[JSON schema](../../policies/schemas/input.json).

This page is made from `tests/generate/schema.py` and the shapes of Docker's bodies.

| key | type | |
|---|---|---|"""

_BODY: Final = """\

## body

The body as dockerd has it after decoding the request, however the client wrote it: with Docker's
spelling of the names, and Go's zero values for fields that the client left out. Lists that Docker
leaves `null` are empty lists here, except where dockerd treats null and empty differently
(`MaskedPaths`, `ReadonlyPaths`). For an operation that reads no body, `body` is `null`.

| operation | the body's fields |
|---|---|"""

_EXAMPLE: Final = """\

## An example

The input document of `docker run -v /workspace/data:/data …`, without empty values. Of `body`, only
the fields that the client sent are shown.

"""


def input_page() -> str:
    """The page."""
    properties = input_schema()["properties"]
    keys = [f"| `{key}` | {kind} | {text} |" for key, kind, text in _rows(properties, "")]
    bodies = [
        f"| `{operation.id}` | {', '.join(f'`{name}`' for name in operation.body.fields)} |"
        for operation in OPERATIONS.values()
        if isinstance(operation.body, gojson.Struct) and operation.body.fields
    ]
    sample = json.dumps(_without_empty(examples()["container_create_bind"]), indent=2)
    example = f"{_EXAMPLE}```json\n{sample}\n```"
    return "\n".join([_HEAD, *keys, _BODY, *bodies, example]) + "\n"


def _rows(properties: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, schema in properties.items():
        key = f"{prefix}{name}"
        yield key, _kind(schema), schema.get("description", "")
        inner = schema.get("items", schema)
        if key != "body" and "properties" in inner:
            yield from _rows(inner["properties"], f"{key}[]." if "items" in schema else f"{key}.")


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema and len(schema["enum"]) < 5:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kinds = schema.get("type", "object or null")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {name: _without_empty(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in (None, "", {}, [], 0)}
    if isinstance(value, list):
        return [_without_empty(inner) for inner in value]
    return value
