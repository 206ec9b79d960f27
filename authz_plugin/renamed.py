"""Names that changed, and the old names that are accepted until version ``ACCEPTED_UNTIL``.

Old names are accepted in settings, in command line options and in audit files. The input document
and the policy configuration contain a renamed key under both names, for the operator's own Rego.
Everything else has the new names only. Remove this module and its callers in version
``ACCEPTED_UNTIL``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from authz_plugin.errors import SettingsError

ACCEPTED_UNTIL: Final = "0.3"
"""The first version that does not accept the old names."""

INPUT_KEYS: Final[Mapping[str, str]] = {"walls": "hardening"}
"""Old keys of the input document, and their present names."""

_SETTINGS: Final[Mapping[str, str]] = {"walls": "hardening", "strangers": "unmatched_callers"}
_GUARD: Final[Mapping[str, str]] = {"unguarded": "unprotected_paths"}
_PACKAGES: Final[Mapping[str, str]] = {"walls": "hardening"}
_RULES: Final[Mapping[str, str]] = {"identity.stranger": "identity.unmatched-caller"}
_FAMILIES: Final[Mapping[str, str]] = {"walls": "hardening"}
"""First parts of the ids of rules and attacks: ``walls.X`` is now ``hardening.X``."""

_RULE_LISTS: Final = frozenset({"rules", "warnings"})

_IN_REGO: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = tuple(
    (re.compile(rf"\b{owner}(?:\.{old}\b|\[\"{old}\"\])"), f"{owner}.{old}", f"{owner}.{new}")
    for owner, table in (("input", INPUT_KEYS), ("config", _SETTINGS), ("guard", _GUARD))
    for old, new in table.items()
)

_REMOVED: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = (
    (re.compile(r"\brules(?:\.walls\b|\[\"walls\"\])"), "rules.walls", "rules.hardening"),
    (re.compile(r"\beffective\.strangers\b"), "effective.strangers", "effective.unmatched_callers"),
)

Key = tuple[str | int, ...]


class Origins(Protocol):
    """Where each key was set; ``settings.KeyOrigins`` implements it."""

    def of(self, key: Key) -> str:
        """Return where a key was set: ``FILE:LINE``, a variable or an option."""

    def rename(self, old: Key, new: Key) -> None:
        """Rename a key and the keys inside it."""


def notice(where: str, old: str, new: str) -> str:
    """Return the warning for an old name; ``where`` is the place that contains it."""
    return f"{where}: {old} is now called {new}; the old name is accepted until {ACCEPTED_UNTIL}"


def current_rule(name: str) -> str:
    """Return the present id of a rule, of a family of rules (``walls.*``), or the name itself."""
    if name in _RULES:
        return _RULES[name]
    family, dot, rest = name.partition(".")
    return f"{_FAMILIES[family]}.{rest}" if dot and family in _FAMILIES else name


def current_attack(name: str) -> str:
    """Return the present id of an attack or of a family of attacks, or the name itself."""
    return _FAMILIES.get(name) or current_rule(name)


def current_packages(names: frozenset[str]) -> frozenset[str]:
    """Return names of rule packages, with the old ones replaced by the present ones."""
    return frozenset(_PACKAGES.get(name, name) for name in names)


def current_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decision record of an audit file with the present rule ids."""

    def current(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        rule, space, rest = text.partition(" ")
        return f"{current_rule(rule)}{space}{rest}"

    return {
        key: list(map(current, value)) if key in _RULE_LISTS and isinstance(value, list) else value
        for key, value in record.items()
    }


def current_input(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input document with old keys renamed; a value of the present key is kept."""
    found = {key: value for key, value in document.items() if key not in INPUT_KEYS}
    for old, new in INPUT_KEYS.items():
        if old in document:
            found.setdefault(new, document[old])
    return found


def with_old_input_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input document that contains each renamed key under its old name, too."""
    return {**document, **{old: document[new] for old, new in INPUT_KEYS.items()}}


def with_old_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy configuration that contains each renamed key under its old name, too."""
    found = {**config, **{old: config[new] for old, new in _SETTINGS.items() if new in config}}
    if "guard" in found:
        guard = found["guard"]
        old_keys = {old: guard[new] for old, new in _GUARD.items() if new in guard}
        found["guard"] = {**guard, **old_keys}
    if "roles" in found:
        found["roles"] = {name: with_old_settings(role) for name, role in found["roles"].items()}
    return found


def accept_settings(
    values: Mapping[str, Any], origins: Origins
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return settings with their present names, and a warning for each old name.

    Raises ``SettingsError`` if the old and the present name of a key are both given.
    """
    warnings: list[str] = []
    found = _current_config(values, (), origins, warnings)
    roles = found.get("roles")
    if isinstance(roles, dict):
        found["roles"] = {
            name: _current_config(role, ("roles", name), origins, warnings)
            if isinstance(role, dict)
            else role
            for name, role in roles.items()
        }
    exceptions = found.get("exceptions")
    if isinstance(exceptions, list):
        found["exceptions"] = [
            _current_exception(item, ("exceptions", i, "rule"), origins, warnings)
            for i, item in enumerate(exceptions)
        ]
    return found, tuple(warnings)


def _current_config(
    config: Mapping[str, Any], prefix: Key, origins: Origins, warnings: list[str]
) -> dict[str, Any]:
    found = _renamed_keys(config, _SETTINGS, prefix, origins, warnings)
    if isinstance(found.get("guard"), dict):
        place = (*prefix, "guard")
        found["guard"] = _renamed_keys(found["guard"], _GUARD, place, origins, warnings)
    if isinstance(found.get("rules"), dict):
        rules = {name: current_rule(name) for name in found["rules"]}
        changed = {old: new for old, new in rules.items() if old != new}
        place = (*prefix, "rules")
        found["rules"] = _renamed_keys(found["rules"], changed, place, origins, warnings)
    return found


def _renamed_keys(
    values: Mapping[str, Any],
    table: Mapping[str, str],
    prefix: Key,
    origins: Origins,
    warnings: list[str],
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        new = table.get(key)
        if new is None:
            found[key] = value
            continue
        place, shown, shown_new = (*prefix, key), _show(prefix, key), _show(prefix, new)
        if new in values:
            message = f"is the old name of {shown_new}, which is given too: remove {shown}"
            raise SettingsError(origins.of(place), shown, message)
        warnings.append(notice(origins.of(place), shown, shown_new))
        origins.rename(place, (*prefix, new))
        found[new] = value
    return found


def _current_exception(item: Any, place: Key, origins: Origins, warnings: list[str]) -> Any:
    rule = item.get("rule") if isinstance(item, dict) else None
    new = current_rule(rule) if isinstance(rule, str) else rule
    if new == rule:
        return item
    warnings.append(notice(origins.of(place), str(rule), str(new)))
    return {**item, "rule": new}


def _show(prefix: Key, key: str) -> str:
    return ".".join(map(str, (*prefix, key)))


def removed_from_rego(text: str) -> tuple[str, str] | None:
    """The old and the present name of a package or rule that Rego code refers to by its old name,
    or None.

    The old reference is undefined, and so is a denial that depends on it.
    """
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return next(((old, new) for found, old, new in _REMOVED if found.search(code)), None)


def in_rego(file: str, text: str) -> Iterator[str]:
    """Yield a warning for each reference of a Rego file to a renamed key by its old name."""
    for number, line in enumerate(text.splitlines(), 1):
        code = "" if line.lstrip().startswith("#") else line
        for pattern, old, new in _IN_REGO:
            if pattern.search(code):
                yield notice(f"{file}:{number}", old, new)
