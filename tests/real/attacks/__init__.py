"""The attacks that the tests send to real daemons, one table for each family.

``model`` says what an attack and its expectations are. ``docs/reference/attacks.md`` is generated
from the tables.
"""

from __future__ import annotations

from typing import Final

from tests.real.attacks.bodies import HIDDEN
from tests.real.attacks.containers import CONNECTIONS, HARDENING, MOUNTS, STRENGTH
from tests.real.attacks.model import AttackCase
from tests.real.attacks.names import NAMES
from tests.real.attacks.operations import IMAGES, PLUGINS, RESOURCES, RUNNING, SWARM
from tests.real.attacks.paths import PATHS
from tests.real.attacks.typed import TYPED
from tests.real.attacks.workloads import WORKLOADS

ATTACKS: Final[tuple[AttackCase, ...]] = (
    *HIDDEN,
    *PATHS,
    *TYPED,
    *HARDENING,
    *MOUNTS,
    *CONNECTIONS,
    *STRENGTH,
    *RUNNING,
    *WORKLOADS,
    *IMAGES,
    *RESOURCES,
    *SWARM,
    *PLUGINS,
    *NAMES,
)
"""Every attack. Titles are unique: ``AttackCase.name`` is made from them."""
