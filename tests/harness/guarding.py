"""Have a running dockerd ask an authorization plugin for some time."""

from __future__ import annotations

import http
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from tests.harness.client import call
from tests.harness.dockerd import Dockerd
from tests.harness.plugin import wait_for

CANARY: Final = "/_ping?a=1&a=2"
"""A request that every policy of the plugin denies and that dockerd itself accepts."""

_LIMIT: Final = 20.0
_NO_CONFIG: Final[Mapping[str, Any]] = {}


@contextmanager
def asking(
    dockerd: Dockerd, plugin: str, config: Mapping[str, Any] = _NO_CONFIG, canary: str = CANARY
) -> Iterator[None]:
    """Add a plugin to daemon.json by a reload, and remove it at the end.

    ``config`` is the rest of daemon.json. dockerd reloads some time after the signal: ``canary`` is
    requested until the plugin denies it, and at the end until it is not denied any more.
    """

    def is_asking() -> bool:
        return call(dockerd.socket, "GET", canary).status == http.HTTPStatus.FORBIDDEN

    dockerd.reload({**config, "authorization-plugins": [plugin]})
    wait_for(is_asking, "dockerd to ask the plugin", _LIMIT)
    try:
        yield
    finally:
        dockerd.reload({**config, "authorization-plugins": []})
        wait_for(lambda: not is_asking(), "dockerd to ask no plugin", _LIMIT)
