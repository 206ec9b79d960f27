"""Formats a comparison of decisions as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from authz_plugin.decision import visible
from authz_plugin.tools.replay.changes import KINDS, Comparison, Group, Kind
from authz_plugin.tools.replay.verdicts import UNDECIDABLE_RULES, NotReplayed, Verdict
from authz_plugin.tools.sandbox import Sandbox

Line = tuple[str, str]
"""A style of ``cli.terminal``, and the text of the line."""

_TITLES: Final[dict[Kind, tuple[str, str]]] = {
    "denied": ("bad", "Newly denied"),
    "allowed": ("warning", "Newly allowed"),
    "otherwise": ("head", "Denied by other rules"),
}


def limits(sandbox: Sandbox) -> list[str]:
    """Return the limits of recorded inputs under a policy, as notes."""
    notes = []
    configs: list[Mapping[str, Any]] = [sandbox.config, *sandbox.config["roles"].values()]
    if any(config["containers"]["deny_commands"] for config in configs):
        rules = ", ".join(UNDECIDABLE_RULES)
        notes.append(f"{rules} says nothing here: words of commands are not recorded")
    if sandbox.settings.policies is not None:
        notes.append("rules of your own see *** for every text that is not recorded")
    return notes


def to_document(
    comparison: Comparison, not_replayed: NotReplayed, notes: Sequence[str]
) -> dict[str, Any]:
    """Return a comparison as the JSON object that ``--json`` prints."""
    return {
        "requests": comparison.requests,
        "unchanged": comparison.requests - comparison.changed.total(),
        "changed": {kind: comparison.changed[kind] for kind in KINDS},
        "rules": {kind: dict(comparison.rules[kind].most_common()) for kind in KINDS},
        "not_decided_again": {
            "refused": not_replayed.refused,
            "unrecorded": not_replayed.unrecorded,
            "blind": not_replayed.undecidable,
        },
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
                    {"request": replayed.title, "decision_id": replayed.decision_id}
                    for replayed in group.examples
                ],
            }
            for group in comparison.groups
        ],
    }


def lines(
    comparison: Comparison, not_replayed: NotReplayed, notes: Sequence[str]
) -> Iterator[Line]:
    """Yield a comparison as lines of text; ``notes`` are limits of the comparison."""
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
    counts = {
        "the plugin refused itself": not_replayed.refused,
        "have no recorded input": not_replayed.unrecorded,
        "were denied by what is not recorded": not_replayed.undecidable,
    }
    skipped = [f"{count} {reason}" for reason, count in counts.items() if count]
    if skipped:
        yield "dim", f"Not decided again: {', '.join(skipped)}."
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
    yield "", f"    was        {_verdict_text(example.was)}"
    yield from _reasons(example.was)
    yield "", f"    would be   {_verdict_text(example.would_be)}"
    yield from _reasons(example.would_be)
    for replayed in group.examples:
        decision = f" (decision {replayed.decision_id})" if replayed.decision_id else ""
        yield "dim", f"    e.g.       {visible(replayed.title)}{decision}"


def _verdict_text(verdict: Verdict) -> str:
    if not verdict.allow:
        return f"denied by {', '.join(verdict.rules)}"
    return (
        f"allowed, with a warning by {', '.join(verdict.warnings)}"
        if verdict.warnings
        else "allowed"
    )


def _reasons(verdict: Verdict) -> Iterator[Line]:
    if not verdict.allow:
        for reason in verdict.reasons:
            yield "dim", f"               {visible(reason)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
