"""Runs HAProxy with the rules of the two proxies that are based on it.

The backend replies 200 to every request. The rules are written here from the proxies' own
configuration: which variable allows which paths, by which expressions, in which order.
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
_PROXIES_EACH: Final = 20
_BATCH_SIZE: Final = 250  # what fits into the buffers of a unix socket
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
"""The default variables of both images."""

Variables = Mapping[str, str]
Request = tuple[str, str]
"""Method and path."""


def _if(condition: str, expression: str) -> str:
    return f"if {condition} {{ path,url_dec -m reg -i {expression} }}"


def _rules(dialect: str, name: str) -> Iterator[str]:
    """Yield the lines of a frontend; ``name`` is the prefix of its variables."""

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
    """Run proxies, each with a dialect and variables, and yield the sockets they listen on.

    One HAProxy process runs several of them, and not all, since each look-up of a variable
    searches its whole environment.
    """
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder, ExitStack() as cleanup:
        sockets: list[Path] = []
        for start in range(0, len(proxies), _PROXIES_EACH):
            home = Path(folder) / str(start)
            batch = proxies[start : start + _PROXIES_EACH]
            sockets += cleanup.enter_context(_running_batch(home, batch))
        yield sockets


@contextmanager
def _running_batch(home: Path, proxies: Sequence[tuple[str, Variables]]) -> Iterator[list[Path]]:
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
    """Return whether a proxy forwards each request; they are sent on one connection in batches."""
    statuses: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(proxy))
        for start in range(0, len(requests), _BATCH_SIZE):
            batch = requests[start : start + _BATCH_SIZE]
            connection.sendall(b"".join(_written(*request) for request in batch))
            answers = bytearray()
            while answers.count(b"HTTP/1.1 ") < len(batch) or not answers.endswith(_ENDS):
                chunk = connection.recv(1 << 16)
                assert chunk, "HAProxy hung up"
                answers += chunk
            statuses += re.findall(rb"HTTP/1\.1 (\d+)", answers)
    assert set(statuses) <= {b"200", b"403"}
    return [status == b"200" for status in statuses]


@cache
def _written(method: str, path: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n".encode()
