"""Makes one configuration of several proxies, or of one with rules for single clients.

Each proxy, and each client that has rules in its labels, becomes a role of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from authz_plugin.tools.importer.permissions import Note
from authz_plugin.tools.importer.translation import Imported

_ALWAYS: Final = frozenset({"system.options", "system.ping", "system.version"})


def opens_nothing(imported: Imported) -> bool:
    """Return whether a configuration allows nothing but ping and version."""
    return imported.operations <= _ALWAYS


def with_roles(outside: Imported | None, roles: Mapping[str, Imported]) -> Imported:
    """Return a configuration with roles.

    ``outside`` applies to callers without a role; None denies them everything. ``roles`` are the
    configurations by role.
    """
    if not roles:
        return outside or Imported({"profile": "closed"}, frozenset(), ())
    base = outside or Imported({"profile": "closed"}, frozenset(), ())
    described = {
        name: {"callers": [{"user": name}], **role.configuration} for name, role in roles.items()
    }
    rest = "the configuration outside of roles" if outside else "profile closed"
    text = (
        f"{', '.join(roles)}: a caller has the role whose name its TLS certificate has as user "
        "(`opa-authz identity add NAME --role NAME`); for all others, on the unix socket too, "
        f"{rest} decides"
    )
    notes = [
        *base.notes,
        *(
            replace(note, subject=f"{name}: {note.subject}")
            for name, role in roles.items()
            for note in role.notes
        ),
        Note("warning", "roles", text),
        *(
            Note("warning", f"role {name}", "opens nothing but ping and version")
            for name, role in roles.items()
            if opens_nothing(role)
        ),
    ]
    operations = base.operations.union(*(role.operations for role in roles.values()))
    return Imported({**base.configuration, "roles": described}, operations, tuple(notes))
