"""The smallest change of configuration that allows a request: tried, not guessed.

The annotations of the rule that denies name the settings that open it. Every single change of
these that the configuration's schema allows is tried on the real policy, narrow ones first; a
change after which a denial is gone and no other has come is kept. All changes together are tried
before they are proposed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import jsonschema

from authz_plugin import policy
from authz_plugin.decision import Denial
from authz_plugin.errors import SettingsError
from authz_plugin.settings import without_required
from authz_plugin.tools.sandbox import Judgement, Sandbox, Subject

Path = tuple[str, ...]

_ROUNDS: Final = 16
_NOT_FACTS: Final = frozenset({"body", "caller", "phase", "request", "time", "version"})
_FILLED_IN: Final = frozenset({"resolved", "paths", "prefixes", "until", "warn_from"})
_WHO_IS_WHO: Final = frozenset({"roles", "default_role"})
"""Settings that say which role a caller has; that is not changed to allow a request."""

_EXCEPTED_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Change:
    """One key of the settings with another value, and in words what that does."""

    key: Path
    value: Any
    words: str


def with_changes(given: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """A policy configuration as an operator gives it, changed."""
    config = copy.deepcopy(dict(given))
    for change in changes:
        place = config
        for name in change.key[:-1]:
            place = place.setdefault(name, {})
        place[change.key[-1]] = change.value
    return config


def smallest_change(sandbox: Sandbox, subjects: Sequence[Subject]) -> list[Change] | None:
    """The changes that would allow all of some requests, or None if there are none.

    There are none for a request that is refused before any policy is asked.
    """
    changes: list[Change] = []
    for subject in subjects:
        found = _allowing(sandbox, subject, changes)
        if found is None:
            return None
        changes = found
    judgements = [_judge(sandbox, subject, changes) for subject in subjects]
    done = all(judgement is not None and judgement.allow for judgement in judgements)
    return changes if done else None


def _allowing(sandbox: Sandbox, subject: Subject, changes: list[Change]) -> list[Change] | None:
    """Changes that allow a request, on top of some."""
    judgement = _judge(sandbox, subject, changes)
    for _ in range(_ROUNDS):
        if judgement is None or judgement.allow:
            break
        found = _next(sandbox, subject, judgement, changes)
        if found is None:
            return None
        change, judgement = found
        changes = [*(c for c in changes if c.key != change.key), change]
    return changes if judgement is not None and judgement.allow else None


def _next(
    sandbox: Sandbox, subject: Subject, judgement: Judgement, changes: Sequence[Change]
) -> tuple[Change, Judgement] | None:
    """A change after which a denial is gone and no other has come."""
    if judgement.document is None:
        return None
    before = _reasons(judgement)
    for denial in judgement.record.denials:
        for change in _candidates(sandbox, judgement, denial, changes):
            after = _judge(sandbox, subject, [*changes, change])
            if after is not None and _reasons(after) < before:
                return change, after
    return None


def _judge(sandbox: Sandbox, subject: Subject, changes: Sequence[Change]) -> Judgement | None:
    try:
        config = sandbox.configured(with_changes(sandbox.settings.policy, changes))
    except SettingsError:
        return None  # not a sound configuration, so not a proposal
    return sandbox.judge(subject, config)


def _reasons(judgement: Judgement) -> set[tuple[str, str, str]]:
    return {(d.rule, d.field, str(d.value)) for d in judgement.record.denials}


def _candidates(
    sandbox: Sandbox, judgement: Judgement, denial: Denial, changes: Sequence[Change]
) -> Iterator[Change]:
    """Changes of a rule's settings, narrow ones first; then exceptions; then ``rules``."""
    assert judgement.document is not None
    config = sandbox.configured(with_changes(sandbox.settings.policy, changes))
    role, own = _in_force(sandbox, judgement.document, config)
    prefix: Path = ("roles", role) if role else ()
    schema = policy.config_schema()
    rule = sandbox.rules.get(denial.rule)
    near = dict.fromkeys(key.partition(".")[0] for key in (rule.settings if rule else ()))
    walk = _Walk(schema, _interest(judgement.document, denial), judgement.document)
    found: list[tuple[int, Change]] = []
    for name in near:
        if name in schema["properties"] and name in own and name not in _WHO_IS_WHO:
            found += walk.changes(schema["properties"][name], (name,), own[name])
    for _, change in sorted(found, key=lambda ranked: ranked[0]):
        yield Change((*prefix, *change.key), change.value, change.words)
    yield from _exceptions(judgement, denial, role, config)
    words = f"rule {denial.rule} only warns, whatever is asked"
    yield Change((*prefix, "rules", denial.rule), "warn", words)


def _exceptions(
    judgement: Judgement, denial: Denial, role: str, config: Mapping[str, Any]
) -> Iterator[Change]:
    """An exception for a while, for the image that is run or for the caller's role."""
    assert judgement.document is not None
    last = (judgement.record.time + timedelta(days=_EXCEPTED_DAYS)).date().isoformat()
    what: dict[str, Any] = {"field": denial.field}
    if isinstance(denial.value, str | int | float):
        what = {"value": denial.value}
    images = [image for image in judgement.document["images"] if image["action"] == "run"]
    names = sorted({name for image in images for name in image["names"]}, key=len, reverse=True)
    whens = [{"image": name} for name in names] + ([{"role": role}] if role else [])
    for when in whens:
        exception = {
            "rule": denial.rule,
            **what,
            "when": when,
            "expires": last,
            "reason": "say here why",
        }
        given = [_as_given(other) for other in config["exceptions"]]
        whom = ", ".join(f"{name} {value}" for name, value in when.items())
        words = f"excepts {whom} from {denial.rule} until {last}"
        yield Change(("exceptions",), [*given, exception], words)


def _in_force(
    sandbox: Sandbox, document: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any]]:
    """The caller's role, empty for none, and the configuration that counts for it."""
    own = sandbox.config_for(document, config)
    for name, role in config.get("roles", {}).items():
        if role == own:
            return name, own
    return "", own


def _interest(document: Mapping[str, Any], denial: Denial) -> list[Any]:
    """What a list of the configuration may lack: the value that is denied, then what the request
    says at the same place, then all other facts."""
    facts = [fact for name, fact in document.items() if name not in _NOT_FACTS]
    there = list(_items_at(facts, denial.field))
    found: list[Any] = [denial.value]
    for fact in [*there, *facts]:
        found += _scalars(fact)
    return list(dict.fromkeys(value for value in found if isinstance(value, str | int) and value))


def _items_at(facts: Any, field: str) -> Iterator[Any]:
    if isinstance(facts, Mapping):
        if field and facts.get("field") == field:
            yield facts
        return
    if isinstance(facts, list | tuple):
        for fact in facts:
            yield from _items_at(fact, field)


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


class _Walk:
    """Every single change below a key of the configuration, each with a rank: the lower the
    narrower."""

    def __init__(
        self, schema: Mapping[str, Any], interest: Sequence[Any], document: Mapping[str, Any]
    ) -> None:
        self._definitions = schema["$defs"]
        self._interest = interest
        self._document = document

    def changes(
        self, schema: Mapping[str, Any], key: Path, current: Any
    ) -> Iterator[tuple[int, Change]]:
        schema = self._followed(schema)
        if key[-1] in _FILLED_IN:
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

    def _followed(self, schema: Mapping[str, Any]) -> Any:
        reference = schema.get("$ref", "").removeprefix("#/$defs/")
        return self._definitions.get(reference, schema)

    def _fits(self, schema: Mapping[str, Any], value: Any) -> bool:
        whole = {**without_required(schema), "$defs": self._definitions}
        return bool(jsonschema.Draft202012Validator(whole).is_valid(value))

    def _in_mapping(
        self, schema: Mapping[str, Any], key: Path, current: Mapping[str, Any]
    ) -> Iterator[tuple[int, Change]]:
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
            yield from self._in_free_names(self._followed(more), key, current)

    def _in_free_names(
        self, schema: Mapping[str, Any], key: Path, current: Mapping[str, Any]
    ) -> Iterator[tuple[int, Change]]:
        """Names and values that the request has: ``{"name": …, "value": …}`` among its facts."""
        for name, value in self._pairs():
            values = [*current.get(name, []), value] if schema.get("type") == "array" else value
            if self._fits(schema, values):
                yield 1, Change((*key, name), values, f"{_shown(key)} takes {name}={value}")
        for name in current:
            yield from self.changes(schema, (*key, name), current[name])

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        for name, facts in self._document.items():
            if name in _NOT_FACTS or not isinstance(facts, list | tuple):
                continue
            for fact in facts:
                if isinstance(fact, Mapping) and isinstance(fact.get("name"), str):
                    yield fact["name"], fact.get("value")

    def _in_list(
        self, schema: Mapping[str, Any], key: Path, current: list[Any]
    ) -> Iterator[tuple[int, Change]]:
        schema = self._followed(schema)
        kept = [_as_given(item) for item in current]
        for value in self._interest:
            for item in _items(schema, value):
                if item not in kept and self._fits(schema, item):
                    words = f"adds {_item_words(item)} to {_shown(key)}"
                    yield 0, Change(key, [*kept, item], words)
        for item in kept:
            rest = [other for other in kept if other != item]
            yield 5, Change(key, rest, f"takes {_item_words(item)} out of {_shown(key)}")

    def _in_number(
        self, schema: Mapping[str, Any], key: Path, current: float
    ) -> Iterator[tuple[int, Change]]:
        for value in self._interest:
            if isinstance(value, int) and value != current and self._fits(schema, value):
                yield 2, _set(key, value)
        if self._fits(schema, None):
            yield 4, _set(key, None)


def _items(schema: Mapping[str, Any], value: Any) -> Iterator[Any]:
    """A value as an item of a list: itself, or what an item that is an object makes of it."""
    properties = schema.get("properties", {})
    if "path" in properties:
        yield from ({"path": value, "read_only": True}, {"path": value})
    elif {"first", "last"} <= properties.keys():
        yield {"first": value, "last": value}
    else:
        yield value


def _as_given(item: Any) -> Any:
    """An item as an operator writes it, without what the plugin fills in."""
    if not isinstance(item, Mapping):
        return item
    return {
        name: value
        for name, value in item.items()
        if name not in _FILLED_IN and not (name == "read_only" and value is False)
    }


def _set(key: Path, value: Any) -> Change:
    words = "no limit" if value is None else value
    if isinstance(value, bool):
        words = str(value).lower()
    return Change(key, value, f"sets {_shown(key)} to {words}")


def _shown(key: Path) -> str:
    return ".".join(key)


def _item_words(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    return ", ".join(f"{name} {value}" for name, value in item.items())
