"""``opa-authz import``: converts a Docker socket proxy's settings into a policy configuration.

The proxies of Tecnativa, linuxserver and wollomatic are supported. The input are environment and
compose files; no proxy and no dockerd is contacted. Where a proxy allows more than its settings
name, or does not examine request bodies, the configuration is stricter, with a note that says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from authz_plugin.tools.importer.differences import NAMED
from authz_plugin.tools.importer.expressions import read_expressions, reads_labels
from authz_plugin.tools.importer.mount_validation import read_mount_settings
from authz_plugin.tools.importer.permissions import DIALECTS, Dialect, Note
from authz_plugin.tools.importer.roles import opens_nothing, with_roles
from authz_plugin.tools.importer.sources import File, Found, Proxy, find_proxies
from authz_plugin.tools.importer.switches import read_switches
from authz_plugin.tools.importer.translation import NAMED_VOLUMES, Imported, translate

__all__ = [
    "DIALECTS",
    "SELECTABLE",
    "Dialect",
    "File",
    "Found",
    "Imported",
    "Proxy",
    "find_proxies",
    "import_proxies",
    "import_proxy",
    "opens_nothing",
]

SELECTABLE: Final = (*NAMED, NAMED_VOLUMES)
"""The words of ``--with``: what can be left open in addition to what the settings name."""


def import_proxies(proxies: Sequence[Proxy], selected: Collection[str] = ()) -> Imported:
    """Convert the settings of one or several proxies.

    Several become roles, as do the clients of wollomatic's proxy that have rules in their labels.
    ``selected`` are words of ``SELECTABLE``. Raises ``SettingsError`` for settings that a proxy
    would not start with.
    """
    imports = {proxy.service: import_proxy(proxy, selected) for proxy in proxies}
    roles = imports if len(proxies) > 1 else {}
    labelled = {
        client.service: import_proxy(client, selected)
        for proxy in proxies
        if proxy.labelled and reads_labels(proxy.settings, proxy.command)
        for client in proxy.labelled
    }
    outside = None if roles else imports[proxies[0].service]
    made = with_roles(outside, {**labelled, **roles})
    text = "no role and nothing outside of roles opens more than ping and version"
    nothing = [Note("warning", "NOTHING IS OPEN", text)] if opens_nothing(made) else []
    return replace(made, notes=(*made.notes, *nothing))


def import_proxy(proxy: Proxy, selected: Collection[str] = ()) -> Imported:
    """Convert one proxy's settings, without those in labels; ``selected`` are as above.

    Raises ``SettingsError`` for settings that the proxy would not start with.
    """
    settings = proxy.settings
    if proxy.dialect == "wollomatic":
        permissions, roots = read_expressions(settings, proxy.command)
        made = translate(permissions, read_mount_settings(settings, roots), selected)
        unread = proxy.labelled and not reads_labels(settings, proxy.command)
        text = "the proxy does not read them without -proxycontainername: no role is made"
        notes = [Note("warning", f"labels of {one.service}", text) for one in proxy.labelled]
        return replace(made, notes=(*made.notes, *notes)) if unread else made
    return translate(
        read_switches(proxy.dialect, settings), read_mount_settings(settings), selected
    )
