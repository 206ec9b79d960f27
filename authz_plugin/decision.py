"""The decision of the policies on one request, and the message of a denial.

This module reads the decision document (``data.docker.authz.decision``) strictly. A document that
is not a complete decision raises ``EngineError``, and the request is denied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from authz_plugin.errors import EngineError, Refused
from authz_plugin.renamed import current_packages, current_rule

DENIAL_LIMIT: Final = 1024
"""Bytes of a message to a person, at most."""

_PART_LIMIT: Final = 200
_MISSING: Final = object()

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Denial:
    """One reason against a request.

    ``rule`` is the rule's stable id (``"mounts.source"``), ``field`` what it is about
    (``"HostConfig.Binds[0]"``), ``value`` what stood there, ``message`` what is not allowed,
    ``hint`` what would be.
    """

    rule: str
    field: str
    value: object
    message: str
    hint: str

    @classmethod
    def from_refusal(cls, refusal: Refused) -> Denial:
        """The denial for a request that the plugin itself refuses."""
        return cls(refusal.rule, refusal.field, None, refusal.message, refusal.hint)


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision document.

    ``evaluated`` names the rule packages that answered, ``warnings`` what rules in warn mode
    would have denied; ``role`` is the one that they see the caller in, empty for none.
    ``repeatable`` says that the decision depends on nothing but the policy and
    the input document without its time.
    """

    allow: bool
    denials: tuple[Denial, ...]
    warnings: tuple[Denial, ...]
    evaluated: frozenset[str]
    profile: str
    policy_revision: str
    role: str = ""
    repeatable: bool = False


def read_decision(document: object, required: frozenset[str]) -> Decision:
    """Turn an engine's answer into a ``Decision``.

    ``required`` names the rule packages that must have answered. Raises ``EngineError`` for
    anything that is not a complete, consistent decision: a missing key, a wrong type, a rule
    package that did not answer, or an allow beside a denial.
    """
    fields = _mapping(document, "the decision")
    decision = Decision(
        allow=_typed(fields, "allow", bool),
        denials=_denials(fields, "denials"),
        warnings=_denials(fields, "warnings"),
        evaluated=current_packages(_names(fields, "evaluated")),
        profile=_typed(fields, "profile", str),
        policy_revision=_typed(fields, "policy_revision", str),
        role=_typed(fields, "role", str),
        repeatable=fields.get("repeatable") is True,
    )
    missing = sorted(required - decision.evaluated)
    if missing:
        raise EngineError(f"rule packages did not answer: {', '.join(missing)}")
    if decision.allow and decision.denials:
        raise EngineError("the decision allows and denies at once")
    if not decision.allow and not decision.denials:
        raise EngineError("the decision denies without a reason")
    return decision


_CLOSED: Final = "sections.operation"


def denial_message(operation: str, denials: Sequence[Denial], decision_id: str) -> str:
    """What the person reads behind "authorization denied by plugin opa-authz:".

    It lists all denials, each with its rule, its field and what is allowed. It has at most
    ``DENIAL_LIMIT`` bytes, always ends with the decision id and contains no control characters. A
    denial of the whole operation comes first, because no other change would allow the request.
    """
    reference = f" (decision {decision_id})"
    lines = [_line(denial) for denial in sorted(denials, key=lambda one: one.rule != _CLOSED)]
    room = DENIAL_LIMIT - len(reference.encode())
    if len(lines) == 1:
        return _cut(f"{operation}: {lines[0]}", room) + reference
    text = f"{operation}: {len(lines)} rules deny this"
    for position, line in enumerate(lines):
        rest = len(lines) - position - 1
        more = f"\n- and {rest} more" if rest else ""
        if len(f"{text}\n- {line}{more}".encode()) > room:
            text += f"\n- and {rest + 1} more"
            break
        text += f"\n- {line}"
    return _cut(text, room) + reference


def _line(denial: Denial) -> str:
    place = f"{denial.rule} {denial.field}" if denial.field else denial.rule
    text = f"{_clean(denial.message)} [{_clean(place)}]"
    return f"{text}; {_clean(denial.hint)}" if denial.hint else text


def visible(text: str) -> str:
    """A text as one line, with control characters and invisible characters as escape sequences, so
    that a name in a request cannot control a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _clean(text: str) -> str:
    text = visible(text)
    return text if len(text) <= _PART_LIMIT else text[: _PART_LIMIT - 1] + "…"


def _cut(text: str, limit: int) -> str:
    if len(text.encode()) <= limit:
        return text
    return text.encode()[: limit - 3].decode(errors="ignore") + "…"


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EngineError(f"{what} is missing or not an object")
    return value


def _typed(fields: dict[str, Any], name: str, kind: type[_T]) -> _T:
    value = fields.get(name, _MISSING)
    if type(value) is not kind:
        raise EngineError(f"the decision's {name} is missing or of the wrong type")
    return value


def _names(fields: dict[str, Any], name: str) -> frozenset[str]:
    values = _typed(fields, name, list)
    if not all(isinstance(value, str) for value in values):
        raise EngineError(f"the decision's {name} holds something else than names")
    return frozenset(values)


def _denials(fields: dict[str, Any], name: str) -> tuple[Denial, ...]:
    return tuple(_denial(item) for item in _typed(fields, name, list))


def _denial(value: object) -> Denial:
    fields = _mapping(value, "a denial")
    if "value" not in fields:
        raise EngineError("a denial lacks its value")
    return Denial(
        rule=current_rule(_typed(fields, "rule", str)),
        field=_typed(fields, "field", str),
        value=fields["value"],
        message=_typed(fields, "message", str),
        hint=_typed(fields, "hint", str),
    )
