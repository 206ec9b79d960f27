"""The check of mounts that some run on the client's side of a proxy, and what it becomes.

Its variables are ``DOCKER_MOUNT_VALIDATION`` (on or off), ``WORKSPACE_ROOT`` and
``ALLOWED_MOUNT_PATHS``; ``ALLOW_PRIVILEGED`` is set beside them. No proxy reads any of the four:
until now, whoever left the wrapper out was free.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from authz_plugin.dockerd.mounts import clean
from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.permissions import Bodies, Note

DEFAULT_ROOT: Final = "/workspace"
"""What the check allows where nothing else is set."""

VARIABLES: Final = frozenset(
    {"ALLOWED_MOUNT_PATHS", "ALLOW_PRIVILEGED", "DOCKER_MOUNT_VALIDATION", "WORKSPACE_ROOT"}
)

_YES: Final = frozenset({"1", "on", "true", "yes"})
_SEPARATORS: Final = re.compile(r"""[\s,:"'()]+""")


def says_yes(value: str) -> bool:
    """Whether a value that no proxy reads means yes to people."""
    return value.strip().lower() in _YES


def read_paths(setting: Setting) -> list[str]:
    """Paths of the host in a list with commas, colons or blanks between them, or in Bash's
    ``( )``; raises ``SettingsError`` for one that is not absolute."""
    paths = []
    for word in _SEPARATORS.split(setting.value):
        if word and not word.startswith("/"):
            raise SettingsError(setting.place, setting.name, f"{word} is no absolute path")
        if word:
            paths.append(clean(word) or word)
    return paths


def read_bodies(settings: Sequence[Setting], roots: Sequence[str] = ()) -> Bodies:
    """What the four variables say, beside the ``roots`` that the proxy itself lets containers
    mount; raises ``SettingsError``."""
    given = {setting.name: setting for setting in settings if setting.name in VARIABLES}
    roots = list(roots)
    notes: list[Note] = []
    for name in ("WORKSPACE_ROOT", "ALLOWED_MOUNT_PATHS"):
        if name in given:
            found = read_paths(given[name])
            roots += found
            text = f"mounts.allow: {', '.join(found) or 'nothing'}, with what lies below"
            notes.append(Note("carried over", str(given[name]), text))
    validation = given.get("DOCKER_MOUNT_VALIDATION")
    if validation is not None:
        notes.append(_validation(validation, roots))
        if says_yes(validation.value) and not roots:
            roots.append(DEFAULT_ROOT)
    privileged = given.get("ALLOW_PRIVILEGED")
    if privileged is not None:
        notes.append(_privileged(privileged))
    return Bodies(
        tuple(dict.fromkeys(roots)),
        bool(given.keys() - {"ALLOW_PRIVILEGED"}),
        None if privileged is None else says_yes(privileged.value),
        tuple(notes),
    )


def _validation(setting: Setting, roots: Sequence[str]) -> Note:
    if not says_yes(setting.value):
        text = "nothing switches the check of mounts off: dockerd asks, not the client"
        return Note("stricter", str(setting), text)
    where = "" if roots else f", mounts.allow: {DEFAULT_ROOT}, which is that check's default"
    text = f"mounts are judged in dockerd, where no client can leave the check out{where}"
    return Note("stricter", str(setting), text)


def _privileged(setting: Setting) -> Note:
    if says_yes(setting.value):
        text = "privileged.allow: true. A privileged container is root on the host"
        return Note("warning", str(setting), text)
    text = "privileged.allow: false. No proxy reads this variable: nothing held it until now"
    return Note("stricter", str(setting), text)
