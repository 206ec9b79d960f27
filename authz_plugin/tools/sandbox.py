"""The policy sandbox: decisions on requests without a dockerd and without a running plugin.

A sandbox has a policy of its own, in the embedded engine or, where that lacks a builtin, in an OPA
process. Builtins that can send requests fail there: nothing is sent, and there is no decision. A
rule in which a ``with`` of its own names such a builtin is not held back.
Tools that have a running plugin decide on the same requests let them send.

Requests pass through ``Authorizer`` as in the plugin. Each decision can have a configuration of its
own, so that tools can compare several.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Generic, Protocol, TypeVar

import orjson

from authz_plugin import policy
from authz_plugin.authorizer import Authorizer
from authz_plugin.decision import Decision, Denial, denial_message, read_decision
from authz_plugin.engine import Engine, binary, child
from authz_plugin.engine.builtins import NETWORK
from authz_plugin.engine.compiled import CompiledPolicy, data_document, find_compiled
from authz_plugin.engine.configurable import ConfigurablePolicy
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.enginestate import EngineState, LocalEngineState, NoEngineState, engine_state
from authz_plugin.errors import (
    EngineError,
    SettingsError,
    SetupError,
    UnsupportedBuiltinsError,
)
from authz_plugin.hostpaths import cache_home, host_paths
from authz_plugin.interrupts import postponed
from authz_plugin.journal.record import DecisionRecord, Times, decision_record, new_decision_id
from authz_plugin.protocol import Answer
from authz_plugin.rules import RULES, Rule
from authz_plugin.settings import Settings
from authz_plugin.tools.rule_sources import rule_sources

Subject = bytes | Mapping[str, Any]
"""What can be decided on: the body of an ``/AuthZPlugin.AuthZReq`` as bytes, or an input
document."""

_T = TypeVar("_T")
_Query = Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any]], list[Decision]]

_DEADLINE: Final = 10.0
"""Seconds for one answer of OPA."""

_BATCH_SIZE: Final = 32
"""Input documents in one query to OPA, whose answer has a limited size."""

_PARALLEL_BATCHES: Final = 4
_CACHE_SIZE: Final = 50_000
_KEPT_CONFIGURATIONS: Final = 200
_MODULE: Final = """\
package docker.authz.sandbox

decisions := [answer |
	some document in input.documents
	answer := data.docker.authz.decision with input as document
		with data.docker.authz.config as input.config
{replaced}]
{functions}"""
"""Decides on documents. ``functions`` are one a line, and ``replaced`` names what they replace."""

_NOT_SENT: Final = re.compile(r"eval_builtin_error at \S*\bsandbox/sandbox\.rego:(\d+)")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A decision of the sandbox.

    ``message`` is what dockerd would send to the client, empty if the request is allowed.
    ``document`` is the input document, or None if the plugin refused the request before it asked
    the policy.
    """

    allow: bool
    message: str
    record: DecisionRecord
    document: Mapping[str, Any] | None


class Sandbox:
    """A policy that decides on requests; made by ``open_sandbox``.

    ``config`` is the complete policy configuration, which each method uses unless another is
    given; ``settings`` are the plugin's settings that it was made from. ``find_opa`` returns the
    OPA program, ``bundle`` is the policy and ``sources`` are the folders that it was made from.
    """

    def __init__(
        self,
        find_opa: Callable[[], binary.Opa],
        bundle: policy.Bundle,
        settings: Settings,
        config: dict[str, Any],
        sources: Sequence[Path],
        *,
        sends: bool,
    ) -> None:
        self.find_opa = find_opa
        self.bundle = bundle
        self.settings = settings
        self.config = config
        self.sources = sources
        self._paths = host_paths(visible=settings.sees_host)
        self._state = _engine_state(settings)
        self._configured: dict[str, dict[str, Any] | SettingsError] = {}
        self._evaluator = _evaluator(bundle, find_opa, sends=sends)
        self._executor = ThreadPoolExecutor(_PARALLEL_BATCHES, "sandbox")

    @property
    def engine(self) -> str:
        """What evaluates the policy, for messages."""
        return self._evaluator.description

    @cached_property
    def rules(self) -> Mapping[str, Rule]:
        """The rules of this policy by their ids; raises ``PolicyError`` for unreadable metadata."""
        folders = [folder for folder in self.sources if folder != policy.SHIPPED / policy.ROOT]
        others = (
            {id_: found.rule for id_, found in rule_sources(self.find_opa, folders).items()}
            if folders
            else {}
        )
        return {**RULES, **others}

    def assume_container(self, id_: str) -> None:
        """Take ``id_`` for a container that dockerd would make, and that has nothing mounted."""
        self._state = _StateWithContainer(self._state, id_)

    def judge(self, subject: Subject, config: Mapping[str, Any] | None = None) -> Judgement:
        """Decide on a request; denies without an answer of OPA, as the plugin does."""
        if not isinstance(subject, bytes):
            return self._judge_document(subject, config)
        engine = _EngineWithConfig(self._query, self.config if config is None else config)
        answer, record = self._authorize(engine, subject)
        return Judgement(answer.allow, answer.message, record, engine.document)

    def _judge_document(
        self, document: Mapping[str, Any], config: Mapping[str, Any] | None
    ) -> Judgement:
        (decision,) = self.decide([document], config)
        undescribed = decision_record(
            decision_id=new_decision_id(),
            time=datetime.now(UTC),
            started=perf_counter(),
            request=None,
            canonical=None,
            caller=None,
            decision=decision,
            allow=decision.allow,
            denials=decision.denials,
            error="",
            engine="",
            times=Times(),
        )
        record = undescribed._replace(operation=document["operation"]["id"])
        text = denial_message(record.operation, record.denials, record.decision_id)
        return Judgement(decision.allow, "" if decision.allow else text, record, document)

    def read(self, message: bytes) -> tuple[DecisionRecord, Mapping[str, Any] | None]:
        """Read a message as the plugin does, without a decision.

        Returns the record and the input document. The document is None if the plugin refuses the
        request; the record then has the denial.
        """
        engine = _EngineWithoutDecision()
        _, record = self._authorize(engine, message)
        return record, engine.document

    def _authorize(self, engine: Engine, message: bytes) -> tuple[Answer, DecisionRecord]:
        records: list[DecisionRecord] = []
        authorizer = Authorizer(
            engine, self._paths, self._state, lambda record, _: records.append(record)
        )
        return authorizer.authorize(message), records[0]

    def decide(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any] | None = None
    ) -> list[Decision]:
        """Return the decisions on input documents, in their order.

        A document on which OPA gives no decision is denied by ``request.engine``, as in the
        plugin.
        """
        config = self.config if config is None else config
        starts = range(0, len(documents), _BATCH_SIZE)
        parts = [documents[start : start + _BATCH_SIZE] for start in starts]
        with postponed():
            batches = [self._executor.submit(self._decide_batch, part, config) for part in parts]
        return [decision for batch in batches for decision in _result(batch)]

    def _decide_batch(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
    ) -> list[Decision]:
        try:
            return self._query(documents, config)
        except EngineError as error:
            if len(documents) == 1:
                return [_denied_without_decision(error)]
        return [found for document in documents for found in self._decide_batch([document], config)]

    def _query(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
    ) -> list[Decision]:
        answers = self._evaluator.decisions(documents, config)
        return [read_decision(answer, self.bundle.packages) for answer in answers]

    def configured(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the complete configuration with ``changes`` as the operator's configuration.

        ``changes`` replace the policy configuration in the settings. The result, which must not be
        changed, is kept: the tools ask for the same changes again and again. Raises
        ``SettingsError`` if they are not valid.
        """
        key = json.dumps(changes)
        if key not in self._configured:
            if len(self._configured) >= _KEPT_CONFIGURATIONS:
                self._configured.clear()
            settings = self.settings._replace(policy=changes)
            try:
                self._configured[key] = policy.configuration(settings, self._paths)
            except SettingsError as error:
                self._configured[key] = error
        found = self._configured[key]
        if isinstance(found, SettingsError):
            raise found.with_traceback(None)
        return found

    def config_for(
        self, document: Mapping[str, Any], config: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Return the configuration in force for the caller of an input document.

        That is the configuration of the caller's role, or the whole one without a role. Raises
        ``EngineError`` if there is no decision.
        """
        config = self.config if config is None else config
        (decision,) = self._query([document], config)
        found: Mapping[str, Any] = config["roles"][decision.role] if decision.role else config
        return found

    def close(self) -> None:
        """Release the policy."""
        self._executor.shutdown(cancel_futures=True)
        self._evaluator.close()


class _Evaluator(Protocol):
    """Evaluates a policy under configurations. ``description`` is for messages."""

    description: str

    def decisions(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
    ) -> list[Any]:
        """The decision documents on input documents, in their order; raises ``EngineError`` if
        there is none on one of them."""

    def close(self) -> None:
        """Release the policy."""


def _evaluator(
    bundle: policy.Bundle, find_opa: Callable[[], binary.Opa], *, sends: bool
) -> _Evaluator:
    cache = cache_home(os.environ, root=os.geteuid() == 0)
    try:
        compiled = find_compiled(bundle.folder, policy.SHIPPED / "compiled", cache, find_opa)
    except UnsupportedBuiltinsError:
        return _OpaEvaluator(find_opa(), bundle, sends=sends)
    return _EmbeddedEvaluator(compiled, bundle, cache)


class _EmbeddedEvaluator:
    """Evaluates a policy in this process."""

    def __init__(self, compiled: CompiledPolicy, bundle: policy.Bundle, cache: Path) -> None:
        about = data_document(bundle.folder)["docker"]["authz"]["bundle"]
        self.description = "compiled by OPA to WebAssembly"
        self._policy = ConfigurablePolicy(compiled, about, _DEADLINE, cache)

    def decisions(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
    ) -> list[Any]:
        return list(map(self._policy.under(config), documents))

    def close(self) -> None:
        self._policy.close()


class _OpaEvaluator:
    """Evaluates a policy in an OPA process.

    Unless it ``sends``, builtins that can send requests fail, at lines that name them.
    """

    def __init__(self, opa: binary.Opa, bundle: policy.Bundle, *, sends: bool) -> None:
        self._module = _module({} if sends else NETWORK)
        file = bundle.folder / policy.ROOT / "sandbox/sandbox.rego"
        file.parent.mkdir()
        file.write_text(self._module)
        self.description = f"OPA {opa.version} ({opa.path})"
        self._opa = child.start(opa, bundle.folder)
        address = OpaAddress(url=f"unix:{self._opa.socket}")
        self._engine = OpaEngine(address, bundle.packages, _DEADLINE, "docker/authz/sandbox")

    def decisions(
        self, documents: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
    ) -> list[Any]:
        try:
            answers = self._engine.ask("decisions", {"documents": documents, "config": config})
        except EngineError as error:
            raise self._told_what_was_not_sent(error) from error
        if not isinstance(answers, list) or len(answers) != len(documents):
            raise EngineError("there is a document without a decision")
        return answers

    def _told_what_was_not_sent(self, error: EngineError) -> EngineError:
        """An error of OPA's, or what to say instead if a rule called what can send a request."""
        found = _NOT_SENT.search(str(error))
        if found is None:
            return error
        name = self._module.splitlines()[int(found[1]) - 1].split('"')[1]
        return EngineError(
            f"a rule calls {name}, which can send requests; a trial sends none, so that what the "
            "rule decides is not known"
        )

    def close(self) -> None:
        self._engine.close()
        self._opa.stop()


def _module(failing: Mapping[str, int]) -> str:
    """The module that decides, with builtins that fail, by their numbers of arguments."""
    return _MODULE.format(
        replaced="".join(f"\t\twith {name} as failing_{i}\n" for i, name in enumerate(failing)),
        functions="".join(
            f'failing_{i}({", ".join("_" * count)}) := to_number("{name}")\n'
            for i, (name, count) in enumerate(failing.items())
        ),
    )


def _result(batch: Future[list[Decision]]) -> list[Decision]:
    with postponed():
        return batch.result()


def _denied_without_decision(error: EngineError) -> Decision:
    denial = Denial("request.engine", "", None, f"there is no decision: {error}", "")
    return Decision(False, (denial,), (), frozenset(), "", "")  # noqa: FBT003 - as the fields stand


class _EngineWithConfig:
    """An engine that decides with one configuration and keeps the last input document."""

    def __init__(self, query: _Query, config: Mapping[str, Any]) -> None:
        self._query = query
        self._config = config
        self.document: dict[str, Any] | None = None

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        del decision_id
        self.document = document
        (decision,) = self._query([document], self._config)
        return decision


class _EngineWithoutDecision:
    """An engine that keeps the last input document and always raises ``EngineError``."""

    document: dict[str, Any] | None = None

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        del decision_id
        self.document = document
        raise EngineError("nobody was asked")


class BatchDecider(Generic[_T]):
    """Decides on batches of input documents and caches the results.

    ``convert`` returns the result for a document and its decision. Documents that differ only in
    ``time`` have the same result, if the decision is ``repeatable``. The cache holds at most
    ``cache_size`` results; the oldest are removed first.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        config: Mapping[str, Any],
        convert: Callable[[Mapping[str, Any], Decision], _T],
        cache_size: int = _CACHE_SIZE,
    ) -> None:
        self._sandbox = sandbox
        self._config = config
        self._convert = convert
        self._cache_size = cache_size
        self._cache: OrderedDict[bytes, _T] = OrderedDict()

    def decide(self, documents: Sequence[Mapping[str, Any]]) -> list[_T]:
        """Return the results for documents, in their order."""
        digests = [_digest(document) for document in documents]
        new = {
            digest: document
            for digest, document in zip(digests, documents, strict=True)
            if digest not in self._cache
        }
        made: dict[bytes, _T] = {}
        decisions = self._sandbox.decide(list(new.values()), self._config)
        for (digest, document), decision in zip(new.items(), decisions, strict=True):
            made[digest] = self._convert(document, decision)
            if decision.repeatable:
                self._cache[digest] = made[digest]
        found = [made[digest] if digest in made else self._cache[digest] for digest in digests]
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return found


def _digest(document: Mapping[str, Any]) -> bytes:
    return sha256(orjson.dumps({**document, "time": ""})).digest()


class _StateWithContainer:
    """An engine state and one more container, which has nothing mounted."""

    def __init__(self, state: EngineState, id_: str) -> None:
        self._state = state
        self._id = id_

    @property
    def is_seen(self) -> bool:
        return self._state.is_seen

    def mount_points(self, reference: str) -> list[Any]:
        return [] if reference == self._id else self._state.mount_points(reference)

    def volume_options(self, name: str) -> list[Any]:
        return self._state.volume_options(name)


def _engine_state(settings: Settings) -> EngineState:
    """Return the engine state of the settings, or an empty one if the data root does not exist.

    That is the case on hosts without Docker, on which policies can be tried too.
    """
    state = engine_state(settings.data_root, visible=settings.sees_host)
    if isinstance(state, LocalEngineState) and state.root and not state.root.is_dir():
        return NoEngineState()
    return state


@contextlib.contextmanager
def open_sandbox(
    settings: Settings, edited: Path | None = None, *, sends: bool = False
) -> Iterator[Sandbox]:
    """Open a sandbox with the policy of the plugin's settings, and close it at the end.

    ``edited`` is a folder of policies. It replaces the shipped policies if it contains
    ``docker/authz``, otherwise the folder of the operator's own rules. With ``sends``, rules may
    send requests, as they do in the plugin. Raises ``SetupError`` if the plugin would not start
    with these settings and policies.
    """
    if settings.opa.url is not None and not settings.policy:
        raise SetupError(
            "opa.url is set, so that OPA's bundle holds the policy: name what the bundle was "
            "made of with --config or --profile"
        )
    opa = binary.OpaWhenNeeded(settings.opa.binary)
    config = policy.configuration(settings, host_paths(visible=settings.sees_host))
    copy, custom = None, settings.policies
    if edited is not None and (edited / policy.ROOT).is_dir():
        copy = edited
    elif edited is not None:
        custom = edited
    sources = [(copy or policy.SHIPPED) / policy.ROOT, *([] if custom is None else [custom])]
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        bundle = policy.assemble(Path(folder) / "bundle", config, custom, opa, copy)
        sandbox = Sandbox(opa.find, bundle, settings, config, sources, sends=sends)
        try:
            yield sandbox
        finally:
            sandbox.close()
