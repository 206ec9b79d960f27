"""The intended differences between an imported configuration and the proxy.

The import, docs/import.md and the tests that compare it with a real proxy all use this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CREATE: Final = "container.create"
BUILD: Final = "image.build"


@dataclass(frozen=True, slots=True)
class Difference:
    """Operations that the proxy allows and the configuration denies.

    ``operations`` are denied, except if the operation ``unless`` is allowed. If ``named`` is true,
    ``--with ID`` allows them, as does an expression of wollomatic's proxy that contains one of
    ``words``.
    """

    id: str
    operations: frozenset[str]
    reason: str
    named: bool = False
    unless: str = ""
    words: tuple[str, ...] = ()


CLOSED: Final = (
    Difference(
        "archive",
        frozenset(
            {
                "container.archive.get",
                "container.archive.put",
                "container.archive.stat",
                "container.copy",
            }
        ),
        "reads and writes files in every container and in what is mounted there",
        named=True,
        words=("archive", "copy"),
    ),
    Difference(
        "attach-ws",
        frozenset({"container.attach.ws"}),
        "types into every container, by a GET, which POST=0 does not stop",
        named=True,
        words=("attach",),
    ),
    Difference(
        "changes",
        frozenset({"container.changes"}),
        "shows which files every container has changed",
        named=True,
        unless=CREATE,
        words=("changes",),
    ),
    Difference(
        "checkpoint",
        frozenset(
            {
                "container.checkpoint.create",
                "container.checkpoint.list",
                "container.checkpoint.remove",
                "container.checkpoint.restore",
            }
        ),
        "writes a container's memory to the disk of the host, to a folder that the request names",
        named=True,
        words=("checkpoints",),
    ),
    Difference(
        "exec",
        frozenset({"exec.create"}),
        "an exec is made under /containers and started under /exec: made only if both are open",
        unless="exec.start",
    ),
    Difference(
        "export",
        frozenset({"container.export", "image.export"}),
        "copies whole containers and images out of the host",
        named=True,
        words=("export",),
    ),
    Difference(
        "load",
        frozenset({"image.import", "image.load"}),
        "makes images of an archive that nobody sees, which is building by another name",
        named=True,
        unless=BUILD,
        words=("load",),
    ),
    Difference(
        "logs",
        frozenset({"container.logs", "service.logs", "task.logs"}),
        "shows what every container has written, secrets included",
        named=True,
        unless=CREATE,
        words=("logs",),
    ),
    Difference(
        "options",
        frozenset({"system.options"}),
        "OPTIONS is one operation to dockerd, whatever the path, and no client needs it",
    ),
    Difference(
        "top",
        frozenset({"container.top"}),
        "shows the command lines of every container's processes",
        named=True,
        unless=CREATE,
        words=("top",),
    ),
    Difference(
        "unlock-key",
        frozenset({"swarm.unlock-key"}),
        "shows the key that the swarm's secrets are locked with",
        named=True,
        words=("unlockkey",),
    ),
)
"""Differences that apply unless they are selected by name."""

REMOVAL: Final = Difference(
    "removal",
    frozenset(
        {
            "config.remove",
            "container.checkpoint.remove",
            "container.remove",
            "image.remove",
            "network.remove",
            "node.remove",
            "plugin.remove",
            "secret.remove",
            "service.remove",
            "volume.remove",
        }
    ),
    "DELETE=0 says that nothing is to be removed; the proxy does not read it, POST=1 opens DELETE",
)
"""Applies if the settings have DELETE=0."""

PLUGINS: Final = Difference(
    "plugins",
    frozenset(
        {
            "plugin.create",
            "plugin.disable",
            "plugin.enable",
            "plugin.pull",
            "plugin.remove",
            "plugin.set",
            "plugin.upgrade",
        }
    ),
    "a plugin is root on the host: plugins.install and plugins.change must name it",
)
"""The operations are allowed, and the rules for plugins deny them until plugins are named."""

UNANCHORED: Final = Difference(
    "endless",
    frozenset({"container.remove"}),
    "the proxy's expression for an action has neither end nor method, "
    "so it also lets a removal through",
)
"""What the variables for actions (``ALLOW_START``) allow in the proxy in addition."""

UNKNOWN_PATHS: Final = Difference(
    "unknown",
    frozenset(),
    "no engine has such an operation, and what is not known is denied",
)
"""Paths that the proxy forwards and to which dockerd replies 404."""

NAMES_WITH_SLASH: Final = Difference(
    "slashes",
    frozenset(),
    "the proxy's expressions for containers know no slash, dockerd does (web/db names a link): "
    "what is open for a container is open by such a name too, and nothing else is",
)
"""The only difference in both directions: the proxy can deny a name with a slash although the
operation is allowed, and linuxserver's can allow it although the operation is denied."""

DIFFERENCES: Final = (*CLOSED, REMOVAL, PLUGINS, UNANCHORED, UNKNOWN_PATHS, NAMES_WITH_SLASH)
"""All differences. The tests find each of them, and no other."""

NAMED: Final = tuple(difference.id for difference in DIFFERENCES if difference.named)
"""The ids that ``--with`` accepts."""
