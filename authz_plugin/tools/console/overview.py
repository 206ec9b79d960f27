"""The policy at a glance: profile and changes, roles, exceptions, what is open, and the plugin.

Everything about the policy is read from the settings here, everything about the running plugin from
its metrics and its health, or else from its last decisions in the audit file. What neither tells is
said to be unknown, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from prometheus_client.samples import Sample

from authz_plugin import policy
from authz_plugin.configuration import complete_profile
from authz_plugin.decision import visible
from authz_plugin.dockerd.routes import OPERATIONS, Operation
from authz_plugin.errors import SetupError
from authz_plugin.hostpaths import host_paths
from authz_plugin.policy import Exemption
from authz_plugin.settings import DEFAULT_PROFILE, Key, Settings, show
from authz_plugin.tools.console.reading import links_newest_first
from authz_plugin.tools.plugin_metrics import read_faults, read_metrics
from authz_plugin.tools.sandbox import Sandbox
from authz_plugin.tools.validation.expected_policy import allows_operation

Config = Mapping[str, Any]
"""A complete policy configuration, or that of a role."""

WITHOUT_ROLE: Final = "callers without a role"
EVERYBODY: Final = "everybody"

_MAX_LINES: Final = 20_000
"""Lines of the audit file, the newest, in which the policy of the last decisions is looked for."""

_LONGEST: Final = 300
"""Characters of a value."""

_NOT_OF_PROFILE: Final = frozenset(
    {"profile", "roles", "role_order", "default_role", "unmatched_callers", "exceptions", "callers"}
)


@dataclass(frozen=True, slots=True)
class ChangedKey:
    """A key that differs from the profile: its values as JSON, and where it was set."""

    key: str
    profile: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its ``callers`` as texts, the profile it is based on, its mode and its changes.

    ``is_default`` says that callers without a name and certificate have it.
    """

    name: str
    callers: Sequence[str]
    profile: str
    mode: str
    changes: Sequence[ChangedKey]
    is_default: bool


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation and, for each column, whether sections and operations let it through.

    ``is_own`` says for each column that ``operations`` names it.
    """

    id: str
    access: str
    allowed: Sequence[bool]
    is_own: Sequence[bool]


@dataclass(frozen=True, slots=True)
class SectionRow:
    """A section with its access (``none``, ``read``, ``write``) and the number of allowed
    operations for each column."""

    name: str
    description: str
    access: Sequence[str]
    allowed: Sequence[int]
    operations: Sequence[OperationRow]


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a part of the plugin, and a text for people."""

    part: str
    state: Literal["good", "bad", "unknown"]
    text: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The policy and the running plugin.

    ``mode`` is ``enforce`` or ``warn``; ``warning`` are those for whom the policy denies nothing.
    ``columns`` are the callers of the matrix ``sections``. ``revision`` is that of the settings
    here; ``plugin_revision`` that of the running plugin, or of its last decision, and ``since`` the
    time at which it came into force, or of its first decision, if ``is_since_before``. Each is None
    if it is unknown.
    """

    profile: str
    mode: str
    warning: Sequence[str]
    file: str
    own_rules: str
    changes: Sequence[ChangedKey]
    roles: Sequence[Role]
    default_role: str
    unmatched_callers: str
    exceptions: Sequence[Exemption]
    columns: Sequence[str]
    sections: Sequence[SectionRow]
    revision: str
    plugin_revision: str | None
    since: datetime | None
    is_since_before: bool
    health: Sequence[Health]


@dataclass(frozen=True, slots=True)
class Decided:
    """The policy of the last decisions in an audit file: its revision, and the times of the first
    and of the last decision by it."""

    revision: str
    first: datetime
    last: datetime


def overview(sandbox: Sandbox, now: datetime, audit: Path | None = None) -> Overview:
    """Read the policy of a sandbox, and ask the plugin that its settings describe.

    ``audit`` is the audit file of the plugin, which is read if the plugin does not tell its policy.
    Raises ``OSError`` if it cannot be read.
    """
    settings, config = sandbox.settings, sandbox.config
    try:
        samples: Sequence[Sample] | None = read_metrics(settings.metrics)
        reason = ""
    except SetupError as error:
        samples, reason = None, str(error)
    decided = None if samples is not None or audit is None else _decided(audit)
    plugin = _Plugin(settings, samples, reason, decided)
    columns = _columns(config)
    return Overview(
        profile=config["profile"],
        mode=config["mode"],
        warning=sandbox.bundle.warning,
        file="" if settings.file is None else str(settings.file),
        own_rules="" if settings.policies is None else str(settings.policies),
        changes=_profile_changes(settings, config),
        roles=[_role(settings, config, name) for name in config["role_order"]],
        default_role=config["default_role"] or "",
        unmatched_callers=config["unmatched_callers"],
        exceptions=policy.exceptions(config, now),
        columns=[whom for whom, _ in columns],
        sections=_sections([own for _, own in columns]),
        revision=sandbox.bundle.revision,
        plugin_revision=plugin.revision,
        since=plugin.since,
        is_since_before=decided is not None,
        health=list(plugin.health(sandbox.bundle.revision)),
    )


def _decided(audit: Path) -> Decided | None:
    """Read the last decisions of a policy, at most ``_MAX_LINES`` lines; None if there is none."""
    found: Decided | None = None
    for link in islice(links_newest_first(audit), _MAX_LINES):
        revision = link.document.get("policy_revision")
        if not revision:
            continue
        time = datetime.fromisoformat(link.document["timestamp"])
        if found is None:
            found = Decided(revision, time, time)
        elif found.revision != revision:
            break
        else:
            found = replace(found, first=time)
    return found


def _columns(config: Config) -> list[tuple[str, Config | None]]:
    """The callers of the matrix with their configurations; None for those who may nothing."""
    roles = [(name, config["roles"][name]) for name in config["role_order"]]
    if not roles:
        return [(EVERYBODY, config)]
    return [(WITHOUT_ROLE, config if config["unmatched_callers"] == "allow" else None), *roles]


def _sections(configs: Sequence[Config | None]) -> list[SectionRow]:
    described = policy.config_schema()["properties"]["sections"]["properties"]
    return [_section(name, schema, configs) for name, schema in sorted(described.items())]


def _section(name: str, schema: Mapping[str, Any], configs: Sequence[Config | None]) -> SectionRow:
    own = [operation for operation in OPERATIONS.values() if operation.section == name]
    rows = [_operation(operation, configs) for operation in own]
    return SectionRow(
        name=name,
        description=schema["description"],
        access=[
            "none" if config is None else config["sections"].get(name, "none") for config in configs
        ],
        allowed=[sum(row.allowed[i] for row in rows) for i in range(len(configs))],
        operations=rows,
    )


def _operation(operation: Operation, configs: Sequence[Config | None]) -> OperationRow:
    return OperationRow(
        id=operation.id,
        access=operation.access,
        allowed=[c is not None and allows_operation(c, operation) for c in configs],
        is_own=[c is not None and operation.id in c["operations"] for c in configs],
    )


def _profile_changes(settings: Settings, config: Config) -> list[ChangedKey]:
    name = settings.policy.get("profile", DEFAULT_PROFILE)
    base = complete_profile(name, host_paths(visible=settings.sees_host))
    return list(_changes(settings, settings.policy, base, config, ()))


def _role(settings: Settings, config: Config, name: str) -> Role:
    own, given = config["roles"][name], settings.policy["roles"][name]
    base = config
    if "profile" in given:
        base = complete_profile(given["profile"], host_paths(visible=settings.sees_host))
    return Role(
        name=name,
        callers=[_caller(line) for line in own["callers"]],
        profile=own["profile"],
        mode=own["mode"],
        changes=list(_changes(settings, given, base, own, ("roles", name))),
        is_default=config["default_role"] == name,
    )


def _caller(line: Mapping[str, Any]) -> str:
    parts = []
    for part, wanted in line.items():
        if isinstance(wanted, Mapping):
            parts += [f"{part} {field}={value}" for field, value in wanted.items()]
        else:
            parts.append(f"{part} {wanted}")
    return visible(", ".join(parts))


def _changes(
    settings: Settings, given: Mapping[str, Any], base: Config, own: Config, prefix: Key
) -> Iterator[ChangedKey]:
    """The keys that are given and have another value than in ``base``."""
    for key in _given_keys({k: v for k, v in given.items() if k not in _NOT_OF_PROFILE}):
        before, after = _at(base, key), _at(own, key)
        if before != after:
            origin = settings.origins.of((*prefix, *key))
            yield ChangedKey(show(key), _json(before), _json(_at(given, key)), origin)


def _given_keys(given: Mapping[str, Any], prefix: Key = ()) -> Iterator[Key]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _given_keys(value, (*prefix, name))
        else:
            yield (*prefix, name)


_UNSET: Final = object()


def _at(config: Config, key: Key) -> Any:
    found: Any = config
    for name in key:
        if not isinstance(found, Mapping) or name not in found:
            return _UNSET
        found = found[name]
    return found


def _json(value: Any) -> str:
    if value is _UNSET:
        return "not set"
    if isinstance(value, list):
        value = [_without_generated(item) for item in value]
    found = visible(json.dumps(value, ensure_ascii=False))
    return found if len(found) <= _LONGEST else f"{found[: _LONGEST - 1]}…"


def _without_generated(item: Any) -> Any:
    """An entry of a list without what the plugin adds to the roots of ``mounts.allow``."""
    if not isinstance(item, Mapping):
        return item
    return {k: v for k, v in item.items() if k != "inside" and not k.startswith("resolved")}


class _Plugin:
    """The running plugin, by its ``samples``; without them, ``reason`` says why."""

    def __init__(
        self,
        settings: Settings,
        samples: Sequence[Sample] | None,
        reason: str,
        decided: Decided | None,
    ) -> None:
        self._settings = settings
        self._samples = samples
        self._reason = reason
        self._decided = decided

    def _sample(self, name: str) -> Sample | None:
        return next((sample for sample in self._samples or () if sample.name == name), None)

    def label(self, name: str, label: str) -> str | None:
        found = self._sample(name)
        return None if found is None else found.labels.get(label)

    def value(self, name: str) -> float | None:
        found = self._sample(name)
        return None if found is None else found.value

    def time(self, name: str) -> datetime | None:
        """A time in the metrics; None if it is not there or 0."""
        seconds = self.value(name)
        return datetime.fromtimestamp(seconds, UTC) if seconds else None

    @property
    def revision(self) -> str | None:
        """The revision of its policy, or of its last decision."""
        if self._decided is not None:
            return self._decided.revision
        return self.label("opa_authz_policy_info", "revision")

    @property
    def since(self) -> datetime | None:
        """When the policy came into force, or the time of its first decision."""
        if self._decided is not None:
            return self._decided.first
        return self.time("opa_authz_policy_loaded_timestamp_seconds")

    def health(self, revision: str) -> Iterator[Health]:
        if self._samples is None:
            yield Health("plugin", "unknown", self._reason)
            yield self._policy(revision)
            for part in ("engine", "audit"):
                yield Health(part, "unknown", self._reason)
        else:
            version = self.label("opa_authz_build_info", "version") or "unknown"
            yield self._faults(f"opa-authz {version} answers")
            yield self._policy(revision)
            yield self._engine()
            yield self._audit()
        yield self._bundle()

    def _faults(self, text: str) -> Health:
        try:
            faults = read_faults(self._settings.metrics)
        except SetupError as error:
            return Health("plugin", "unknown", str(error))
        if not faults:
            return Health("plugin", "good", text)
        told = "; ".join(f"{part}: {fault}" for part, fault in faults.items())
        return Health("plugin", "bad", f"{text}, with faults: {visible(told)}")

    def _policy(self, revision: str) -> Health:
        theirs = self.revision
        if theirs is None:
            return Health("policy", "unknown", self._reason or "the metrics tell no revision")
        if theirs != revision:
            return Health(
                "policy",
                "bad",
                f"the plugin decides by revision {theirs}, the settings here make {revision}: "
                "reload the plugin, or start the console with its settings",
            )
        if self.value("opa_authz_policy_reload_successful") == 0:
            return Health("policy", "bad", "the last reload was refused; the log says why")
        if self._decided is not None:
            last = _minute(self._decided.last)
            return Health("policy", "good", f"revision {revision} decided, last at {last}")
        return Health("policy", "good", f"revision {revision} is in force")

    def _engine(self) -> Health:
        name = self.label("opa_authz_build_info", "engine") or "the engine"
        up, errors = self.value("opa_authz_engine_up"), self.value("opa_authz_engine_errors_total")
        if up is None:
            return Health("engine", "unknown", "the metrics do not tell")
        if not up:
            return Health("engine", "bad", f"{name} does not answer: every request is denied")
        told = f", {errors:.0f} requests without a decision since the start" if errors else ""
        return Health("engine", "good", f"{name} answers{told}")

    def _audit(self) -> Health:
        up, file = self.value("opa_authz_audit_up"), self._settings.audit.file
        if up is None:
            return Health("audit", "unknown", "the plugin writes no audit file (audit.file)")
        if not up:
            return Health("audit", "bad", f"{file or 'the audit file'} cannot be written")
        line = self.value("opa_authz_audit_line")
        told = "" if line is None else f", {line:.0f} lines so far"
        inputs = "with" if self._settings.audit.inputs else "without"
        return Health("audit", "good", f"is written {inputs} inputs{told}")

    def _bundle(self) -> Health:
        fleet = self._settings.fleet
        if fleet is None:
            return Health("bundle", "good", "no fleet: the policy is in the settings of this host")
        up = self.value("opa_authz_fleet_up")
        if up is None:
            return Health("bundle", "unknown", self._reason or "the metrics do not tell")
        if not up:
            last = self.time("opa_authz_fleet_last_success_timestamp_seconds")
            when = "never since the start" if last is None else f"last at {_minute(last)}"
            return Health("bundle", "bad", f"{fleet.url} does not answer, {when}")
        if self.value("opa_authz_fleet_bundle_refused"):
            return Health("bundle", "bad", "the newest bundle is refused; the log says why")
        built = self.time("opa_authz_fleet_bundle_built_timestamp_seconds")
        when = "" if built is None else f", built {_minute(built)}"
        revision = self.label("opa_authz_fleet_bundle_info", "revision")
        return Health("bundle", "good", f"{fleet.url} answers: revision {revision}{when}")


def _minute(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")
