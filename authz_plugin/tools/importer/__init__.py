"""What a Docker socket proxy was told, said in the words of our policy configuration.

Tecnativa's proxy, linuxserver's and wollomatic's are known. Nothing here talks to a proxy or to
Docker: files in, configuration and explanation out. Where a proxy opens more than anybody asked it
to, or cannot look where it should, the configuration is stricter, and says so.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from authz_plugin.tools.importer.differences import NAMED
from authz_plugin.tools.importer.expressions import read_expressions
from authz_plugin.tools.importer.permissions import DIALECTS, Dialect
from authz_plugin.tools.importer.sources import File, Proxy, find_proxy
from authz_plugin.tools.importer.switches import read_switches
from authz_plugin.tools.importer.translation import NAMED_VOLUMES, Imported, translate
from authz_plugin.tools.importer.workspace import read_bodies

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

ASKABLE: Final = (*NAMED, NAMED_VOLUMES)
"""What can be asked for by name, beside what the settings say."""


def carry_over(proxy: Proxy, asked: Collection[str] = ()) -> Imported:
    """The policy configuration that does what a proxy did; raises ``SettingsError``.

    ``asked`` are some of ``ASKABLE``.
    """
    settings = proxy.settings
    if proxy.dialect == "wollomatic":
        permissions, roots = read_expressions(settings, proxy.command, proxy.labelled)
        return translate(permissions, read_bodies(settings, roots), asked)
    return translate(read_switches(proxy.dialect, settings), read_bodies(settings), asked)
