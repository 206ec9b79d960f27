"""What attacks have made on a daemon, until it is removed again.

It removes by name and what it was told of alone; whether something is to be made is not for it to
say.
"""

from __future__ import annotations

import http
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.row import Kind, Thing
from authz_plugin.tools.attack.verdict import is_absence, read
from authz_plugin.tools.docker_client import Endpoint, Request, exchange
from authz_plugin.tools.validation.probes import NOTHING

Removal = Literal["removed", "absent", "kept"]

_REMOVALS: Final[Mapping[Kind, tuple[str, str]]] = {
    "container": ("/containers/{}?force=1&v=1", "docker rm --force --volumes {}"),
    "image": ("/images/{}?noprune=1", "docker rmi --no-prune {}"),
    "volume": ("/volumes/{}", "docker volume rm {}"),
    "network": ("/networks/{}", "docker network rm {}"),
    "service": ("/services/{}", "docker service rm {}"),
}


class Traces:
    """What may be there because of us, each with why it could not be removed, or nothing yet."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._things: dict[Thing, str] = {}
        self._removable: dict[Kind, bool] = {}

    def removes(self, kind: Kind) -> bool:
        """Whether something of a kind could be removed again, asked about what nobody has; and
        whether all that was made has been. Raises ``EndpointError``."""
        if kind not in self._removable:
            request = _removal(Thing(kind, NOTHING))
            answer = read(request, exchange(self._endpoint, request))
            self._removable[kind] = answer.said == "declined"
        kept = any(reason and thing.kind == kind for thing, reason in self._things.items())
        return self._removable[kind] and not kept

    def expect(self, things: Iterable[Thing]) -> None:
        """Note what is about to be made, until it is removed or forgotten."""
        self._things |= dict.fromkeys(things, "")

    def forget(self, things: Iterable[Thing]) -> None:
        """Note what has not come to be."""
        for thing in things:
            self._things.pop(thing, None)

    def remove(self, things: Iterable[Thing]) -> dict[Thing, Removal]:
        """Remove things; what cannot be removed stays noted, with the reason."""
        return {thing: self._remove(thing) for thing in things}

    def sweep(self) -> None:
        """Remove whatever is still noted, what was made last first: it may use the rest."""
        self.remove([*reversed(self._things)])

    @property
    def left(self) -> list[tuple[Thing, str, str]]:
        """What could not be removed, what was made last first: why, and the command that does."""
        return [
            (thing, reason, _REMOVALS[thing.kind][1].format(thing.name))
            for thing, reason in reversed(self._things.items())
        ]

    def _remove(self, thing: Thing) -> Removal:
        try:
            reply = exchange(self._endpoint, _removal(thing))
        except EndpointError as error:
            self._things[thing] = str(error)
            return "kept"
        if reply.status < http.HTTPStatus.MULTIPLE_CHOICES:
            self._things.pop(thing, None)
            return "removed"
        if is_absence(reply):
            self._things.pop(thing, None)
            return "absent"
        self._things[thing] = reply.message[:200] or f"HTTP {reply.status}"
        return "kept"


def _removal(thing: Thing) -> Request:
    return Request("DELETE", _REMOVALS[thing.kind][0].format(thing.name))
