"""Each shipped profile decides on each denied request and on every respelling of it.

Profiles are evaluated with every section and operation allowed, so that requests are denied for
their content only. A respelling must be denied by the rule that denies the request, or by an
equivalent one; a denial by another rule is not accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
from ruamel.yaml import YAML

from authz_plugin import policy
from authz_plugin.caller import Caller
from authz_plugin.decision import Decision
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.document import input_document
from authz_plugin.errors import Refused
from tests.adversary.exceptions import EQUIVALENT, EXCEPTIONS
from tests.adversary.requests import Case, Request, Seed
from tests.adversary.respellings import RESPELLINGS
from tests.ledger import STRICT
from tests.ledger.requests import HOST, STATE

LEDGER: Final = "ledger"
"""The role with the ledger's configuration, under which all its witnesses are denied."""

UNREADABLE: Final = "request"
"""Stands for the rules of the plugin, which refuse a request before the policy is evaluated."""

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""The time of every request: the profiles have no exceptions, so nothing depends on it."""

_READ_BY_RULES: Final = ("query", "query_authoritative", "unknown_fields")
"""The keys of ``request`` that shipped rules read."""


@dataclass(slots=True)
class Result:
    """The result of a campaign.

    ``requests`` is the number of denied requests. ``same_rule``, ``equivalent`` and ``unreadable``
    are numbers of respellings by what denied them: the request's rule, an equivalent rule, or the
    plugin itself. ``not_denied`` are the respellings that none of them denied.
    """

    requests: int = 0
    same_rule: int = 0
    equivalent: int = 0
    unreadable: int = 0
    excepted: Counter[str] = field(default_factory=Counter)
    by_respelling: Counter[str] = field(default_factory=Counter)
    not_denied: list[Case] = field(default_factory=list)

    def __str__(self) -> str:
        total = self.same_rule + self.equivalent + self.unreadable
        return (
            f"{self.requests} denied requests, {total} respellings denied "
            f"({self.same_rule} by the same rule, {self.equivalent} by an equivalent one, "
            f"{self.unreadable} as unreadable), {self.excepted.total()} excepted, "
            f"{len(self.not_denied)} not denied"
        )


def roles(profiles: Iterable[str]) -> dict[str, Any]:
    """Return a role for each profile, whose callers have the profile's name.

    Every section and operation is allowed. The role ``LEDGER`` has the ledger's configuration.
    """
    schema = policy.config_schema()["properties"]["sections"]["properties"]
    strict = YAML(typ="safe", pure=True).load(STRICT)
    del strict["mode"]
    return {
        name: {
            **(strict if name == LEDGER else {"profile": name}),
            "callers": [{"user": name}],
            "sections": dict.fromkeys(schema, "write"),
            "operations": dict.fromkeys(OPERATIONS, "allow"),
        }
        for name in profiles
    }


class Engine(Protocol):
    """Decides on many documents at once; the decision is None if the policy cannot be computed."""

    def decide_each(self, documents: Sequence[dict[str, Any]]) -> Sequence[Decision | None]: ...


class RuleEvaluator:
    """Evaluates requests; those that are equal for all rules are evaluated once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[bytes, frozenset[str]] = {}

    def rules(self, profile: str, requests: Iterable[Request]) -> list[frozenset[str]]:
        """Return, for each request, the ids of the rules by which a profile denies it, if it does.

        A request that the policy cannot be computed for counts as not denied.
        """
        keys: list[bytes | None] = []
        new: dict[bytes, dict[str, Any]] = {}
        for request in requests:
            document = _document(profile, request)
            key = None if document is None else _key(document)
            keys.append(key)
            if document is not None and key is not None and key not in self._known:
                new[key] = document
        decisions = self._engine.decide_each(list(new.values()))
        for key, decision in zip(new, decisions, strict=True):
            denials = () if decision is None or decision.allow else decision.denials
            self._known[key] = frozenset(denial.rule for denial in denials)
        return [frozenset({UNREADABLE}) if key is None else self._known[key] for key in keys]


def _document(profile: str, request: Request) -> dict[str, Any] | None:
    """Return the input document of a request; None if the plugin refuses the request."""
    try:
        read = request.read()
    except Refused:
        return None
    return input_document(read, Caller(profile, "TLS", ()), HOST, NOW, STATE)


def _key(document: dict[str, Any]) -> bytes:
    """Return the parts of an input document that shipped rules read."""
    sent = {name: document["request"][name] for name in _READ_BY_RULES}
    return orjson.dumps({**document, "request": sent}, option=orjson.OPT_SORT_KEYS)


def run(
    engine: Engine,
    profiles: Iterable[str],
    seeds: Iterable[Seed],
    *,
    twice: bool = False,
    should_continue: Callable[[], bool] = lambda: True,
) -> Result:
    """Have profiles decide on all respellings of seeds, while ``should_continue`` returns true.

    With ``twice``, each respelling is respelled again. The engine must have the profiles as roles.
    """
    result = Result()
    evaluator = RuleEvaluator(engine)
    seeds = list(seeds)
    for profile in profiles:
        denying = evaluator.rules(profile, [seed.request for seed in seeds])
        # If the rule denies the harmless request too, it denies another field.
        otherwise = evaluator.rules(profile, [seed.harmless for seed in seeds])
        for seed, rules, other_rules in zip(seeds, denying, otherwise, strict=True):
            if not should_continue():
                return result
            if seed.rule not in rules or seed.rule in other_rules:
                continue
            result.requests += 1
            written = list(respelled(seed, twice=twice))
            found = evaluator.rules(profile, [request for _, request in written])
            for (respelling, request), by in zip(written, found, strict=True):
                _classify(result, by, Case(profile, seed, respelling, request))
    return result


def respelled(seed: Seed, *, twice: bool) -> Iterator[tuple[str, Request]]:
    """Yield each respelling of a seed's request once, with its name.

    Respellings that are equal for the request without the denied field are left out: they do not
    contain that field.
    """
    without_field = {
        str(seed.request),
        *(str(other) for _, other in _respellings_of(seed.harmless, twice=twice)),
    }
    for name, request in _respellings_of(seed.request, twice=twice):
        if str(request) not in without_field:
            without_field.add(str(request))
            yield name, request


def _respellings_of(request: Request, *, twice: bool) -> Iterator[tuple[str, Request]]:
    for name, respelling in RESPELLINGS.items():
        for other in respelling(request):
            yield name, other
            if twice:
                for second, another in _respellings_of(other, twice=False):
                    yield f"{name}, {second}", another


def _classify(result: Result, rules: frozenset[str], case: Case) -> None:
    if case.seed.rule in rules:
        result.same_rule += 1
    elif rules == {UNREADABLE}:
        result.unreadable += 1
    elif rules & EQUIVALENT.get(case.seed.rule, frozenset()):
        result.equivalent += 1
    else:
        reason = next((reason for excepts, reason in EXCEPTIONS if excepts(case)), None)
        if reason is None:
            result.not_denied.append(case)
        else:
            result.excepted[reason] += 1
        return
    result.by_respelling[case.respelling] += 1
