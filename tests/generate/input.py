"""docs/reference/input.md: the input document, from its schema and an example."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from authz_plugin.dockerd import gojson
from authz_plugin.dockerd.routes import OPERATIONS
from tests.generate.examples import examples
from tests.generate.schema import input_schema

_HEAD: Final = """\
# The input document

What a rule sees as `input`: the facts of one request. It is total: every key is always there, null
or empty where there is nothing to say, so that a rule cannot fail to deny because a key is absent.
[The JSON schema](../../policies/schemas/input.json) says the same to OPA's type checker.

This page is made from `tests/generate/schema.py` and the shapes of Docker's bodies.

| key | type | |
|---|---|---|"""

_BODY: Final = """\

## body

The body as dockerd holds it once it has decoded the request: Docker's own names in Docker's
spelling, Go's zero values for what the client left out, whichever way the client wrote it. Lists
that Docker leaves `null` are empty lists here, except where null and empty mean different things to
dockerd (`MaskedPaths`, `ReadonlyPaths`). An operation that reads no body has `null`.

| operation | the body's fields |
|---|---|"""

_EXAMPLE: Final = """\

## An example

`docker run -v /workspace/data:/data …`, shortened by what is empty; in `body` only what
the client said is shown.

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
