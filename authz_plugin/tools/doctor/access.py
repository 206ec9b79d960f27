"""Checks of file permissions: dockerd's socket, the plugin's socket, settings and policies."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from authz_plugin.settings import Settings
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.doctor.host import Host, untrusted_writers

_SPECIFICATIONS: Final = ("etc/docker/plugins", "usr/lib/docker/plugins")


def check_socket(host: Host) -> Iterator[Finding]:
    """Check who may connect to dockerd's unix socket."""
    path = host.endpoint.unix
    if path is None:
        return
    try:
        facts = path.stat()
    except OSError:
        return
    if facts.st_mode & stat.S_IWOTH:
        yield Finding(
            "socket.everybody",
            "critical",
            f"{path} may be used by every account (mode {stat.filemode(facts.st_mode)})",
            "everybody on this host may ask dockerd for what the policy allows, unseen as who",
            f"chmod 660 {path}, and see what opened it",
        )
    else:
        yield Finding("socket.everybody", "ok", f"{path} is for its owner and group alone")
    group, members = host.group_members(facts.st_gid)
    if not facts.st_mode & stat.S_IWGRP or not set(members) - {"root"}:
        yield Finding("socket.group", "ok", f"{path}: no account but root is in group {group}")
        return
    yield Finding(
        "socket.group",
        "info",
        f"{path}: group {group} may use it: {', '.join(members)}",
        "on this socket the policy cannot tell these accounts from root or from each other",
        f"keep {group} small; give people TLS certificates where the policy should know them",
    )


def check_plugin(host: Host) -> Iterator[Finding]:
    """Check the socket or specification file of each authorization plugin in dockerd's settings.

    The paths are those of moby 28.5.2 ``pkg/plugins/discovery.go``.
    """
    for name in host.plugins():
        if "/" in name or ":" in name:
            yield Finding(
                "plugin.managed",
                "warning",
                f"{name} is a managed plugin",
                "whoever may use the plugins section of the API can disable it, and dockerd then "
                "asks nobody",
                "keep section plugins closed, or run the plugin as a service of the host",
            )
            continue
        yield from _check_plugin_files(host, name)


def check_files(host: Host, settings: Settings | None) -> Iterator[Finding]:
    """Check that only trusted accounts can change the settings and policies.

    ``settings`` are the plugin's; None if they cannot be loaded.
    """
    files = [host.daemon_file.path]
    if settings is not None:
        named = (settings.file, settings.policies, settings.opa.token_file, settings.server.key)
        files += [path for path in named if path is not None]
        if settings.policies is not None:
            files += sorted(settings.policies.rglob("*.rego"))
    found = False
    for path in dict.fromkeys(files):
        for reason in (
            sorted(set(untrusted_writers(path.absolute(), host.trusted_uids)))
            if path.exists()
            else ()
        ):
            found = True
            yield Finding(
                "files.writable",
                "critical",
                f"{path} can be changed by others: {reason}",
                "who can change it can change what is allowed, or switch the guard off",
                "chown root, chmod go-w",
            )
    if not found:
        yield Finding("files.writable", "ok", "settings and policies can be changed by nobody else")


def _check_plugin_files(host: Host, name: str) -> Iterator[Finding]:
    sockets = [host.at(f"run/docker/plugins/{name}.sock")]
    sockets += [host.at(f"run/docker/plugins/{name}/{name}.sock")]
    stems = [f"{folder}/{part}" for folder in _SPECIFICATIONS for part in (name, f"{name}/{name}")]
    files = [host.at(f"{stem}.{kind}") for stem in stems for kind in ("spec", "json")]
    there = [path for path in sockets if path.exists()]
    specified = [path for path in files if path.exists()]
    if not there and not specified:
        yield Finding(
            "plugin.missing",
            "critical",
            f"dockerd is told to ask {name}, and there is no socket or specification of that name",
            "every request fails, and dockerd does not start again",
            f"start the plugin: dockerd looks for {sockets[0]}",
        )
    for path in there[:1]:
        yield from _check_plugin_socket(path, name, host.trusted_uids)
    if there and specified:
        yield Finding(
            "plugin.shadowed",
            "warning",
            f"{specified[0]} is not read: {there[0]} goes before it",
            "dockerd takes a socket first, also one that was left behind",
            "remove the one that is not meant",
        )
    if not there:
        for path in specified[:1]:
            yield from _check_plugin_specification(path, host.trusted_uids)


def _check_plugin_socket(path: Path, name: str, trusted: frozenset[int]) -> Iterator[Finding]:
    reasons = sorted(set(untrusted_writers(path, trusted)))
    if reasons:
        yield Finding(
            "plugin.replaceable",
            "critical",
            f"the socket of {name} can be replaced by others: {'; '.join(reasons)}",
            "whoever answers there decides everything",
            "chown root, chmod go-w",
        )
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        yield Finding(
            "plugin.everybody",
            "warning",
            f"{path} may be used by every account (mode {stat.filemode(mode)})",
            "every account may ask for decisions, and keep the plugin busy",
            f"chmod 660 {path}",
        )
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(path))
    except OSError as error:
        yield Finding(
            "plugin.dead",
            "critical",
            f"nobody answers at {path}: {error.strerror or error}",
            "every request fails after about 15 seconds, and dockerd does not start again",
            f"start the plugin ({name}) and look at its log",
        )
    else:
        if not reasons and not mode & stat.S_IWOTH:
            yield Finding(
                "plugin.socket", "ok", f"{name} listens on {path}, which nobody else can replace"
            )


def _check_plugin_specification(path: Path, trusted: frozenset[int]) -> Iterator[Finding]:
    reasons = sorted(set(untrusted_writers(path, trusted)))
    if reasons:
        yield Finding(
            "plugin.replaceable",
            "critical",
            f"{path} can be changed by others: {'; '.join(reasons)}",
            "it says whom dockerd asks",
            "chown root, chmod go-w",
        )
    if not _verifies(path):
        yield Finding(
            "plugin.unverified",
            "critical",
            f"dockerd does not check whom {path} leads to",
            "it verifies a plugin's certificate only if a .json names CAFile; whoever answers at "
            "that address decides everything",
            "use plugin.json with CAFile and an https:// address, or a unix socket",
        )
    elif not reasons:
        yield Finding(
            "plugin.specification",
            "ok",
            f"{path} can be changed by nobody else and says whom to trust",
        )


def _verifies(path: Path) -> bool:
    """Return whether dockerd verifies the identity of the plugin that a specification names.

    It does for a unix socket, and for ``https:`` with a ``CAFile`` in a .json file (moby 28.5.2
    ``pkg/plugins/client.go``).
    """
    text = path.read_text(errors="replace").strip()
    if path.suffix == ".spec":
        return text.startswith("unix:")
    try:
        fields: Any = json.loads(text)
    except ValueError:
        return False
    address = str(fields.get("Addr", "")) if isinstance(fields, dict) else ""
    tls = fields.get("TLSConfig") if isinstance(fields, dict) else None
    if address.startswith("unix:"):
        return True
    checked = isinstance(tls, dict) and tls.get("CAFile") and not tls.get("InsecureSkipVerify")
    return address.startswith("https:") and bool(checked)
