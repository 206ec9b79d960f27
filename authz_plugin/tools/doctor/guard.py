"""The guard itself: its settings and policy, OPA, and proof that dockerd obeys."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from authz_plugin.engine import binary
from authz_plugin.settings import Settings
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Endpoint, Request, exchange
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.sandbox import Sandbox
from authz_plugin.tools.validation.checks import Observation, observe
from authz_plugin.tools.validation.probes import NOTHING, PROBES

_SOON: Final = timedelta(days=14)
_PRIVILEGED: Final = Request.of_json(
    "POST", "/containers/create", {"Image": f"{NOTHING}:none", "HostConfig": {"Privileged": True}}
)
_AMBIGUOUS: Final = Request("GET", f"/containers/{NOTHING}/logs?stdout=1&stdout=0")
"""Refused by the plugin itself, under any policy."""


def look_at_policy(config: Mapping[str, Any], today: date) -> Iterator[Finding]:
    """The policy configuration in force."""
    profile = config["profile"]
    if config["mode"] == "warn":
        yield Finding(
            "policy.mode",
            "critical",
            f"the policy ({profile}) is in mode warn",
            "it decides and records, and allows everything",
            "set mode: enforce when the warnings are dealt with",
        )
    else:
        yield Finding("policy.mode", "ok", f"the policy ({profile}) is in mode enforce")
    warned = sorted(rule for rule, mode in config["rules"].items() if mode == "warn")
    if warned:
        yield Finding(
            "policy.rules",
            "warning",
            f"rules that only warn: {', '.join(warned)}",
            "what they deny is allowed",
            "take them out of rules",
        )
    if config["privileged"]["allow"]:
        yield Finding(
            "policy.privileged",
            "warning",
            "privileged containers are allowed",
            "who may create one is root on this host",
            "set privileged.allow: false, and make exceptions where it must be",
        )
    if config["sections"]["plugins"] == "write":
        yield Finding(
            "policy.plugins",
            "warning",
            "section plugins is open for writing",
            "a managed plugin runs as root on this host",
            "set sections.plugins: none, or read",
        )
    wide = [root["path"] for root in config["mounts"]["allow"] if root["path"] == "/"]
    if wide:
        yield Finding(
            "policy.mounts",
            "critical",
            "bind mounts of every path are allowed (mounts.allow has /)",
            "a bind mount of / is root on this host",
            "name the folders that are needed",
        )
    if not config["mounts"]["follow_symlinks"]:
        yield Finding(
            "policy.symlinks",
            "warning",
            "bind mounts are judged by their spelling alone (mounts.follow_symlinks is false)",
            "a link inside an allowed folder leads anywhere",
            "run the plugin where it sees dockerd's files, and set mounts.follow_symlinks: true",
        )
    yield from _exceptions(config["exceptions"], today)


def _exceptions(exceptions: Any, today: date) -> Iterator[Finding]:
    for exception in exceptions:
        last = date.fromisoformat(exception["expires"])
        what = f"the exception from {exception['rule']} ({exception['reason']})"
        if last < today:
            yield Finding(
                "policy.exception-expired",
                "warning",
                f"{what} expired on {last}",
                "it excepts nothing any more",
                "take it out, or renew it",
            )
        elif last - today <= _SOON:
            yield Finding(
                "policy.exception-ending",
                "info",
                f"{what} ends with {last}",
                "what it excepts is denied after that",
                "renew it, or do without it",
            )


def look_at_audit(settings: Settings) -> Iterator[Finding]:
    """Whether decisions are kept."""
    file = settings.audit.file
    if file is not None:
        yield Finding("audit.file", "ok", f"decisions are recorded in {file}")
        return
    yield Finding(
        "audit.file",
        "info",
        "no audit file is kept",
        "who was allowed what is in the log alone, and what is lost or changed there leaves no "
        "trace",
        "set audit.file",
    )


def look_at_opa(settings: Settings, opa: binary.Opa | None) -> Iterator[Finding]:
    """Which OPA decides."""
    url = settings.opa.url
    if url is not None and url.startswith("http:") and not _is_loopback(url):
        yield Finding(
            "opa.plaintext",
            "critical",
            f"decisions come from {url}, in plain text",
            "whoever is on the way can decide",
            "use https:// with opa.ca, or a unix socket",
        )
    if opa is None:
        return
    if _number(opa.version) < _number(binary.VERSION):
        yield Finding(
            "opa.version",
            "info",
            f"OPA is {opa.version} ({opa.path}); this plugin is tested with {binary.VERSION}",
            "it may be used, and lacks later fixes",
            "run `opa-authz install-opa`",
        )
    else:
        yield Finding("opa.version", "ok", f"OPA {opa.version} ({opa.path})")


def look_at_enforcement(
    endpoint: Endpoint, sandbox: Sandbox | None, client: Client
) -> Iterator[Finding]:
    """Send dockerd a request that must be refused and comes to nothing if it is not.

    Raises ``EndpointError`` if dockerd stops answering.
    """
    canary, rules = _canary(sandbox, client)
    seen = observe(canary, exchange(endpoint, canary))
    sent = f"{canary.method} {canary.target.partition('?')[0]}"
    if seen.verdict == "denied" and (not rules or set(rules) & set(seen.rules)):
        named = ", ".join(seen.rules)
        yield Finding(
            "enforcement", "ok", f"enforcement is on: {seen.plugin} refused {sent} [{named}]"
        )
    elif seen.verdict == "denied":
        yield _otherwise(seen, sent, rules)
    elif seen.verdict == "failed":
        yield Finding(
            "enforcement",
            "critical",
            f"plugin {seen.plugin} gives no answer",
            f"dockerd refuses everything meanwhile: {seen.message[:200]}",
            "start it, and look at its log",
        )
    else:
        yield Finding(
            "enforcement",
            "critical",
            f"enforcement is OFF: dockerd carried out {sent}, which the policy refuses",
            f"it answered: {seen.message[:200]}",
            "see the other findings; then `opa-authz validate`",
        )


def _canary(sandbox: Sandbox | None, client: Client) -> tuple[Request, tuple[str, ...]]:
    """A request that the policy refuses, and the rules that do."""
    if sandbox is None:
        return _PRIVILEGED, ()
    for request in (_PRIVILEGED, PROBES["plugin.list"], PROBES["swarm.inspect"], _AMBIGUOUS):
        record = sandbox.judge(authz_message(request, client)).record
        if record.verdict == "deny":
            return request, tuple(denial.rule for denial in record.denials)
    return _AMBIGUOUS, ()


def _otherwise(seen: Observation, sent: str, rules: tuple[str, ...]) -> Finding:
    return Finding(
        "enforcement",
        "warning",
        f"{seen.plugin} refused {sent} by {', '.join(seen.rules) or 'no rule that it names'}, "
        f"these settings by {', '.join(rules)}",
        "the running plugin has another policy than these settings, or is another plugin",
        "reload the plugin, or name its settings with --config or --profile",
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
