"""Asks both engines about documents and keeps what differs."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.compiled import compile_policy
from tests.adversary import campaign
from tests.adversary.engines import configuration
from tests.harness.policy_opa import PolicyOpa, running_policy_opa
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

Configurations = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A document under a configuration and the two answers; None stands for no decision."""

    configuration: str
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
    """How many documents were allowed, denied or not decided by both, and what differs."""

    documents: int = 0
    allowed: int = 0
    denied: int = 0
    undecided: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.documents} documents: both allow {self.allowed}, both deny {self.denied} "
            f"for the same reasons, neither decides {self.undecided}; {self.different} differ"
        )


def configurations() -> dict[str, Mapping[str, Any]]:
    """Every shipped profile; two of them and the ledger's as roles; one with exceptions; one that
    only warns."""
    profiles = complete_profiles()
    excepting = {**profiles["closed"], "exceptions": [_EXCEPTION]}
    return {
        **profiles,
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
        self.result = Result()

    def ask_everything(self, documents: Iterable[bytes]) -> None:
        """Ask about each document under each configuration."""
        listed = list(dict.fromkeys(documents))
        self._ask(
            (name, listed[start : start + _BATCH])
            for name in self._configurations
            for start in range(0, len(listed), _BATCH)
        )

    def ask_changed(self, documents: Sequence[bytes], count: int, seed: int) -> Iterator[Result]:
        """Ask about ``count`` changed documents, and yield the result so far now and then.

        The same ``seed`` gives the same documents.
        """
        names = list(self._configurations)

        def batch(number: int) -> tuple[str, list[bytes]]:
            chance = random.Random(f"{seed} {number}")
            name = chance.choice(names)
            return name, [changed(chance, list(documents)) for _ in range(_BATCH)]

        numbers = iter(range(-(-count // _BATCH)))
        while part := list(islice(numbers, 320)):
            self._ask(map(batch, part))
            yield self.result

    def _ask(self, batches: Iterable[tuple[str, list[bytes]]]) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as executor:
            for _ in executor.map(lambda batch: self._compare(*batch), batches):
                pass

    def _engines(self, name: str) -> tuple[Server, Embedded]:
        engines: dict[str, tuple[Server, Embedded]] = vars(self._own).setdefault("engines", {})
        if name not in engines:
            config = self._configurations[name]
            with self._lock:
                server = Server(self._running, config)
            engines[name] = server, Embedded(self._compiled, config)
        return engines[name]

    def _compare(self, name: str, documents: list[bytes]) -> None:
        server, embedded = self._engines(name)
        answers = zip(server.answers(documents), embedded.answers(documents), strict=True)
        for document, (of_server, of_embedded) in zip(documents, answers, strict=True):
            with self._lock:
                self._count(Difference(name, document, of_server, of_embedded))

    def _count(self, found: Difference) -> None:
        self.result.documents += 1
        if found.server != found.embedded:
            self.result.different += 1
            if len(self.result.differences) < _KEPT:
                self.result.differences.append(found)
        elif found.server is None:
            self.result.undecided += 1
        elif '"allow": true' in found.server:
            self.result.allowed += 1
        else:
            self.result.denied += 1

    def smallest(self, found: Difference) -> Difference:
        """A difference with as much of its document removed as leaves a difference."""
        server, embedded = self._engines(found.configuration)
        document, places = orjson.loads(found.document), 0
        while places < _count_places(document):
            smaller = _without_place(document, places)
            (asked,) = [orjson.dumps(smaller)]
            (of_server,), (of_embedded,) = server.answers([asked]), embedded.answers([asked])
            if of_server == of_embedded:
                places += 1
            else:
                document = smaller
                found = Difference(found.configuration, asked, of_server, of_embedded)
        return found


def _count_places(node: Any) -> int:
    return sum(1 for _ in _walk(node))


def _walk(node: Any) -> Iterator[tuple[Any, Any]]:
    items = list(node.items() if isinstance(node, dict) else enumerate(node))
    for key, value in items:
        yield node, key
        if isinstance(value, dict | list):
            yield from _walk(value)


def _without_place(document: Document, number: int) -> Document:
    copy: Document = orjson.loads(orjson.dumps(document))
    node, key = next(islice(_walk(copy), number, None))
    del node[key]
    return copy


@contextmanager
def open_comparison(
    opa: Opa, configurations: Configurations, sources: Path = policy.SHIPPED / policy.ROOT
) -> Iterator[Comparison]:
    """Start both engines. The embedded one has the policies in the folder ``sources``."""
    config = configuration(["closed"])
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        home = Path(folder)
        with running_policy_opa(opa, home, config) as running:
            module = compile_policy(opa, sources).module
            compiled = CompiledForBoth(module, home / "bundle")
            try:
                yield Comparison(running, compiled, configurations)
            finally:
                compiled.close()
