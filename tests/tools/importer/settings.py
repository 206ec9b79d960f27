"""What people tell the two proxies that are built on HAProxy: every variable by itself, and whole
lists as they stand in compose files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from authz_plugin.tools.importer import ASKABLE, DIALECTS, Dialect, Imported, Proxy, carry_over
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.switches import ACTIONS, ELSEWHERE, GATES, ON_BY_DEFAULT, SECTIONS

DEVELOPMENT: Final = {
    "EVENTS": "1", "PING": "1", "VERSION": "1", "IMAGES": "1", "INFO": "1", "CONTAINERS": "1",
    "POST": "1", "BUILD": "1", "EXEC": "1", "NETWORKS": "1", "VOLUMES": "1",
    "ALLOW_PRIVILEGED": "0", "DOCKER_MOUNT_VALIDATION": "on", "WORKSPACE_ROOT": "/workspace",
}  # fmt: skip
"""A development container's proxy, with the check of mounts beside it."""

MULTI_TENANT: Final = {
    "CONTAINERS": "1", "IMAGES": "1", "INFO": "1", "VERSION": "1", "POST": "1", "DELETE": "1",
    "VOLUMES": "0", "NETWORKS": "0", "EXEC": "0", "BUILD": "0", "SWARM": "0", "SERVICES": "0",
    "TASKS": "0", "COMMIT": "0", "CONFIGS": "0", "SECRETS": "0", "PLUGINS": "0",
}  # fmt: skip
"""The proxy of a multi-tenant service that starts containers."""


@dataclass(frozen=True, slots=True)
class Told:
    """A proxy's variables; ``asked`` is what the import is asked to leave open."""

    dialect: Dialect
    variables: tuple[tuple[str, str], ...]
    asked: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.variables]
        return f"{self.dialect}: {' '.join(words) or 'nothing'} {' '.join(self.asked)}".strip()

    def carried_over(self) -> Imported:
        settings = tuple(Setting(name, value, "proxy.env") for name, value in self.variables)
        return carry_over(Proxy(self.dialect, "", settings, (), ()), self.asked)


def told(dialect: Dialect, *asked: str, **variables: str) -> Told:
    return Told(dialect, tuple(variables.items()), asked)


def all_told() -> Iterator[Told]:
    """Everything that is compared: each variable by itself with ``POST`` off and on, and more."""
    for dialect in DIALECTS[:2]:
        yield from _alone(dialect)
        yield from _together(dialect)


def _alone(dialect: Dialect) -> Iterator[Told]:
    gates = GATES if dialect == "linuxserver" else ()
    for post in ("0", "1"):
        yield told(dialect, POST=post)
        for name in (*SECTIONS, *ACTIONS, *gates, "DELETE", "ALLOW_PRIVILEGED"):
            yield told(dialect, **{name: "1", "POST": post})
    for name in ON_BY_DEFAULT:
        yield told(dialect, **{name: "0"})
    yield told(dialect, **dict.fromkeys(ELSEWHERE, "1"))


def _together(dialect: Dialect) -> Iterator[Told]:
    everything = dict.fromkeys((*SECTIONS, *ACTIONS, *GATES), "1")
    yield told(dialect, **DEVELOPMENT)
    yield told(dialect, **MULTI_TENANT)
    yield told(dialect, **everything, POST="1", DELETE="0")
    for post in ("0", "1"):
        yield told(dialect, **everything, POST=post)
        yield told(dialect, *ASKABLE, **everything, POST=post)
        yield told(dialect, CONTAINERS="true", POST=post)
        yield told(dialect, CONTAINERS="1", EXEC="1", POST=post)
        yield told(dialect, **dict.fromkeys(("CONTAINERS", *ACTIONS), "1"), POST=post)
    for name in GATES:
        yield told(dialect, CONTAINERS="1", **{name: "1"})
        yield told(dialect, CONTAINERS="1", POST="1", **{name: "0"})
