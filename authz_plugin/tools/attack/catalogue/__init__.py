"""The catalogue: every attack, by family; rows that a person can read, and nothing that acts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from authz_plugin.tools.attack.catalogue import (
    documents,
    hardening,
    hidden,
    images,
    mounts,
    networks,
    plugins,
    reads,
    running,
    scenarios,
    swarm,
    targets,
)
from authz_plugin.tools.attack.row import Attack, Family

CATALOGUE: Final[tuple[Attack, ...]] = (
    *scenarios.ROWS,
    *targets.ROWS,
    *hidden.ROWS,
    *documents.ROWS,
    *hardening.ROWS,
    *mounts.ROWS,
    *networks.ROWS,
    *running.ROWS,
    *reads.ROWS,
    *images.ROWS,
    *swarm.ROWS,
    *plugins.ROWS,
)
"""Every row, the ten scenarios first; no two have one id."""

FAMILIES: Final[tuple[Family, ...]] = tuple(dict.fromkeys(attack.family for attack in CATALOGUE))


def chosen(names: Iterable[str]) -> tuple[Attack, ...]:
    """The rows of some families and ids, in the catalogue's order; raises ``KeyError`` with a name
    that is neither."""
    wanted = set(names)
    rows = tuple(a for a in CATALOGUE if a.id in wanted or a.family.id in wanted)
    for name in sorted(wanted - {a.id for a in rows} - {a.family.id for a in rows}):
        raise KeyError(name)
    return rows
