"""Checks of dockerd's settings: authorization plugins, TCP listeners, user namespace, data root."""

from __future__ import annotations

import difflib
import http
import os
import re
from collections.abc import Iterator
from typing import Final

from authz_plugin.enginestate import DEFAULT_ROOT, data_root
from authz_plugin.settings import Settings
from authz_plugin.tools.docker_client import Endpoint, exchange
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.doctor.host import Host, is_loopback
from authz_plugin.tools.validation.probes import PROBES

_PLUGINS_KEY: Final = "authorization-plugins"
_PLUGIN_FLAG: Final = "--authorization-plugin"
_DAEMON_JSON: Final = '{"authorization-plugins": ["opa-authz"]}'


def check_dockerd(host: Host) -> Iterator[Finding]:
    """Check dockerd's command line and daemon.json."""
    if host.dockerd is None:
        yield Finding(
            "dockerd.unseen",
            "info",
            "dockerd's process cannot be seen from here",
            "what it was told on its command line is not known",
            "run doctor as root on dockerd's own host (--root, if its files lie elsewhere)",
        )
    yield from _daemon_file(host)
    yield from _plugin_settings(host)
    yield from _tcp_listeners(host)
    yield from _user_namespace(host)


def check_data_root(host: Host, settings: Settings) -> Iterator[Finding]:
    """Check that the plugin's data root is the one in dockerd's settings."""
    if settings.host_paths != "visible" or (host.dockerd is None and not host.daemon_file.exists):
        return
    configured = host.setting("--data-root", "data-root")
    theirs = os.path.normpath(configured[0]) if configured else str(DEFAULT_ROOT)
    ours = _plugin_data_root(settings)
    if ours == theirs:
        yield Finding("dockerd.data-root", "ok", f"dockerd's containers are looked up in {ours}")
    else:
        yield Finding(
            "dockerd.data-root",
            "critical",
            f"dockerd keeps its containers in {theirs}, the plugin looks for them in {ours}",
            "where roots are allowed, no container can be started: what it has mounted is not "
            "known; old containers in the wrong place would be judged for the right ones",
            f"set data_root: {theirs} in the plugin's settings and restart it",
        )


def check_reported_data_root(endpoint: Endpoint, settings: Settings) -> Iterator[Finding]:
    """Check that the plugin's data root is the ``DockerRootDir`` that dockerd reports.

    Raises ``EndpointError`` if dockerd does not answer.
    """
    reply = exchange(endpoint, PROBES["system.info"])
    if settings.host_paths != "visible" or reply.status != http.HTTPStatus.OK:
        return
    reported = str(reply.json().get("DockerRootDir") or "")
    ours = _plugin_data_root(settings)
    if reported and os.path.realpath(ours) not in {
        os.path.realpath(reported),
        os.path.realpath(_without_userns_folder(reported)),
    }:
        yield Finding(
            "dockerd.root-in-use",
            "critical",
            f"dockerd says that it keeps its containers in {reported}, the plugin looks in {ours}",
            "where roots are allowed, no container can be started: what it has mounted is not "
            "known; old containers in the wrong place would be judged for the right ones",
            f"set data_root: {_without_userns_folder(reported)} in the plugin's settings and "
            "restart it",
        )


def _plugin_data_root(settings: Settings) -> str:
    root = settings.data_root or data_root()
    return "no folder, as daemon.json does not tell" if root is None else os.path.normpath(root)


def _without_userns_folder(root: str) -> str:
    """Return a data root without the ``UID.GID`` folder of a remapped user namespace."""
    parent, _, last = root.rpartition("/")
    return parent if re.fullmatch(r"\d+\.\d+", last) else root


def _daemon_file(host: Host) -> Iterator[Finding]:
    file = host.daemon_file
    if file.problem:
        yield Finding(
            "dockerd.file",
            "warning",
            f"{file.path} {file.problem}",
            "dockerd refuses to start with it, and takes nothing over at a reload",
            f"mend {file.path}: `dockerd --validate --config-file {file.path}`",
        )
    for key in file.settings:
        if key != _PLUGINS_KEY and difflib.get_close_matches(key, [_PLUGINS_KEY], cutoff=0.8):
            yield Finding(
                "dockerd.key-misspelt",
                "critical",
                f"{file.path} says {key!r}, the key is {_PLUGINS_KEY!r}",
                "dockerd asks no plugin because of it; the name of the flag is even accepted "
                "without an error",
                f"write {_DAEMON_JSON} and reload dockerd",
            )


def _plugin_settings(host: Host) -> Iterator[Finding]:
    by_file = list(host.daemon_file.settings.get(_PLUGINS_KEY) or [])
    by_flag = [] if host.dockerd is None else host.dockerd.values(_PLUGIN_FLAG)
    if by_file and by_flag:
        yield Finding(
            "dockerd.plugin-twice",
            "warning",
            f"plugins are named by flag ({', '.join(by_flag)}) and in {host.daemon_file.path}",
            "dockerd will not start again like this",
            f"take {_PLUGIN_FLAG} off dockerd's command line",
        )
    elif by_file:
        named = ", ".join(map(str, by_file))
        yield Finding("dockerd.plugin", "ok", f"{host.daemon_file.path} names {named}")
    elif by_flag:
        yield Finding(
            "dockerd.plugin-by-flag",
            "critical",
            f"plugin {', '.join(by_flag)} is named on dockerd's command line alone",
            "at SIGHUP (`systemctl reload docker`) dockerd takes the list from daemon.json alone: "
            "authorization is then off, without a word",
            f"write {_DAEMON_JSON} into {host.daemon_file.path}, take the flag away, "
            "restart dockerd",
        )
    elif host.dockerd is not None or host.daemon_file.exists:
        yield Finding(
            "dockerd.plugin-none",
            "critical",
            "dockerd is told of no authorization plugin, by flag or file",
            "it does whatever it is asked",
            f"write {_DAEMON_JSON} into {host.daemon_file.path} and reload dockerd",
        )


def _tcp_listeners(host: Host) -> Iterator[Finding]:
    verified = _is_on(host, "--tlsverify", "tlsverify")
    encrypted = verified or _is_on(host, "--tls", "tls")
    urls = [url for url in host.setting("--host", "hosts") if url.startswith("tcp:")]
    if not urls and host.dockerd is not None:
        yield Finding("dockerd.tcp", "ok", "dockerd listens on no TCP port")
    for url in urls:
        if verified:
            yield Finding("dockerd.tcp", "ok", f"{url} asks clients for certificates")
            continue
        local = is_loopback(url)
        who = "every process and container of this host" if local else "everybody who can reach it"
        yield Finding(
            "dockerd.tcp-open",
            "warning" if local else "critical",
            f"dockerd listens on {url} and asks clients for no certificate"
            + (" (encrypted, but open)" if encrypted else ""),
            f"{who} may send requests, and the policy cannot tell who it is",
            "serve it with --tlsverify and a CA of your own, or not at all",
        )


def _user_namespace(host: Host) -> Iterator[Finding]:
    if host.dockerd is None:
        return
    remapped = [value for value in host.setting("--userns-remap", "userns-remap") if value]
    if host.is_rootless:
        yield Finding("dockerd.user", "ok", f"dockerd is rootless: uid {host.dockerd.uid}")
    elif remapped:
        yield Finding("dockerd.user", "ok", f"root in containers is not root here: {remapped[-1]}")
    else:
        yield Finding(
            "dockerd.user",
            "info",
            "root in a container is root of this host (no userns-remap, not rootless)",
            "what breaks out of a container, or writes to a bind mount, does so as root",
            'consider {"userns-remap": "default"} in daemon.json; images are stored anew then',
        )


def _is_on(host: Host, flag: str, key: str) -> bool:
    return bool({"true", "1"} & set(host.setting(flag, key)))
