"""Where the console listens: on a unix socket or a loopback address, and nowhere else."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_TCP: Final = re.compile(r"(localhost|[0-9.]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")
_LOCAL_HOST: Final = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?")
_LAST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """``host`` and ``port`` of a loopback address (port 0 for any free one), or the path of a unix
    socket, whose ``host`` is empty."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        """The address in the form of ``--listen``."""
        return f"{self.host}:{self.port}" if self.host else f"unix:{self.path}"

    @property
    def cookie(self) -> str:
        """The name of the session's cookie: browsers send cookies to every port of a host."""
        digest = hashlib.sha256(str(self).encode()).hexdigest()
        return f"opa-authz-console-{digest[:8]}"

    @property
    def origin(self) -> str:
        """The origin of the pages; that of a unix socket is where ssh is told to forward it."""
        return f"http://{self.host}:{self.port}" if self.host else "http://localhost:9718"

    @property
    def is_own_host(self) -> Callable[[str], bool]:
        """Whether a ``Host`` header names this address.

        What forwards a unix socket may use any port of its loopback addresses.
        """
        if not self.host:
            return lambda host: _LOCAL_HOST.fullmatch(host) is not None
        own = {f"{self.host}:{self.port}", f"localhost:{self.port}"}
        return own.__contains__


def read_address(value: str) -> Address:
    """Parse ``unix:/path`` or ``HOST:PORT``; raises ``ValueError`` with what is wrong."""
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{value} names no absolute path, as unix:/run/console.sock does")
        return Address(path=path)
    found = _TCP.fullmatch(value)
    if found is None or int(found[2]) > _LAST_PORT:
        raise ValueError(f"{value} is neither unix:/PATH nor 127.0.0.1:PORT")
    host = "127.0.0.1" if found[1] == "localhost" else found[1]
    try:
        is_loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(
            f"{value} can be reached from other hosts: use 127.0.0.1:PORT or unix:/PATH, and "
            "ssh -L to reach it from elsewhere"
        )
    return Address(host, int(found[2]))
