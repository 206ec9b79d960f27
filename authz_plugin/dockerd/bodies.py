"""The body of a request: whether the plugin received it, and its canonical form.

dockerd sends a plugin the body only if the first Content-Type header is JSON; engines before the
fixes of CVE-2024-41110 and CVE-2026-34040 also withhold chunked bodies and those of 1 MiB and more.
A form body is never sent, and on POST and PUT its parameters take precedence over the query's.
Headers do not prove that there is none: of a repeated header the plugin receives the last value,
but dockerd uses the first. Sources: moby 20.10.24 and 28.5.2 ``pkg/authorization/authz.go``,
``api/server/httputils/httputils.go``; Go 1.26 ``net/http/request.go`` (parsePostForm).
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from authz_plugin.dockerd import gojson
from authz_plugin.dockerd.routes import STREAM, Operation
from authz_plugin.errors import Refused

_STARTS: Final = frozenset({"container.start", "container.checkpoint.restore"})
_METHODS_WITH_FORMS: Final = frozenset({"POST", "PUT", "PATCH"})
_HARMLESS_START_BODY: Final = 7
"""Length up to which every engine ignores the body of a start (moby ``postContainersStart``)."""


class Content(NamedTuple):
    """The result of reading a body; ``CanonicalRequest`` describes the fields."""

    body: Any = None
    state: Literal["none", "present", "invisible"] = "none"
    query_authoritative: bool = True
    unknown_fields: tuple[str, ...] = ()


def read_body(method: str, operation: Operation, headers: dict[str, str], body: bytes) -> Content:
    """Read the body of an operation; raises ``Refused`` (``request.body-*``)."""
    if operation.body is None:
        return _no_body(method, operation, headers, body)
    if operation.body == STREAM:
        return _stream(headers, body)
    if not body and headers.get("content-length") != "0":
        raise _withheld(operation, headers)
    reading = gojson.Reading()
    canonical = operation.body.read(gojson.parse(body) if body else None, "", reading)
    return Content(canonical, "present", unknown_fields=tuple(reading.unknown))


def _no_body(method: str, operation: Operation, headers: dict[str, str], body: bytes) -> Content:
    if operation.id in _STARTS and len(body) > _HARMLESS_START_BODY:
        raise Refused(
            "request.body-old-shape",
            "body",
            "a start with a body replaces the container's HostConfig on engines before 25",
            "start without a body; give HostConfig when the container is created",
        )
    if method in _METHODS_WITH_FORMS and _may_hide_a_form(headers, body):
        raise Refused(
            "request.body-form",
            "header.content-type",
            f"{operation.id} may carry a form that overrides its query unseen",
            "send no Content-Type, or Content-Length: 0",
        )
    return Content()


def _stream(headers: dict[str, str], body: bytes) -> Content:
    if _media_type(headers) in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        raise Refused(
            "request.body-form",
            "header.content-type",
            "a form body overrides the query unseen",
            "give parameters in the query and the archive as application/x-tar",
        )
    return Content(state="invisible", query_authoritative=not _may_hide_a_form(headers, body))


def _may_hide_a_form(headers: dict[str, str], body: bytes) -> bool:
    """Whether dockerd could read a form body that it did not send to the plugin.

    It cannot if the plugin received the body (then the first Content-Type is JSON), if the body is
    empty, or if there is no Content-Type.
    """
    return not body and "content-type" in headers and headers.get("content-length") != "0"


def _media_type(headers: dict[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _withheld(operation: Operation, headers: dict[str, str]) -> Refused:
    if _media_type(headers) != "application/json":
        hint = "send it as Content-Type: application/json, once"
    elif "content-length" not in headers:
        hint = "send it with a Content-Length: this engine withholds chunked bodies"
    else:
        hint = "send less than 1 MiB: this engine withholds larger bodies"
    return Refused(
        "request.body-withheld",
        "body",
        f"dockerd does not show the body of this {operation.id}, so it cannot be judged",
        hint,
    )
