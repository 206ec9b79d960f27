"""A real HAProxy in front of a backend that answers everything, with the rules of the two proxies
that are built on it.

The rules are written here from the facts about those proxies: which variable lets which paths
through, by which expressions, in which order.
"""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from tests.harness.haproxy import running_haproxy

_BACKEND: Final = """\
backend docker
    http-request return status 200
"""
_IN_ONE: Final = 20
_AT_A_TIME: Final = 250  # what fits into the buffers of a unix socket
_ENDS: Final = (b"\r\n\r\n", b"</html>\n")
_VERSION: Final = r"^(/v[\d\.]+)?"
_CONTAINER: Final = rf"{_VERSION}/containers/[a-zA-Z0-9_.-]+"
_READS: Final = "    http-request deny unless METH_GET || {{ env({}_POST) -m bool }}"

_SECTIONS: Final = (
    ("AUTH", "auth"), ("BUILD", "build"), ("COMMIT", "commit"), ("CONFIGS", "configs"),
    ("CONTAINERS", "containers"), ("DISTRIBUTION", "distribution"), ("EVENTS", "events"),
    ("EXEC", "exec"), ("GRPC", "grpc"), ("IMAGES", "images"), ("INFO", "info"),
    ("NETWORKS", "networks"), ("NODES", "nodes"), ("PING", "_ping"), ("PLUGINS", "plugins"),
    ("SECRETS", "secrets"), ("SERVICES", "services"), ("SESSION", "session"), ("SWARM", "swarm"),
    ("SYSTEM", "system"), ("TASKS", "tasks"), ("VERSION", "version"), ("VOLUMES", "volumes"),
)  # fmt: skip
_ACTIONS: Final = (
    ("ALLOW_RESTARTS", "((stop)|(restart)|(kill))"), ("ALLOW_START", "start"),
    ("ALLOW_STOP", "stop"), ("ALLOW_PAUSE", "pause"), ("ALLOW_UNPAUSE", "unpause"),
)  # fmt: skip
_GATES: Final = (
    ("ALLOW_ARCHIVE", "archive"), ("ALLOW_CHANGES", "change"), ("ALLOW_EXPORT", "export"),
    ("ALLOW_LOGS", "logs"), ("ALLOW_TOP", "top"),
)  # fmt: skip
DEFAULTS: Final = {"EVENTS": "1", "PING": "1", "VERSION": "1"}
"""What is set in both images unless it is set otherwise."""

Variables = Mapping[str, str]
Request = tuple[str, str]
"""Method and path."""


def _if(condition: str, expression: str) -> str:
    return f"if {condition} {{ path,url_dec -m reg -i {expression} }}"


def _rules(dialect: str, name: str) -> Iterator[str]:
    """The lines of a frontend; ``name`` is what its variables begin with."""

    def on(variable: str) -> str:
        return f"{{ env({name}_{variable}) -m bool }}"

    actions = [
        f"    http-request allow {_if(on(variable), f'{_CONTAINER}/{path}')}"
        for variable, path in _ACTIONS
    ]
    if dialect == "linuxserver":
        for variable, path in _GATES:
            yield f"    http-request deny {_if(f'!{on(variable)}', f'{_CONTAINER}/{path}')}"
        yield from actions
        yield _READS.format(name)
    else:
        yield _READS.format(name)
        yield from actions
    for variable, path in _SECTIONS:
        yield f"    http-request allow {_if(on(variable), f'{_VERSION}/{path}')}"
    yield "    http-request deny"
    yield "    default_backend docker"


@contextmanager
def running_proxies(proxies: Sequence[tuple[str, Variables]]) -> Iterator[list[Path]]:
    """Proxies, each of a dialect and with variables of its own: the sockets they listen on.

    One HAProxy is many of them, but not all: it looks each variable up in the whole environment.
    """
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder, ExitStack() as cleanup:
        sockets: list[Path] = []
        for start in range(0, len(proxies), _IN_ONE):
            home = Path(folder) / str(start)
            some = proxies[start : start + _IN_ONE]
            sockets += cleanup.enter_context(_running_some(home, some))
        yield sockets


@contextmanager
def _running_some(home: Path, proxies: Sequence[tuple[str, Variables]]) -> Iterator[list[Path]]:
    home.mkdir()
    sockets = [home / f"{i}.sock" for i in range(len(proxies))]
    lines = [_BACKEND]
    environment: dict[str, str] = {}
    for i, (dialect, variables) in enumerate(proxies):
        lines += [f"frontend p{i}", f"    bind {sockets[i]}", *_rules(dialect, f"P{i}")]
        settings = DEFAULTS | dict(variables)
        environment |= {f"P{i}_{name}": value for name, value in settings.items()}
    with running_haproxy(home, "\n".join([*lines, ""]), sockets[-1], environment):
        yield sockets


def passed(proxy: Path, requests: Sequence[Request]) -> list[bool]:
    """Whether a proxy passes each request on, asked on one connection, many at a time."""
    statuses: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(proxy))
        for start in range(0, len(requests), _AT_A_TIME):
            some = requests[start : start + _AT_A_TIME]
            connection.sendall(b"".join(_written(*request) for request in some))
            answers = bytearray()
            while answers.count(b"HTTP/1.1 ") < len(some) or not answers.endswith(_ENDS):
                chunk = connection.recv(1 << 16)
                assert chunk, "HAProxy hung up"
                answers += chunk
            statuses += re.findall(rb"HTTP/1\.1 (\d+)", answers)
    assert set(statuses) <= {b"200", b"403"}
    return [status == b"200" for status in statuses]


@cache
def _written(method: str, path: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n".encode()
