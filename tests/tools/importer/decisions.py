"""Decides on many requests under many configurations with the shipped policy and OPA."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from authz_plugin import policy
from authz_plugin.engine import child
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.hostpaths import UnseenHostPaths
from tests.conftest import with_policy

_THREADS: Final = 2
_MODULE: Final = """\
package docker.authz.many

decisions := [_decision(document) | some document in input.documents]

_decision(document) := [false, ["sections.operation"]] if {
	denials := data.docker.authz.rules.sections.denials with input as document
		with data.docker.authz.config as input.config
	count(denials) > 0
} else := [decision.allow, {denial.rule | some denial in decision.denials}] if {
	decision := data.docker.authz.decision with input as document
		with data.docker.authz.config as input.config
}
"""
"""Other rules are evaluated only if the rules for sections do not deny."""


class Decision(NamedTuple):
    """Whether a request is allowed, and the ids of the rules that deny it."""

    allow: bool
    rules: frozenset[str]


class Decider:
    """Decides on input documents; made by ``open_decider``."""

    def __init__(self, engine: OpaEngine) -> None:
        self._engine = engine

    def decide(
        self, configurations: Sequence[Mapping[str, Any]], documents: Sequence[Mapping[str, Any]]
    ) -> list[list[Decision]]:
        """Return the decisions on all documents under each policy configuration.

        Equal configurations are evaluated once. So are documents that differ only in what no rule
        reads under an imported configuration: path, version and method are not read at all, and
        names only if the configuration names tenants or plugins.
        """
        keys = [_key(document) for document in documents]
        different = dict(zip(keys, documents, strict=True))
        selected = {json.dumps(one): one for one in configurations}

        def ask(configuration: Mapping[str, Any]) -> dict[str, Decision]:
            config = policy.configuration(with_policy(**configuration), UnseenHostPaths())
            question = {"documents": list(different.values()), "config": config}
            answers = self._engine.ask("decisions", question)
            made = [Decision(allow, frozenset(rules)) for allow, rules in answers]
            return dict(zip(different, made, strict=True))

        with ThreadPoolExecutor(_THREADS) as threads:
            found = dict(zip(selected, threads.map(ask, selected.values()), strict=True))
        return [[found[json.dumps(one)][key] for key in keys] for one in configurations]


@contextmanager
def open_decider(opa: Opa) -> Iterator[Decider]:
    """Run an OPA and yield a decider."""
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        config = policy.configuration(with_policy(profile="closed"), UnseenHostPaths())
        bundle = policy.assemble(Path(folder) / "bundle", config, None, opa)
        module = bundle.folder / policy.ROOT / "many/many.rego"
        module.parent.mkdir()
        module.write_text(_MODULE)
        running = child.start(opa, bundle.folder)
        settings = OpaAddress(url=f"unix:{running.socket}")
        engine = OpaEngine(settings, frozenset(), 120, "docker/authz/many")
        try:
            yield Decider(engine)
        finally:
            engine.close()
            running.stop()


def _key(document: Mapping[str, Any]) -> str:
    unread = {"method", "uri", "path", "api_version"}
    request = {name: value for name, value in document["request"].items() if name not in unread}
    operation = {**document["operation"], "resource": None}
    read = {**document, "request": request, "operation": operation, "references": None}
    return json.dumps(read, default=str)
