"""The policy sandbox: what the policy decides of a request, with no dockerd and no running plugin.

Holds a real OPA with a bundle of its own for as long as it is open, and asks it on the one way that
requests go (``Authorizer``). The configuration can differ from question to question, which is how
tools find out what a change would do.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import orjson

from authz_plugin import policy
from authz_plugin.authorizer import Authorizer
from authz_plugin.decision import Decision, Denial, denial_message, read_decision
from authz_plugin.engine import binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.enginestate import EngineState, LocalEngineState, NoEngineState, engine_state
from authz_plugin.errors import EngineError, PolicyError, SetupError
from authz_plugin.hostpaths import host_paths
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.settings import OpaSettings, Settings

Subject = bytes | Mapping[str, Any]
"""What can be decided on: the body of an ``/AuthZPlugin.AuthZReq``, or an input document."""

_T = TypeVar("_T")

_DEADLINE: Final = 10.0
_AT_ONCE: Final = 32
"""Documents in one question: what is gained by more is little, and an answer has its limit."""
_QUESTIONS: Final = 4
_REMEMBERED: Final = 50_000
_MODULE: Final = """\
package docker.authz.sandbox

decision := answer if {
	answer := data.docker.authz.decision with input as input.document
		with data.docker.authz.config as input.config
}

decisions := [answer |
	some document in input.documents
	answer := data.docker.authz.decision with input as document
		with data.docker.authz.config as input.config
]

config := answer if {
	answer := data.docker.authz.effective.config with input as input.document
		with data.docker.authz.config as input.config
}
"""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a request: ``message`` is what its sender would read, ``document`` what the
    policies saw of it, or None if it was refused before."""

    allow: bool
    message: str
    record: DecisionRecord
    document: Mapping[str, Any] | None


class Sandbox:
    """A policy to put requests to; see ``open_sandbox``.

    ``config`` is the configuration that counts unless another is given, ``settings`` what it was
    made of, ``opa`` the program and ``sources`` the folders that the policies come from.
    """

    def __init__(
        self,
        opa: binary.Opa,
        bundle: policy.Bundle,
        settings: Settings,
        config: dict[str, Any],
        sources: Sequence[Path],
    ) -> None:
        self.opa = opa
        self.bundle = bundle
        self.settings = settings
        self.config = config
        self.sources = sources
        self._paths = host_paths(visible=settings.sees_host)
        self._state = _engine_state(settings)
        self._opa = child.start(opa, bundle.folder)
        address = OpaSettings(url=f"unix:{self._opa.socket}")
        self._engine = OpaEngine(address, bundle.packages, _DEADLINE, "docker/authz/sandbox")
        self._askers = ThreadPoolExecutor(_QUESTIONS, "sandbox")

    def judge(self, subject: Subject, config: Mapping[str, Any] | None = None) -> Judgement:
        """Decide on a request."""
        if not isinstance(subject, bytes):
            return self._judge_document(subject, config)
        records: list[DecisionRecord] = []
        engine = _Configured(self._engine, self.config if config is None else config)
        answer = Authorizer(engine, self._paths, self._state, records.append).authorize(subject)
        return Judgement(answer.allow, answer.message, records[0], engine.document)

    def _judge_document(
        self, document: Mapping[str, Any], config: Mapping[str, Any] | None
    ) -> Judgement:
        record = DecisionRecord.begin()
        record.operation = document["operation"]["id"]
        (decision,) = self.decide([document], config)
        record.decided(decision)
        text = denial_message(record.operation, record.denials, record.decision_id)
        return Judgement(decision.allow, "" if decision.allow else text, record, document)

    def read(self, message: bytes) -> tuple[DecisionRecord, Mapping[str, Any] | None]:
        """What the policies would be asked about a message: its record so far, and the input
        document, or None for a request that is refused before, as the record then says."""
        records: list[DecisionRecord] = []
        engine = _Unasked()
        Authorizer(engine, self._paths, self._state, records.append).authorize(message)
        return records[0], engine.document

    def decide(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any] | None = None
    ) -> list[Decision]:
        """Decide on input documents, many at a time; where the policies give no decision, deny as
        the plugin does."""
        config = self.config if config is None else config
        starts = range(0, len(documents), _AT_ONCE)
        parts = [documents[start : start + _AT_ONCE] for start in starts]
        found = self._askers.map(lambda part: self._decisions(part, config), parts)
        return [decision for part in found for decision in part]

    def _decisions(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
    ) -> list[Decision]:
        try:
            return self._ask(documents, config)
        except EngineError as error:
            if len(documents) == 1:
                return [_undecided(error)]
        return [found for document in documents for found in self._decisions([document], config)]

    def _ask(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
    ) -> list[Decision]:
        answers = self._engine.ask("decisions", {"documents": documents, "config": config})
        if len(answers) != len(documents):
            raise EngineError("there is a document without a decision")
        return [read_decision(answer, self.bundle.packages) for answer in answers]

    def configured(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration that the settings would make with another policy configuration given;
        raises ``SettingsError`` where it is not a sound one."""
        return policy.configuration(replace(self.settings, policy=changes), self._paths)

    def config_for(
        self, document: Mapping[str, Any], config: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """The part of a configuration that counts for the caller of a document; raises
        ``EngineError``."""
        question = {"document": document, "config": self.config if config is None else config}
        answer = self._engine.ask("config", question)
        if not isinstance(answer, dict):
            raise EngineError("the policy has no configuration for this caller")
        return answer

    def close(self) -> None:
        self._askers.shutdown(cancel_futures=True)
        self._engine.close()
        self._opa.stop()


def _undecided(error: EngineError) -> Decision:
    denial = Denial("request.engine", "", None, f"there is no decision: {error}", "")
    return Decision(False, (denial,), (), frozenset(), "", "")  # noqa: FBT003 - as the fields stand


class _Configured:
    """An engine that decides with a configuration and keeps the document that it was given."""

    def __init__(self, engine: OpaEngine, config: Mapping[str, Any]) -> None:
        self._engine = engine
        self._config = config
        self.document: dict[str, Any] | None = None

    def decide(self, document: dict[str, Any]) -> Decision:
        self.document = document
        return self._engine.decide({"document": document, "config": self._config})


class _Unasked:
    """An engine that keeps the document that it was given, and gives no decision."""

    document: dict[str, Any] | None = None

    def decide(self, document: dict[str, Any]) -> Decision:
        self.document = document
        raise EngineError("nobody was asked")


class Stream(Generic[_T]):
    """Input documents that are decided batch after batch, each different one once.

    ``make`` makes something of a document and its decision. For a document that differs in nothing
    but its time the same is given again, if the decision allows that; ``size`` documents at most
    are remembered.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        config: Mapping[str, Any],
        make: Callable[[Mapping[str, Any], Decision], _T],
        size: int = _REMEMBERED,
    ) -> None:
        self._sandbox = sandbox
        self._config = config
        self._make = make
        self._size = size
        self._known: OrderedDict[bytes, _T] = OrderedDict()

    def decide(self, documents: Sequence[Mapping[str, Any]]) -> list[_T]:
        """What is made of some documents, in their order."""
        digests = [_digest(document) for document in documents]
        new = {
            digest: document
            for digest, document in zip(digests, documents, strict=True)
            if digest not in self._known
        }
        made: dict[bytes, _T] = {}
        decisions = self._sandbox.decide(list(new.values()), self._config)
        for (digest, document), decision in zip(new.items(), decisions, strict=True):
            made[digest] = self._make(document, decision)
            if decision.repeatable:
                self._known[digest] = made[digest]
        found = [made[digest] if digest in made else self._known[digest] for digest in digests]
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return found


def _digest(document: Mapping[str, Any]) -> bytes:
    return sha256(orjson.dumps({**document, "time": ""})).digest()


def _engine_state(settings: Settings) -> EngineState:
    """dockerd's files where there are any: policies are tried on machines without Docker, too, and
    there no container has any mounts."""
    state = engine_state(settings.data_root, visible=settings.sees_host)
    if isinstance(state, LocalEngineState) and state.root and not state.root.is_dir():
        return NoEngineState()
    return state


@contextlib.contextmanager
def open_sandbox(settings: Settings, edited: Path | None = None) -> Iterator[Sandbox]:
    """The policy that these settings make; raises ``SetupError`` where the plugin would not start.

    ``edited`` is a folder that takes the place of the shipped policies (it holds
    ``docker/authz``), or of the operator's own rules.
    """
    if settings.opa.url is not None and not settings.policy:
        raise SetupError(
            "opa.url is set, so that OPA's bundle holds the policy: name what the bundle was "
            "made of with --config or --profile"
        )
    opa = binary.find(settings.opa.binary)
    config = policy.configuration(settings, host_paths(visible=settings.sees_host))
    shipped, custom = policy.SHIPPED, settings.policies
    if edited is not None and (edited / policy.ROOT).is_dir():
        shipped = edited
    elif edited is not None:
        custom = edited
    sources = [shipped / policy.ROOT, *([] if custom is None else [custom])]
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        bundle = policy.assemble(Path(folder) / "bundle", config, custom, opa)
        if shipped != policy.SHIPPED:
            _replace_shipped(bundle, shipped, opa)
        module = bundle.folder / policy.ROOT / "sandbox/sandbox.rego"
        module.parent.mkdir()
        module.write_text(_MODULE)
        sandbox = Sandbox(opa, bundle, settings, config, sources)
        try:
            yield sandbox
        finally:
            sandbox.close()


def _replace_shipped(bundle: policy.Bundle, shipped: Path, opa: binary.Opa) -> None:
    """Put edited policies in the place of the shipped ones; raises ``PolicyError``."""
    opa.check(policy.SHIPPED / "schemas", [shipped / policy.ROOT])
    target = bundle.folder / policy.ROOT
    for file in target.rglob("*.rego"):
        file.unlink()
    files = [f for f in (shipped / policy.ROOT).rglob("*.rego") if not f.stem.endswith("_test")]
    if not files:
        raise PolicyError(f"{shipped} holds no policies")
    for file in files:
        copy = target / file.relative_to(shipped / policy.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
