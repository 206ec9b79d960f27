"""Checks of the plugin: its policy, audit file and OPA, and whether dockerd enforces decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final

from authz_plugin.engine import binary
from authz_plugin.settings import Settings
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Endpoint, Request, exchange
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.doctor.host import is_loopback
from authz_plugin.tools.sandbox import Sandbox
from authz_plugin.tools.validation.checks import Observation, observe
from authz_plugin.tools.validation.probes import ALWAYS_DENIED, NOTHING, PROBES

_SOON: Final = timedelta(days=14)
_PRIVILEGED: Final = Request.of_json(
    "POST", "/containers/create", {"Image": f"{NOTHING}:none", "HostConfig": {"Privileged": True}}
)


def check_policy(config: Mapping[str, Any], today: date) -> Iterator[Finding]:
    """Check a complete policy configuration; ``today`` decides which exceptions have expired."""
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


def check_audit(settings: Settings) -> Iterator[Finding]:
    """Check that an audit file is configured."""
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


def check_opa(settings: Settings, opa: binary.Opa | None) -> Iterator[Finding]:
    """Check the URL and the version of OPA; ``opa`` is None if its program was not found."""
    url = settings.opa.url
    if url is not None and url.startswith("http:") and not is_loopback(url):
        yield Finding(
            "opa.plaintext",
            "critical",
            f"decisions come from {url}, in plain text",
            "whoever is on the way can decide",
            "use https:// with opa.ca, or a unix socket",
        )
    if opa is None:
        return
    if _version_tuple(opa.version) < _version_tuple(binary.VERSION):
        yield Finding(
            "opa.version",
            "info",
            f"OPA is {opa.version} ({opa.path}); this plugin is tested with {binary.VERSION}",
            "it may be used, and lacks later fixes",
            "run `opa-authz install-opa`",
        )
    else:
        yield Finding("opa.version", "ok", f"OPA {opa.version} ({opa.path})")


def check_enforcement(
    endpoint: Endpoint, sandbox: Sandbox | None, client: Client
) -> Iterator[Finding]:
    """Send dockerd a request that the plugin must deny, and check that dockerd rejects it.

    The request has no effect if it is not rejected. ``sandbox`` is None if the plugin's settings
    are not valid. Raises ``EndpointError`` if dockerd does not answer.
    """
    request, rules = _denied_request(sandbox, client)
    observation = observe(request, exchange(endpoint, request))
    sent = f"{request.method} {request.target.partition('?')[0]}"
    if observation.verdict == "denied" and (not rules or set(rules) & set(observation.rules)):
        named = ", ".join(observation.rules)
        yield Finding(
            "enforcement", "ok", f"enforcement is on: {observation.plugin} refused {sent} [{named}]"
        )
    elif observation.verdict == "denied":
        yield _denied_by_other_rules(observation, sent, rules)
    elif observation.verdict == "failed":
        yield plugin_gives_no_answer(observation)
    else:
        yield Finding(
            "enforcement",
            "critical",
            f"enforcement is OFF: dockerd carried out {sent}, which the policy refuses",
            f"it answered: {observation.message[:200]}",
            "see the other findings; then `opa-authz validate`",
        )


def plugin_gives_no_answer(observation: Observation) -> Finding:
    """Return the finding for a request whose observation has the verdict ``failed``."""
    return Finding(
        "enforcement",
        "critical",
        f"plugin {observation.plugin} gives no answer",
        "dockerd refuses every request meanwhile, so that what it reports of itself and of its "
        f"containers could not be read: {observation.message[:200]}",
        "start it, look at its log, and run doctor again",
    )


def _denied_request(sandbox: Sandbox | None, client: Client) -> tuple[Request, tuple[str, ...]]:
    """Return a request that the policy denies, and the ids of the rules that deny it.

    The ids are empty if they are not known: any denial is then accepted.
    """
    if sandbox is None:
        return _PRIVILEGED, ()
    candidates = (_PRIVILEGED, PROBES["plugin.list"], PROBES["swarm.inspect"], ALWAYS_DENIED)
    for request in candidates:
        record = sandbox.judge(authz_message(request, client)).record
        if record.verdict == "deny":
            return request, tuple(denial.rule for denial in record.denials)
    return ALWAYS_DENIED, ()


def _denied_by_other_rules(observation: Observation, sent: str, rules: tuple[str, ...]) -> Finding:
    named = ", ".join(observation.rules) or "no rule that it names"
    return Finding(
        "enforcement",
        "warning",
        f"{observation.plugin} refused {sent} by {named}, these settings by {', '.join(rules)}",
        "the running plugin has another policy than these settings, or is another plugin",
        "reload the plugin, or name its settings with --config or --profile",
    )


def _version_tuple(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
