"""The annotations of rules (METADATA in Rego) as typed records.

``rules.json`` contains the annotations of the shipped rules. ``make generate`` writes it with
``opa inspect --annotations``, and ``tests/test_generated.py`` compares both. The operator's own
rules may have the same annotations; tools read them with OPA and ``annotated_rules``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz_plugin.errors import SetupError

Key = tuple[str, ...]
"""A key of the policy configuration, such as ``("capabilities", "allow")``."""

CONFIGURED: Final = "configured"
"""A value in ``Rule.baseline``: the value of the configuration in force."""

UNION: Final = "union"
"""A value in ``Rule.baseline``: the entries of the configuration in force and of profile closed."""

GREATER: Final = "greater"
"""A value in ``Rule.baseline``: the greater of the configuration in force and profile closed."""


class Change(NamedTuple):
    """The change of the configuration that allows what a rule denies.

    ``action`` is one of:

    - ``add``: add the denied value to the list at ``key``;
    - ``remove``: remove the denied value from the list or map at ``key``;
    - ``set``: set ``key`` to ``to``;
    - ``function``: call ``authz_plugin.tools.config_changes.denials.FUNCTIONS[function]``, which
      may use ``key``.

    ``source`` is ``(fact, part)``: instead of the denied value, the key ``part`` of each entry of
    ``fact`` in the input document that has the denial's field is added or removed.
    """

    action: str
    key: Key = ()
    to: bool | str | None = None
    function: str = ""
    source: tuple[str, str] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Change:
        """The change in an annotation such as ``{add: users.execs, from: users.sort}``.

        Raises ``ValueError`` for any other form.
        """
        if not isinstance(given, Mapping):
            raise ValueError(  # noqa: TRY004 - a fault of a file, not of a caller
                f"change has one of {', '.join(_ACTIONS)}; found {given!r}"
            )
        actions = [name for name in _ACTIONS if name in given]
        if len(actions) != 1:
            raise ValueError(f"change has one of {', '.join(_ACTIONS)}; found {dict(given)}")
        action = actions[0]
        beside = sorted(given.keys() - {action, *_ACTIONS[action]})
        if beside:
            allowed = ", ".join(sorted(_ACTIONS[action]))
            raise ValueError(f"change: {action} has {allowed} beside it; found {', '.join(beside)}")
        if any(not isinstance(value, str) for name, value in given.items() if name != "to"):
            raise ValueError(f"change: {action} has texts as its values; found {dict(given)}")
        if action == "set" and not isinstance(given.get("to"), bool | str):
            raise ValueError(f"change: set needs to, a text or a Boolean; found {dict(given)}")
        if action == "function":
            return cls(action, _key(given.get("key", "")), function=given[action])
        fact, _, part = given.get("from", "").partition(".")
        return cls(action, _key(given[action]), given.get("to"), "", (fact, part) if fact else None)


_ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "add": frozenset({"from"}),
    "remove": frozenset({"from"}),
    "set": frozenset({"to"}),
    "function": frozenset({"key"}),
}
"""The actions of a change, each with the further keys that it may have."""


class Danger(NamedTuple):
    """Descriptions of the danger of allowing what a rule denies, for the operator.

    ``harmless`` are values without a danger; ``values`` has a description for each dangerous value,
    or for a prefix followed by ``*``; ``otherwise`` is the description for all other values.
    ``function`` names a function in ``authz_plugin.tools.config_changes.denials.DANGERS``.
    """

    harmless: tuple[str, ...] = ()
    values: Mapping[str, str] = {}
    otherwise: str = ""
    function: str = ""

    @classmethod
    def of(cls, given: str | Mapping[str, Any]) -> Danger:
        """The danger in an annotation; a string is the description for every value.

        Raises ``ValueError`` for another type or an unknown key.
        """
        if isinstance(given, str):
            return cls(otherwise=given)
        if not isinstance(given, Mapping):
            raise ValueError(  # noqa: TRY004 - a fault of a file, not of a caller
                f"danger is a text or a map; found {given!r}"
            )
        if not given.keys() <= set(cls._fields):
            known = ", ".join(cls._fields)
            raise ValueError(f"danger has no more than {known}; found {', '.join(given)}")
        return cls(**{**given, "harmless": tuple(given.get("harmless", ()))})

    def text(self, value: str) -> str:
        """The description for a value; empty if there is no danger.

        An exact match takes precedence over prefixes, and a longer prefix over shorter ones.
        """
        if value in self.harmless:
            return ""
        if value in self.values:
            return self.values[value]
        fitting = [name for name in self.values if _is_beginning(name, value)]
        return self.values[max(fitting, key=len)] if fitting else self.otherwise


class Rule(NamedTuple):
    """The annotations of one rule.

    ``package`` is the last part of the name of its Rego package. ``settings`` are the keys, with
    dots, of the policy configuration that can allow what the rule denies. ``change`` is None if no
    configuration can, or if a recorded input has too little information to determine the change.
    ``baseline`` are the values of settings with which ``learn`` starts; other settings start with
    what both the configuration in force and profile closed allow. ``records`` are the parts of the
    input document that a recorded input keeps for this rule: a fact (``mounts``), ``query.NAME`` or
    ``body.PATH``. ``controls`` are pairs of a standard and a control's id.
    """

    package: str
    id: str
    title: str
    description: str
    settings: tuple[str, ...] = ()
    remedy: str = ""
    change: Change | None = None
    danger: Danger = Danger()
    baseline: Mapping[str, Any] = {}
    records: tuple[str, ...] = ()
    controls: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, package: str, annotations: Mapping[str, Any]) -> Rule:
        """The record for annotations in the form of ``opa inspect --annotations``.

        Unknown keys in ``custom`` are ignored: the operator's rules may have others.
        """
        custom = annotations.get("custom") or {}
        return cls(
            package=package,
            id=custom.get("id", ""),
            title=annotations.get("title", ""),
            description=one_line(annotations.get("description", "")),
            settings=tuple(custom.get("settings") or ()),
            remedy=one_line(custom.get("remedy") or ""),
            change=Change.of(custom["change"]) if custom.get("change") else None,
            danger=Danger.of(custom.get("danger") or ""),
            baseline=custom.get("baseline") or {},
            records=tuple(custom.get("records") or ()),
            controls=tuple(_control(text) for text in custom.get("controls") or ()),
        )


class AnnotatedRule(NamedTuple):
    """A rule with its file and line."""

    rule: Rule
    file: str
    row: int

    @property
    def place(self) -> str:
        """The place as ``file:row``."""
        return f"{self.file}:{self.row}"


def annotated_rules(inspected: Mapping[str, Any]) -> Iterator[AnnotatedRule]:
    """The rules with an id in the output of ``opa inspect --annotations --format json``.

    Raises ``ValueError`` for an invalid ``change`` or ``danger``; the message begins with the file
    and the rule's id.
    """
    for entry in inspected.get("annotations") or ():
        annotations, location = entry["annotations"], entry["location"]
        if (annotations.get("custom") or {}).get("id"):
            package = str(entry["path"][-2]["value"])
            try:
                rule = Rule.of(package, annotations)
            except ValueError as error:
                id_ = annotations["custom"]["id"]
                raise ValueError(f"{location['file']}: {id_}: {error}") from None
            yield AnnotatedRule(rule, location["file"], location["row"])


def one_line(text: str) -> str:
    """A text with every run of white space replaced by one space."""
    return " ".join(text.split())


def _key(text: str) -> Key:
    return tuple(text.split(".")) if text else ()


def _control(text: str) -> tuple[str, str]:
    standard, _, control = text.partition(" ")
    return standard, control


def _is_beginning(pattern: str, value: str) -> bool:
    return pattern.endswith("*") and value.startswith(pattern[:-1])


_FILE: Final = Path(__file__).with_name("rules.json")


@cache
def _shipped() -> Mapping[str, Rule]:
    try:
        entries = json.loads(_FILE.read_text())
        rules = [Rule.of(entry["package"], entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{_FILE} cannot be read: {error}; install opa-authz again") from error
    return {rule.id: rule for rule in rules}


RULES: Mapping[str, Rule]
"""The shipped rules by their ids, in the order of their files and lines. Read at the first use, so
that ``tests.generate.annotations`` can import this module and replace a damaged rules.json."""


def __getattr__(name: str) -> Mapping[str, Rule]:
    if name == "RULES":
        return _shipped()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
