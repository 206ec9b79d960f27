"""The messages of Docker's authorization plugin API: decoding of messages, encoding of answers.

This module implements the wire format of moby ``pkg/authorization/api.go`` (20.10 to 29). It does
not interpret requests. The target's field is spelt ``RequestUri``, bodies are standard base64, and
Go omits every empty field.
"""

from __future__ import annotations

import binascii
from typing import Any, Final, NamedTuple

import orjson

from authz_plugin.errors import Refused

ACTIVATION: Final = b'{"Implements": ["authz"]}'
"""The answer to ``/Plugin.Activate``; dockerd requires exactly the string ``authz``."""

CONTENT_TYPE: Final = "application/vnd.docker.plugins.v1.2+json"


_LARGE: Final = 1 << 16
_PIECE: Final = 1 << 14
_BODY: Final = b'"RequestBody":"'
_IN_PLACE: Final = b"8263572419"


class AuthZReq(NamedTuple):
    """The content of an ``/AuthZPlugin.AuthZReq``: one API request, as dockerd sends it to plugins.

    ``body`` is empty both if the request has none and if dockerd withholds it; ``dockerd.bodies``
    distinguishes the two. ``headers`` has lower-case names and, for a repeated header, only the
    last value. ``certificates`` are in PEM, the caller's own first.
    """

    user: str
    user_authn_method: str
    method: str
    uri: str
    headers: dict[str, str]
    body: bytes
    certificates: tuple[str, ...]


class AuthZRes(NamedTuple):
    """The content of an ``/AuthZPlugin.AuthZRes``: the API request again, and its outcome.

    ``status`` is 0 and ``body`` empty if dockerd does not report them: after a stream, a hijacked
    connection or an error (moby ``pkg/authorization/middleware.go``).
    """

    request: AuthZReq
    status: int
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """The answer to dockerd. dockerd sends ``message`` to the client whose request was denied."""

    allow: bool
    message: str = ""

    def to_bytes(self) -> bytes:
        """Encode as JSON. ``Err`` is omitted, because dockerd ignores it with status 200."""
        return orjson.dumps({"Allow": self.allow, "Msg": self.message})


def read_request(message: bytes) -> AuthZReq:
    """Decode the body of ``/AuthZPlugin.AuthZReq``.

    Raises ``Refused`` (``request.message``) for a message of another form. That includes an empty
    body, which dockerd sends when it retries after the plugin closed the connection (moby
    ``pkg/plugins/client.go``): if that were allowed, dockerd would run the original request.
    """
    return _request(_object_with_large_body(message))


def read_response(message: bytes) -> AuthZRes:
    """Decode the body of ``/AuthZPlugin.AuthZRes``; raises ``Refused`` as ``read_request`` does."""
    fields = _object(message)
    status = fields.get("ResponseStatusCode", 0)
    if type(status) is not int:
        raise _refused("ResponseStatusCode", "is not a number")
    return AuthZRes(
        request=_request(fields),
        status=status,
        headers=_headers(fields, "ResponseHeaders"),
        body=_bytes(fields, "ResponseBody"),
    )


def _request(fields: dict[str, Any]) -> AuthZReq:
    method = _text(fields, "RequestMethod")
    uri = _text(fields, "RequestUri")
    if not method or not uri:
        raise _refused("RequestUri" if method else "RequestMethod", "is missing")
    return AuthZReq(
        user=_text(fields, "User"),
        user_authn_method=_text(fields, "UserAuthNMethod"),
        method=method,
        uri=uri,
        headers=_headers(fields, "RequestHeaders"),
        body=_bytes(fields, "RequestBody"),
        certificates=_certificates(fields),
    )


def _object_with_large_body(message: bytes) -> dict[str, Any]:
    """The fields of a message, in which a large ``RequestBody`` may be decoded already (bytes).

    Such a body is decoded where it stands, without the copies that a parser of JSON makes of it. In
    what is parsed, a number takes its place: only if the field has this number, and nothing else in
    the message does, was it the body. Base64 has neither quotes nor escapes.
    """
    start = message.find(_BODY, 0, _PIECE) + len(_BODY)
    if len(message) < _LARGE or start < len(_BODY):
        return _object(message)
    end = message.find(b'"', start)
    before, after = message[: start - 1], message[end + 1 :]
    if _IN_PLACE in before or _IN_PLACE in after:
        return _object(message)
    try:
        body = binascii.a2b_base64(memoryview(message)[start:end], strict_mode=True)
    except ValueError:
        return _object(message)
    fields = _object(before + _IN_PLACE + after)
    found = fields.get("RequestBody")
    if type(found) is not int or found != int(_IN_PLACE):
        return _object(message)
    return {**fields, "RequestBody": body}


def _object(message: bytes) -> dict[str, Any]:
    if not message:
        raise _refused(
            "", "dockerd's message is empty", "retry: dockerd sends this after a broken connection"
        )
    try:
        fields = orjson.loads(message)
    except orjson.JSONDecodeError:
        raise _refused("", "dockerd's message is not JSON") from None
    if not isinstance(fields, dict):
        raise _refused("", "dockerd's message is not a JSON object")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise _refused(name, "is not a string")
    return value


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    value = fields.get(name)
    if value is None:
        return b""
    return value if isinstance(value, bytes) else _base64(name, value)


def _base64(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise _refused(name, "is not a string")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError):
        raise _refused(name, "is not base64") from None


def _headers(fields: dict[str, Any], name: str) -> dict[str, str]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise _refused(name, "is not an object of strings")
    headers = {key.lower(): text for key, text in value.items()}
    if len(headers) != len(value):
        raise _refused(name, "names a header twice")
    return headers


def _certificates(fields: dict[str, Any]) -> tuple[str, ...]:
    name = "RequestPeerCertificates"
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _refused(name, "is not a list")
    return tuple(_base64(name, item).decode("ascii", "replace") for item in value)


def _refused(field: str, problem: str, hint: str = "") -> Refused:
    message = f"dockerd's message was not understood: {field} {problem}" if field else problem
    return Refused("request.message", field, message, hint)
