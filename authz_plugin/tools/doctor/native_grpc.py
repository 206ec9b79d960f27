"""Checks of native gRPC: whether dockerd serves it past its plugins, decided by a call.

From 29.2 on, dockerd serves gRPC over HTTP/2 on its API sockets before it asks any plugin. A
setting of dockerd or a front can close it (docs/how-to/native-grpc.md).
"""

from __future__ import annotations

import http
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

from authz_plugin.errors import EndpointError
from authz_plugin.tools import grpc_call
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.doctor.engine import read_version, serves_native_grpc
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.doctor.host import Host
from authz_plugin.tools.doctor.listeners import (
    accounts_that_reach,
    environment_of,
    holders,
    sockets_are_visible,
    tcp_listeners,
    unix_listeners,
)

Outcome = Literal["served", "refused", "unknown"]

_METHOD: Final = "/moby.buildkit.v1.Control/ListWorkers"
"""It changes nothing."""
_TIMEOUT: Final = 10.0
_FIX: Final = (
    "set GODEBUG=http2server=0 for dockerd, or put the front before its socket "
    "(docs/how-to/native-grpc.md)"
)
_WHY: Final = (
    "it can build and push anything, with the host's network if dockerd grants it; no plugin sees "
    "it (from 29.2.0)"
)


def check_native_grpc(host: Host, server: str) -> Iterator[Finding]:
    """Make a gRPC call at the endpoint, and look at the other sockets on which dockerd listens.

    ``server`` is dockerd's ``Server`` header.
    """
    version = read_version(server)
    outcome, how = _call(host.endpoint)
    if outcome == "served":
        yield Finding(
            "engine.grpc",
            "critical",
            f"dockerd serves BuildKit's gRPC at {host.endpoint.url} and asks no plugin about it",
            f"whoever can open the socket can call it: {_WHY}",
            _FIX,
        )
        return
    if outcome == "unknown":
        yield Finding(
            "engine.grpc",
            "warning",
            f"whether dockerd serves BuildKit's gRPC is not known: {how}",
            "an engine from 29.2.0 on serves it and asks no plugin",
            "run doctor again, as root",
        )
        return
    yield Finding("engine.grpc", "ok", f"a native gRPC call was refused: {how}")
    if version is not None and not serves_native_grpc(version):
        return
    if host.dockerd is None or not sockets_are_visible(host):
        yield Finding(
            "engine.raw-socket",
            "warning",
            "whether dockerd has a socket that nothing closes cannot be seen from here",
            f"who can connect to one goes past what refuses a call at {host.endpoint.url}",
            "run doctor as root on dockerd's own host",
        )
        return
    if "http2server=0" in environment_of(host).get("GODEBUG", "").split(","):
        yield Finding(
            "engine.raw-socket",
            "ok",
            "dockerd runs with GODEBUG=http2server=0, for all its sockets",
        )
        return
    yield from _check_listeners(host)


def _check_listeners(host: Host) -> Iterator[Finding]:
    """Check the sockets on which dockerd itself listens: a front is no use to who goes past it."""
    reachable = []
    closed = []
    trusted = host.trusted_uids | holders(host, host.endpoint)
    for path in unix_listeners(host):
        accounts = accounts_that_reach(host, path, trusted)
        if not accounts:
            closed.append(str(path))
            continue
        url = f"unix://{path}"
        reachable.append((Endpoint(url, unix=host.at(path)), ", ".join(accounts)))
    for address, port in tcp_listeners(host):
        endpoint = Endpoint(f"tcp://{address}:{port}", address=(address, port))
        reachable.append((endpoint, "every account of this host"))
    refused = []
    for endpoint, who in reachable:
        outcome = _call_any(host, endpoint)
        if outcome == "served":
            yield Finding(
                "engine.raw-socket",
                "critical",
                f"dockerd serves BuildKit's gRPC on {endpoint.url}, past what refuses it at "
                f"{host.endpoint.url}",
                f"who can connect there can call it ({who}): {_WHY}",
                "let only root and the front enter the folder of dockerd's own socket, or set "
                "GODEBUG=http2server=0 for dockerd (docs/how-to/native-grpc.md)",
            )
        elif outcome == "unknown":
            yield Finding(
                "engine.raw-socket",
                "warning",
                f"dockerd also listens on {endpoint.url}, where a gRPC call could not be tried",
                f"who can connect there ({who}) may go past what refuses it at {host.endpoint.url}",
                "run doctor as root, and with --host and certificates for this socket, or set "
                "GODEBUG=http2server=0 for dockerd",
            )
        else:
            refused.append(endpoint.url)
    if closed:
        yield Finding(
            "engine.raw-socket",
            "ok",
            f"only root and the front can connect to dockerd's own {', '.join(closed)}",
        )
    if refused:
        yield Finding(
            "engine.raw-socket", "ok", f"a native gRPC call was refused by {', '.join(refused)}"
        )


def _call_any(host: Host, endpoint: Endpoint) -> Outcome:
    """Call without TLS and, on TCP, with it if dockerd has it: with the endpoint's certificate."""
    outcome, _ = _call(endpoint)
    with_tls = any(
        host.setting(f"--{name}", name) not in ([], ["false"]) for name in ("tls", "tlsverify")
    )
    if endpoint.unix is not None or outcome == "served" or not with_tls:
        return outcome
    tls = host.endpoint.tls
    return "unknown" if tls is None else _call(replace(endpoint, tls=tls))[0]


def _call(endpoint: Endpoint) -> tuple[Outcome, str]:
    """Make a call; whether it was served, and if not, how it was refused or why it is not known."""
    try:
        reply = grpc_call.call(endpoint, _METHOD, _TIMEOUT)
    except EndpointError as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLError | ConnectionResetError | BrokenPipeError):
            return "refused", "no connection with HTTP/2 came about"
        return "unknown", str(error)
    if reply.headers:
        return "refused", f"the answer came in HTTP/1, with status {reply.status}"
    if reply.status == http.HTTPStatus.OK:
        return "served", ""
    if reply.status:
        return "refused", f"the answer had status {reply.status}"
    return "refused", "the connection was closed"
