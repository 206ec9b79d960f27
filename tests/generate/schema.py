"""The JSON schema of the input document, from the shapes of Docker's bodies."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.dockerd import gojson, routes
from authz_plugin.dockerd.routes import OPERATIONS

_STRING: Final = {"type": "string"}
_STRINGS: Final = {"type": "array", "items": _STRING}
_BOOLEAN: Final = {"type": "boolean"}


def input_schema() -> dict[str, Any]:
    """``policies/schemas/input.json``."""
    bodies = {
        id(operation.body): operation.body
        for operation in OPERATIONS.values()
        if not (operation.body is None or operation.body == routes.STREAM)
    }
    first, *others = [_shape(body) for body in bodies.values()]
    # OPA's type checker gives up on {"type": "null"} among alternatives.
    body = {"anyOf": [_or_null(first), *others]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Input document",
        "description": "The facts of one request to the Docker API, version 1. Every key is there.",
        **_object(
            {
                "version": _said("The version of this document.", {"type": "integer", "const": 1}),
                "phase": _said("When the question is asked.", {**_STRING, "enum": ["request"]}),
                "time": _said("When the request came, RFC 3339.", _STRING),
                "caller": _said("Who asks, as far as dockerd knows.", _object(_CALLER)),
                "request": _said("The request as it was sent.", _object(_REQUEST)),
                "operation": _said("What the request does.", _object(_OPERATION)),
                "body": _said(
                    "The body as dockerd holds it, with Docker's own names and Go's zero values.",
                    body,
                ),
                "body_state": _said(
                    "none: the operation reads none; invisible: a stream that no plugin sees.",
                    {**_STRING, "enum": ["none", "present", "invisible"]},
                ),
                "mounts": _said("Every mount that the request asks for.", _list(_MOUNT)),
                "capabilities": _said("Capabilities that are added.", _list(_CAPABILITY)),
                "namespaces": _said(
                    "Namespaces that are not the container's own.", _list(_NAMESPACE)
                ),
                "security_options": _said("Security options.", _list(_OPTION)),
            }
        ),
    }


def _shape(shape: gojson.Shape) -> dict[str, Any]:  # noqa: C901, PLR0911 - one case a type
    match shape:
        case gojson.Bool():
            return _BOOLEAN
        case gojson.String() | gojson.Bytes():
            return _STRING
        case gojson.Integer():
            return {"type": "integer"}
        case gojson.Float():
            return {"type": "number"}
        case gojson.Slice():
            items = {"type": "array", "items": _shape(shape.element)}
            return {**items, "type": ["array", "null"]} if shape.nullable else items
        case gojson.Array():
            return {"type": "array", "items": _shape(shape.element)}
        case gojson.Map():
            return {"type": "object", "additionalProperties": _shape(shape.element)}
        case gojson.PointerOrZero():
            return _shape(shape.element)
        case gojson.Pointer():
            inner = _shape(shape.element)
            return {**inner, "type": [inner["type"], "null"]}
        case gojson.Struct():
            return _object({name: _shape(field) for name, field in shape.fields.items()})
    raise TypeError(shape)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _list(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _object(properties)}


def _said(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, **schema}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


_CALLER: Final = {
    "user": _said("The common name of the client certificate, or empty.", _STRING),
    "method": _said("TLS, or empty on the unix socket.", _STRING),
    "certificates": _said(
        "The client's certificate chain.",
        _list(
            {
                "subject": _object({"CN": _STRING, "O": _STRINGS, "OU": _STRINGS}),
                "sans": _said("Subject alternative names.", _STRINGS),
                "sha256": _said("Fingerprint, in hex.", _STRING),
                "not_after": _said("End of validity, RFC 3339.", _STRING),
            }
        ),
    ),
}
_REQUEST: Final = {
    "method": _said("HTTP method.", _STRING),
    "uri": _said("The raw request target.", _STRING),
    "path": _said("The decoded path without its version prefix.", _STRING),
    "api_version": _said("The version prefix, as written.", _or_null(_STRING)),
    "query": _said(
        "Decoded parameters; dockerd reads the first value of most.",
        {"type": "object", "additionalProperties": _STRINGS},
    ),
    "query_authoritative": _said(
        "false where a form that no plugin sees could override the query.", _BOOLEAN
    ),
    "headers": _said(
        "Headers with lower-case names; of a repeated one the last value.",
        {"type": "object", "additionalProperties": _STRING},
    ),
    "unknown_fields": _said("Body fields that no known engine reads.", _STRINGS),
}
_OPERATION: Final = {
    "id": _said("docs/operations.md lists them.", {**_STRING, "enum": sorted(OPERATIONS)}),
    "section": _said(
        "The switch that the operation hangs on.",
        {**_STRING, "enum": sorted({operation.section for operation in OPERATIONS.values()})},
    ),
    "access": _said("The operation's effect.", {**_STRING, "enum": ["read", "write"]}),
    "resource": _said(
        "What the path names.",
        _or_null(
            _object(
                {
                    "kind": _said("The sort of thing.", _STRING),
                    "ref": _said("Its name or id, as given.", _STRING),
                }
            )
        ),
    ),
    "known": _said("Always true: an unknown operation is refused.", _BOOLEAN),
}
_MOUNT: Final = {
    "type": _said(
        "bind, volume, tmpfs, image, npipe or cluster; a volume that binds a path is a bind.",
        _STRING,
    ),
    "source": _said("As written.", _STRING),
    "path": _said("The host path that it names, lexically clean.", _or_null(_STRING)),
    "resolved": _said("That path after symbolic links, if it can be known.", _or_null(_STRING)),
    "exists": _said("Whether the resolved path is there.", _BOOLEAN),
    "target": _said("Path in the container.", _STRING),
    "read_only": _BOOLEAN,
    "propagation": _said("Empty where dockerd's default applies.", _STRING),
    "driver": _said("Volume driver.", _STRING),
    "options": _said("Volume driver options.", {"type": "object", "additionalProperties": _STRING}),
    "field": _said("Where it stands in the request.", _STRING),
}
_CAPABILITY: Final = {
    "name": _said("Upper case, without CAP_.", _STRING),
    "field": _said("Where it stands in the request.", _STRING),
}
_NAMESPACE: Final = {
    "type": _said("network, pid, ipc, uts, user or cgroup.", _STRING),
    "mode": _said("host, container, named (a network) or unknown.", _STRING),
    "container": _said("Whose namespace.", _or_null(_STRING)),
    "field": _said("Where it stands in the request.", _STRING),
}
_OPTION: Final = {
    "name": _said("seccomp, apparmor, label, no-new-privileges and so on.", _STRING),
    "value": _said("Its value; a bare word has true.", _STRING),
    "field": _said("Where it stands in the request.", _STRING),
}
