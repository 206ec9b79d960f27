"""The settings: one frozen object, read from a file, the environment and options, in that order.

Every error names the key and where it was set. The policy configuration (what the policies allow)
is part of the settings file; this package validates it and passes it on with each key's origin.
"""

from __future__ import annotations

from authz_plugin.hostpaths import DEFAULT_FILE, default_socket
from authz_plugin.settings.conformance import conforms
from authz_plugin.settings.load import DEFAULT_PROFILE, ENVIRONMENT_PREFIX, load
from authz_plugin.settings.model import (
    Audit,
    Fleet,
    Log,
    Metrics,
    OpaSettings,
    Receiver,
    Server,
    Settings,
)  # fmt: skip
from authz_plugin.settings.origins import Key, KeyOrigins, show
from authz_plugin.settings.schema import ENVIRONMENT, SCHEMA, with_settings, without_required
from authz_plugin.settings.validation import suggest, validate
from authz_plugin.settings.yaml_file import read_yaml

__all__ = [
    "DEFAULT_FILE", "DEFAULT_PROFILE", "ENVIRONMENT", "ENVIRONMENT_PREFIX", "SCHEMA", "Audit",
    "Fleet", "Key", "KeyOrigins", "Log", "Metrics", "OpaSettings", "Receiver", "Server", "Settings",
    "conforms", "default_socket", "load", "read_yaml", "show", "suggest", "validate",
    "with_settings", "without_required",
]  # fmt: skip
