"""The gate of dangerous changes: each is withheld until ``--grant`` names it.

``explain`` and ``learn`` share it, and the words and JSON with which they tell what is withheld and
what is granted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from shlex import quote
from typing import Any, Final

from authz_plugin.decision import visible
from authz_plugin.rules import Key
from authz_plugin.tools.config_changes.steps import ConfigChange

WITHHELD: Final = (
    "Withheld: it leads out of a container, or removes a requirement. To grant it, name it."
)
"""The title above ``withheld_lines``."""


class Gate:
    """Which dangerous changes are granted.

    ``named`` has a ``RULE``, for all changes that a rule asks for, or ``RULE=VALUE``, for one.
    """

    def __init__(self, named: Collection[str]) -> None:
        self._named = frozenset(named)
        self._met: set[str] = set()

    def withholds(self, change: ConfigChange) -> bool:
        """Whether a change is dangerous and not named."""
        names = {change.rule, f"{change.rule}={change.value}"} & self._named
        self._met |= names
        return bool(change.danger) and not names

    @property
    def unmet(self) -> list[str]:
        """The names that fitted no change so far, sorted."""
        return sorted(self._named - self._met)


def grant_name(change: ConfigChange) -> str:
    """The name of a change for ``--grant``."""
    return f"{change.rule}={change.value}" if change.value else change.rule


def named_text(danger: str) -> str:
    """What is said of a granted change with a danger."""
    return f"named with --grant: {visible(danger)}"


def withheld_lines(role: str, change: ConfigChange) -> Iterator[str]:
    """A withheld change as text: how to name it in a shell, and its danger."""
    whose = f" (role {visible(role)})" if role else ""
    yield f"--grant {quote(visible(grant_name(change)))}{whose}"
    yield f"    {visible(change.danger)}"


def withheld_document(role: str, change: ConfigChange) -> dict[str, Any]:
    """A withheld change as ``--json`` prints it; ``role`` is empty for callers without a role."""
    return {
        "role": role,
        "rule": change.rule,
        "value": change.value,
        "means": change.danger,
        "grant": grant_name(change),
    }


def granted_document(
    role: str,
    key: Key,
    value: Any,
    *,
    removed: bool,
    rules: Collection[str],
    values: Collection[str],
    dangers: Collection[str],
) -> dict[str, Any]:
    """A granted change of one key as ``--json`` prints it.

    ``value`` is an entry of the list at ``key`` that is added, or ``removed``, or the key's new
    value. ``rules`` asked for it because of the denied ``values``; ``dangers`` are empty if the
    change is harmless.
    """
    return {
        "role": role,
        "key": ".".join(key),
        "value": value,
        "taken_out": removed,
        "rules": sorted(rules),
        "for": sorted(values),
        "means": sorted(dangers),
    }
