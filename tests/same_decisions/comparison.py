"""Asks both engines about documents and keeps what differs."""

from __future__ import annotations

import json
import os
import random
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.compiled import find_compiled
from tests.adversary import campaign
from tests.adversary.engines import configuration
from tests.conftest import with_policy
from tests.harness.embedded_policy import CACHE, COMPILED
from tests.harness.policy_opa import PolicyOpa, running_policy_opa
from tests.ledger.requests import HOST
from tests.same_decisions.documents import Document, changed
from tests.same_decisions.engines import CompiledForBoth, Embedded, Server
from tools.policy_data import complete_profiles

_BATCH: Final = 32
_KEPT: Final = 20
"""Differences that are kept, at most."""

_EXCEPTION: Final = {
    "rule": "capabilities.add",
    "value": "SYS_ADMIN",
    "until": "2026-03-01T00:00:00Z",
    "warn_from": "2026-01-01T00:00:00Z",
    "expires": "2026-02-28",
    "reason": "a test",
    "when": {},
}

_RESERVED: Final = ["own*", "app*", "*.x", "com.docker.*"]
_LABELS: Final = {"reserved": _RESERVED, "reserved_folded": _RESERVED, "required": {}}

Configurations = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A document under a configuration and the two answers; None stands for no decision.

    ``changed`` says that no request has such a document.
    """

    configuration: str
    changed: bool
    document: bytes
    server: str | None
    embedded: str | None

    def __str__(self) -> str:
        return (
            f"under {self.configuration}: {self.document.decode()}\n"
            f"  OPA's server: {self.server}\n  embedded:     {self.embedded}"
        )


@dataclass(slots=True)
class Result:
    """How many documents were allowed, denied or not decided by both, and what differs.

    ``stricter`` are changed documents that the server decides on and the embedded engine does not,
    which denies them: where one body of a rule has a value, OPA's server leaves out the others, and
    WebAssembly evaluates them, so that it meets errors that the server does not reach. The plugin
    makes no such document: its values have the types that the rules expect. The server allows
    ``stricter_than_allow`` of them.
    """

    documents: int = 0
    allowed: int = 0
    denied: int = 0
    undecided: int = 0
    stricter: int = 0
    stricter_than_allow: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.documents} documents: both allow {self.allowed}, both deny {self.denied} "
            f"for the same reasons, neither decides {self.undecided}, the embedded engine "
            f"alone does not decide {self.stricter} (of which the server allows "
            f"{self.stricter_than_allow}); {self.different} differ"
        )


def configurations() -> dict[str, Mapping[str, Any]]:
    """Every shipped profile; two of them as roles; one with exceptions; one that only warns; the
    ledger's, in which every rule denies something."""
    profiles = complete_profiles()
    roles = campaign.roles([campaign.LEDGER])
    ledger = {**roles[campaign.LEDGER], "labels": _LABELS}
    del ledger["callers"]
    excepting = {**profiles["closed"], "exceptions": [_EXCEPTION]}
    return {
        **profiles,
        "ledger": policy.configuration(with_policy(**ledger), HOST),
        "roles": configuration([campaign.LEDGER, "devcontainer", "restricted"]),
        "exceptions": excepting,
        "warn": {**profiles["production"], "mode": "warn"},
    }


class Comparison:
    """Both engines with the shipped policies; made by ``open_comparison``."""

    def __init__(
        self, running: PolicyOpa, compiled: CompiledForBoth, configurations: Configurations
    ) -> None:
        self._running = running
        self._compiled = compiled
        self._configurations = configurations
        self._own = threading.local()
        self._lock = threading.Lock()
        self._servers: list[Server] = []
        self.result = Result()

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def ask_everything(self, documents: Iterable[bytes]) -> Iterator[Result]:
        """Ask about each document under each configuration; yield the result so far after each."""
        listed = list(dict.fromkeys(documents))
        starts = range(0, len(listed), _BATCH)
        for name in self._configurations:
            self._ask([(name, listed[start : start + _BATCH]) for start in starts], changed=False)
            yield self.result

    def ask_changed(self, documents: Sequence[bytes], count: int, seed: int) -> Iterator[Result]:
        """Ask about ``count`` changed documents; yield the result so far after each ten thousand.

        The same ``seed`` gives the same documents.
        """
        names = list(self._configurations)

        def batch(number: int) -> tuple[str, list[bytes]]:
            chance = random.Random(f"{seed} {number}")
            name = chance.choice(names)
            return name, [changed(chance, documents) for _ in range(_BATCH)]

        numbers = iter(range(-(-count // _BATCH)))
        while part := list(islice(numbers, 320)):
            self._ask(map(batch, part), changed=True)
            yield self.result

    def _ask(self, batches: Iterable[tuple[str, list[bytes]]], *, changed: bool) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as executor:
            for _ in executor.map(lambda batch: self._compare(*batch, changed=changed), batches):
                pass

    def _engines(self, name: str) -> tuple[Server, Embedded]:
        engines: dict[str, tuple[Server, Embedded]] = vars(self._own).setdefault("engines", {})
        if name not in engines:
            config = self._configurations[name]
            with self._lock:
                server = Server(self._running, config)
                self._servers.append(server)
            engines[name] = server, Embedded(self._compiled, config)
        return engines[name]

    def _compare(self, name: str, documents: list[bytes], *, changed: bool) -> None:
        server, embedded = self._engines(name)
        by_embedded = dict(zip(documents, embedded.answers(documents), strict=True))
        # One document without a decision costs the server those that it is asked about at once.
        decided = [document for document in documents if by_embedded[document] is not None]
        by_server = dict(zip(decided, server.answers(decided), strict=True))
        for document in documents:
            if document not in by_server:
                (by_server[document],) = server.answers([document])
            of_server, of_embedded = by_server[document], by_embedded[document]
            with self._lock:
                self._count(Difference(name, changed, document, of_server, of_embedded))

    def _count(self, found: Difference) -> None:
        self.result.documents += 1
        allowed = found.server is not None and '"allow": true' in found.server
        if found.embedded is None and found.server is not None and found.changed:
            self.result.stricter += 1
            self.result.stricter_than_allow += allowed
        elif found.server != found.embedded:
            self.result.different += 1
            if len(self.result.differences) < _KEPT:
                self.result.differences.append(found)
        elif found.server is None:
            self.result.undecided += 1
        elif allowed:
            self.result.allowed += 1
        else:
            self.result.denied += 1

    def smallest(self, found: Difference) -> Difference:
        """A difference with as much of its document removed as leaves a difference."""
        server, embedded = self._engines(found.configuration)
        document, places = _loaded(found.document), 0
        while places < _count_places(document):
            smaller = _without_place(document, places)
            asked = orjson.dumps(smaller)
            (of_server,), (of_embedded,) = server.answers([asked]), embedded.answers([asked])
            if of_server == of_embedded or (of_embedded is None) != (found.embedded is None):
                places += 1
            else:
                document = smaller
                found = replace(
                    found, document=asked, server=of_server, embedded=of_embedded, changed=True
                )
        return found


def _loaded(document: bytes) -> Document:
    """A document whose numbers stay as they are written."""
    loaded: Document = json.loads(document, parse_int=orjson.Fragment, parse_float=orjson.Fragment)
    return loaded


def _count_places(node: Any) -> int:
    return sum(1 for _ in _walk(node))


def _walk(node: Any) -> Iterator[tuple[Any, Any]]:
    items = list(node.items() if isinstance(node, dict) else enumerate(node))
    for key, value in items:
        yield node, key
        if isinstance(value, dict | list):
            yield from _walk(value)


def _without_place(document: Document, number: int) -> Document:
    copy = _loaded(orjson.dumps(document))
    node, key = next(islice(_walk(copy), number, None))
    del node[key]
    return copy


@contextmanager
def open_comparison(
    opa: Opa, configurations: Configurations, sources: Path = policy.SHIPPED / policy.ROOT
) -> Iterator[Comparison]:
    """Start both engines. The embedded one has the policies in the folder ``sources``; ``make`` has
    compiled the shipped ones."""
    config = configuration(["closed"])
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        home = Path(folder)
        with running_policy_opa(opa, home, config) as running:
            found = find_compiled(sources, COMPILED, CACHE, lambda: opa)
            compiled = CompiledForBoth(found, home / "bundle")
            comparison = Comparison(running, compiled, configurations)
            try:
                yield comparison
            finally:
                comparison.close()
                compiled.close()
