"""Print a proposal: as YAML with comments, or as the document of ``--json``.

A comment beside each grant tells how many requests asked for it, with the ids of some decisions;
comments below the configuration list what is not granted. Text that a client wrote is quoted in
values, and its control characters are escaped in comments.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ruamel.yaml import YAML

from authz_plugin.decision import visible
from authz_plugin.errors import SetupError
from authz_plugin.journal.recording import NOBODY
from authz_plugin.rules import Key
from authz_plugin.tools.config_changes.gate import (
    WITHHELD,
    grant_name,
    granted_document,
    named_text,
    withheld_document,
    withheld_lines,
)
from authz_plugin.tools.learning.proposal import Grant, Proposal
from authz_plugin.tools.learning.survey import Survey, Tally

_PLAIN: Final = re.compile(r"[A-Za-z_/][\w./@+-]*(?::[\w./@+-]+)*", re.ASCII)
_NOT_TEXT: Final = frozenset({"y", "yes", "n", "no", "on", "off", "true", "false", "null"})
_COLUMN: Final = 44
_SOME: Final = 3
_BESIDE: Final = 2
"""The number of decision ids beside a grant."""


def to_text(proposal: Proposal) -> str:
    """A proposal as a settings file in YAML with comments.

    Raises ``SetupError`` if the text does not parse to the proposed settings.
    """
    lines = [
        *_head(proposal.survey),
        "",
        *_Writer(proposal.grants).mapping(proposal.settings),
        *_below(proposal.survey),
    ]
    text = "".join(f"{line}\n" for line in lines)
    if YAML(typ="safe", pure=True).load(text) != proposal.settings:
        raise SetupError("the proposal cannot be written as YAML; --json prints it")
    return text


def to_document(proposal: Proposal) -> dict[str, Any]:
    """A proposal as the document that ``--json`` prints."""
    survey = proposal.survey
    return {
        "from": survey.first,
        "until": survey.last,
        "decisions": survey.decisions,
        "allowed": survey.allowed,
        "happened": survey.happened,
        "denied_then": survey.denied,
        "refused_then": survey.refused,
        "without_input": survey.unrecorded,
        "own_tools": [{"tool": name, **_tally(tally)} for name, tally in survey.own_tools.items()],
        "configuration": proposal.settings,
        "grants": [
            {
                **granted_document(
                    grant.role,
                    grant.key,
                    grant.value,
                    removed=grant.removed,
                    rules=grant.rules,
                    values=grant.of,
                    dangers=grant.dangers,
                ),
                **_tally(grant.tally),
            }
            for grant in proposal.grants
        ],
        "withheld": [
            {**withheld_document(role, change), **_tally(tally)}
            for (role, change), tally in survey.withheld.items()
        ],
        "refused": [
            {"rule": rule, "message": message, **_tally(tally)}
            for (rule, message), tally in survey.not_grantable.items()
        ],
        "not_covered": [
            {"role": role, "rule": change.rule, "value": change.value, **_tally(tally)}
            for (role, change), tally in survey.granted.items()
        ],
    }


class _Writer:
    """Writes a configuration as lines of YAML, with comments on its grants."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._entries: dict[tuple[Key, str], Grant] = {}
        self._removed: dict[Key, list[Grant]] = defaultdict(list)
        for grant in grants:
            key = ("roles", grant.role, *grant.key) if grant.role else grant.key
            if grant.removed:
                self._removed[key].append(grant)
            else:
                self._entries[key, repr(grant.value) if grant.is_entry else ""] = grant

    def mapping(
        self, settings: Mapping[str, Any], key: Key = (), indent: str = ""
    ) -> Iterator[str]:
        for name, value in settings.items():
            yield from self._key(f"{indent}{_scalar(name)}:", value, (*key, name), indent)

    def _key(self, start: str, value: Any, key: Key, indent: str) -> Iterator[str]:
        for removed in self._removed.get(key, ()):
            yield from _above(removed, indent, f"without {visible(str(removed.value))}, ")
        grant = self._entries.get((key, ""))
        if grant is not None:
            yield from _above(grant, indent)
        if isinstance(value, dict) and value:
            yield start
            yield from self.mapping(value, key, f"{indent}  ")
        elif isinstance(value, list) and any(self._has_own_lines(entry, key) for entry in value):
            yield start
            for entry in value:
                yield from self._entry(entry, key, f"{indent}  ")
        else:
            yield _beside(f"{start} {_inline(value)}", grant)

    def _has_own_lines(self, entry: Any, key: Key) -> bool:
        """Whether an entry of a list is written on lines of its own."""
        return bool(isinstance(entry, dict) and entry) or (key, repr(entry)) in self._entries

    def _entry(self, entry: Any, key: Key, indent: str) -> Iterator[str]:
        grant = self._entries.get((key, repr(entry)))
        if grant is not None:
            yield from _above(grant, indent)
        if not isinstance(entry, dict) or not entry:
            yield _beside(f"{indent}- {_scalar(entry)}", grant)
            return
        first, *rest = self.mapping(entry, (*key, ""), f"{indent}  ")
        yield _beside(f"{indent}- {first.strip()}", grant)
        yield from rest


def _above(grant: Grant, indent: str, what: str = "") -> Iterator[str]:
    """The comments above a grant: its dangers, and the values that were generalized to it."""
    for danger in sorted(grant.dangers):
        yield f"{indent}# {what}{named_text(danger)}"
    values = sorted(grant.of - {str(grant.value)}) if len(grant.of) > 1 else []
    if values:
        more = f" and {len(values) - _SOME} more" if len(values) > _SOME else ""
        yield f"{indent}# for {', '.join(map(visible, values[:_SOME]))}{more}"


def _beside(text: str, grant: Grant | None) -> str:
    return text if grant is None else f"{text:<{_COLUMN}} # {_told(grant.tally)}"


def _told(tally: Tally) -> str:
    """The number of requests, their known callers, and the ids of some decisions."""
    times = "once" if tally.requests == 1 else f"{tally.requests} times"
    known = set(tally.callers) - {NOBODY}
    callers = f" by {_callers(tally)}" if known else ""
    return f"{times}{callers}, e.g. {', '.join(tally.examples[:_BESIDE])}"


def _callers(tally: Tally) -> str:
    return ", ".join(
        f"{visible(name)} ({count})" if len(tally.callers) > 1 else visible(name)
        for name, count in tally.callers.most_common()
    )


def _head(survey: Survey) -> Iterator[str]:
    yield "# Proposed by `opa-authz learn`, of what was allowed between"
    yield f"# {survey.first} and {survey.last}, and tried:"
    rest = "" if survey.allowed == survey.happened else "; the others stand at the end"
    yield f"# {survey.allowed} of {survey.happened} requests would be allowed{rest}."


def _below(survey: Survey) -> Iterator[str]:
    """The comments below the configuration: what is not granted, and why."""
    paragraphs = (
        (WITHHELD, _withheld(survey)),
        ("Refused: no configuration allows this and no more.", _refused(survey)),
        ("Still denied: the host is not as it was then, or it is too much.", _uncovered(survey)),
        ("Not learned from:", _unlearned(survey)),
    )  # fmt: skip
    for title, lines in paragraphs:
        for position, line in enumerate(lines):
            yield from ("", f"# {title}") if position == 0 else ()
            yield f"#   {line}"


def _withheld(survey: Survey) -> Iterator[str]:
    for (role, change), tally in survey.withheld.items():
        yield from withheld_lines(role, change)
        yield f"    {_told_in_full(tally)}"


def _refused(survey: Survey) -> Iterator[str]:
    for (rule, message), tally in survey.not_grantable.items():
        yield f"{visible(rule)}: {visible(message)}"
        yield f"    {_told_in_full(tally)}"


def _uncovered(survey: Survey) -> Iterator[str]:
    for (_, change), tally in survey.granted.items():
        yield visible(grant_name(change))
        yield f"    {_told_in_full(tally)}"


def _unlearned(survey: Survey) -> Iterator[str]:
    if survey.denied:
        yield f"{survey.denied} decisions that denied"
    if survey.unrecorded:
        yield f"{survey.unrecorded} decisions without a recorded input"
    for tool, tally in survey.own_tools.items():
        yield f"requests of opa-authz {tool}, by their User-Agent (--own-tools learns from them)"
        yield f"    {_told_in_full(tally)}"
    if survey.overflow.requests:
        yield f"more than can be listed: {_told_in_full(survey.overflow)}"


def _told_in_full(tally: Tally) -> str:
    times = "once" if tally.requests == 1 else f"{tally.requests} times"
    return f"{times}, by {_callers(tally)}, e.g. {', '.join(tally.examples)}"


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "requests": tally.requests,
        "callers": dict(tally.callers.most_common()),
        "examples": tally.examples,
    }


def _inline(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return f'"{"".join(map(_escaped, value))}"'


def _escaped(character: str) -> str:
    if character in {'"', "\\"}:
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
