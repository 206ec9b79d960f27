"""Converts the variables of checks of mounts that run on the client's side of a proxy.

They are ``DOCKER_MOUNT_VALIDATION`` (on or off), ``WORKSPACE_ROOT``, ``ALLOWED_MOUNT_PATHS`` and
``ALLOW_PRIVILEGED``. No proxy reads them: a client that does not run the check is not restricted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from authz_plugin.dockerd.mounts import clean
from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer.dotenv import Setting
from authz_plugin.tools.importer.permissions import MountSettings, Note

DEFAULT_ROOT: Final = "/workspace"
"""The path that the check allows without ``WORKSPACE_ROOT`` and ``ALLOWED_MOUNT_PATHS``."""

VARIABLES: Final = frozenset(
    {"ALLOWED_MOUNT_PATHS", "ALLOW_PRIVILEGED", "DOCKER_MOUNT_VALIDATION", "WORKSPACE_ROOT"}
)

_TRUE_VALUES: Final = frozenset({"1", "on", "true", "yes"})
_SEPARATORS: Final = re.compile(r"""[\s,:"'()]+""")


def is_true(value: str) -> bool:
    """Return whether a value is one of 1, on, true and yes, in any case."""
    return value.strip().lower() in _TRUE_VALUES


def read_paths(setting: Setting) -> list[str]:
    """Return the host paths in a list separated by commas, colons or blanks, or a Bash array.

    Raises ``SettingsError`` for a path that is not absolute.
    """
    paths = []
    for word in _SEPARATORS.split(setting.value):
        if word and not word.startswith("/"):
            raise SettingsError(setting.place, setting.name, f"{word} is no absolute path")
        if word:
            paths.append(clean(word) or word)
    return paths


def read_mount_settings(settings: Sequence[Setting], roots: Sequence[str] = ()) -> MountSettings:
    """Read the four variables.

    ``roots`` are the host paths that the proxy itself allows containers to mount. Raises
    ``SettingsError`` for a path that is not absolute.
    """
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
        if is_true(validation.value) and not roots:
            roots.append(DEFAULT_ROOT)
    privileged = given.get("ALLOW_PRIVILEGED")
    if privileged is not None:
        notes.append(_privileged(privileged))
    return MountSettings(
        tuple(dict.fromkeys(roots)),
        bool(given.keys() - {"ALLOW_PRIVILEGED"}),
        None if privileged is None else is_true(privileged.value),
        tuple(notes),
    )


def _validation(setting: Setting, roots: Sequence[str]) -> Note:
    if not is_true(setting.value):
        text = "nothing switches the check of mounts off: dockerd asks, not the client"
        return Note("stricter", str(setting), text)
    where = "" if roots else f", mounts.allow: {DEFAULT_ROOT}, which is that check's default"
    text = f"mounts are judged in dockerd, where no client can leave the check out{where}"
    return Note("stricter", str(setting), text)


def _privileged(setting: Setting) -> Note:
    if is_true(setting.value):
        text = "privileged.allow: true. A privileged container is root on the host"
        return Note("warning", str(setting), text)
    text = "privileged.allow: false. No proxy reads this variable: nothing held it until now"
    return Note("stricter", str(setting), text)
