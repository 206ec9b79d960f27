"""The requests of the benchmarks as AuthZ messages, and their input documents."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from authz_plugin import dockerd
from authz_plugin.caller import Caller
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import LocalHostPaths

NUMBER: Final = "@@@@@@@@"
"""A placeholder that the load generator replaces by a different number in each request."""

_CREATE: Final[dict[str, Any]] = {
    "Hostname": "",
    "User": "1000:1000",
    "AttachStdout": True,
    "AttachStderr": True,
    "ExposedPorts": {"8080/tcp": {}},
    "Env": [f"SETTING_{n}=value of setting number {n}" for n in range(20)],
    "Cmd": ["serve", "--port", "8080", "--data", "/data"],
    "Image": "registry.example.com/team/app:1.4.2",
    "WorkingDir": "/app",
    "Labels": {f"com.example.label-{n}": f"label {n}" for n in range(8)},
    "HostConfig": {
        "Binds": ["/workspace/app:/app:ro", "/workspace/data:/data"],
        "NetworkMode": "app-net",
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "CapAdd": ["NET_BIND_SERVICE", "CHOWN"],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Mounts": [
            {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"SizeBytes": 67108864}},
            {"Type": "volume", "Source": "app-cache", "Target": "/cache"},
        ],
        "Memory": 268435456,
        "NanoCpus": 500000000,
        "PidsLimit": 100,
    },
    "NetworkingConfig": {"EndpointsConfig": {"app-net": {"Aliases": ["app"]}}},
}

_ANOTHER_VARIABLE: Final = {**_CREATE, "Env": [f"SETTING_0={NUMBER}", *_CREATE["Env"][1:]]}
"""A create whose variable no rule reads: only names of variables count."""

_SMALL: Final[dict[str, Any]] = {"Image": "registry.example.com/team/app:1.4.2", "Cmd": ["serve"]}

_LIST: Final = ("GET", "/v1.48/containers/json?all=1", None)
_JSON: Final = {"Content-Type": "application/json"}
_COMMON: Final = {"User-Agent": "Docker-Client/28.2.2 (linux)"}

REQUESTS: Final[dict[str, tuple[str, str, dict[str, Any] | None]]] = {
    "list": _LIST,
    "create": ("POST", "/v1.48/containers/create?name=web", _CREATE),
    "unread create": ("POST", "/v1.48/containers/create?name=web", _ANOTHER_VARIABLE),
    "distinct create": ("POST", f"/v1.48/containers/create?name=web-{NUMBER}", _CREATE),
}


def message(name: str) -> dict[str, Any]:
    """Return the AuthZReq message of a request."""
    fields = _message(*REQUESTS[name])
    fields["RequestHeaders"]["X-Case"] = name
    return fields


def _message(method: str, uri: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"RequestMethod": method, "RequestUri": uri}
    headers: dict[str, str] = {**_COMMON}
    if body is not None:
        text = json.dumps(body).encode()
        headers |= {**_JSON, "Content-Length": str(len(text))}
        fields["RequestBody"] = base64.b64encode(text).decode()
    return {**fields, "RequestHeaders": headers}


def documents() -> dict[str, Any]:
    """Return the input document of each request, for the Go plugins."""
    return {name: _document(message(name)) for name in REQUESTS}


def case(name: str, weight: int = 1) -> dict[str, Any]:
    """Return an AuthZReq in the load generator's format."""
    path = "/AuthZPlugin.AuthZReq"
    return _case(name, path, message(name), weight)


def response_case(name: str) -> dict[str, Any]:
    """Return the AuthZRes of a request in the load generator's format."""
    fields = {
        **message(name),
        "ResponseStatusCode": 201,
        "ResponseHeaders": _JSON,
        "ResponseBody": base64.b64encode(b'{"Id":"0123456789abcdef","Warnings":[]}').decode(),
    }
    return _case(name, "/AuthZPlugin.AuthZRes", fields, 1)


def create_case(more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a create with more fields in its body; no two of its requests are equal."""
    fields = _message("POST", f"/v1.48/containers/create?name=web-{NUMBER}", {**_SMALL, **more})
    return _case("create", "/AuthZPlugin.AuthZReq", fields, 1)


def _case(name: str, path: str, fields: dict[str, Any], weight: int) -> dict[str, Any]:
    return {
        "name": name,
        "path": path,
        "message": json.dumps(fields, separators=(",", ":")),  # as Go writes it
        "weight": weight,
        "allow": True,
    }


def _document(fields: dict[str, Any]) -> dict[str, Any]:
    request = dockerd.read(
        fields["RequestMethod"],
        fields["RequestUri"],
        {key.lower(): value for key, value in fields["RequestHeaders"].items()},
        base64.b64decode(fields.get("RequestBody", "")),
    )
    return input_document(
        request, Caller("", "", ()), LocalHostPaths(), datetime.now(UTC), UnseenEngineState()
    )
