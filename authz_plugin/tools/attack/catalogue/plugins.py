"""Managed plugins, which run with root privileges on the host; the guard may be one of them.

Nothing is installed or changed: no registry is running at the address, and no such plugin exists.
"""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    NO_PLUGIN,
    NO_REGISTRY,
    NOWHERE,
    entry,
    post,
)
from authz_plugin.tools.attack.model import CatalogueAttack, Family, RequestTemplate
from authz_plugin.tools.validation.probes import NOTHING

PLUGINS: Final = Family("plugins", "Plugins")

_NAMED: Final = f"/plugins/{NOTHING}"
_REMOTE: Final = f"remote={NOWHERE}/{NOTHING}:none"
_PRIVILEGES: Final = json.dumps([{"Name": "network", "Description": "", "Value": ["host"]}])
_IMPACT_INSTALL: Final = "a managed plugin has whatever it asks for: mounts, devices, capabilities"
_IMPACT_CHANGE: Final = "plugins are switched off or get other mounts; the guard may be one"


def _change(id_: str, title: str, request: RequestTemplate, **more: Any) -> CatalogueAttack:
    """Return an attack that changes a plugin, which does not exist."""
    return entry(
        PLUGINS, id_, title, request,
        success_errors=NO_PLUGIN, rule="plugins.change", impact=_IMPACT_CHANGE, **more,
    )  # fmt: skip


ROWS: Final = (
    entry(PLUGINS, "pull", "A plugin from a registry of the caller's, with privileges",
          post(f"/plugins/pull?{_REMOTE}", _PRIVILEGES), success_errors=NO_REGISTRY,
          rule="plugins.install", impact=_IMPACT_INSTALL,
          command="docker plugin install --grant-all-permissions registry/plugin"),
    entry(PLUGINS, "create", "A plugin out of an archive",
          post(f"/plugins/create?name={NOTHING}"),
          success_errors="config not found|no rootfs found",
          rule="plugins.create", impact=_IMPACT_INSTALL,
          command="docker plugin create name folder"),
    _change("set", "A plugin set", post(f"{_NAMED}/set", '["X=Y"]')),
    _change("enable", "A plugin switched on", post(f"{_NAMED}/enable?timeout=1")),
    _change("disable", "A plugin switched off", post(f"{_NAMED}/disable?force=1"),
            command="docker plugin disable --force plugin"),
    _change("remove", "A plugin removed", RequestTemplate("DELETE", f"{_NAMED}?force=1")),
    _change("upgrade", "A plugin upgraded from a registry of the caller's",
            post(f"{_NAMED}/upgrade?{_REMOTE}", _PRIVILEGES)),
)  # fmt: skip
