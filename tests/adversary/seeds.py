"""The denied requests: the witnesses of the ledger, one for each rule that judges a field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from authz_plugin.dockerd.routes import OPERATIONS, STREAM
from tests import ledger
from tests.adversary.requests import Request, Seed
from tests.ledger import Row
from tests.ledger.decisions import Asking, requests_of

_IMAGE: Final = f"app@sha256:{'0a' * 32}"
_LABELS: Final = {"team": "a", "tenant": "own"}
_DEMANDED: Final[Mapping[str, Any]] = {
    "/containers/create": {
        "Image": _IMAGE,
        "User": "1000:1000",
        "Labels": _LABELS,
        "Healthcheck": {"Test": ["CMD", "true"]},
        "HostConfig": {
            "ReadonlyRootfs": True,
            "SecurityOpt": ["no-new-privileges"],
            "CapDrop": ["ALL"],
            "Memory": 1 << 20,
            "MemorySwap": 1 << 20,
            "NanoCpus": 10**9,
            "PidsLimit": 10,
        },
    },
    "/services/create": {
        "Labels": _LABELS,
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": _IMAGE,
                "User": "1000:1000",
                "Labels": _LABELS,
                "Healthcheck": {"Test": ["CMD", "true"]},
                "ReadOnly": True,
                "Privileges": {"NoNewPrivileges": True},
                "CapabilityDrop": ["ALL"],
            },
            "Resources": {"Limits": {"MemoryBytes": 1 << 20, "NanoCPUs": 10**9, "Pids": 10}},
            "RestartPolicy": {"Condition": "none"},
        },
    },
}
"""By path, what the ledger's configuration demands."""

_UNSUITABLE: Final = frozenset({"header", "stream"})
"""What stands outside of what can be written in another way here."""


def seeds() -> list[Seed]:
    """Every witness with every rule that denies it, as it is and with all that the ledger's
    configuration demands of a container besides."""
    found: dict[tuple[str, str], Seed] = {}
    for seed in _of_ledger():
        for one in (_demanded(seed), seed):
            found.setdefault((str(one.request), one.rule), one)
    return list(found.values())


def _of_ledger() -> Iterator[Seed]:
    for row in (*ledger.bodies(), *ledger.parameters()):
        if row.witness and row.place not in _UNSUITABLE and not row.more.get("config"):
            for operation in row.ids:
                given, left_out = (_request(asking) for asking in requests_of(row, operation))
                for rule in _policy_rules(row):
                    yield Seed(f"{operation} {row.name}", rule, given, left_out)


def _demanded(seed: Seed) -> Seed:
    """The seed with what a configuration may demand, so that no rule denies that it is missing."""
    request, harmless = (
        replace(one, body=_merged(_DEMANDED.get(one.path, {}), one.body))
        if isinstance(one.body, dict)
        else one
        for one in (seed.request, seed.harmless)
    )
    return replace(seed, request=request, harmless=harmless)


def _merged(below: Any, above: Any) -> Any:
    """A JSON value over another: objects are merged, everything else is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    both = {name: _merged(below[name], above[name]) for name in below.keys() & above.keys()}
    return {**below, **above, **both}


def _policy_rules(row: Row) -> list[str]:
    """The rules of a row that are the policy's; the plugin itself refuses by the others."""
    own = {"request.body-form", "request.body-withheld", "request.healthcheck"}
    return [rule for rule in row.rules.split() if rule not in own]


def _request(asking: Asking) -> Request:
    body = asking.body
    if body is None and OPERATIONS[asking.operation].body == STREAM:
        body = b"tar"
    return Request(asking.method(), asking.path, tuple(asking.query.items()), body)
