"""Each shipped profile decides on each denied request and on every respelling of it.

Profiles are evaluated with every section and operation allowed, so that requests are denied for
their content only. A respelling must be denied by the rule that denies the request, or by an
equivalent one; a denial by another rule is not accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from ruamel.yaml import YAML

from authz_plugin import policy
from authz_plugin.caller import Caller
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.document import input_document
from authz_plugin.engine import Engine
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


class RuleEvaluator:
    """Evaluates requests; those that are equal for all rules are evaluated once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[bytes, frozenset[str]] = {}

    def rules(self, profile: str, request: Request) -> frozenset[str]:
        """Return the ids of the rules by which a profile denies a request, if it does."""
        try:
            read = request.read()
        except Refused:
            return frozenset({UNREADABLE})
        caller = Caller(profile, "TLS", ())
        document = input_document(read, caller, HOST, datetime.now(UTC), STATE)
        plain = orjson.loads(orjson.dumps(document))
        sent = {name: plain["request"][name] for name in _READ_BY_RULES}
        key = orjson.dumps({**plain, "time": "", "request": sent}, option=orjson.OPT_SORT_KEYS)
        if key not in self._known:
            decision = self._engine.decide(plain)
            denials = () if decision.allow else decision.denials
            self._known[key] = frozenset(denial.rule for denial in denials)
        return self._known[key]


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
        for seed in seeds:
            if not should_continue():
                return result
            if seed.rule not in evaluator.rules(profile, seed.request):
                continue
            if seed.rule in evaluator.rules(profile, seed.harmless):
                continue  # the rule denies another field of the request
            result.requests += 1
            for respelling, request in respelled(seed, twice=twice):
                _classify(result, evaluator, Case(profile, seed, respelling, request))
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


def _classify(result: Result, evaluator: RuleEvaluator, case: Case) -> None:
    rules = evaluator.rules(case.profile, case.request)
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
