"""``opa-authz import``: converts a Docker socket proxy's settings into a policy configuration.

The proxies of Tecnativa, linuxserver and wollomatic are supported. The input are environment and
compose files; no proxy and no dockerd is contacted. Where a proxy allows more than its settings
name, or does not examine request bodies, the configuration is stricter, with a note that says so.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from authz_plugin.tools.importer.differences import NAMED
from authz_plugin.tools.importer.expressions import read_expressions
from authz_plugin.tools.importer.mount_validation import read_mount_settings
from authz_plugin.tools.importer.permissions import DIALECTS, Dialect
from authz_plugin.tools.importer.sources import File, Proxy, find_proxy
from authz_plugin.tools.importer.switches import read_switches
from authz_plugin.tools.importer.translation import NAMED_VOLUMES, Imported, translate

__all__ = [
    "ASKABLE",
    "DIALECTS",
    "Dialect",
    "File",
    "Imported",
    "Proxy",
    "carry_over",
    "find_proxy",
]

SELECTABLE: Final = (*NAMED, NAMED_VOLUMES)
"""The words of ``--with``: what can be left open in addition to what the settings name."""


def import_proxy(proxy: Proxy, selected: Collection[str] = ()) -> Imported:
    """Convert a proxy's settings; ``selected`` are words of ``SELECTABLE``.

    Raises ``SettingsError`` for settings that the proxy would not start with.
    """
    settings = proxy.settings
    if proxy.dialect == "wollomatic":
        permissions, roots = read_expressions(settings, proxy.command, proxy.labelled)
        return translate(permissions, read_mount_settings(settings, roots), selected)
    return translate(
        read_switches(proxy.dialect, settings), read_mount_settings(settings), selected
    )
