"""Checks of what dockerd lets builds do: the key ``builder`` of daemon.json, and mirrors.

A plugin sees no parameter of a build with BuildKit, so these settings are the only limits that it
has. Their defaults are those of moby v2.0.0-beta.24 ``daemon/internal/builder-next/controller.go``
(``getEntitlements``, ``getGCPolicy``) and ``daemon/config/builder.go``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from authz_plugin.tools.doctor.finding import Finding, Severity
from authz_plugin.tools.doctor.host import Host, is_loopback


@dataclass(frozen=True, slots=True)
class _Entitlement:
    """What steps of a build may be allowed; ``default`` is what holds if daemon.json is silent."""

    id: str
    ok_text: str
    problem_text: str
    why: str
    fix: str
    severity: Severity = "info"
    default: bool = True

    @property
    def name(self) -> str:
        return self.id.removeprefix("builder.")


_ENTITLEMENTS: Final = (
    _Entitlement(
        "builder.network-host",
        "no step of a build with BuildKit may use the host's network",
        "steps of a build with BuildKit may use the host's network",
        "they reach what listens on the host's loopback addresses; a policy that opens build.grpc "
        "cannot forbid it",
        'set {"builder": {"entitlements": {"network-host": false}}} and restart dockerd',
    ),
    _Entitlement(
        "builder.security-insecure",
        "no step of a build with BuildKit may run without confinement",
        "steps of a build with BuildKit may run without confinement (security-insecure)",
        "they have every capability and all devices, as a privileged container has: whoever may "
        "build has root on this host, and no plugin sees that it is asked for",
        'take "security-insecure" out of builder.entitlements in daemon.json and restart dockerd',
        "warning",
        default=False,
    ),
    _Entitlement(
        "builder.device",
        "no step of a build with BuildKit may use a device of the host",
        "steps of a build with BuildKit may use devices that a CDI specification names",
        "the rules on devices judge containers only; where no CDI specification is installed, "
        "there is no such device",
        'set {"builder": {"entitlements": {"device": false}}} and restart dockerd (Docker 29)',
    ),
)


def check_builder(host: Host) -> Iterator[Finding]:
    """Check the settings of builds and mirrors, if command line and daemon.json can be read."""
    if host.dockerd is None or host.daemon_file.problem:
        return
    builder = host.daemon_file.settings.get("builder")
    entitlements = _member(builder, "entitlements")
    for entitlement in _ENTITLEMENTS:
        given = _member(entitlements, entitlement.name)
        if entitlement.default if given is None else given:
            yield Finding(
                entitlement.id,
                entitlement.severity,
                entitlement.problem_text,
                entitlement.why,
                entitlement.fix,
            )
        else:
            yield Finding(entitlement.id, "ok", entitlement.ok_text)
    yield _garbage_collection(_member(builder, "gc"))
    yield _mirrors(host)


def _garbage_collection(settings: Any) -> Finding:
    enabled = _member(settings, "enabled")
    if enabled is None or enabled:
        return Finding("builder.gc", "ok", "BuildKit removes old build cache by itself")
    return Finding(
        "builder.gc",
        "info",
        "BuildKit removes no build cache by itself (builder.gc)",
        "builds can fill the disk, on which containers and dockerd write, too",
        'take {"enabled": false} out of builder.gc in daemon.json and restart dockerd',
    )


def _mirrors(host: Host) -> Finding:
    mirrors = host.setting("--registry-mirror", "registry-mirrors")
    plain = [url for url in mirrors if url.lower().startswith("http:") and not is_loopback(url)]
    if plain:
        return Finding(
            "dockerd.registry-mirror",
            "warning",
            f"images of Docker Hub come unencrypted from {', '.join(plain)}",
            "whoever is on the way there can put images of their own in the place of those that a "
            "policy allows by name; builds take them as well",
            "serve the mirror by https://, or take it out of registry-mirrors",
        )
    if mirrors:
        return Finding(
            "dockerd.registry-mirror",
            "info",
            f"images of Docker Hub come from {', '.join(mirrors)}",
            "rules on images judge the name docker.io, whatever the mirror sends for a tag",
            "see that these mirrors are yours; allow images by digest where it matters",
        )
    return Finding(
        "dockerd.registry-mirror", "ok", "images of Docker Hub come from Docker Hub itself"
    )


def _member(value: Any, name: str) -> Any:
    """Return a member of a JSON object, whose name dockerd compares without case, or None."""
    if not isinstance(value, Mapping):
        return None
    found = [item for key, item in value.items() if key.lower() == name]
    return found[-1] if found else None
