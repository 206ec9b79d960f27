"""Whether dockerd may take a string for an id instead of a name.

dockerd looks a string up as a name and as an id or the beginning of one. Containers and an engine's
networks have ids of 64 characters of 0-9 and a-f; services, secrets, configs, a swarm's networks
and cluster volumes have ids of 25 characters of 0-9 and a-z (swarmkit ``identity/randomid.go``).
Sources: moby 28.5.2 and 20.10.24 ``daemon/container.go`` (GetContainer), ``daemon/network.go``
(FindNetwork), ``api/server/router/network/network_routes.go`` (findUniqueNetwork),
``daemon/cluster/helpers.go`` (getService, getSecret, getConfig, getNetwork, getVolume),
``volume/service/service.go`` (an engine's volumes have names only).
"""

from __future__ import annotations

import re
from typing import Final

_ENGINE: Final = "[0-9a-f]"
_SWARM: Final = "[0-9a-z]"

_ENGINE_PREFIX: Final = re.compile(f"{_ENGINE}{{1,64}}")
_PREFIXES: Final = {
    "container": _ENGINE_PREFIX,
    "network": re.compile(f"{_ENGINE}{{1,64}}|{_SWARM}{{1,25}}"),
    **dict.fromkeys(("config", "secret", "service", "volume"), re.compile(f"{_SWARM}{{1,25}}")),
}
_WHOLE: Final = {
    "container": re.compile(f"{_ENGINE}{{64}}"),
    "network": re.compile(f"{_ENGINE}{{64}}|{_SWARM}{{25}}"),
    "volume": re.compile(f"{_ENGINE}{{64}}|{_SWARM}{{25}}"),
    **dict.fromkeys(("config", "secret", "service"), re.compile(f"{_SWARM}{{25}}")),
}


def may_be_id(kind: str, text: str) -> bool:
    """Whether dockerd may take ``text`` for an id, or the beginning of one, of an object of this
    kind: container, network, volume, service, secret or config."""
    return _PREFIXES[kind].fullmatch(text) is not None


def may_be_engine_id(text: str) -> bool:
    """Whether dockerd may take ``text`` for an id, or the beginning of one, that the engine and not
    the swarm assigned, such as that of the default bridge network."""
    return _ENGINE_PREFIX.fullmatch(text) is not None


def is_whole_id(kind: str, text: str) -> bool:
    """Whether ``text`` has the form of a complete id of an object of this kind. The name of an
    anonymous volume, 64 random hexadecimal digits, counts as one."""
    return _WHOLE[kind].fullmatch(text) is not None
