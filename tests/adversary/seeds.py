"""The denied requests: the witnesses of the ledger, one for each rule of a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from authz_plugin.dockerd.routes import OPERATIONS, STREAM
from tests import ledger
from tests.adversary.requests import Request, Seed
from tests.ledger import Row
from tests.ledger.requests import LedgerRequest, requests_of

_IMAGE: Final = f"app@sha256:{'0a' * 32}"
_LABELS: Final = {"team": "a", "tenant": "own"}
_DEMANDS: Final[Mapping[str, Any]] = {
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
"""By path, the fields that the ledger's configuration requires."""

_EXCLUDED_PLACES: Final = frozenset({"header", "stream"})
"""Places that have no respellings."""


def seeds(*, bare_every: int = 1) -> list[Seed]:
    """Return every witness with every rule that denies it.

    Each is returned with all fields that the ledger's configuration requires, and each
    ``bare_every``-th as it is too.
    """
    found: dict[tuple[str, str], Seed] = {}
    for number, seed in enumerate(_ledger_seeds()):
        for one in (_with_demands(seed), *([] if number % bare_every else [seed])):
            found.setdefault((str(one.request), one.rule), one)
    return list(found.values())


def _ledger_seeds() -> Iterator[Seed]:
    for row in (*ledger.bodies(), *ledger.parameters()):
        if (
            row.witness
            and row.place not in _EXCLUDED_PLACES
            and not row.context_object.get("config")
        ):
            for operation in row.operation_ids:
                given, without = (_request(request) for request in requests_of(row, operation))
                for rule in _policy_rules(row):
                    yield Seed(f"{operation} {row.name}", rule, given, without)


def _with_demands(seed: Seed) -> Seed:
    """Return a seed with the required fields, so that no rule denies for a missing one."""
    request, harmless = (
        replace(one, body=_merged(_DEMANDS.get(one.path, {}), one.body))
        if isinstance(one.body, dict)
        else one
        for one in (seed.request, seed.harmless)
    )
    return replace(seed, request=request, harmless=harmless)


def _merged(below: Any, above: Any) -> Any:
    """Merge two JSON values: objects are merged, other values of ``above`` replace ``below``'s."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    both = {name: _merged(below[name], above[name]) for name in below.keys() & above.keys()}
    return {**below, **above, **both}


def _policy_rules(row: Row) -> list[str]:
    """Return the rules of a row that are the policy's, without those of the plugin itself."""
    own = {"request.body-form", "request.body-withheld", "request.healthcheck"}
    return [rule for rule in row.rules.split() if rule not in own]


def _request(request: LedgerRequest) -> Request:
    body = request.body
    if body is None and OPERATIONS[request.operation].body == STREAM:
        body = b"tar"
    return Request(request.method(), request.path, tuple(request.query.items()), body)
