"""A trial: what the policy decides of a request, with no dockerd and no running plugin involved.

Holds a real OPA with a bundle of its own for as long as it is open, and asks it on the one way that
requests go (``Authorizer``). The configuration can differ from question to question, which is how
tools find out what a change would do.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from authz_plugin import policy, supervisor
from authz_plugin.authorizer import Authorizer
from authz_plugin.decision import Decision
from authz_plugin.engine import binary, child
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.errors import EngineError, PolicyError, SetupError
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.settings import OpaSettings, Settings

_DEADLINE: Final = 10.0
_MODULE: Final = """\
package docker.authz.trial

decision := answer if {
	answer := data.docker.authz.decision with input as input.document
		with data.docker.authz.config as input.config
}

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


class Trial:
    """A policy to put requests to; see ``open_trial``.

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
        self._paths = supervisor.host_paths(settings)
        self._opa = child.start(opa, bundle)
        address = OpaSettings(url=f"unix:{self._opa.socket}")
        self._engine = OpaEngine(address, bundle.packages, _DEADLINE, "docker/authz/trial")

    def judge(self, message: bytes, config: Mapping[str, Any] | None = None) -> Judgement:
        """Decide on the body of an ``/AuthZPlugin.AuthZReq``."""
        records: list[DecisionRecord] = []
        engine = _Configured(self._engine, self.config if config is None else config)
        answer = Authorizer(engine, self._paths, records.append).authorize(message)
        return Judgement(answer.allow, answer.message, records[0], engine.document)

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
        self._engine.close()
        self._opa.stop()


class _Configured:
    """An engine that decides with a configuration and keeps the document that it was given."""

    def __init__(self, engine: OpaEngine, config: Mapping[str, Any]) -> None:
        self._engine = engine
        self._config = config
        self.document: dict[str, Any] | None = None

    def decide(self, document: dict[str, Any]) -> Decision:
        self.document = document
        return self._engine.decide({"document": document, "config": self._config})


@contextlib.contextmanager
def open_trial(settings: Settings, edited: Path | None = None) -> Iterator[Trial]:
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
    config = policy.configuration(settings, supervisor.host_paths(settings))
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
        module = bundle.folder / policy.ROOT / "trial/trial.rego"
        module.parent.mkdir()
        module.write_text(_MODULE)
        trial = Trial(opa, bundle, settings, config, sources)
        try:
            yield trial
        finally:
            trial.close()


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
