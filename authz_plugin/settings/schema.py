"""The keys of the settings file that are not policy configuration, and their environment variables.

The descriptions are the source of docs/reference/settings.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PATH: Final = {"type": "string", "pattern": "^/"}

SCHEMA: Final[dict[str, Any]] = {
    "server": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "socket": {**_PATH, "description": "Unix socket on which dockerd finds the plugin."},
            "group": {
                "type": "string",
                "description": "Group that may use the socket, in addition to root.",
            },
            "listen": {
                "type": "string",
                "pattern": r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
                "description": "host:port to serve with mutual TLS, instead of the unix socket.",
            },
            "certificate": {**_PATH, "description": "The plugin's certificate, for listen."},
            "key": {**_PATH, "description": "Its key."},
            "client_ca": {
                **_PATH,
                "description": "CA that dockerd's certificate must be issued by.",
            },
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
        "enum": ["auto", "embedded", "opa"],
        "description": "embedded: the policies, compiled by OPA to WebAssembly, in the plugin's "
        "own process. opa: OPA's server, as `opa` describes it. auto (default): embedded, unless "
        "`opa.url` or `opa.decision_log` is set, or a rule calls a builtin that only OPA's server "
        "has.",
    },
    "opa": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "binary": {
                **_PATH,
                "description": "The OPA program, if it is not on PATH. It compiles own rules and "
                "is the server that the plugin starts.",
            },
            "url": {
                "type": "string",
                "pattern": "^(unix:/|https?://)",
                "description": "An OPA that you run: unix:/path, http:// or https://.",
            },
            "token_file": {**_PATH, "description": "File with the bearer token for opa.url."},
            "ca": {**_PATH, "description": "CA that the certificate of opa.url must be issued by."},
            "certificate": {**_PATH, "description": "Client certificate for opa.url."},
            "key": {**_PATH, "description": "Its key."},
            "decision_log": {
                "type": "boolean",
                "description": "Have the plugin's OPA log its decisions too, without bodies.",
            },
        },
    },
    "fleet": {
        "type": "object",
        "additionalProperties": False,
        "required": ["url", "bundle", "key"],
        "properties": {
            "url": {
                "type": "string",
                "pattern": "^https?://[^@?#/]+(/[^@?#]*)?$",
                "description": "The service that holds the site's bundles, without credentials.",
            },
            "type": {
                "type": "string",
                "enum": ["http", "oci", "s3"],
                "description": "http: a web server (default). oci: a registry. s3: a store with "
                "the interface of S3, whose url names the bucket.",
            },
            "bundle": {
                "type": "string",
                "minLength": 1,
                "description": "The bundle's path below url, or with oci its whole reference "
                "(`registry.example.org/docker-policy:production`). `{name}` stands for the label "
                "of that name.",
            },
            "key": {
                **_PATH,
                "description": "PEM file with the public key that a bundle must be signed by.",
            },
            "algorithm": {
                "type": "string",
                "enum": ["RS256", "RS512", "PS256", "PS512", "ES256", "ES384", "ES512"],
                "description": "The algorithm of the signature; default RS256.",
            },
            "labels": {
                "type": "object",
                "maxProperties": 32,
                "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,62}$"},
                "additionalProperties": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
                },
                "description": "Names and values that say which host this is; they are sent with "
                "status and decisions.",
            },
            "token_file": {**_PATH, "description": "File with the bearer token for the service."},
            "ca": {**_PATH, "description": "CA that the service's certificate must be issued by."},
            "certificate": {**_PATH, "description": "Client certificate for the service."},
            "client_key": {**_PATH, "description": "Its key."},
            "region": {
                "type": "string",
                "pattern": "^[a-z0-9-]+$",
                "description": "The region of an S3-compatible store.",
            },
            "credentials": {
                **_PATH,
                "description": "File in AWS' format with the key that an S3-compatible store "
                "knows, in the profile `default`.",
            },
            "interval": {
                "type": "integer",
                "minimum": 1,
                "maximum": 3600,
                "description": "Seconds between two polls, at most; default 30.",
            },
            "folder": {
                **_PATH,
                "description": "Where the policy in force, and decisions that are not uploaded "
                "yet, are kept for the time without the service; default /var/lib/opa-authz/fleet.",
            },
            "status": {
                "type": "boolean",
                "description": "Whether OPA uploads its status (OPA's `status` plugin); default "
                "false.",
            },
            "decisions": {
                "type": "boolean",
                "description": "Whether OPA uploads every decision of the plugin (OPA's decision "
                "log); default false.",
            },
            "spool": {
                "type": "integer",
                "minimum": 1,
                "maximum": 10240,
                "description": "MiB of decisions that are kept while they cannot be uploaded; "
                "further ones are dropped and counted; default 64.",
            },
            "receiver": {
                "type": "object",
                "additionalProperties": False,
                "required": ["url"],
                "properties": {
                    "url": {
                        "type": "string",
                        "pattern": "^https?://[^@?#/]+(/[^@?#]*)?$",
                        "description": "The service that takes status and decisions, if it is not "
                        "that of the bundles.",
                    },
                    "token_file": {**_PATH, "description": "File with the bearer token for it."},
                    "ca": {**_PATH, "description": "CA that its certificate must be issued by."},
                    "certificate": {**_PATH, "description": "Client certificate for it."},
                    "client_key": {**_PATH, "description": "Its key."},
                },
            },
        },
    },
    "deadline": {
        "type": "number",
        "minimum": 0.05,
        "maximum": 30,
        "description": "Seconds that a decision may take; after that the request is denied.",
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
                "description": "Events that may wait to be logged; further ones are dropped and "
                "counted.",
            },
        },
    },
    "audit": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "file": {**_PATH, "description": "The audit file; without it there is none."},
            "group": {
                "type": "string",
                "description": "Group that may read the audit file, in addition to root.",
            },
            "inputs": {
                "type": "boolean",
                "description": "Whether it holds the input document of each decision, without "
                "secrets, for `learn` and `replay`.",
            },
            "sync": {
                "type": "string",
                "enum": ["always", "interval", "never"],
                "description": "When lines are forced to the disk: after each batch, once a second "
                "(default), or never, which leaves it to the kernel.",
            },
            "on_failure": {
                "type": "string",
                "enum": ["continue", "deny"],
                "description": "What happens to requests while the file cannot be written; "
                "default continue.",
            },
            "max_size": {
                "type": "integer",
                "minimum": 1,
                "maximum": 1024,
                "description": "MiB after which the file is rotated; default 64.",
            },
            "max_age": {
                "type": "integer",
                "minimum": 1,
                "maximum": 8760,
                "description": "Hours after which the file is rotated; default 24.",
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
                "description": "Entries that may wait to be written; further ones are dropped and "
                "counted.",
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
            "certificate": {**_PATH, "description": "Certificate to serve them with TLS."},
            "key": {**_PATH, "description": "Its key."},
            "client_ca": {
                **_PATH,
                "description": "CA that clients' certificates must be issued by.",
            },
            "token_file": {**_PATH, "description": "File with the bearer token that they need."},
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
    "OPA_AUTHZ_AUDIT_GROUP": ("audit", "group"),
    "OPA_AUTHZ_METRICS_LISTEN": ("metrics", "listen"),
}
"""Environment variables and the keys that they set. OPA_AUTHZ_CONFIG names the settings file."""


def with_settings(policy_schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of the whole settings file, from that of the policy configuration."""
    return {**policy_schema, "properties": {**SCHEMA, **policy_schema["properties"]}}


def without_required(schema: Any) -> Any:
    """A copy of a JSON schema in which no key is required."""
    if isinstance(schema, Mapping):
        return {k: _optional(k, v) for k, v in schema.items() if k != "required"}
    return schema


def _optional(keyword: str, value: Any) -> Any:
    if keyword in {"properties", "$defs"}:
        return {name: without_required(inner) for name, inner in value.items()}
    return without_required(value)
