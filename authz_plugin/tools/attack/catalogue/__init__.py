"""The attacks of ``opa-authz attack``, one module for each family or group of families."""

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
from authz_plugin.tools.attack.model import CatalogueAttack, Family

CATALOGUE: Final[tuple[CatalogueAttack, ...]] = (
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
"""Every attack, the ten scenarios first; ids are unique."""

FAMILIES: Final[tuple[Family, ...]] = tuple(dict.fromkeys(attack.family for attack in CATALOGUE))


def select(names: Iterable[str]) -> tuple[CatalogueAttack, ...]:
    """Return the attacks with the given ids or family ids, in the catalogue's order.

    Raises ``KeyError`` with the first name that is neither.
    """
    wanted = set(names)
    attacks = tuple(a for a in CATALOGUE if a.id in wanted or a.family.id in wanted)
    for name in sorted(wanted - {a.id for a in attacks} - {a.family.id for a in attacks}):
        raise KeyError(name)
    return attacks
