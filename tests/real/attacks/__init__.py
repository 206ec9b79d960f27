"""Attacks on the Docker API, as a table: what is sent, what shows that it worked, what denies it.

Each row is sent to real daemons, byte for byte: to one that asks nobody, to prove that the attack
works there (or to say that this engine refuses it by itself), and to guarded ones, which must deny
it by the rule that the row names. ``docs/reference/attacks.md`` is made of this table.
"""

from __future__ import annotations

from typing import Final

from tests.real.attacks.bodies import HIDDEN
from tests.real.attacks.containers import CONNECTIONS, HARDENING, MOUNTS, STRENGTH
from tests.real.attacks.names import NAMES
from tests.real.attacks.operations import IMAGES, PLUGINS, RESOURCES, RUNNING, SWARM
from tests.real.attacks.paths import PATHS
from tests.real.attacks.row import Attack
from tests.real.attacks.typed import TYPED
from tests.real.attacks.workloads import WORKLOADS

ATTACKS: Final[tuple[Attack, ...]] = (
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
"""Every row; what one makes is named by its text, which stands once."""
