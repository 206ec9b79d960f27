"""The JSON schema of the input document, from the shapes of Docker's bodies."""

from __future__ import annotations

from typing import Any, Final, get_args

from authz_plugin.dockerd import gojson, routes
from authz_plugin.dockerd.images import Action
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
    first, *others = [shape_schema(body) for body in bodies.values()]
    # OPA's type checker gives up on {"type": "null"} among alternatives.
    body = {"anyOf": [_or_null(first), *others]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Input document",
        "description": "The facts of one request to the Docker API. Every key is always present.",
        **_object(
            {
                "version": _said("The version of this document.", {"type": "integer", "const": 1}),
                "phase": _said("The phase of authorization.", {**_STRING, "enum": ["request"]}),
                "time": _said("When the plugin received the request, RFC 3339.", _STRING),
                "caller": _said("The caller, as far as dockerd tells.", _object(_CALLER)),
                "request": _said("The request as it was sent.", _object(_REQUEST)),
                "operation": _said("What the request does.", _object(_OPERATION)),
                "body": _said(
                    "The body as dockerd decodes it, with Docker's names and Go's zero values.",
                    body,
                ),
                "body_state": _said(
                    "none: the operation reads no body; invisible: a stream, not sent to plugins.",
                    {**_STRING, "enum": ["none", "present", "invisible"]},
                ),
                "mounts": _said("Every mount that the request asks for.", _list(_MOUNT)),
                "capabilities": _said("Capabilities that are added.", _list(_CAPABILITY)),
                "namespaces": _said(
                    "Namespaces that are not the container's own.", _list(_NAMESPACE)
                ),
                "security_options": _said("Security options.", _list(_OPTION)),
                "users": _said("Users as whom processes run.", _list(_USER)),
                "limits": _said("Limits of resources.", _list(_LIMIT)),
                "ulimits": _said("Limits of processes.", _list(_ULIMIT)),
                "sysctls": _said("Kernel parameters.", _list(_SYSCTL)),
                "tmpfs": _said("File systems in memory.", _list(_TMPFS)),
                "log_drivers": _said(
                    "Log drivers, where the request names one.", _list(_LOG_DRIVER)
                ),
                "hardening": _said(
                    "Hardening that the request asks for, for a new container or service.",
                    _or_null(_object(_HARDENING)),
                ),
                "walls": {
                    **_said(
                        "Deprecated: use `hardening`. Removed in 0.3.",
                        _or_null(_object(_HARDENING)),
                    ),
                    "deprecated": True,
                },
                "restart": _said(
                    "When dockerd restarts the container without a request.",
                    _or_null(_object(_RESTART)),
                ),
                "environment": _said("Names of environment variables.", _STRINGS),
                "images": _said("Images, plugins and registries.", _list(_IMAGE)),
                "ports": _said("Ports of the host that are opened.", _list(_PORT)),
                "endpoints": _said("Networks that are joined.", _list(_ENDPOINT)),
                "hosts": _said("Entries for a hosts file.", _list(_HOST)),
                "references": _said(
                    "Containers, networks, volumes, services, secrets and configs.",
                    _list(_REFERENCE),
                ),
                "filters": _said(
                    "Filters of a list, each with its values.",
                    {"type": "object", "additionalProperties": _STRINGS},
                ),
                "label_filters": _said("Labels among the filters.", _list(_LABEL_FILTER)),
                "labels": _said("Labels that the request sets.", _list(_LABEL)),
            }
        ),
    }


def shape_schema(shape: gojson.Shape) -> dict[str, Any]:  # noqa: C901, PLR0911 - one case a type
    """The JSON schema of a shape."""
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
            items = {"type": "array", "items": shape_schema(shape.element)}
            return {**items, "type": ["array", "null"]} if shape.nullable else items
        case gojson.Array():
            return {"type": "array", "items": shape_schema(shape.element)}
        case gojson.Map():
            return {"type": "object", "additionalProperties": shape_schema(shape.element)}
        case gojson.PointerOrZero():
            return shape_schema(shape.element)
        case gojson.Pointer():
            inner = shape_schema(shape.element)
            return {**inner, "type": [inner["type"], "null"]}
        case gojson.Struct():
            return _object({name: shape_schema(field) for name, field in shape.fields.items()})
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
    "revoked": _said("Whether a certificate of the caller is revoked.", _BOOLEAN),
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
        "false if a form that plugins do not get could override the query.", _BOOLEAN
    ),
    "headers": _said(
        "Headers with lower-case names; the last value of a repeated header.",
        {"type": "object", "additionalProperties": _STRING},
    ),
    "unknown_fields": _said("Body fields that no known engine reads.", _STRINGS),
}
_OPERATION: Final = {
    "id": _said(
        "docs/reference/operations.md lists them.", {**_STRING, "enum": sorted(OPERATIONS)}
    ),
    "section": _said(
        "The section that allows or denies the operation.",
        {**_STRING, "enum": sorted({operation.section for operation in OPERATIONS.values()})},
    ),
    "access": _said("The operation's effect.", {**_STRING, "enum": ["read", "write"]}),
    "resource": _said(
        "The object that the path names.",
        _or_null(
            _object(
                {
                    "kind": _said("The kind of object.", _STRING),
                    "ref": _said("Its name or id, as given.", _STRING),
                }
            )
        ),
    ),
}
_MOUNT: Final = {
    "type": _said(
        "bind, volume, tmpfs, image, npipe, cluster, or unknown where dockerd's state cannot be "
        "read; a volume that binds a path is a bind.",
        _STRING,
    ),
    "source": _said("As written.", _STRING),
    "path": _said("The host path that it names, lexically clean.", _or_null(_STRING)),
    "resolved": _said("That path after symbolic links, if it can be known.", _or_null(_STRING)),
    "exists": _said("Whether the resolved path exists.", _BOOLEAN),
    "target": _said("Path in the container.", _STRING),
    "read_only": _BOOLEAN,
    "submounts": _said(
        "Mounts below a bind's source: none (or left out), read-only or writable.",
        {**_STRING, "enum": ["none", "read-only", "writable"]},
    ),
    "propagation": _said("Empty for dockerd's default.", _STRING),
    "driver": _said("Volume driver.", _STRING),
    "options": _said("Volume driver options.", {"type": "object", "additionalProperties": _STRING}),
    "volume": _said(
        "Name of the volume that is created or used, also if it binds a path.", _STRING
    ),
    "origin": _said(
        "request: in the request; volume: of an existing volume; container: of a container "
        "that exists and is started or opened.",
        {**_STRING, "enum": ["request", "volume", "container"]},
    ),
    "field": _said("The field of the request.", _STRING),
}
_CAPABILITY: Final = {
    "name": _said("Upper case, without CAP_.", _STRING),
    "field": _said("The field of the request.", _STRING),
}
_NAMESPACE: Final = {
    "type": _said("network, pid, ipc, uts, user or cgroup.", _STRING),
    "mode": _said(
        "host, container, named (a network), unresolved (by what may be an id) or unknown.", _STRING
    ),
    "container": _said("The container whose namespace it is.", _or_null(_STRING)),
    "field": _said("The field of the request.", _STRING),
}
_OPTION: Final = {
    "name": _said("seccomp, apparmor, label, no-new-privileges and so on.", _STRING),
    "value": _said("Its value; a bare word has true.", _STRING),
    "field": _said("The field of the request.", _STRING),
}
_FIELD: Final = _said("The field of the request.", _STRING)
_USER: Final = {
    "process": _said("container or exec.", {**_STRING, "enum": ["container", "exec"]}),
    "name": _said("As written, with a group behind a colon.", _STRING),
    "sort": _said(
        "default: the image's; named: a name whose uid the image defines, possibly root's.",
        {**_STRING, "enum": ["default", "root", "numeric", "named"]},
    ),
    "group": _said(
        "The same for the group; default: the user's in the image, or root's for an unknown uid.",
        {**_STRING, "enum": ["default", "root", "numeric", "named"]},
    ),
    "field": _FIELD,
}
_LIMIT: Final = {
    "resource": _said("memory, swap, cpus, pids, shm, tmpfs or stop.", _STRING),
    "value": _said("Bytes, CPUs, processes or seconds; -1 for no limit.", {"type": "number"}),
    "field": _FIELD,
    "advice": _said(
        "What to set with it, if the limit depends on what the container has.", _STRING
    ),
}
_ULIMIT: Final = {
    "name": _said("nofile, nproc and so on.", _STRING),
    "soft": _said("-1 for no limit.", {"type": "integer"}),
    "hard": _said("-1 for no limit.", {"type": "integer"}),
    "field": _FIELD,
}
_SYSCTL: Final = {"name": _STRING, "value": _STRING, "field": _FIELD}
_TMPFS: Final = {
    "target": _said("Path in the container.", _STRING),
    "options": _said("Names of its mount options.", _STRINGS),
    "field": _FIELD,
}
_LOG_DRIVER: Final = {
    "name": _said("Empty for dockerd's default.", _STRING),
    "options": {"type": "object", "additionalProperties": _STRING},
    "field": _FIELD,
}
_HARDENING: Final = {
    "read_only_root": _BOOLEAN,
    "no_new_privileges": _said("Whether the last such option sets it.", _BOOLEAN),
    "dropped": _said("Capabilities, upper case, without CAP_.", _STRINGS),
    "healthcheck": _said("Whether the request has one; an image may have its own.", _BOOLEAN),
}
_RESTART: Final = {
    "policy": _said(
        "no, on-failure, always or unless-stopped, for services too; empty for none, or as it was.",
        _STRING,
    ),
    "retries": _said("0 if they are not limited.", {"type": "integer"}),
    "field": _FIELD,
}
_IMAGE: Final = {
    "action": _said(
        "mount: its files are mounted; name: the image is given this name.",
        {**_STRING, "enum": list(get_args(Action))},
    ),
    "field": _FIELD,
    "reference": _said("As written.", _STRING),
    "registry": _said("docker.io if the reference names none.", _STRING),
    "repository": _said("library/alpine for alpine.", _STRING),
    "name": _said("Registry and repository; empty if the reference is not valid.", _STRING),
    "tag": _said("If none is given: latest for an image that is run, else empty.", _STRING),
    "digest": _said("Empty if none is given.", _STRING),
    "names": _said(
        "The texts that patterns are compared with: the name, and the name with digest or tag.",
        _STRINGS,
    ),
    "may_be_id": _said("Whether dockerd could take it for an image's id.", _BOOLEAN),
}
_PORT: Final = {
    "host_ip": _said("0.0.0.0 if the request has none.", _STRING),
    "first": _said("0: dockerd chooses one; null: not readable.", _or_null({"type": "integer"})),
    "last": _said("End of the range.", _or_null({"type": "integer"})),
    "protocol": _said("tcp, udp, sctp or unknown.", _STRING),
    "field": _FIELD,
}
_ENDPOINT: Final = {
    "network": _said("Name or id; bridge is the default network.", _STRING),
    "field": _FIELD,
    "namespace": _said(
        "Whether it joins the network namespace of the host or a container, see namespaces.",
        _BOOLEAN,
    ),
    "may_be_id": _said("Whether dockerd could take it for an id or the start of one.", _BOOLEAN),
    "may_be_bridge": _said("Whether that could be the id of the default bridge.", _BOOLEAN),
    "addresses": _said("Addresses that the client chose.", _STRINGS),
    "mac_address": _said("Empty if dockerd chooses one.", _STRING),
    "aliases": _said("Additional names in the network, including a hostname.", _STRINGS),
    "links": _said("Links to other containers.", _STRINGS),
    "options": _said(
        "Network driver options.", {"type": "object", "additionalProperties": _STRING}
    ),
}
_HOST: Final = {
    "name": _STRING,
    "address": _said("host-gateway stands for the host.", _STRING),
    "field": _FIELD,
}
_REFERENCE: Final = {
    "kind": _said("container, network, volume, service, secret or config.", _STRING),
    "name": _said("Without a leading slash; empty for a random name.", _STRING),
    "use": _said("make or use.", {**_STRING, "enum": ["make", "use"]}),
    "full_id": _said("Whether it is a whole id.", _BOOLEAN),
    "may_be_id": _said("Whether dockerd could take it for an id or the start of one.", _BOOLEAN),
    "field": _FIELD,
}
_LABEL_FILTER: Final = {
    "name": _said("The label's name.", _STRING),
    "value": _said("null if the filter has only the name.", _or_null(_STRING)),
    "excluded": _said("Whether objects with it are excluded (label!).", _BOOLEAN),
}
_LABEL: Final = {
    "name": _said("null if it cannot be read.", _or_null(_STRING)),
    "folded": _said("In lower case.", _STRING),
    "field": _FIELD,
}
