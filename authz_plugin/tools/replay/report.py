"""A comparison for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from authz_plugin.decision import visible
from authz_plugin.tools.replay.changes import KINDS, Comparison, Group, Kind
from authz_plugin.tools.replay.verdicts import Answer, Left

Line = tuple[str, str]
"""How a line is meant (see ``cli.terminal``), and its text."""

_TITLES: Final[dict[Kind, tuple[str, str]]] = {
    "denied": ("bad", "Newly denied"),
    "allowed": ("warning", "Newly allowed"),
    "otherwise": ("head", "Denied by other rules"),
}


def to_document(comparison: Comparison, left: Left, notes: Sequence[str]) -> dict[str, Any]:
    """A comparison as ``--json`` prints it."""
    return {
        "requests": comparison.requests,
        "unchanged": comparison.requests - comparison.changed.total(),
        "changed": {kind: comparison.changed[kind] for kind in KINDS},
        "rules": {kind: dict(comparison.rules[kind].most_common()) for kind in KINDS},
        "not_decided_again": asdict(left),
        "notes": list(notes),
        "groups": [
            {
                "kind": group.kind,
                "operation": group.operation,
                "requests": group.requests,
                "callers": dict(group.callers.most_common()),
                "was": asdict(group.examples[0].was),
                "would_be": asdict(group.examples[0].would_be),
                "examples": [
                    {"request": pair.title, "decision_id": pair.decision_id}
                    for pair in group.examples
                ],
            }
            for group in comparison.groups
        ],
    }


def lines(comparison: Comparison, left: Left, notes: Sequence[str]) -> Iterator[Line]:
    """A comparison for people."""
    for kind in KINDS:
        groups = [group for group in comparison.groups if group.kind == kind]
        if groups:
            style, title = _TITLES[kind]
            yield style, f"{title}: {_count(comparison.changed[kind], 'request')}"
            rules = comparison.rules[kind].most_common()
            yield "", f"  by rule: {', '.join(f'{rule} ({count})' for rule, count in rules)}"
            for group in groups:
                yield from _group(group)
            yield "", ""
    told = [f"{left.refused} the plugin refused itself"] if left.refused else []
    told += [f"{left.unrecorded} have no recorded input"] if left.unrecorded else []
    told += [f"{left.blind} were denied by what is not recorded"] if left.blind else []
    if told:
        yield "dim", f"Not decided again: {', '.join(told)}."
    for note in notes:
        yield "warning", f"Note: {note}"
    changed = comparison.changed.total()
    same = f"{_count(comparison.requests, 'request')}, {comparison.requests - changed} as before"
    yield "head" if changed else "good", f"{same}, {changed} otherwise"


def _group(group: Group) -> Iterator[Line]:
    example = group.examples[0]
    callers = ", ".join(
        f"{visible(name)} ({count})" if len(group.callers) > 1 else visible(name)
        for name, count in group.callers.most_common()
    )
    yield "", f"  {group.operation}: {_count(group.requests, 'request')} by {callers}"
    yield "", f"    was        {_verdict(example.was)}"
    yield from _reasons(example.was)
    yield "", f"    would be   {_verdict(example.would_be)}"
    yield from _reasons(example.would_be)
    for pair in group.examples:
        decision = f" (decision {pair.decision_id})" if pair.decision_id else ""
        yield "dim", f"    e.g.       {visible(pair.title)}{decision}"


def _verdict(answer: Answer) -> str:
    if not answer.allow:
        return f"denied by {', '.join(answer.rules)}"
    return (
        f"allowed, with a warning by {', '.join(answer.warnings)}" if answer.warnings else "allowed"
    )


def _reasons(answer: Answer) -> Iterator[Line]:
    if not answer.allow:
        for reason in answer.reasons:
            yield "dim", f"               {visible(reason)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
