"""Records as requests make them, for the journal's tests."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from authz_plugin import dockerd, protocol
from authz_plugin.caller import Caller
from authz_plugin.decision import Decision, Denial
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import UnseenHostPaths
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.protocol import AuthZReq, AuthZRes

NO = Denial("mounts.source", "HostConfig.Binds[0]", "/etc", "bind mount of /etc is not allowed", "")


def request(
    method: str = "GET", uri: str = "/v1.44/containers/json", body: bytes = b"", user: str = ""
) -> AuthZReq:
    return AuthZReq(user, "TLS" if user else "", method, uri, {}, body, ())


def response(asked: AuthZReq, status: int = 0, body: Any = None) -> AuthZRes:
    content = b"" if body is None else orjson.dumps(body)
    return AuthZRes(asked, status, {}, content)


def record(
    asked: AuthZReq | None = None, *denials: Denial, warnings: tuple[Denial, ...] = ()
) -> DecisionRecord:
    """The record of a request that an engine decided."""
    asked = asked or request()
    made = DecisionRecord.begin()
    made.is_from(asked)
    headers = {"content-type": "application/json"} if asked.body else {"content-length": "0"}
    canonical = dockerd.read(asked.method, asked.uri, headers, asked.body)
    caller = Caller(asked.user, asked.user_authn_method, ())
    made.reads_as(canonical, caller)
    document = input_document(canonical, caller, UnseenHostPaths(), made.time, UnseenEngineState())
    made.asks("opa")
    decision = Decision(not denials, denials, warnings, frozenset(), "production", "abc")
    made.decided(decision, document)
    made.close()
    return made


def create(**host_config: Any) -> AuthZReq:
    """A request for a container."""
    body = orjson.dumps({"Image": "app", "HostConfig": host_config})
    return request("POST", "/v1.44/containers/create", body)


def message(asked: AuthZReq) -> bytes:
    """What dockerd sends for a request."""
    fields: dict[str, Any] = {"RequestMethod": asked.method, "RequestUri": asked.uri}
    fields["User"] = asked.user
    if asked.body:
        fields["RequestBody"] = base64.b64encode(asked.body).decode()
        fields["RequestHeaders"] = {"Content-Type": "application/json"}
    assert protocol.read_request(orjson.dumps(fields)).body == asked.body
    return orjson.dumps(fields)
