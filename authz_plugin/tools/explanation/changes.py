"""Searches the smallest change of the configuration that allows a request.

It tries the candidates of ``candidates``, the narrowest first, on the policy itself, and keeps a
change that removes a denial and adds none. The returned changes have been decided on together:
with them, every request is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from authz_plugin.errors import SettingsError
from authz_plugin.tools.explanation.candidates import Change, candidates, with_changes
from authz_plugin.tools.sandbox import Judgement, Sandbox, Subject

_MAX_ROUNDS: Final = 16
_ROLE_KEYS: Final = frozenset({"roles", "default_role"})
"""Configuration keys that say which role a caller has; they are not changed to allow a request."""


def smallest_change(sandbox: Sandbox, subjects: Sequence[Subject]) -> list[Change] | None:
    """Return the changes with which all requests are allowed, or None if none were found.

    There are none for a request that the plugin refuses before it asks the policy.
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
    """Return changes that allow one request, in addition to those already chosen."""
    judgement = _judge(sandbox, subject, changes)
    for _ in range(_MAX_ROUNDS):
        if judgement is None or judgement.allow:
            break
        found = _next_change(sandbox, subject, judgement, changes)
        if found is None:
            return None
        change, judgement = found
        changes = [*(c for c in changes if c.key != change.key), change]
    return changes if judgement is not None and judgement.allow else None


def _next_change(
    sandbox: Sandbox, subject: Subject, judgement: Judgement, changes: Sequence[Change]
) -> tuple[Change, Judgement] | None:
    """Return the first candidate that removes a denial and adds none, with its judgement."""
    if judgement.document is None:
        return None
    before = _denials(judgement)
    config = sandbox.configured(with_changes(sandbox.settings.policy, changes))
    caller_config = sandbox.config_for(judgement.document, config)
    for denial in judgement.record.denials:
        names = _configuration_keys(sandbox, denial.rule)
        for change in candidates(judgement, denial, names, config, caller_config):
            after = _judge(sandbox, subject, [*changes, change])
            if after is not None and _denials(after) < before:
                return change, after
    return None


def _configuration_keys(sandbox: Sandbox, rule_id: str) -> list[str]:
    """Return the top-level configuration keys of the settings that open a rule."""
    rule = sandbox.rules.get(rule_id)
    keys = dict.fromkeys(key.partition(".")[0] for key in (rule.settings if rule else ()))
    return [key for key in keys if key not in _ROLE_KEYS]


def _judge(sandbox: Sandbox, subject: Subject, changes: Sequence[Change]) -> Judgement | None:
    """Decide with changes; None if they do not make a valid configuration."""
    try:
        config = sandbox.configured(with_changes(sandbox.settings.policy, changes))
    except SettingsError:
        return None
    return sandbox.judge(subject, config)


def _denials(judgement: Judgement) -> set[tuple[str, str, str]]:
    return {(d.rule, d.field, str(d.value)) for d in judgement.record.denials}
