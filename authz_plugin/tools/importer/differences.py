"""Where an imported configuration and the proxy that it comes from part ways on purpose.

As data, so that the import, its page in the docs and the comparison with a real proxy speak of the
same list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CREATE: Final = "container.create"
BUILD: Final = "image.build"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the proxy lets through and the configuration does not.

    ``operations`` are closed, unless the operation ``unless`` is open. If ``named``, ``--with ID``
    opens them, and so does an expression of wollomatic's that has one of ``words`` in it.
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
"""What the import closes although the proxy opens it, because nobody asked for it by name."""

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
"""Closed where the settings say DELETE=0."""

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
"""Open, and denied by the rules for plugins until the operator names some."""

ENDLESS: Final = Difference(
    "endless",
    frozenset({"container.remove"}),
    "the proxy's expression for an action has neither end nor method, "
    "so it also lets a removal through",
)
"""What ``ALLOW_START`` and its like open beside what they say."""

UNKNOWN: Final = Difference(
    "unknown",
    frozenset(),
    "no engine has such an operation, and what is not known is denied",
)
"""What the proxy passes on to dockerd, for dockerd to answer 404."""

SLASHES: Final = Difference(
    "slashes",
    frozenset(),
    "the proxy's expressions for containers know no slash, dockerd does (web/db names a link): "
    "what is open for a container is open by such a name too, and nothing else is",
)
"""The one difference that goes both ways: a name with a slash may be refused by the proxy although
the operation is open, or pass a gate of linuxserver's that is closed. It names the same things."""

DIFFERENCES: Final = (*CLOSED, REMOVAL, PLUGINS, ENDLESS, UNKNOWN, SLASHES)
"""All of them; a comparison with the proxy finds each, and no other."""

NAMED: Final = tuple(difference.id for difference in DIFFERENCES if difference.named)
"""What ``--with`` takes."""
