"""The denied requests: the witnesses of the ledger, one for each rule that judges a field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from authz_plugin.dockerd.routes import OPERATIONS, STREAM
from tests import ledger
from tests.adversary.requests import Request, Seed
from tests.ledger import Row
from tests.ledger.decisions import Asking, requests_of

_UNSUITABLE: Final = frozenset({"header", "stream"})
"""What stands outside of what can be written in another way here."""


def seeds() -> list[Seed]:
    """Every witness with every rule that denies it, each request once for each rule."""
    found = {(str(seed.request), seed.rule): seed for seed in _of_ledger()}
    return list(found.values())


def _of_ledger() -> Iterator[Seed]:
    for row in (*ledger.bodies(), *ledger.parameters()):
        if row.witness and row.place not in _UNSUITABLE and not row.more.get("config"):
            for operation in row.ids:
                given, left_out = (_request(asking) for asking in requests_of(row, operation))
                for rule in _policy_rules(row):
                    yield Seed(f"{operation} {row.name}", rule, given, left_out)


def _policy_rules(row: Row) -> list[str]:
    """The rules of a row that are the policy's; the plugin itself refuses by the others."""
    own = {"request.body-form", "request.body-withheld", "request.healthcheck"}
    return [rule for rule in row.rules.split() if rule not in own]


def _request(asking: Asking) -> Request:
    body = asking.body
    if body is None and OPERATIONS[asking.operation].body == STREAM:
        body = b"tar"
    return Request(asking.method(), asking.path, tuple(asking.query.items()), body)
