"""Recognises services that are clients of Docker, and says what a configuration denies them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.importer.client_requests import CLIENTS
from authz_plugin.tools.importer.compose import Service
from authz_plugin.tools.importer.permissions import Note
from authz_plugin.tools.importer.sources import Found, Proxy, has_image, used_proxies

IMAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "act-runner": ("gitea/act_runner", "forgejo/runner"),
    "authentik-outpost": ("goauthentik/server",),
    "autoheal": ("willfarrell/autoheal",),
    "beszel": ("henrygd/beszel-agent",),
    "coolify-sentinel": ("coollabsio/sentinel",),
    "crowdsec": ("crowdsecurity/crowdsec",),
    "diun": ("crazymax/diun",),
    "dockge": ("louislam/dockge",),
    "dockhand": ("fnsys/dockhand",),
    "docker-volume-backup": ("offen/docker-volume-backup",),
    "dokploy-monitoring": ("dokploy/monitoring",),
    "dozzle": ("amir20/dozzle",),
    "gitlab-runner": ("gitlab/gitlab-runner",),
    "homarr": ("homarr-labs/homarr", "ajnart/homarr"),
    "homepage": ("gethomepage/homepage",),
    "komodo-periphery": ("moghtech/komodo-periphery",),
    "netdata": ("netdata/netdata",),
    "nginx-proxy": ("nginxproxy/nginx-proxy", "jwilder/nginx-proxy"),
    "portainer": ("portainer/portainer-ce", "portainer/portainer-ee", "portainer/agent"),
    "sablier": ("sablierapp/sablier", "acouvreur/sablier"),
    "traefik": ("traefik",),
    "uptime-kuma": ("louislam/uptime-kuma",),
    "watchtower": ("containrrr/watchtower", "nickfedor/watchtower", "nicholas-fedor/watchtower"),
    "woodpecker-agent": ("woodpeckerci/woodpecker-agent",),
}
"""The presets of clients that are recognised by their images, without registry and tag."""

Judge = Callable[[bytes], tuple[str, Sequence[str]]]
"""Decides on an AuthZ message: the operation, and the rules that deny it, none if it is allowed."""


def preset_of(service: Service) -> str | None:
    """Return the preset for a service, or None if its image is not that of a known client."""
    for preset, names in IMAGES.items():
        if any(has_image(service, name) for name in names):
            return preset
    return None


def client_notes(found: Found, roles: Sequence[str], judge: Judge) -> Iterator[Note]:
    """Yield a note for each client among the services beside the proxies.

    ``roles`` are the roles of the configuration, whose names are their callers' names, and
    ``judge`` decides by it.
    """
    for service in found.beside:
        preset = preset_of(service)
        if preset is None:
            continue
        subject = f"{service.name} ({service.image})"
        elsewhere = used_proxies(service, found.left_out)
        if elsewhere and not used_proxies(service, [proxy.service for proxy in found.proxies]):
            text = f"preset {preset}; it uses {', '.join(elsewhere)}, which is not imported"
            yield Note("client", subject, text)
            continue
        user = _user(service, found.proxies, roles)
        if user is None:
            text = f"preset {preset}; which proxy it uses is not in this file, so it has no role"
            yield Note("client", subject, text)
            continue
        yield Note("client", subject, _text(preset, user, judge))


def _user(service: Service, proxies: Sequence[Proxy], roles: Sequence[str]) -> str | None:
    """Return the name as which a client asks: its own role's, else that of its proxy.

    It is empty if the configuration outside of roles decides, and None if the proxy is not known.
    """
    if service.name in roles:
        return service.name
    if len(proxies) == 1:
        return proxies[0].service if proxies[0].service in roles else ""
    used = used_proxies(service, [proxy.service for proxy in proxies])
    return used[0] if len(used) == 1 else None


def _text(preset: str, user: str, judge: Judge) -> str:
    client = Client(user)
    denied: dict[str, set[str]] = {}
    for method, target, body in CLIENTS[preset]:
        content, kind = (
            (body, "application/x-tar")
            if isinstance(body, bytes)
            else (b"" if body is None else json.dumps(body).encode(), "application/json")
        )
        headers = (("Content-Type", kind),) if content else ()
        request = Request(method, f"/v1.44{target}", headers, content)
        operation, rules = judge(authz_message(request, client))
        if rules:
            denied.setdefault(operation, set()).update(rules)
    as_whom = f" as role {user}" if user else ""
    if not denied:
        return f"preset {preset}; of what it sends, nothing is denied{as_whom}"
    listed = ", ".join(f"{id_} ({', '.join(sorted(denied[id_]))})" for id_ in sorted(denied))
    return f"preset {preset}; of what it sends, this is denied{as_whom}: {listed}"
