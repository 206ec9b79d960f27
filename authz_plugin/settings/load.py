"""Load the settings: the file, then the environment, then options; later values take precedence."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from authz_plugin import renamed
from authz_plugin.errors import SettingsError
from authz_plugin.hostpaths import DEFAULT_FILE, default_socket
from authz_plugin.settings.model import Audit, Log, Metrics, OpaSettings, Server, Settings
from authz_plugin.settings.origins import Key, KeyOrigins, show
from authz_plugin.settings.schema import ENVIRONMENT, SCHEMA, without_required
from authz_plugin.settings.validation import suggest, validate
from authz_plugin.settings.yaml_file import read_yaml

DEFAULT_PROFILE: Final = "production"
ENVIRONMENT_PREFIX: Final = "OPA_AUTHZ_"


def load(
    flags: Mapping[Key, Any],
    environment: Mapping[str, str],
    policy_schema: Mapping[str, Any],
) -> Settings:
    """Read the settings; raises ``SettingsError``.

    ``flags`` maps keys (``("server", "socket")``) to values given on the command line, with
    ``("config",)`` for the file; ``policy_schema`` is the JSON schema of the policy configuration.
    """
    file, required = _file(flags, environment)
    values, origins = _read_file(file, required=required)
    for name, value in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name == "OPA_AUTHZ_CONFIG":
            continue
        if name not in ENVIRONMENT:
            raise SettingsError(name, "", f"no such variable{suggest(name, ENVIRONMENT)}")
        _put(values, ENVIRONMENT[name], value)
        origins.put(ENVIRONMENT[name], name)
    for key, value in flags.items():
        if key != ("config",) and value is not None:
            _put(values, key, value)
            origins.put(key, f"--{str(key[-1]).replace('_', '-')}")
    values, warnings = renamed.accept_settings(values, origins)
    schema = {**policy_schema, "properties": {**SCHEMA, **policy_schema["properties"]}}
    validate(values, without_required(schema), origins)
    settings = _settings(values, file if file.exists() else None, origins, warnings)
    _check_tls(settings)
    _check_metrics(settings)
    if settings.audit.inputs and settings.audit.file is None:
        where = origins.of(("audit", "inputs"))
        raise SettingsError(where, "audit.inputs", "needs audit.file, which they are written to")
    if settings.opa.decision_log and settings.opa.url is not None:
        where = origins.of(("opa", "decision_log"))
        message = "is for the plugin's own OPA; the one at opa.url has a configuration of its own"
        raise SettingsError(where, "opa.decision_log", message)
    _check_engine(settings)
    return settings


def _check_engine(settings: Settings) -> None:
    if settings.engine != "embedded":
        return
    for name, value in (("url", settings.opa.url), ("decision_log", settings.opa.decision_log)):
        if value:
            key = ("opa", name)
            message = "needs OPA's server, but engine is embedded"
            raise SettingsError(settings.origins.of(key), show(key), message)


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
    paths = {"certificate", "key", "client_ca", "binary", "token_file", "ca", "socket", "file"}

    def typed(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {k: Path(v) if k in paths else v for k, v in fields.items()}

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
        file=file,
        origins=origins,
        warnings=warnings,
    )


def _check_tls(settings: Settings) -> None:
    server, origins = settings.server, settings.origins
    if server.listen is None:
        return
    files = {name: getattr(server, name) for name in ("certificate", "key", "client_ca")}
    missing = [f"server.{name}" for name, file in files.items() if file is None]
    if missing:
        raise SettingsError(
            origins.of(("server", "listen")),
            "server.listen",
            f"needs {', '.join(missing)}: TCP is served with mutual TLS only",
        )
    _check_files("server", files, origins)


def _check_metrics(settings: Settings) -> None:
    """Other hosts may read metrics only with TLS, and a client certificate or a token."""
    metrics, origins = settings.metrics, settings.origins

    def refuse(name: str, message: str) -> NoReturn:
        raise SettingsError(origins.of(("metrics", name)), f"metrics.{name}", message)

    names = ("certificate", "key", "client_ca", "token_file")
    files = {name: file for name in names if (file := getattr(metrics, name)) is not None}
    if not files:
        if not _is_local(metrics.listen):
            refuse(
                "listen",
                f"other hosts reach {metrics.listen}: needs metrics.certificate, metrics.key, and "
                "metrics.client_ca or metrics.token_file",
            )
        return
    first = next(iter(files))
    if metrics.listen == "off" or metrics.listen.startswith("unix:"):
        refuse(first, f"is for metrics.listen: host:port, not for {metrics.listen}")
    if not {"certificate", "key"} <= set(files):
        refuse(first, "needs metrics.certificate and metrics.key")
    if set(files) == {"certificate", "key"}:
        refuse("certificate", "needs metrics.client_ca or metrics.token_file, which clients prove")
    _check_files("metrics", files, origins)


def _is_local(listen: str) -> bool:
    """Whether only this host reaches an address, ``off``, ``unix:/path`` or ``host:port``."""
    host = listen.rpartition(":")[0].strip("[]")
    if listen == "off" or listen.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_files(section: str, files: Mapping[str, Path], origins: KeyOrigins) -> None:
    for name, file in files.items():
        if not file.is_file():
            key = (section, name)
            raise SettingsError(origins.of(key), show(key), f"{file} is not a file")
