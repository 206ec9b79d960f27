"""Names that rules know under another spelling: hostnames, networks that are off, image mounts."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import post
from tests.real.attacks.model import AttackCase, Table, service, shows

_STRICT_ALONE: Final[dict[str, Any]] = {"production": None, "devcontainer": None}
"""Both profiles allow further names in a network."""

_names = Table("names", "Names for what rules know under another")

NAMES: Final[tuple[AttackCase, ...]] = (
    _names.create(
        "A hostname that is another's name in a network",
        {"Hostname": "db", "HostConfig": {"NetworkMode": "app-net"}},
        "networks.alias",
        "Config.Hostname",
        "db",
        **_STRICT_ALONE,
    ),
    _names.create(
        "A hostname for a network that is joined later",
        {"Hostname": "db", "HostConfig": {"NetworkMode": "none"}},
        "networks.alias",
        "Config.Hostname",
        "db",
        **_STRICT_ALONE,
    ),
    _names.row(
        "A service's hostname that is another's",
        post(
            "/services/create",
            service(spec='"Hostname":"db"', more='"Networks":[{"Target":"bridge"}]'),
        ),
        "networks.alias",
        shows("/services/<name>", "Spec.TaskTemplate.ContainerSpec.Hostname", "db"),
        production="sections.operation",
        devcontainer="sections.operation",
    ),
    _names.create(
        "Links with networking disabled",
        {"NetworkDisabled": True, "HostConfig": {"Links": ["running:db"]}},
        "networks.link",
        "Config.NetworkDisabled",
        value=True,
    ),
    _names.create(
        "A MAC address with networking disabled",
        {
            "NetworkDisabled": True,
            "MacAddress": "02:42:ac:11:00:98",
            "HostConfig": {"NetworkMode": "app-net"},
        },
        "networks.mac-address",
        "Config.NetworkDisabled",
        value=True,
    ),
)
