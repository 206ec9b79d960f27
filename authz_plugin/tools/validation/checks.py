"""Evaluates attempts: whether a daemon did what is expected, and for the expected reason.

A request is expected to be allowed if the configuration permits it and the policy, evaluated on
this host, allows it. A rule that does not do what the configuration says is therefore found, and so
is a running plugin whose decisions are not those of its settings.
"""

from __future__ import annotations

import http
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from authz_plugin.errors import EndpointError
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange
from authz_plugin.tools.sandbox import Judgement
from authz_plugin.tools.validation.attempts import Attempt
from authz_plugin.tools.validation.probes import PROBES

Group = Literal[
    "prerequisites", "allowed operations", "denied operations", "security boundaries", "settings"
]
Verdict = Literal["allowed", "denied", "failed", "absent"]

GROUPS: Final[tuple[Group, ...]] = (
    "prerequisites",
    "allowed operations",
    "denied operations",
    "security boundaries",
    "settings",
)

_DENIED: Final = re.compile(r"authorization denied by plugin ([^:\s]+): (.*)", re.DOTALL)
_FAILED: Final = re.compile(r"plugin ([^:\s]+) failed with error")
_RULE: Final = re.compile(r"\[([a-z][a-z-]*\.[a-z0-9_.-]+)(?: [^\]]*)?\]")


@dataclass(frozen=True, slots=True)
class Observation:
    """What dockerd did with a request.

    ``verdict`` is ``absent`` if this engine does not have the operation, and ``failed`` if a plugin
    or the daemon did not answer. ``plugin`` is the name of the plugin that denied or failed.
    ``rules`` are the ids of the rules in a denial, ``message`` is dockerd's error message.
    """

    verdict: Verdict
    plugin: str
    rules: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one check.

    ``passed`` is None if the check could not be carried out. ``expected`` and ``observed`` are
    verdicts, and empty for checks without a request. ``rules`` are those that the denial named.
    """

    id: str
    group: Group
    title: str
    passed: bool | None
    expected: str = ""
    observed: str = ""
    rules: tuple[str, ...] = ()
    detail: str = ""

    @property
    def correctly_blocked(self) -> bool:
        return self.expected == "denied" and self.observed == "denied"

    @property
    def incorrectly_allowed(self) -> bool:
        return self.expected == "denied" and self.observed == "allowed"


@dataclass(frozen=True, slots=True)
class ExecutedAttempt:
    """An attempt with the sandbox's decision and the daemon's reaction.

    ``permitted`` is whether the configuration allows it, with exceptions and modes.
    """

    attempt: Attempt
    group: Group
    judgement: Judgement
    permitted: bool
    observation: Observation


def observe(request: Request, reply: Reply) -> Observation:
    """Derive from dockerd's reply whether its authorization plugins allowed a request.

    The forms of the messages are those of moby 28.5.2 ``pkg/authorization/authz.go``. The reply to
    a HEAD has no message: its status 403 is taken for a denial.
    """
    message = reply.message
    if request.method == "HEAD" and reply.status == http.HTTPStatus.FORBIDDEN:
        return Observation("denied", "", (), "")
    denied = _DENIED.match(message)
    if reply.status == http.HTTPStatus.FORBIDDEN and denied is not None:
        rules = tuple(dict.fromkeys(_RULE.findall(denied[2])))
        return Observation("denied", denied[1], rules, denied[2])
    failed = _FAILED.match(message)
    if failed is not None:
        return Observation("failed", failed[1], (), message)
    if reply.status == http.HTTPStatus.NOT_FOUND and message == "page not found":
        return Observation("absent", "", (), "this engine has no such operation")
    return Observation("allowed", "", (), f"HTTP {reply.status} {message[:120]}".strip())


def ping(endpoint: Endpoint) -> Reply:
    """Ping dockerd; raises ``EndpointError`` without an answer of it, or of a plugin that it asks.

    While a plugin is away, dockerd refuses every request, each after some 15 seconds.
    """
    reply = exchange(endpoint, PROBES["system.ping"])
    observation = observe(PROBES["system.ping"], reply)
    if observation.verdict == "failed":
        raise EndpointError(
            f"dockerd refuses every request, because plugin {observation.plugin} gives it no "
            "answer: `opa-authz doctor` looks for the cause"
        )
    return reply


def evaluate(executed: ExecutedAttempt) -> Result:
    """Return whether the daemon did what is expected, and if it denied, by an expected rule."""
    attempt, observation = executed.attempt, executed.observation
    predicted = tuple(dict.fromkeys(d.rule for d in executed.judgement.record.denials))
    expected = "allowed" if executed.permitted and executed.judgement.allow else "denied"
    passed: bool | None = observation.verdict == expected
    detail = "" if passed else observation.message
    if observation.verdict == "absent":
        passed, detail = None, observation.message
    elif expected == "denied" and executed.judgement.allow:
        passed = False
        detail = "the configuration does not allow this, the policy does"
    elif (
        passed
        and expected == "denied"
        and observation.message
        and not _is_denied_as_expected(executed, predicted)
    ):
        passed = False
        named = ", ".join(observation.rules) or "no rule"
        detail = f"denied by {named}, not by {', '.join(_expected_rules(executed, predicted))}"
    return Result(
        attempt.id,
        executed.group,
        attempt.title,
        passed,
        expected,
        observation.verdict,
        observation.rules,
        detail,
    )


def _expected_rules(executed: ExecutedAttempt, predicted: Iterable[str]) -> tuple[str, ...]:
    """Return the rules that should deny: the attempt's own, or the sandbox's if it is permitted."""
    return executed.attempt.rules if not executed.permitted else tuple(predicted)


def _is_denied_as_expected(executed: ExecutedAttempt, predicted: Iterable[str]) -> bool:
    return any(
        rule == wanted or (wanted.endswith(".") and rule.startswith(wanted))
        for wanted in _expected_rules(executed, predicted)
        for rule in executed.observation.rules
    )
