"""The settings: one frozen object, read from a file, the environment and flags, in that order.

Every error names the key and who set it. What the policies may and may not allow (the policy
configuration) is carried along unread, with the place of each of its keys.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jsonschema
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from authz_plugin import renamed
from authz_plugin.errors import SettingsError

DEFAULT_FILE: Final = Path("/etc/opa-authz/config.yaml")
DEFAULT_PROFILE: Final = "production"
ENVIRONMENT_PREFIX: Final = "OPA_AUTHZ_"

_IN_YAML: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping of keys to values",
    "string": "a text",
}
_PATH: Final = {"type": "string", "pattern": "^/"}

SCHEMA: Final[dict[str, Any]] = {
    "server": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "socket": {**_PATH, "description": "Unix socket on which dockerd finds the plugin."},
            "group": {
                "type": "string",
                "description": "Group that may use the socket, beside root.",
            },
            "listen": {
                "type": "string",
                "pattern": r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
                "description": "host:port to serve with mutual TLS, instead of the unix socket.",
            },
            "certificate": {**_PATH, "description": "The plugin's certificate, for listen."},
            "key": {**_PATH, "description": "Its key."},
            "client_ca": {**_PATH, "description": "Whose certificates dockerd must present."},
            "threads": {
                "type": "integer",
                "minimum": 1,
                "maximum": 256,
                "description": "Messages answered at the same time; default 128.",
            },
        },
    },
    "engine": {
        "type": "string",
        "enum": ["auto", "opa"],
        "description": "auto takes what opa describes; there is no other engine.",
    },
    "opa": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "binary": {**_PATH, "description": "The OPA program, where it is not on PATH."},
            "url": {
                "type": "string",
                "pattern": "^(unix:/|https?://)",
                "description": "An OPA that you run: unix:/path, http:// or https://.",
            },
            "token_file": {**_PATH, "description": "File with the bearer token for opa.url."},
            "ca": {**_PATH, "description": "Whose certificate opa.url must present."},
            "certificate": {**_PATH, "description": "Client certificate for opa.url."},
            "key": {**_PATH, "description": "Its key."},
            "decision_log": {
                "type": "boolean",
                "description": "Have the plugin's OPA log its decisions too, without bodies.",
            },
        },
    },
    "deadline": {
        "type": "number",
        "minimum": 0.05,
        "maximum": 30,
        "description": "Seconds that a decision may take before it is a denial.",
    },
    "policies": {**_PATH, "description": "Folder with your own rules."},
    "identities": {
        **_PATH,
        "description": "Folder of `opa-authz identity`, whose revoked certificates are refused.",
    },
    "host_paths": {
        "type": "string",
        "enum": ["visible", "unseen"],
        "description": "unseen if the plugin does not share dockerd's file system.",
    },
    "data_root": {
        **_PATH,
        "description": "dockerd's data-root, where the mounts of containers that are started are "
        "looked up; default: as /etc/docker/daemon.json says, or /var/lib/docker.",
    },
    "log": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "level": {
                "type": "string",
                "enum": ["debug", "info", "warning", "error"],
                "description": "error: failures; warning: denials too; info: allowed writes too; "
                "debug: everything.",
            },
            "format": {
                "type": "string",
                "enum": ["auto", "json", "text"],
                "description": "auto is text on a terminal, JSON lines elsewhere.",
            },
            "reads": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "description": "Share of the allowed reads that level info logs; default 0.",
            },
            "queue": {
                "type": "integer",
                "minimum": 100,
                "maximum": 1000000,
                "description": "Events that may wait to be logged; more are dropped and counted.",
            },
        },
    },
    "audit": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "file": {**_PATH, "description": "The audit file; without it there is none."},
            "inputs": {
                "type": "boolean",
                "description": "Have it hold what each decision was made of, without secrets, for "
                "`learn` and `replay`.",
            },
            "sync": {
                "type": "string",
                "enum": ["always", "interval", "never"],
                "description": "To the disk with each batch, once a second (default), or when "
                "the kernel likes.",
            },
            "on_failure": {
                "type": "string",
                "enum": ["continue", "deny"],
                "description": "What becomes of requests while the file cannot be written; "
                "default continue.",
            },
            "max_size": {
                "type": "integer",
                "minimum": 1,
                "maximum": 1024,
                "description": "MiB after which a file is put aside; default 64.",
            },
            "max_age": {
                "type": "integer",
                "minimum": 1,
                "maximum": 8760,
                "description": "Hours after which a file is put aside; default 24.",
            },
            "retention": {
                "type": "integer",
                "minimum": 1,
                "maximum": 3650,
                "description": "Days that files are kept after their last line; default 90.",
            },
            "queue": {
                "type": "integer",
                "minimum": 100,
                "maximum": 1000000,
                "description": "Entries that may wait for the disk; more are dropped and counted.",
            },
        },
    },
    "metrics": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "listen": {
                "type": "string",
                "pattern": r"^(off|unix:/.+|(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5})$",
                "description": "Where metrics and health are served: host:port, unix:/path or off; "
                "default 127.0.0.1:9717.",
            },
        },
    },
}
"""The keys of the settings file that are not policy configuration."""

ENVIRONMENT: Final[Mapping[str, tuple[str, ...]]] = {
    "OPA_AUTHZ_PROFILE": ("profile",),
    "OPA_AUTHZ_MODE": ("mode",),
    "OPA_AUTHZ_SOCKET": ("server", "socket"),
    "OPA_AUTHZ_GROUP": ("server", "group"),
    "OPA_AUTHZ_LISTEN": ("server", "listen"),
    "OPA_AUTHZ_CERTIFICATE": ("server", "certificate"),
    "OPA_AUTHZ_KEY": ("server", "key"),
    "OPA_AUTHZ_CLIENT_CA": ("server", "client_ca"),
    "OPA_AUTHZ_ENGINE": ("engine",),
    "OPA_AUTHZ_OPA_BINARY": ("opa", "binary"),
    "OPA_AUTHZ_OPA_URL": ("opa", "url"),
    "OPA_AUTHZ_OPA_TOKEN_FILE": ("opa", "token_file"),
    "OPA_AUTHZ_OPA_CA": ("opa", "ca"),
    "OPA_AUTHZ_POLICIES": ("policies",),
    "OPA_AUTHZ_IDENTITIES": ("identities",),
    "OPA_AUTHZ_HOST_PATHS": ("host_paths",),
    "OPA_AUTHZ_DATA_ROOT": ("data_root",),
    "OPA_AUTHZ_LOG_LEVEL": ("log", "level"),
    "OPA_AUTHZ_LOG_FORMAT": ("log", "format"),
    "OPA_AUTHZ_AUDIT_FILE": ("audit", "file"),
    "OPA_AUTHZ_METRICS_LISTEN": ("metrics", "listen"),
}
"""Variables of the environment and the keys that they set. OPA_AUTHZ_CONFIG names the file."""

Key = tuple[str | int, ...]
"""A key and where it stands: ``("mounts", "allow", 0, "path")``."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where dockerd finds the plugin: a unix socket, or TCP with mutual TLS."""

    socket: Path
    group: str | None = None
    listen: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    threads: int = 128


@dataclass(frozen=True, slots=True)
class OpaSettings:
    """Which OPA decides: a child of the plugin, or the one at ``url``."""

    binary: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    decision_log: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged and how: ``reads`` is a share from 0 to 1, ``queue`` a number of events."""

    level: str = "info"
    format: str = "auto"
    reads: float = 0.0
    queue: int = 10_000


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit file: ``max_size`` in MiB, ``max_age`` in hours, ``retention`` in days."""

    file: Path | None = None
    inputs: bool = False
    sync: str = "interval"
    on_failure: str = "continue"
    max_size: int = 64
    max_age: int = 24
    retention: int = 90
    queue: int = 10_000


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where metrics and health are served. An address that nobody chose may be taken."""

    listen: str = "127.0.0.1:9717"
    is_default: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. ``deadline`` is in seconds; ``policy`` is the policy
    configuration as given, ``file`` the settings file if there is one, ``origins`` says where each
    of the keys was, and ``warnings`` are texts about old names that were given."""

    server: Server
    opa: OpaSettings
    deadline: float
    policies: Path | None
    identities: Path | None
    host_paths: str
    data_root: Path | None
    log: Log
    audit: Audit
    metrics: Metrics
    policy: Mapping[str, Any]
    file: Path | None
    origins: KeyOrigins = field(compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)


class KeyOrigins:
    """Who set which key: a line of a file, a variable or a flag."""

    def __init__(self, default: str) -> None:
        self._default = default
        self._places: dict[Key, str] = {}

    def put(self, key: Key, place: str) -> None:
        self._places[key] = place

    def rename(self, old: Key, new: Key) -> None:
        """Have a key, and the keys inside it, known by another name."""
        self._places = {
            (*new, *key[len(old) :]) if key[: len(old)] == old else key: place
            for key, place in self._places.items()
        }

    def of(self, key: Key) -> str:
        """The place of a key, or of the nearest key around it."""
        for end in range(len(key), 0, -1):
            if key[:end] in self._places:
                return self._places[key[:end]]
        return self._default


def load(
    flags: Mapping[Key, Any],
    environment: Mapping[str, str],
    policy_schema: Mapping[str, Any],
) -> Settings:
    """Read the settings; raises ``SettingsError``.

    ``flags`` maps keys (``("server", "socket")``) to values given on the command line, with
    ``("config",)`` for the file; ``policy_schema`` describes the policy configuration.
    """
    file, required = _file(flags, environment)
    values, origins = _read_file(file, required=required)
    for name, value in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name == "OPA_AUTHZ_CONFIG":
            continue
        if name not in ENVIRONMENT:
            raise SettingsError(name, "", f"no such variable{_suggest(name, ENVIRONMENT)}")
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
    if settings.audit.inputs and settings.audit.file is None:
        where = origins.of(("audit", "inputs"))
        raise SettingsError(where, "audit.inputs", "needs audit.file, which they are written to")
    if settings.opa.decision_log and settings.opa.url is not None:
        where = origins.of(("opa", "decision_log"))
        message = "is for the plugin's own OPA; the one at opa.url has a configuration of its own"
        raise SettingsError(where, "opa.decision_log", message)
    return settings


def read_yaml(file: Path) -> tuple[dict[str, Any], KeyOrigins]:
    """Read a YAML file that holds a mapping; raises ``SettingsError`` with the line."""
    try:
        return _read_yaml(file)
    except OSError as error:
        raise SettingsError(str(file), "", f"cannot be read: {error.strerror}") from error
    except MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise SettingsError(f"{file}{line}", "", f"is not YAML: {error.problem}") from error
    except (YAMLError, ValueError) as error:
        raise SettingsError(str(file), "", f"is not YAML: {error}") from error
    except RecursionError:
        raise SettingsError(str(file), "", "holds itself, or is nested too deeply") from None


def _read_yaml(file: Path) -> tuple[dict[str, Any], KeyOrigins]:
    document = YAML(typ="rt").load(file)
    origins = KeyOrigins(str(file))
    if document is None:
        return {}, origins
    if not isinstance(document, CommentedMap):
        raise SettingsError(f"{file}:1", "", "is not a mapping of settings")
    _note_lines(document, (), file, origins)
    return _plain(document), origins


def validate(values: Mapping[str, Any], schema: Mapping[str, Any], origins: KeyOrigins) -> None:
    """Check values against a JSON schema; raises ``SettingsError`` for the first fault."""
    faults = jsonschema.Draft202012Validator(schema).iter_errors(values)
    fault = min(faults, key=lambda fault: list(map(str, fault.absolute_path)), default=None)
    if fault is None:
        return
    key: Key = tuple(fault.absolute_path)
    message = fault.message
    if fault.validator == "additionalProperties":
        known = fault.schema.get("properties", {})
        unknown = min(set(fault.instance) - set(known))
        key = (*key, unknown)
        message = f"no such key{_suggest(unknown, known)}"
    elif fault.validator in {"enum", "type"}:
        message = f"must be {_expected(fault.schema)}"
    elif fault.validator == "pattern":
        message = f"{fault.instance!r} is not of the form {fault.validator_value}"
    elif fault.validator == "required":
        missing = [name for name in fault.validator_value if name not in fault.instance]
        message = f"needs {', '.join(missing)}"
    elif fault.validator == "anyOf":
        message = f"needs {' or '.join(option['required'][0] for option in fault.validator_value)}"
    elif fault.validator == "minProperties":
        message = "must not be empty"
    raise SettingsError(origins.of(key), show(key), message)


def _expected(schema: Mapping[str, Any]) -> str:
    """What a value of another type should have been."""
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    types = schema["type"]
    return " or ".join(_IN_YAML[type_] for type_ in ([types] if isinstance(types, str) else types))


def without_required(schema: Any) -> Any:
    """A schema in which every key may be left out."""
    if isinstance(schema, Mapping):
        return {k: _optional(k, v) for k, v in schema.items() if k != "required"}
    return schema


def _optional(keyword: str, value: Any) -> Any:
    if keyword in {"properties", "$defs"}:
        return {name: without_required(inner) for name, inner in value.items()}
    return without_required(value)


def show(key: Key) -> str:
    """A key as people write it: ``mounts.allow[0].path``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def default_socket(environment: Mapping[str, str], *, root: bool) -> Path:
    """Where dockerd looks for the plugin, or for a user without root a place of his own."""
    if root:
        return Path("/run/docker/plugins/opa-authz.sock")
    runtime = environment.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) if runtime else Path.home() / ".cache/opa-authz"
    return folder / "docker/plugins/opa-authz.sock"


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
        opa=OpaSettings(**typed(opa)),
        deadline=float(values.get("deadline", 2.0)),
        policies=folders.get("policies"),
        identities=folders.get("identities"),
        host_paths=values.get("host_paths", "visible"),
        data_root=folders.get("data_root"),
        log=Log(**values.get("log", {})),
        audit=Audit(**typed(values.get("audit", {}))),
        metrics=Metrics(**values.get("metrics", {}), is_default="metrics" not in values),
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
    for name, file in files.items():
        if not file.is_file():
            key = ("server", name)
            raise SettingsError(origins.of(key), show(key), f"{file} is not a file")


def _note_lines(node: Any, key: Key, file: Path, origins: KeyOrigins) -> None:
    if isinstance(node, CommentedMap):
        for name, value in node.items():
            if name in (node.lc.data or ()):  # what is merged in (<<) has its line elsewhere
                origins.put((*key, name), f"{file}:{node.lc.key(name)[0] + 1}")
            _note_lines(value, (*key, name), file, origins)
    elif isinstance(node, CommentedSeq):
        for i, value in enumerate(node):
            origins.put((*key, i), f"{file}:{node.lc.item(i)[0] + 1}")
            _note_lines(value, (*key, i), file, origins)


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(v) for v in node]
    if isinstance(node, float) and not math.isfinite(node):
        return str(node)
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return None if node is None else str(node)


def _suggest(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known))}"
