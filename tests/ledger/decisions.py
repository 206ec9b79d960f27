"""Evaluates the ledger's witnesses with OPA, all of them in one run.

The requests with the witness and without it are evaluated, and both again for each fact of the row,
without that fact in the input document.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from authz_plugin import policy
from authz_plugin.errors import Refused
from tests.conftest import with_policy
from tests.ledger import STRICT, LedgerError, Row
from tests.ledger.requests import HOST, LedgerRequest, merged, requests_of

Denials = frozenset[str]
"""The denials of a rule as JSON text, which can be compared."""

_MODULE: Final = """\
package ledger

answers := [found |
    some case in data.cases
    config := data.configs[case.config]
    found := [denied |
        some name in case.packages
        denied := data.docker.authz.rules[name].denials[_]
            with input as case.input
            with data.docker.authz.config as config
    ]
]
"""


@dataclass(slots=True)
class Evaluation:
    """An input document with the denials of some rule packages under a configuration.

    ``config`` is the index of the configuration. ``refused`` is the rule by which the plugin
    refuses the request, in which case there is no document.
    """

    document: dict[str, Any] | None
    config: int
    packages: list[str]
    refused: str = ""
    denied: list[dict[str, Any]] = field(default_factory=list)

    def denials_of(self, rule: str) -> Denials:
        """Return the denials of a rule."""
        if self.refused:
            return frozenset({self.refused} & {rule})
        return frozenset(
            json.dumps(one, sort_keys=True) for one in self.denied if one["rule"] == rule
        )

    def denied_fields(self, rule: str) -> frozenset[str]:
        """Return the fields of the denials of a rule."""
        if self.refused:
            return frozenset({self.refused} & {rule})
        return frozenset(one["field"] for one in self.denied if one["rule"] == rule)


@dataclass(slots=True)
class Witness:
    """The evaluations of a row's witness for one operation.

    ``as_is`` is that of the request with the witness, ``without`` that of the request without it.
    ``without_facts`` has both without a fact of the row, by the fact.
    """

    row: Row
    operation: str
    as_is: Evaluation
    without: Evaluation
    without_facts: dict[str, tuple[Evaluation, Evaluation]]

    def problems(self) -> Iterator[str]:
        """Yield what the row says of its rules and is not so."""
        for rule in self.row.rules.split():
            denied, accepted = self.as_is.denials_of(rule), self.without.denials_of(rule)
            if not denied:
                yield f"{rule} does not deny the witness {self.row.witness}"
            elif self.as_is.denied_fields(rule) <= self.without.denied_fields(rule):
                yield f"{rule} denies the same place without the field: it does not read it"
            for fact, (as_is, without) in self.without_facts.items():
                if as_is.denials_of(rule) == denied and without.denials_of(rule) == accepted:
                    yield f"{rule} denies the same without {fact} in its input: it does not read it"


class Decider:
    """Collects requests and evaluates all of them in one run of OPA."""

    def __init__(self) -> None:
        self._strict: dict[str, Any] = YAML(typ="safe", pure=True).load(STRICT)
        self._configs: dict[str, int] = {}
        self._compiled: list[Mapping[str, Any]] = []
        self._evaluations: list[Evaluation] = []

    def witness(self, row: Row, operation: str) -> Witness:
        """Add the requests of a row's witness; they are evaluated by ``decide``."""
        config = self._config(row.context_object.get("config", {}))
        with_witness, without_it = requests_of(row, operation)
        packages = sorted({rule.partition(".")[0].replace("-", "_") for rule in row.rules.split()})
        as_is, without = (self._add(one, config, packages) for one in (with_witness, without_it))
        without_facts = {
            fact: (
                self._add(with_witness, config, packages, fact),
                self._add(without_it, config, packages, fact),
            )
            for fact in row.facts.split()
        }
        return Witness(row, operation, as_is, without, without_facts)

    def decide(self, opa: Path, folder: Path) -> None:
        """Evaluate all requests; ``folder`` is an empty folder for files.

        Raises ``LedgerError`` if OPA fails.
        """
        evaluations = [one for one in self._evaluations if one.document is not None]
        cases = [
            {"input": one.document, "config": one.config, "packages": one.packages}
            for one in evaluations
        ]
        data = folder / "cases.json"
        helper = folder / "ledger.rego"
        helper.write_text(_MODULE)
        data.write_text(json.dumps({"cases": cases, "configs": self._compiled}))
        shipped = policy.SHIPPED / policy.ROOT
        words: list[str | Path] = [opa, "eval", "--format", "json", "data.ledger.answers"]
        for source in (shipped, data, helper):
            words += ["--data", source]
        done = subprocess.run(
            words,
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode:
            raise LedgerError(f"OPA did not decide the ledger's witnesses: {done.stdout}")
        (answers,) = (
            expression["value"]
            for result in json.loads(done.stdout)["result"]
            for expression in result["expressions"]
        )
        for one, denied in zip(evaluations, answers, strict=True):
            one.denied = denied

    def _config(self, change: Mapping[str, Any]) -> int:
        key = json.dumps(change, sort_keys=True)
        if key not in self._configs:
            settings = with_policy(**merged(self._strict, change))
            self._compiled.append(policy.configuration(settings, HOST))
            self._configs[key] = len(self._compiled) - 1
        return self._configs[key]

    def _add(
        self, request: LedgerRequest, config: int, packages: list[str], without: str = ""
    ) -> Evaluation:
        try:
            document = request.document()
        except Refused as refusal:
            evaluation = Evaluation(None, config, packages, refused=refusal.rule)
        else:
            if without:
                _remove(document, without.split("."))
            evaluation = Evaluation(document, config, packages)
        self._evaluations.append(evaluation)
        return evaluation


def _remove(node: Any, keys: list[str]) -> None:
    """Remove the value at a path of keys, if there is one."""
    *outer, last = keys
    for key in outer:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node.pop(last, None)
