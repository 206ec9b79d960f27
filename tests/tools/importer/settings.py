"""Settings of the two proxies that are based on HAProxy: each variable alone, and combinations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from authz_plugin.tools.importer import DIALECTS, SELECTABLE, Dialect, Imported, Proxy, import_proxy
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.switches import (
    ACTIONS,
    NO_COUNTERPART,
    ON_BY_DEFAULT,
    PART_SWITCHES,
    SECTIONS,
)

DEVELOPMENT: Final = {
    "EVENTS": "1", "PING": "1", "VERSION": "1", "IMAGES": "1", "INFO": "1", "CONTAINERS": "1",
    "POST": "1", "BUILD": "1", "EXEC": "1", "NETWORKS": "1", "VOLUMES": "1",
    "ALLOW_PRIVILEGED": "0", "DOCKER_MOUNT_VALIDATION": "on", "WORKSPACE_ROOT": "/workspace",
}  # fmt: skip
"""The proxy of a development container, with a client-side check of mounts."""

MULTI_TENANT: Final = {
    "CONTAINERS": "1", "IMAGES": "1", "INFO": "1", "VERSION": "1", "POST": "1", "DELETE": "1",
    "VOLUMES": "0", "NETWORKS": "0", "EXEC": "0", "BUILD": "0", "SWARM": "0", "SERVICES": "0",
    "TASKS": "0", "COMMIT": "0", "CONFIGS": "0", "SECRETS": "0", "PLUGINS": "0",
}  # fmt: skip
"""The proxy of a multi-tenant service that starts containers."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """A proxy's variables; ``selected`` are the words of ``--with``."""

    dialect: Dialect
    variables: tuple[tuple[str, str], ...]
    selected: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.variables]
        return f"{self.dialect}: {' '.join(words) or 'nothing'} {' '.join(self.selected)}".strip()

    def imported(self) -> Imported:
        settings = tuple(Setting(name, value, "proxy.env") for name, value in self.variables)
        return import_proxy(Proxy(self.dialect, "", settings, (), ()), self.selected)


def proxy_settings(dialect: Dialect, *selected: str, **variables: str) -> ProxySettings:
    return ProxySettings(dialect, tuple(variables.items()), selected)


def all_proxy_settings() -> Iterator[ProxySettings]:
    """Yield all settings to compare: each variable with ``POST`` off and on, and combinations."""
    for dialect in DIALECTS[:2]:
        yield from _single_variables(dialect)
        yield from _combinations(dialect)


def _single_variables(dialect: Dialect) -> Iterator[ProxySettings]:
    parts = PART_SWITCHES if dialect == "linuxserver" else ()
    for post in ("0", "1"):
        yield proxy_settings(dialect, POST=post)
        for name in (*SECTIONS, *ACTIONS, *parts, "DELETE", "ALLOW_PRIVILEGED"):
            yield proxy_settings(dialect, **{name: "1", "POST": post})
    for name in ON_BY_DEFAULT:
        yield proxy_settings(dialect, **{name: "0"})
    yield proxy_settings(dialect, **dict.fromkeys(NO_COUNTERPART, "1"))


def _combinations(dialect: Dialect) -> Iterator[ProxySettings]:
    everything = dict.fromkeys((*SECTIONS, *ACTIONS, *PART_SWITCHES), "1")
    yield proxy_settings(dialect, **DEVELOPMENT)
    yield proxy_settings(dialect, **MULTI_TENANT)
    yield proxy_settings(dialect, **everything, POST="1", DELETE="0")
    for post in ("0", "1"):
        yield proxy_settings(dialect, **everything, POST=post)
        yield proxy_settings(dialect, *SELECTABLE, **everything, POST=post)
        yield proxy_settings(dialect, CONTAINERS="true", POST=post)
        yield proxy_settings(dialect, CONTAINERS="1", EXEC="1", POST=post)
        yield proxy_settings(dialect, **dict.fromkeys(("CONTAINERS", *ACTIONS), "1"), POST=post)
    for name in PART_SWITCHES:
        yield proxy_settings(dialect, CONTAINERS="1", **{name: "1"})
        yield proxy_settings(dialect, CONTAINERS="1", POST="1", **{name: "0"})
