"""What the configuration in force says of validation's checks, without evaluating the policy.

It is read for the caller of the validation and for all other callers.
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
from authz_plugin.tools.validation.attempts import AttemptFactory
from authz_plugin.tools.validation.boundaries import boundaries, container
from authz_plugin.tools.validation.expected_policy import Config
from authz_plugin.tools.validation.limits import limits
from authz_plugin.tools.validation.probes import PROBES

_MAX_VALUE: Final = 60
"""Characters of a value."""

_OPERATION: Final = "operation."


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a configuration says of a check: whether the request is allowed, and who denies it.

    ``rules`` are ids, or families of rules with a trailing dot (``"mounts."``).
    """

    allowed: bool
    rules: tuple[str, ...]

    def denied_by(self, rules: Sequence[str]) -> list[str]:
        """Return those of ``rules`` that are among the rules of this check."""
        return [
            rule
            for rule in rules
            if any(
                rule == own or (own.endswith(".") and rule.startswith(own)) for own in self.rules
            )
        ]


def expectations(config: Config) -> dict[str, Expectation]:
    """Return the expectation of each check that sends a request, by the id of the check."""
    base = container(config)
    attempts = [*boundaries(config, base), *limits(config, AttemptFactory(base))]
    return {
        **{
            f"{_OPERATION}{id_}": Expectation(
                expected_policy.allows_operation(config, OPERATIONS[id_]), ("sections.operation",)
            )
            for id_ in PROBES
        },
        **{attempt.id: Expectation(attempt.permitted, attempt.rules) for attempt in attempts},
    }


class EffectiveConfig:
    """The configuration in force, for the caller of the validation and for others.

    ``whole`` is the complete configuration and ``own`` the one in force for the caller.
    ``settings`` are the configuration keys that make each rule permit more, by the rule's id.
    ``now`` decides which exceptions have expired.
    """

    def __init__(
        self,
        whole: Config,
        own: Config,
        settings: Mapping[str, Sequence[str]],
        now: datetime,
    ) -> None:
        self.own = own
        self.expectations = expectations(own)
        self._settings = settings
        self._exceptions = policy.exceptions(whole, now)
        self._others = {
            whom: (config, expectations(config)) for whom, config in _others(whole, own).items()
        }

    def opened_by(self, check: str, rules: Sequence[str]) -> str:
        """Return the settings that allow a check's request: ``"images.latest: true"``.

        ``rules`` are the rules of a control. The text is empty for an unknown check.
        """
        expected = self.expectations.get(check)
        return "" if expected is None else self._opened(self.own, expected, check, rules)

    def open_for(self, check: str, rules: Sequence[str]) -> Iterator[str]:
        """Yield the other callers to which a check's request is allowed, with the settings."""
        for whom, (config, expected) in self._others.items():
            found = expected.get(check)
            if found is not None and _is_open(config, found, rules):
                yield f"open for {whom} ({self._opened(config, found, check, rules)})"

    def exemptions(self, rule: str) -> Iterator[str]:
        """Yield why a rule does not always deny the caller: mode warn, and exceptions in force."""
        if expected_policy.is_warn_only(self.own, rule):
            yield f"only warns ({_warning(self.own, rule)})"
        for exception in self._exceptions:
            if exception.rule == rule and exception.days >= 0:
                yield f"an exception: {exception}"

    def _opened(
        self, config: Config, expected: Expectation, check: str, rules: Sequence[str]
    ) -> str:
        denying = expected.denied_by(rules)
        denying = [check] if check in denying else denying
        warnings = [
            _warning(config, rule) for rule in denying if expected_policy.is_warn_only(config, rule)
        ]
        if warnings:
            return ", ".join(dict.fromkeys(warnings))
        if not expected.allowed:
            return "; ".join(text for rule in denying for text in self.exemptions(rule))
        if check.startswith(_OPERATION):
            return _operation(config, check.removeprefix(_OPERATION))
        keys = dict.fromkeys(key for rule in denying for key in self._settings.get(rule, ()))
        return ", ".join(_setting_text(config, key) for key in keys)


def _is_open(config: Config, expected: Expectation, rules: Sequence[str]) -> bool:
    denying = expected.denied_by(rules)
    return expected.allowed or (
        bool(denying) and all(expected_policy.is_warn_only(config, rule) for rule in denying)
    )


def _others(whole: Config, own: Config) -> dict[str, Config]:
    """Return the configurations in force for other callers than that of the validation."""
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


def _setting_text(config: Config, key: str) -> str:
    value: Any = config
    for name in key.split("."):
        value = value[name]
    if isinstance(value, Mapping):
        return key
    text = json.dumps(value, ensure_ascii=False)
    return f"{key}: {text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + '…'}"
