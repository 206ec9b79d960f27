"""Each shipped profile decides on each denied request and on every respelling of it.

A profile is asked with every section and operation open: what is denied is then denied for what
the request asks for, and not because nobody may ask. A respelling must be denied by the rule that
denies the request, or by one that stands for it elsewhere: a denial for another reason proves
nothing.
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
from tests.adversary.requests import Passed, Request, Seed
from tests.adversary.respellings import RESPELLINGS
from tests.ledger import STRICT
from tests.ledger.decisions import HOST, STATE

LEDGER: Final = "ledger"
"""The name of the configuration that the ledger's requests are denied under."""

UNREADABLE: Final = "request"
"""What denies a respelling that is refused before any policy is asked."""


_READ_BY_RULES: Final = ("query", "query_authoritative", "unknown_fields")
"""What shipped rules read of ``request``; how it was written besides makes no difference."""


@dataclass(slots=True)
class Result:
    """What came of a campaign: how many respellings were denied by the rule that denies the
    request, how many by one that stands for it or as unreadable, and those that passed."""

    requests: int = 0
    same_rule: int = 0
    equivalent: int = 0
    unreadable: int = 0
    excepted: Counter[str] = field(default_factory=Counter)
    by_respelling: Counter[str] = field(default_factory=Counter)
    passed: list[Passed] = field(default_factory=list)

    def __str__(self) -> str:
        total = self.same_rule + self.equivalent + self.unreadable
        return (
            f"{self.requests} denied requests, {total} respellings denied "
            f"({self.same_rule} by the same rule, {self.equivalent} by an equivalent one, "
            f"{self.unreadable} as unreadable), {self.excepted.total()} excepted, "
            f"{len(self.passed)} passed"
        )


def roles(profiles: Iterable[str]) -> dict[str, Any]:
    """Each profile as the role of callers of its name, with every section and operation open; of
    the name ``LEDGER`` is the configuration under which all requests of the ledger are denied."""
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


class Asker:
    """Asks an engine about requests, and once only about those that are the same to every rule."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[bytes, frozenset[str]] = {}

    def rules(self, profile: str, request: Request) -> frozenset[str]:
        """The ids of the rules that deny a request to a profile, none where it is allowed."""
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
    goes_on: Callable[[], bool] = lambda: True,
) -> Result:
    """Have profiles decide, until all is decided or ``goes_on`` says no.

    ``twice`` respells each respelling once more. The engine must know the profiles as roles.
    """
    result = Result()
    asker = Asker(engine)
    seeds = list(seeds)
    for profile in profiles:
        for seed in seeds:
            if not goes_on():
                return result
            if seed.rule not in asker.rules(profile, seed.request):
                continue
            if seed.rule in asker.rules(profile, seed.harmless):
                continue  # it denies something else of it as well, and would do so of everything
            result.requests += 1
            for respelling, request in written_otherwise(seed, twice=twice):
                _judge(result, asker, Passed(profile, seed, respelling, request))
    return result


def written_otherwise(seed: Seed, *, twice: bool) -> Iterator[tuple[str, Request]]:
    """Every other way to write a request, each once.

    A respelling that makes the same of the request without what is denied has lost it on the way
    and says something else.
    """
    lost = {str(seed.request), *(str(other) for _, other in _written(seed.harmless, twice=twice))}
    for name, request in _written(seed.request, twice=twice):
        if str(request) not in lost:
            lost.add(str(request))
            yield name, request


def _written(request: Request, *, twice: bool) -> Iterator[tuple[str, Request]]:
    for name, respelling in RESPELLINGS.items():
        for other in respelling(request):
            yield name, other
            if twice:
                for second, another in _written(other, twice=False):
                    yield f"{name}, {second}", another


def _judge(result: Result, asker: Asker, case: Passed) -> None:
    rules = asker.rules(case.profile, case.request)
    if case.seed.rule in rules:
        result.same_rule += 1
    elif rules == {UNREADABLE}:
        result.unreadable += 1
    elif rules & EQUIVALENT.get(case.seed.rule, frozenset()):
        result.equivalent += 1
    else:
        reason = next((reason for excepts, reason in EXCEPTIONS if excepts(case)), None)
        if reason is None:
            result.passed.append(case)
        else:
            result.excepted[reason] += 1
        return
    result.by_respelling[case.respelling] += 1
