"""What the configuration in force says of validation's checks, and what lifts its rules.

Reads the configuration alone, for the caller whose requests were tried and for everybody else. That
the rules keep to it is for validation to show.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from authz_plugin import policy
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.tools.validation import expected_policy
from authz_plugin.tools.validation.boundaries import Creator, boundaries, container
from authz_plugin.tools.validation.expected_policy import Config
from authz_plugin.tools.validation.limits import limits
from authz_plugin.tools.validation.probes import PROBES

_SHOWN: Final = 60
_OPERATION: Final = "operation."


@dataclass(frozen=True, slots=True)
class Said:
    """What a configuration says of a check: whether it is allowed, and who denies it if not, as
    ids or as families with a closing dot."""

    allowed: bool
    rules: tuple[str, ...]

    def due(self, rules: Sequence[str]) -> list[str]:
        """Those of some rules that deny it."""
        return [
            rule
            for rule in rules
            if any(rule == due or (due[-1] == "." and rule.startswith(due)) for due in self.rules)
        ]


def said_of(config: Config) -> dict[str, Said]:
    """What a configuration says of each check that tries a request, by the check's id."""
    base = container(config)
    attempts = [*boundaries(config, base), *limits(config, Creator(base))]
    return {
        **{
            f"{_OPERATION}{id_}": Said(
                expected_policy.opens(config, OPERATIONS[id_]), ("sections.operation",)
            )
            for id_ in PROBES
        },
        **{attempt.id: Said(attempt.promised, attempt.rules) for attempt in attempts},
    }


class Configured:
    """The configuration in force.

    ``whole`` is all of it, ``own`` the part that counts for the caller; ``settings`` are the keys
    that open each rule, by its id.
    """

    def __init__(
        self,
        whole: Config,
        own: Config,
        settings: Mapping[str, Sequence[str]],
        now: datetime,
    ) -> None:
        self.own = own
        self.said = said_of(own)
        self._settings = settings
        self._exceptions = policy.exceptions(whole, now)
        self._others = {
            whom: (config, said_of(config)) for whom, config in _others(whole, own).items()
        }

    def opened_by(self, check: str, rules: Sequence[str]) -> str:
        """What leaves a check open, of what a control's rules go by: ``"images.latest: true"``."""
        said = self.said.get(check)
        return "" if said is None else self._opened(self.own, said, check, rules)

    def open_for(self, check: str, rules: Sequence[str]) -> Iterator[str]:
        """For whom else a check is open, and what opens it there."""
        for whom, (config, said) in self._others.items():
            found = said.get(check)
            if found is not None and _is_open(config, found, rules):
                yield f"open for {whom} ({self._opened(config, found, check, rules)})"

    def lifted(self, rule: str) -> Iterator[str]:
        """What keeps a rule from denying for the caller, at all or now and then."""
        if expected_policy.only_warns(self.own, rule):
            yield f"only warns ({_warning(self.own, rule)})"
        for exception in self._exceptions:
            if exception.rule == rule and exception.days >= 0:
                yield f"an exception: {exception}"

    def _opened(self, config: Config, said: Said, check: str, rules: Sequence[str]) -> str:
        due = said.due(rules)
        due = [check] if check in due else due
        warnings = [
            _warning(config, rule) for rule in due if expected_policy.only_warns(config, rule)
        ]
        if warnings:
            return ", ".join(dict.fromkeys(warnings))
        if not said.allowed:
            return "; ".join(text for rule in due for text in self.lifted(rule))
        if check.startswith(_OPERATION):
            return _operation(config, check.removeprefix(_OPERATION))
        keys = dict.fromkeys(key for rule in due for key in self._settings.get(rule, ()))
        return ", ".join(_shown(config, key) for key in keys)


def _is_open(config: Config, said: Said, rules: Sequence[str]) -> bool:
    due = said.due(rules)
    return said.allowed or (
        bool(due) and all(expected_policy.only_warns(config, rule) for rule in due)
    )


def _others(whole: Config, own: Config) -> dict[str, Config]:
    """The configurations that count for other callers than the one that was tried."""
    found: dict[str, Config] = {f"role {name}": role for name, role in whole["roles"].items()}
    if whole["unmatched_callers"] == "allow":
        found["callers without a role"] = whole
    return {whom: config for whom, config in found.items() if config != own}


def _warning(config: Config, rule: str) -> str:
    return f"rules.{rule}: warn" if rule in config["rules"] else "mode: warn"


def _operation(config: Config, id_: str) -> str:
    section = OPERATIONS[id_].section
    if id_ in config["operations"]:
        return f"operations.{id_}: {config['operations'][id_]}"
    return f"sections.{section}: {config['sections'].get(section, 'none')}"


def _shown(config: Config, key: str) -> str:
    value: Any = config
    for name in key.split("."):
        value = value[name]
    if isinstance(value, Mapping):
        return key
    text = json.dumps(value, ensure_ascii=False)
    return f"{key}: {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}"
