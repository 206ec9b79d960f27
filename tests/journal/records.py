"""Records as requests make them, for the journal's tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import orjson

from authz_plugin import dockerd, protocol
from authz_plugin.caller import Caller
from authz_plugin.decision import Decision, Denial
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import UnseenHostPaths
from authz_plugin.journal.record import DecisionRecord, Times, decision_record, new_decision_id
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
    headers = {"content-type": "application/json"} if asked.body else {"content-length": "0"}
    canonical = dockerd.read(asked.method, asked.uri, headers, asked.body)
    caller = Caller(asked.user, asked.user_authn_method, ())
    decision = Decision(not denials, denials, warnings, frozenset(), "production", "abc")
    return decision_record(
        decision_id=new_decision_id(),
        time=datetime.now(UTC),
        started=perf_counter(),
        request=asked,
        canonical=canonical,
        caller=caller,
        decision=decision,
        allow=decision.allow,
        denials=denials,
        error="",
        engine="opa",
        times=Times(0.0001, 0.0001, 0.001, 0.002),
    )


def document(asked: AuthZReq | None = None) -> dict[str, Any]:
    """The input document of a request."""
    asked = asked or request()
    headers = {"content-type": "application/json"} if asked.body else {"content-length": "0"}
    canonical = dockerd.read(asked.method, asked.uri, headers, asked.body)
    caller = Caller(asked.user, asked.user_authn_method, ())
    now = datetime.now(UTC)
    return input_document(canonical, caller, UnseenHostPaths(), now, UnseenEngineState())


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
