"""Load the settings: the file, then the environment, then options; later values take precedence."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from authz_plugin import renamed
from authz_plugin.errors import SettingsError, raise_faults
from authz_plugin.hostpaths import DEFAULT_FILE, default_socket
from authz_plugin.settings.model import (
    Audit,
    Fleet,
    Log,
    Metrics,
    OpaSettings,
    Receiver,
    Server,
    Settings,
)
from authz_plugin.settings.origins import Key, KeyOrigins, show
from authz_plugin.settings.schema import ENVIRONMENT, SCHEMA, with_settings, without_required
from authz_plugin.settings.validation import faults_of, suggest
from authz_plugin.settings.yaml_file import read_yaml

DEFAULT_PROFILE: Final = "production"
ENVIRONMENT_PREFIX: Final = "OPA_AUTHZ_"


def load(
    flags: Mapping[Key, Any],
    environment: Mapping[str, str],
    policy_schema: Mapping[str, Any],
    check_rest: Callable[[Settings], object] = lambda _: None,
) -> Settings:
    """Read the settings; raises one ``SettingsError`` for all that is wrong.

    ``flags`` maps keys (``("server", "socket")``) to values given on the command line, with
    ``("config",)`` for the file; ``policy_schema`` is the JSON schema of the policy configuration.
    If something is wrong, ``check_rest`` is called with the settings without it, and may raise a
    ``SettingsError`` for what else is wrong.
    """
    file, required = _file(flags, environment)
    values, origins = _read_file(file, required=required)
    faults = []
    for name, value in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name == "OPA_AUTHZ_CONFIG":
            continue
        if name not in ENVIRONMENT:
            message = f"no such variable{suggest(name, ENVIRONMENT)}"
            faults.append(SettingsError(name, "", message))
            continue
        _put(values, ENVIRONMENT[name], value)
        origins.put(ENVIRONMENT[name], name)
    for key, value in flags.items():
        if key != ("config",) and value is not None:
            _put(values, key, value)
            origins.put(key, f"--{str(key[-1]).replace('_', '-')}")
    values, warnings = renamed.accept_settings(values, origins)
    wrong = list(faults_of(values, without_required(with_settings(policy_schema))))
    wrong += _missing(values)
    faults += [SettingsError(origins.of(key), show(key), message) for key, message in wrong]
    rest = _without(values, [key for key, _ in wrong])
    settings = _settings(rest, file if file.exists() else None, origins, warnings)
    faults += (SettingsError(origins.of(k), show(k), text) for k, text in _conflicts(settings))
    if faults:
        faults += _faults(lambda: check_rest(settings))
    raise_faults(faults)
    return settings


def _faults(check: Callable[[], object]) -> Iterator[SettingsError]:
    try:
        check()
    except SettingsError as error:
        yield error


def _without(values: Mapping[str, Any], keys: Iterable[Key]) -> dict[str, Any]:
    """Values without some keys; a list is left out as a whole."""
    rest = deepcopy(dict(values))
    for key in keys:
        inner: Any = rest
        names = list(takewhile(lambda part: isinstance(part, str), key))
        for name in names[:-1]:
            inner = inner.get(name, {}) if isinstance(inner, dict) else {}
        if isinstance(inner, dict) and names:
            inner.pop(names[-1], None)
    return rest


def _conflicts(settings: Settings) -> Iterator[tuple[Key, str]]:
    """The settings that do not fit together: each a key and what is wrong there."""
    yield from _tls_faults(settings.server)
    yield from _metrics_faults(settings.metrics)
    if settings.fleet is not None:
        yield from _fleet_faults(settings, settings.fleet)
    if settings.audit.inputs and settings.audit.file is None:
        yield ("audit", "inputs"), "needs audit.file, which they are written to"
    if settings.opa.decision_log and settings.opa.url is not None:
        message = "is for the plugin's own OPA; the one at opa.url has a configuration of its own"
        yield ("opa", "decision_log"), message
    if settings.engine == "embedded":
        for name, value in (("url", settings.opa.url), ("decision_log", settings.opa.decision_log)):
            if value:
                yield ("opa", name), "needs OPA's server, but engine is embedded"


def _file(flags: Mapping[Key, Any], environment: Mapping[str, str]) -> tuple[Path, bool]:
    named = flags.get(("config",)) or environment.get("OPA_AUTHZ_CONFIG")
    return (Path(named), True) if named else (DEFAULT_FILE, False)


def _read_file(file: Path, *, required: bool) -> tuple[dict[str, Any], KeyOrigins]:
    if not required and not file.exists():
        return {}, KeyOrigins("the defaults")
    return read_yaml(file)


def _put(values: dict[str, Any], key: Key, value: Any) -> None:
    *outer, last = map(str, key)
    for name in outer:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        values = inner
    values[last] = value


def _settings(
    values: dict[str, Any], file: Path | None, origins: KeyOrigins, warnings: tuple[str, ...]
) -> Settings:
    server = values.get("server", {})
    opa = values.get("opa", {})
    fleet = values.get("fleet", {})
    paths = {
        "certificate", "key", "client_key", "client_ca", "binary", "token_file", "ca", "socket",
        "file", "credentials", "folder",
    }  # fmt: skip

    def typed(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {k: Path(v) if k in paths else v for k, v in fields.items()}

    if _has(fleet, {"receiver"}):
        fleet = {**fleet, "receiver": Receiver(**{"url": "", **typed(fleet["receiver"])})}

    socket = default_socket(os.environ, root=os.geteuid() == 0)
    named = ("policies", "identities", "data_root")
    folders = {name: Path(values[name]) for name in named if name in values}
    return Settings(
        server=Server(**{"socket": socket, **typed(server)}),
        engine=values.get("engine", "auto"),
        opa=OpaSettings(**typed(opa)),
        deadline=float(values.get("deadline", 2.0)),
        policies=folders.get("policies"),
        identities=folders.get("identities"),
        host_paths=values.get("host_paths", "visible"),
        data_root=folders.get("data_root"),
        log=Log(**values.get("log", {})),
        audit=Audit(**typed(values.get("audit", {}))),
        metrics=Metrics(**typed(values.get("metrics", {})), is_default="metrics" not in values),
        policy={k: v for k, v in values.items() if k not in SCHEMA},
        fleet=Fleet(**typed(fleet)) if _has(fleet, {"url", "bundle", "key"}) else None,
        file=file,
        origins=origins,
        warnings=warnings,
    )


def _missing(values: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """The keys that a section ``fleet`` lacks: without them its policy would not be fetched."""
    fleet = values.get("fleet")
    if isinstance(fleet, Mapping):
        for name in SCHEMA["fleet"]["required"]:
            if name not in fleet:
                yield ("fleet", name), "is needed"


def _has(section: Any, keys: set[str]) -> bool:
    """Whether a section has keys; it is not used where the schema refuses it."""
    return isinstance(section, Mapping) and keys <= set(section)


def _fleet_faults(settings: Settings, fleet: Fleet) -> Iterator[tuple[Key, str]]:
    """What does not fit a policy that comes from a service, or cannot be used to fetch it."""
    named = [*settings.policy, *(["policies"] if settings.policies else [])]
    if named:
        message = (
            f"the bundle of the service holds the policy: take {', '.join(named)} out of the "
            "settings and build them into it with `opa-authz bundle --fleet`"
        )
        yield ("fleet",), message
    if settings.opa.url is not None:
        yield ("fleet",), "is for the plugin's own OPA; the one at opa.url fetches its own bundles"
    yield from _access_faults(("fleet",), fleet)
    if fleet.receiver is not None:
        yield from _access_faults(("fleet", "receiver"), fleet.receiver)
        if not (fleet.status or fleet.decisions):
            yield ("fleet", "receiver"), "needs fleet.status or fleet.decisions, which it takes"
    elif fleet.type != "http" and (fleet.status or fleet.decisions):
        message = f"is needed: a service of type {fleet.type} takes neither status nor decisions"
        yield ("fleet", "receiver"), message
    if fleet.type == "s3" and fleet.region is None:
        yield ("fleet", "region"), "is needed for a store of type s3"
    if fleet.type != "s3" and (fleet.region or fleet.credentials):
        yield ("fleet", "type"), "region and credentials are for a store of type s3"
    for name in re.findall(r"\{(\w*)\}", fleet.bundle):
        if name not in fleet.labels:
            yield ("fleet", "bundle"), f"{{{name}}} is no label: {', '.join(fleet.labels)}"
    yield from _file_faults(("fleet",), {"key": fleet.key, "credentials": fleet.credentials})


def _access_faults(key: Key, service: Fleet | Receiver) -> Iterator[tuple[Key, str]]:
    """What does not fit in how a service is reached."""
    if not service.url:
        yield (*key, "url"), "is needed"
    if service.url.startswith("http:") and (service.token_file or service.certificate):
        yield (*key, "url"), "needs https: token and certificate would be sent in plain text"
    if (service.certificate is None) != (service.client_key is None):
        yield (*key, "certificate"), f"needs {show((*key, 'client_key'))}, and that needs it"
    names = ("token_file", "ca", "certificate", "client_key")
    yield from _file_faults(key, {name: getattr(service, name) for name in names})


def _tls_faults(server: Server) -> Iterator[tuple[Key, str]]:
    if server.listen is None:
        return
    files = {name: getattr(server, name) for name in ("certificate", "key", "client_ca")}
    missing = [f"server.{name}" for name, file in files.items() if file is None]
    if missing:
        message = f"needs {', '.join(missing)}: TCP is served with mutual TLS only"
        yield ("server", "listen"), message
    yield from _file_faults(("server",), files)


def _metrics_faults(metrics: Metrics) -> Iterator[tuple[Key, str]]:
    """Other hosts may read metrics only with TLS, and a client certificate or a token."""
    names = ("certificate", "key", "client_ca", "token_file")
    files = {name: file for name in names if (file := getattr(metrics, name)) is not None}
    first = next(iter(files), "")
    if not files and not _is_local(metrics.listen):
        message = (
            f"other hosts reach {metrics.listen}: needs metrics.certificate, metrics.key, and "
            "metrics.client_ca or metrics.token_file"
        )
        yield ("metrics", "listen"), message
    elif files and (metrics.listen == "off" or metrics.listen.startswith("unix:")):
        yield ("metrics", first), f"is for metrics.listen: host:port, not for {metrics.listen}"
    elif files and not {"certificate", "key"} <= set(files):
        yield ("metrics", first), "needs metrics.certificate and metrics.key"
    elif set(files) == {"certificate", "key"}:
        message = "needs metrics.client_ca or metrics.token_file, which clients prove"
        yield ("metrics", "certificate"), message
    yield from _file_faults(("metrics",), files)


def _is_local(listen: str) -> bool:
    """Whether only this host reaches an address, ``off``, ``unix:/path`` or ``host:port``."""
    host = listen.rpartition(":")[0].strip("[]")
    if listen == "off" or listen.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _file_faults(section: Key, files: Mapping[str, Path | None]) -> Iterator[tuple[Key, str]]:
    for name, file in files.items():
        if file is not None and not file.is_file():
            yield (*section, name), f"{file} is not a file"
