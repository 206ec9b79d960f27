"""Enumerates changes of the configuration that might remove a denial.

The first are those that the denial's rule states. The others are derived from the configuration's
JSON Schema (``policies/schemas/config.json``), the configuration in force and the facts of the
request. Whether a change removes the denial is not known here. No entry that is added to a list is
a pattern.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from authz_plugin.configuration import config_schema
from authz_plugin.decision import Denial
from authz_plugin.rules import Key, Rule
from authz_plugin.settings import conforms, without_required
from authz_plugin.tools.config_changes.steps import (
    AddEntry,
    RemoveEntry,
    SetValue,
    Step,
    WidenLimit,
    is_literal,
    place,
    written,
)
from authz_plugin.tools.explanation.marks import Marker, Marks, is_dangerous
from authz_plugin.tools.sandbox import Judgement

Candidate = tuple["Change", ...]
"""Changes that are made together, in this order: a later one replaces another of the same key."""

Ranked = tuple[int, "Change"]
"""A change with its rank: 0 for the narrowest kind of change, 5 for the widest."""

_NOT_FACTS: Final = frozenset({"body", "caller", "phase", "request", "time", "version"})
"""Keys of the input document that hold no facts for rules."""

_GENERATED_KEYS: Final = frozenset(
    {"deny_inside", "deny_links", "inside", "paths", "places", "prefixes"}
    | {"resolved", "resolved_inside", "reserved_folded", "until", "warn_from"}
)
"""Keys that the plugin adds to the operator's configuration."""

_ROLE_KEYS: Final = frozenset({"roles", "default_role"})
"""Keys that say which role a caller has; they are not changed to allow a request."""

_FOR_ALL: Final = frozenset({("exceptions",), ("unmatched_callers",)})
"""Keys that a role cannot set."""

_EXCEPTION_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Change:
    """A configuration key with a new value.

    ``description`` is for people. ``marks`` say what the change makes possible. ``entry`` is what
    is added to a list, or removed from it or from a map (``removed``); otherwise it is the value.
    """

    key: Key
    value: Any
    description: str
    marks: Marks
    entry: Any
    removed: bool = False
    role: str = ""


def with_changes(given: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """Return a copy of an operator's policy configuration with changes made."""
    config = copy.deepcopy(dict(given))
    for change in changes:
        key = ("roles", change.role, *change.key) if change.role else change.key
        place(config, key)[key[-1]] = change.value
    return config


def candidates(
    judgement: Judgement,
    denial: Denial,
    rule: Rule | None,
    marker: Marker,
    config: Mapping[str, Any],
) -> list[Candidate]:
    """Return the changes that might remove a denial: first those without a danger, and of each sort
    the narrowest first.

    ``rule`` is None for a denial whose rule has no metadata, ``marker`` marks the changes for the
    denial, and ``config`` is the complete configuration that denies. If the caller has a role, the
    role is changed. One candidate sets the rule to warn. Requires a judgement with an input
    document.
    """
    assert judgement.document is not None
    role = judgement.record.role
    own = config["roles"][role] if role else config
    stated = [_stated(change.steps, own, marker.of_value()) for change in marker.stated]
    together = [step for change in marker.stated for step in change.steps]
    found = [
        *(changes for changes in stated if len(changes) == 1),
        *((change,) for change in _enumerated(judgement.document, denial, rule, marker, own)),
        *exceptions_for(judgement, denial, marker, config["exceptions"]),
        *(changes for changes in stated if len(changes) > 1),
        _stated(together, own, marker.of_value()),
    ]
    if role:
        found = [tuple(_for_role(change, role) for change in changes) for changes in found]
    warns = f"rule {denial.rule} only warns, whatever is asked"
    found.append(
        (Change(("rules", denial.rule), "warn", warns, marker.of_rule(), "warn", role=role),)
    )
    return sorted(
        filter(None, found), key=lambda changes: any(is_dangerous(c.marks) for c in changes)
    )


def _for_role(change: Change, role: str) -> Change:
    return change if change.key in _FOR_ALL else replace(change, role=role)


def _stated(steps: Iterable[Step], config: Mapping[str, Any], marks: Marks) -> Candidate:
    """Return steps as changes of a complete configuration; none if it has them already."""
    settings: dict[str, Any] = copy.deepcopy(dict(config))
    found = []
    for step in steps:
        change = _of_step(step, settings, marks)
        if change is not None:
            place(settings, step.key)[step.key[-1]] = change.value
            found.append(change)
    return tuple(found)


def _of_step(step: Step, settings: dict[str, Any], marks: Marks) -> Change | None:
    current = place(settings, step.key).get(step.key[-1])
    match step:
        case AddEntry(key, item):
            entry, entries = written(key, item), [_as_written(e) for e in current or ()]
            return None if entry in entries else _adding(key, entries, entry, marks)
        case RemoveEntry(key, item) if current is not None and item in current:
            return _removing(key, current, item, marks)
        case SetValue(key, value) | WidenLimit(key, value) if value != current:
            return _setting(key, value, marks)
    return None


def _enumerated(
    document: Mapping[str, Any],
    denial: Denial,
    rule: Rule | None,
    marker: Marker,
    config: Mapping[str, Any],
) -> Iterator[Change]:
    """Yield the changes of the settings on which a rule depends, the narrowest first."""
    schema = config_schema()
    values = _candidate_values(document, denial)
    finder = _ChangeFinder(schema["$defs"], values, document, marker)
    names = dict.fromkeys(key.partition(".")[0] for key in (rule.settings if rule else ()))
    found: list[Ranked] = []
    for name in names:
        if name in schema["properties"] and name in config and name not in _ROLE_KEYS:
            found += finder.changes(schema["properties"][name], (name,), config[name])
    yield from (change for _, change in sorted(found, key=lambda ranked: ranked[0]))


def exceptions_for(
    judgement: Judgement, denial: Denial, marker: Marker, given: Iterable[Mapping[str, Any]]
) -> Iterator[Candidate]:
    """Yield exceptions of limited duration, for the image that is run or for the caller's role.

    ``given`` are the present exceptions. Each has a text in place of its reason. Requires a
    judgement with an input document.
    """
    assert judgement.document is not None
    role = judgement.record.role
    last = (judgement.record.time + timedelta(days=_EXCEPTION_DAYS)).date().isoformat()
    subject: dict[str, Any] = {"field": denial.field}
    marks = marker.of_field()
    if isinstance(denial.value, str | int | float):
        subject = {"value": denial.value}
        marks = marker.of_value()
        if str(denial.value) not in {mark.value for mark in marks}:
            subject["field"] = denial.field
    images = [image for image in judgement.document["images"] if image["action"] == "run"]
    names = sorted({name for image in images for name in image["names"]}, key=len, reverse=True)
    conditions = [{"image": name} for name in filter(is_literal, names)]
    for when in conditions + ([{"role": role}] if role else []):
        exception = {
            "rule": denial.rule,
            **subject,
            "when": when,
            "expires": last,
            "reason": "say here why",
        }
        others = [_as_written(other) for other in given]
        whom = ", ".join(f"{name} {value}" for name, value in when.items())
        description = f"excepts {whom} from {denial.rule} until {last}"
        yield (Change(("exceptions",), [*others, exception], description, marks, exception),)


def _candidate_values(document: Mapping[str, Any], denial: Denial) -> list[Any]:
    """Return the values that a list of the configuration might lack, each once.

    First the denied value, then the values of the request at the denied field, then all others.
    """
    facts = [fact for name, fact in document.items() if name not in _NOT_FACTS]
    at_field = list(_facts_of_field(facts, denial.field))
    found: list[Any] = [denial.value]
    for fact in [*at_field, *facts]:
        found += _scalars(fact)
    return list(dict.fromkeys(value for value in found if isinstance(value, str | int) and value))


def _facts_of_field(facts: Any, field: str) -> Iterator[Any]:
    if isinstance(facts, Mapping):
        if field and facts.get("field") == field:
            yield facts
        return
    if isinstance(facts, list | tuple):
        for fact in facts:
            yield from _facts_of_field(fact, field)


def _scalars(fact: Any) -> Iterator[Any]:
    if isinstance(fact, Mapping):
        if {"type", "mode"} <= fact.keys():
            yield f"{fact['type']}:{fact['mode']}"
        for name, value in fact.items():
            if name != "field":
                yield from _scalars(value)
    elif isinstance(fact, list | tuple):
        for value in fact:
            yield from _scalars(value)
    elif not isinstance(fact, bool) and fact is not None:
        yield fact


class _ChangeFinder:
    """Finds every single change at or below a configuration key.

    ``definitions`` are the ``$defs`` of the configuration's schema, ``values`` what may be added to
    lists or set as a number, ``document`` is the input document of the request, and ``marker``
    marks the changes.
    """

    def __init__(
        self,
        definitions: Mapping[str, Any],
        values: Sequence[Any],
        document: Mapping[str, Any],
        marker: Marker,
    ) -> None:
        self._definitions = definitions
        self._values = values
        self._document = document
        self._marker = marker

    def changes(self, schema: Mapping[str, Any], key: Key, current: Any) -> Iterator[Ranked]:
        """Yield the changes of a key with a schema and a current value, with their ranks."""
        schema = self._dereferenced(schema)
        if key[-1] in _GENERATED_KEYS:
            return
        if isinstance(current, Mapping):
            yield from self._in_mapping(schema, key, current)
        elif isinstance(current, list):
            yield from self._in_list(schema["items"], key, current)
        elif isinstance(current, bool):
            yield 3, self._set(key, not current)
        elif "enum" in schema:
            yield from ((4, self._set(key, value)) for value in schema["enum"] if value != current)
        elif isinstance(current, int | float):
            yield from self._in_number(schema, key, current)

    def _dereferenced(self, schema: Mapping[str, Any]) -> Any:
        reference = schema.get("$ref", "").removeprefix("#/$defs/")
        return self._definitions.get(reference, schema)

    def _is_valid(self, schema: Mapping[str, Any], value: Any) -> bool:
        return conforms(value, without_required(schema), {"$defs": self._definitions})

    def _in_mapping(
        self, schema: Mapping[str, Any], key: Key, current: Mapping[str, Any]
    ) -> Iterator[Ranked]:
        operation = self._document["operation"]
        if key == ("operations",):
            yield 1, self._set((*key, operation["id"]), "allow")
            return
        properties = schema.get("properties", {})
        names = [operation["section"]] if key == ("sections",) else list(properties)
        for name in names:
            if name in current:
                yield from self.changes(properties[name], (*key, name), current[name])
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            yield from self._in_additional_properties(self._dereferenced(more), key, current)

    def _in_additional_properties(
        self, schema: Mapping[str, Any], key: Key, current: Mapping[str, Any]
    ) -> Iterator[Ranked]:
        """Yield changes of a map whose keys are free, from the request's names and values."""
        for name, value in self._names_and_values():
            if not is_literal(name) or (isinstance(value, str) and not is_literal(value)):
                continue
            is_list = schema.get("type") == "array"
            values = [*current.get(name, []), value] if is_list else value
            if self._is_valid(schema, values):
                text = f"{_dotted(key)} takes {name}={value}"
                yield 1, Change((*key, name), values, text, self._marker.of_other(), value)
        for name in current:
            yield from self.changes(schema, (*key, name), current[name])

    def _names_and_values(self) -> Iterator[tuple[str, Any]]:
        """Yield the facts of the form ``{"name": …, "value": …}``."""
        for name, facts in self._document.items():
            if name in _NOT_FACTS or not isinstance(facts, list | tuple):
                continue
            for fact in facts:
                if isinstance(fact, Mapping) and isinstance(fact.get("name"), str):
                    yield fact["name"], fact.get("value")

    def _in_list(self, schema: Mapping[str, Any], key: Key, current: list[Any]) -> Iterator[Ranked]:
        schema = self._dereferenced(schema)
        given = [_as_written(item) for item in current]
        for value in self._values:
            if isinstance(value, str) and not is_literal(value):
                continue
            for item in _as_items(schema, value):
                if item not in given and self._is_valid(schema, item):
                    marks = self._marker.of_entry(AddEntry(key, item))
                    yield 0, _adding(key, given, item, marks)
        for item in given:
            yield 5, _removing(key, given, item, self._marker.of_other())

    def _in_number(self, schema: Mapping[str, Any], key: Key, current: float) -> Iterator[Ranked]:
        for value in self._values:
            if isinstance(value, int) and value != current and self._is_valid(schema, value):
                yield 2, self._set(key, value)
        if self._is_valid(schema, None):
            yield 4, self._set(key, None)

    def _set(self, key: Key, value: Any) -> Change:
        return _setting(key, value, self._marker.of_other())


def _as_items(schema: Mapping[str, Any], value: Any) -> Iterator[Any]:
    """Yield the items that a list with this item schema can have for a value."""
    properties = schema.get("properties", {})
    if "path" in properties:
        yield from ({"path": value, "read_only": True}, {"path": value})
    elif {"first", "last"} <= properties.keys():
        yield {"first": value, "last": value}
    else:
        yield value


def _as_written(item: Any) -> Any:
    """Return an item as an operator writes it, without keys and defaults that the plugin adds."""
    if not isinstance(item, Mapping):
        return item
    return {
        name: value
        for name, value in item.items()
        if name not in _GENERATED_KEYS and not (name == "read_only" and value is False)
    }


def _adding(key: Key, entries: Sequence[Any], entry: Any, marks: Marks) -> Change:
    text = f"adds {_item_text(entry)} to {_dotted(key)}"
    return Change(key, [*entries, entry], text, marks, entry)


def _removing(key: Key, current: Any, entry: Any, marks: Marks) -> Change:
    """``current`` is a list of entries as an operator writes them, or a map."""
    rest: Any = [other for other in current if other != entry]
    if isinstance(current, Mapping):
        rest = {name: value for name, value in current.items() if name != entry}
    text = f"takes {_item_text(entry)} out of {_dotted(key)}"
    return Change(key, rest, text, marks, entry, removed=True)


def _setting(key: Key, value: Any, marks: Marks) -> Change:
    text = "no limit" if value is None else value
    if isinstance(value, bool):
        text = str(value).lower()
    return Change(key, value, f"sets {_dotted(key)} to {text}", marks, value)


def _dotted(key: Key) -> str:
    return ".".join(key)


def _item_text(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    return ", ".join(f"{name} {value}" for name, value in item.items())
