"""One OPA for many policy configurations: each is a document of its data, and a question names the
one that counts.

Starting an OPA takes half a second of processor time, writing a configuration into one a
millisecond.
"""

from __future__ import annotations

import http
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from authz_plugin import policy
from authz_plugin.decision import Decision, read_decision
from authz_plugin.engine import binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress, UnixTransport
from authz_plugin.errors import EngineError

DEADLINE: Final = 10.0
"""Seconds that a decision may take on a machine that is busy with other tests."""

POLICY_FAILED: Final = re.compile(
    r"OPA answered with status 500: eval_|OPA has no decision|rule packages did not answer"
)
"""The errors of an OPA that answers and cannot compute the policy. Any other ``EngineError``, such
as a timeout, says nothing about the policy."""

_AT_ONCE: Final = 32
"""Documents in one question: more save nothing, and an answer has its limit."""

_PACKAGE: Final = "docker/authz/tested"
_MODULE: Final = """\
package docker.authz.tested

decision := answer if {
	answer := data.docker.authz.decision with input as input.document
		with data.docker.authz.config as data.configurations[input.configuration]
}

decisions := [answer |
	some document in input.documents
	answer := data.docker.authz.decision with input as document
		with data.docker.authz.config as data.configurations[input.configuration]
]
"""
_LOST: Final = """\

without_{name} := answer if {{
	answer := data.docker.authz.decision with input as input.document
		with data.docker.authz.config as data.configurations[input.configuration]
		with data.docker.authz.rules.{name} as {{}}
}}
"""


class PolicyOpa:
    """A running OPA with the shipped policies; see ``running_policy_opa``."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._writer = UnixTransport(socket, {"Content-Type": "application/json"})
        self._names: dict[bytes, str] = {}
        self._required = policy.shipped_rules()

    def engine(self, config: Mapping[str, Any], rule: str = "decision") -> ConfiguredEngine:
        """An engine that decides under a configuration, complete or not; ``rule`` is the rule of
        this module's package that gives the decision."""
        return ConfiguredEngine(self._socket, self._required, self._name(config), rule)

    def _name(self, config: Mapping[str, Any]) -> str:
        content = orjson.dumps(config, option=orjson.OPT_SORT_KEYS)
        if content not in self._names:
            name = f"c{len(self._names)}"
            path, end = f"/v1/data/configurations/{name}", time.monotonic() + DEADLINE
            status, answer = self._writer.exchange("PUT", path, content, end)
            assert status == http.HTTPStatus.NO_CONTENT, answer
            self._names[content] = name
        return self._names[content]

    def close(self) -> None:
        self._writer.close()


class ConfiguredEngine(OpaEngine):
    """Asks for a decision under one of the configurations that the OPA holds."""

    def __init__(
        self, socket: Path, required: frozenset[str], configuration: str, rule: str
    ) -> None:
        super().__init__(OpaAddress(url=f"unix:{socket}"), required, DEADLINE, _PACKAGE)
        self._configuration = configuration
        self._rule = rule

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        question = {"document": document, "configuration": self._configuration}
        answer = self.ask(self._rule, question, decision_id)
        return read_decision(answer, self._required)

    def decide_or_fail(self, document: dict[str, Any]) -> Decision | None:
        """The decision on a document, or None where the policy cannot be computed, which the plugin
        denies; raises ``EngineError`` where OPA does not answer."""
        try:
            return self.decide(document)
        except EngineError as error:
            if POLICY_FAILED.search(str(error)):
                return None
            raise

    def decide_each(self, documents: Sequence[dict[str, Any]]) -> list[Decision | None]:
        """The decisions on documents, in their order and as ``decide_or_fail`` gives them; OPA
        evaluates equal documents once."""
        keys = [orjson.dumps(document, option=orjson.OPT_SORT_KEYS) for document in documents]
        different = list(dict(zip(keys, documents, strict=True)).values())
        batches = [different[i : i + _AT_ONCE] for i in range(0, len(different), _AT_ONCE)]
        decisions = [decision for batch in batches for decision in self._decide_batch(batch)]
        decided = dict(zip(dict.fromkeys(keys), decisions, strict=True))
        return [decided[key] for key in keys]

    def _decide_batch(self, documents: Sequence[dict[str, Any]]) -> list[Decision | None]:
        question = {"documents": documents, "configuration": self._configuration}
        try:
            answers = self.ask("decisions", question)
            if len(answers) == len(documents):
                return [read_decision(answer, self._required) for answer in answers]
        except EngineError as error:
            if not POLICY_FAILED.search(str(error)):
                raise
        return [self.decide_or_fail(document) for document in documents]


def without_package(name: str) -> str:
    """The rule that decides as if a rule package's files were not there."""
    return f"without_{name}"


@contextmanager
def running_policy_opa(
    opa: binary.Opa, folder: Path, config: Mapping[str, Any]
) -> Iterator[PolicyOpa]:
    """An OPA with the shipped policies, for as long as it is used; ``folder`` is an empty one, and
    ``config`` what the policies find where no configuration is named."""
    bundle = policy.assemble(folder / "bundle", config, None, opa)
    module = bundle.folder / policy.ROOT / "tested/tested.rego"
    module.parent.mkdir()
    lost = (_LOST.format(name=name) for name in sorted(policy.shipped_rules()))
    module.write_text(_MODULE + "".join(lost))
    started = child.start(opa, bundle.folder)
    shared = PolicyOpa(started.socket)
    try:
        yield shared
    finally:
        shared.close()
        started.stop()
