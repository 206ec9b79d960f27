"""The decision of the policies on one request, and the message of a denial.

This module validates the decision document (``data.docker.authz.decision``). A document that is not
a complete decision raises ``EngineError``, and the request is denied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from authz_plugin.errors import EngineError, Refused
from authz_plugin.renamed import current_packages, current_rule

DENIAL_LIMIT: Final = 1024
"""The maximum length of a denial's message, in bytes."""

_PART_LIMIT: Final = 200
_MISSING: Final = object()

_T = TypeVar("_T")


class Denial(NamedTuple):
    """One reason for which a request is denied.

    ``rule`` is the rule's stable id (``"mounts.source"``), ``field`` the part of the request
    (``"HostConfig.Binds[0]"``), ``value`` its value, ``message`` what is not allowed, ``hint`` what
    is allowed. ``detail`` is for the operator and not shown to the client.
    """

    rule: str
    field: str
    value: object
    message: str
    hint: str
    detail: str = ""

    @classmethod
    def from_refusal(cls, refusal: Refused) -> Denial:
        """The denial for a request that the plugin itself refuses."""
        return cls(refusal.rule, refusal.field, None, refusal.message, refusal.hint)


class UsedException(NamedTuple):
    """An exception without which the request would be denied.

    ``rule`` and ``field`` are those of the denial that it lifts, ``expires`` its last day and
    ``reason`` why it was made, both as in the configuration.
    """

    rule: str
    field: str
    expires: str
    reason: str


class Decision(NamedTuple):
    """The decision document.

    ``evaluated`` names the rule packages that were evaluated; ``warnings`` are the denials of rules
    in warn mode; ``role`` is the caller's role, or empty. ``repeatable`` says that the decision
    depends only on the policy and on the input document without its time. ``exceptions`` are those
    that were used.
    """

    allow: bool
    denials: tuple[Denial, ...]
    warnings: tuple[Denial, ...]
    evaluated: frozenset[str]
    profile: str
    policy_revision: str
    role: str = ""
    repeatable: bool = False
    exceptions: tuple[UsedException, ...] = ()


def read_decision(document: object, required: frozenset[str]) -> Decision:
    """Turn a decision document into a ``Decision``.

    ``required`` names the rule packages that must have been evaluated. Raises ``EngineError`` for a
    missing key, a wrong type, a rule package that was not evaluated, an allow with a denial, or a
    deny without one.
    """
    fields = _mapping(document, "the decision")
    decision = Decision(
        allow=_typed(fields, "allow", bool),
        denials=_denials(fields, "denials"),
        warnings=_denials(fields, "warnings"),
        evaluated=_evaluated(fields),
        profile=_typed(fields, "profile", str),
        policy_revision=_typed(fields, "policy_revision", str),
        role=_typed(fields, "role", str),
        repeatable=fields.get("repeatable") is True,
        exceptions=_exceptions({"exceptions": [], **fields}),
    )
    missing = sorted(required - decision.evaluated)
    if missing:
        raise EngineError(f"rule packages did not answer: {', '.join(missing)}")
    if decision.allow and decision.denials:
        raise EngineError("the decision allows and denies at once")
    if not decision.allow and not decision.denials:
        raise EngineError("the decision denies without a reason")
    return decision


_NAMED: Final = 12
"""Rules that are named without their denials' text, at most."""

_CLOSED: Final = "sections.operation"


def denial_message(operation: str, denials: Sequence[Denial], decision_id: str) -> str:
    """The message that the client shows after "authorization denied by plugin opa-authz:".

    It lists the denials, each with its rule, its field and what is allowed, as far as there is
    room, and names the rules of the others. It has at most ``DENIAL_LIMIT`` bytes, always ends with
    the decision id and contains no control characters except newlines. A denial of the whole
    operation comes first, because no other change would allow the request.
    """
    reference = f" (decision {decision_id})"
    listed = sorted(denials, key=lambda one: one.rule != _CLOSED)
    room = DENIAL_LIMIT - len(reference.encode())
    if len(listed) == 1:
        return _cut(f"{operation}: {_line(listed[0])}", room) + reference
    text = f"{operation}: {len(listed)} rules deny this"
    more = _more(listed, 0)
    for position, denial in enumerate(listed, 1):
        line, after = f"\n- {_line(denial)}", _more(listed, position)
        if len(f"{text}{line}{after}".encode()) > room:
            break
        text, more = text + line, after
    return _cut(f"{text}{more}", room) + reference


def _more(denials: Sequence[Denial], position: int) -> str:
    """The line for the denials from a position on: their number, and the rules not named before."""
    rest = denials[position:]
    named = {denial.rule for denial in denials[:position]}
    rules = dict.fromkeys(_clean(denial.rule) for denial in rest if denial.rule not in named)
    names = [f" [{rule}]" for rule in list(rules)[:_NAMED]]
    return f"\n- and {len(rest)} more{':' if names else ''}{''.join(names)}" if rest else ""


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


def _evaluated(fields: dict[str, Any]) -> frozenset[str]:
    try:
        return _packages(*_typed(fields, "evaluated", list))
    except TypeError:  # of a value that cannot be hashed
        raise _no_names() from None


@lru_cache(maxsize=8)
def _packages(*names: object) -> frozenset[str]:
    """The present names of rule packages. All decisions of a policy name the same ones, so that
    they share one set."""
    found = [name for name in names if isinstance(name, str)]
    if len(found) != len(names):
        raise _no_names()
    return current_packages(frozenset(found))


def _no_names() -> EngineError:
    return EngineError("the decision's evaluated holds something else than names")


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
        detail=_typed({"detail": "", **fields}, "detail", str),
    )


def _exceptions(fields: dict[str, Any]) -> tuple[UsedException, ...]:
    return tuple(
        UsedException(
            rule=current_rule(_typed(used, "rule", str)),
            field=_typed(used, "field", str),
            expires=_typed(used, "expires", str),
            reason=_typed(used, "reason", str),
        )
        for used in (_mapping(item, "an exception") for item in _typed(fields, "exceptions", list))
    )
