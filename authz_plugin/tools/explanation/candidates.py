"""Enumerates single changes of the configuration that might remove a denial.

They are derived from the configuration's JSON Schema (``policies/schemas/config.json``), the
configuration in force and the facts of the request. Whether a change removes the denial is not
known here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import jsonschema

from authz_plugin import policy
from authz_plugin.decision import Denial
from authz_plugin.settings import without_required
from authz_plugin.tools.sandbox import Judgement

Key = tuple[str, ...]
"""The path of a configuration key: ``("mounts", "allow")``."""

Ranked = tuple[int, "Change"]
"""A change with its rank: 0 for the narrowest kind of change, 5 for the widest."""

_NOT_FACTS: Final = frozenset({"body", "caller", "phase", "request", "time", "version"})
"""Keys of the input document that hold no facts for rules."""

_GENERATED_KEYS: Final = frozenset(
    {"deny_inside", "deny_links", "inside", "paths", "places", "prefixes"}
    | {"resolved", "resolved_inside", "reserved_folded", "until", "warn_from"}
)
"""Keys that the plugin adds to the operator's configuration."""

_EXCEPTION_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Change:
    """A configuration key with a new value, and a description of the change for people."""

    key: Key
    value: Any
    description: str


def with_changes(given: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """Return a copy of an operator's policy configuration with changes made."""
    config = copy.deepcopy(dict(given))
    for change in changes:
        place = config
        for name in change.key[:-1]:
            place = place.setdefault(name, {})
        place[change.key[-1]] = change.value
    return config


def candidates(
    judgement: Judgement,
    denial: Denial,
    names: Iterable[str],
    config: Mapping[str, Any],
    caller_config: Mapping[str, Any],
) -> Iterator[Change]:
    """Yield the changes that might remove a denial, the narrowest first.

    ``names`` are the top-level keys that the rule reads. ``config`` is the whole configuration,
    ``caller_config`` the part in force for the caller. If the caller has a role, the role is
    changed. The last candidate sets the rule to warn. Requires a judgement with an input document.
    """
    assert judgement.document is not None
    role = _role_of(config, caller_config)
    prefix: Key = ("roles", role) if role else ()
    schema = policy.config_schema()
    values = _candidate_values(judgement.document, denial)
    finder = _ChangeFinder(schema["$defs"], values, judgement.document)
    found: list[Ranked] = []
    for name in names:
        if name in schema["properties"] and name in caller_config:
            found += finder.changes(schema["properties"][name], (name,), caller_config[name])
    for _, change in sorted(found, key=lambda ranked: ranked[0]):
        yield Change((*prefix, *change.key), change.value, change.description)
    yield from _exceptions(judgement, denial, role, config)
    description = f"rule {denial.rule} only warns, whatever is asked"
    yield Change((*prefix, "rules", denial.rule), "warn", description)


def _exceptions(
    judgement: Judgement, denial: Denial, role: str, config: Mapping[str, Any]
) -> Iterator[Change]:
    """Yield exceptions of limited duration, for the image that is run or for the caller's role."""
    assert judgement.document is not None
    last = (judgement.record.time + timedelta(days=_EXCEPTION_DAYS)).date().isoformat()
    subject: dict[str, Any] = {"field": denial.field}
    if isinstance(denial.value, str | int | float):
        subject = {"value": denial.value}
    images = [image for image in judgement.document["images"] if image["action"] == "run"]
    names = sorted({name for image in images for name in image["names"]}, key=len, reverse=True)
    conditions = [{"image": name} for name in names] + ([{"role": role}] if role else [])
    for when in conditions:
        exception = {
            "rule": denial.rule,
            **subject,
            "when": when,
            "expires": last,
            "reason": "say here why",
        }
        given = [_without_generated_keys(other) for other in config["exceptions"]]
        whom = ", ".join(f"{name} {value}" for name, value in when.items())
        description = f"excepts {whom} from {denial.rule} until {last}"
        yield Change(("exceptions",), [*given, exception], description)


def _role_of(config: Mapping[str, Any], caller_config: Mapping[str, Any]) -> str:
    """Return the name of the role with this configuration, or an empty string for none."""
    for name, role in config.get("roles", {}).items():
        if role == caller_config:
            return str(name)
    return ""


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
    lists or set as a number, and ``document`` is the input document of the request.
    """

    def __init__(
        self, definitions: Mapping[str, Any], values: Sequence[Any], document: Mapping[str, Any]
    ) -> None:
        self._definitions = definitions
        self._values = values
        self._document = document

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
            yield 3, _set(key, not current)
        elif "enum" in schema:
            yield from ((4, _set(key, value)) for value in schema["enum"] if value != current)
        elif isinstance(current, int | float):
            yield from self._in_number(schema, key, current)

    def _dereferenced(self, schema: Mapping[str, Any]) -> Any:
        reference = schema.get("$ref", "").removeprefix("#/$defs/")
        return self._definitions.get(reference, schema)

    def _is_valid(self, schema: Mapping[str, Any], value: Any) -> bool:
        whole = {**without_required(schema), "$defs": self._definitions}
        return bool(jsonschema.Draft202012Validator(whole).is_valid(value))

    def _in_mapping(
        self, schema: Mapping[str, Any], key: Key, current: Mapping[str, Any]
    ) -> Iterator[Ranked]:
        operation = self._document["operation"]
        if key == ("operations",):
            yield 1, _set((*key, operation["id"]), "allow")
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
            values = [*current.get(name, []), value] if schema.get("type") == "array" else value
            if self._is_valid(schema, values):
                yield 1, Change((*key, name), values, f"{_dotted(key)} takes {name}={value}")
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
        given = [_without_generated_keys(item) for item in current]
        for value in self._values:
            for item in _as_items(schema, value):
                if item not in given and self._is_valid(schema, item):
                    description = f"adds {_item_text(item)} to {_dotted(key)}"
                    yield 0, Change(key, [*given, item], description)
        for item in given:
            rest = [other for other in given if other != item]
            yield 5, Change(key, rest, f"takes {_item_text(item)} out of {_dotted(key)}")

    def _in_number(self, schema: Mapping[str, Any], key: Key, current: float) -> Iterator[Ranked]:
        for value in self._values:
            if isinstance(value, int) and value != current and self._is_valid(schema, value):
                yield 2, _set(key, value)
        if self._is_valid(schema, None):
            yield 4, _set(key, None)


def _as_items(schema: Mapping[str, Any], value: Any) -> Iterator[Any]:
    """Yield the items that a list with this item schema can have for a value."""
    properties = schema.get("properties", {})
    if "path" in properties:
        yield from ({"path": value, "read_only": True}, {"path": value})
    elif {"first", "last"} <= properties.keys():
        yield {"first": value, "last": value}
    else:
        yield value


def _without_generated_keys(item: Any) -> Any:
    """Return an item as an operator writes it, without keys and defaults that the plugin adds."""
    if not isinstance(item, Mapping):
        return item
    return {
        name: value
        for name, value in item.items()
        if name not in _GENERATED_KEYS and not (name == "read_only" and value is False)
    }


def _set(key: Key, value: Any) -> Change:
    text = "no limit" if value is None else value
    if isinstance(value, bool):
        text = str(value).lower()
    return Change(key, value, f"sets {_dotted(key)} to {text}")


def _dotted(key: Key) -> str:
    return ".".join(key)


def _item_text(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    return ", ".join(f"{name} {value}" for name, value in item.items())
