"""Searches the smallest change of the configuration that allows a request.

It tries the candidates of ``candidates``, the narrowest first, on the policy itself, and keeps a
change that removes a denial and adds none. The returned changes have been decided on together:
with them, every request is allowed. Dangerous changes are among them; the report withholds them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from authz_plugin.decision import Denial
from authz_plugin.errors import SettingsError, SetupError
from authz_plugin.tools.config_changes.steps import ConfigChange
from authz_plugin.tools.explanation.candidates import (
    Candidate,
    Change,
    candidates,
    with_changes,
)
from authz_plugin.tools.explanation.marks import Marker
from authz_plugin.tools.sandbox import Judgement, Sandbox, Subject

_MAX_ROUNDS: Final = 16


class SearchTooLongError(SetupError):
    """The search for a change took longer than it may."""


def smallest_change(
    sandbox: Sandbox, subjects: Sequence[Subject], until: float = math.inf
) -> list[Change] | None:
    """Return the changes with which all requests are allowed, or None if none were found.

    There are none for a request that the plugin refuses before it asks the policy. Raises
    ``SearchTooLongError`` if the search does not end before ``until``, a ``time.monotonic``.
    """
    changes: list[Change] = []
    for subject in subjects:
        found = _allowing(sandbox, subject, changes, until)
        if found is None:
            return None
        changes = found
    judgements = [_judge(sandbox, subject, changes) for subject in subjects]
    done = all(judgement is not None and judgement.allow for judgement in judgements)
    return changes if done else None


def _allowing(
    sandbox: Sandbox, subject: Subject, changes: list[Change], until: float
) -> list[Change] | None:
    """Return changes that allow one request, in addition to those already chosen."""
    judgement = _judge(sandbox, subject, changes)
    for _ in range(_MAX_ROUNDS):
        if judgement is None or judgement.allow:
            break
        found = _next_change(sandbox, subject, judgement, changes, until)
        if found is None:
            return None
        more, judgement = found
        changes = [*changes, *more]
    return changes if judgement is not None and judgement.allow else None


def _next_change(
    sandbox: Sandbox,
    subject: Subject,
    judgement: Judgement,
    changes: Sequence[Change],
    until: float,
) -> tuple[Candidate, Judgement] | None:
    """Return the first candidate that removes its denial and adds none, with its judgement.

    If it removes other denials too, it has their marks as well.
    """
    if judgement.document is None:
        return None
    config = sandbox.configured(with_changes(sandbox.settings.policy, changes))
    markers = {
        _name(denial): marker_of(sandbox, judgement, denial, config)
        for denial in judgement.record.denials
    }
    for denial in judgement.record.denials:
        rule = sandbox.rules.get(denial.rule)
        for candidate in candidates(judgement, denial, rule, markers[_name(denial)], config):
            if time.monotonic() > until:
                raise SearchTooLongError("the search for a change took too long")
            after = _judge(sandbox, subject, [*changes, *candidate])
            if after is None:
                continue
            left = {_name(other) for other in after.record.denials}
            if left < markers.keys() and _name(denial) not in left:
                others = markers.keys() - left - {_name(denial)}
                more = [mark for name in sorted(others) for mark in markers[name].of_value()]
                return tuple(_marked(change, more) for change in candidate), after
    return None


def marker_of(
    sandbox: Sandbox, judgement: Judgement, denial: Denial, config: Mapping[str, Any]
) -> Marker:
    """Return what marks changes for a denial; ``config`` is the complete one that denied.

    Requires a judgement with an input document.
    """
    assert judgement.document is not None
    role = judgement.record.role
    own, given = (whole["roles"][role] if role else whole for whole in (config, sandbox.config))
    return Marker(denial, sandbox.rules.get(denial.rule), judgement.document, own, given)


def _marked(change: Change, more: Iterable[ConfigChange]) -> Change:
    return replace(change, marks=tuple(dict.fromkeys((*change.marks, *more))))


def _name(denial: Denial) -> tuple[str, str, str]:
    return denial.rule, denial.field, str(denial.value)


def _judge(sandbox: Sandbox, subject: Subject, changes: Sequence[Change]) -> Judgement | None:
    """Decide with changes; None if they do not make a valid configuration."""
    try:
        config = sandbox.configured(with_changes(sandbox.settings.policy, changes))
    except SettingsError:
        return None
    return sandbox.judge(subject, config)
