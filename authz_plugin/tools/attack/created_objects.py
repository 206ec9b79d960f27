"""Track the objects that attacks create on a daemon, and remove them.

Only objects that were added here are removed, by their names. ``can_remove`` tells callers which
kinds of objects they may create.
"""

from __future__ import annotations

import http
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.model import DockerObject, ObjectKind
from authz_plugin.tools.attack.verdict import is_not_found, read_answer
from authz_plugin.tools.docker_client import Endpoint, Request, exchange
from authz_plugin.tools.validation.probes import NOTHING

Removal = Literal["removed", "absent", "failed"]

_REMOVALS: Final[Mapping[ObjectKind, tuple[str, str]]] = {
    "container": ("/containers/{}?force=1&v=1", "docker rm --force --volumes {}"),
    "image": ("/images/{}?noprune=1", "docker rmi --no-prune {}"),
    "volume": ("/volumes/{}", "docker volume rm {}"),
    "network": ("/networks/{}", "docker network rm {}"),
    "service": ("/services/{}", "docker service rm {}"),
}
"""The target of the DELETE request for each kind, and the Docker command that does the same."""


class CreatedObjects:
    """The objects that may exist because of attacks on a daemon."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._failures: dict[DockerObject, str] = {}
        """Why each object could not be removed; empty where that was not tried yet."""
        self._removable: dict[ObjectKind, bool] = {}

    def can_remove(self, kind: ObjectKind) -> bool:
        """Return whether objects of a kind can be removed.

        They can if the guard allows the removal of an object that does not exist, and no removal of
        this kind has failed. Raises ``EndpointError`` if nothing answers.
        """
        if kind not in self._removable:
            request = _removal_request(DockerObject(kind, NOTHING))
            answer = read_answer(request, exchange(self._endpoint, request))
            self._removable[kind] = answer.kind == "declined"
        failed = any(reason and object_.kind == kind for object_, reason in self._failures.items())
        return self._removable[kind] and not failed

    def add(self, objects: Iterable[DockerObject]) -> None:
        """Add objects that a request is about to create."""
        self._failures |= dict.fromkeys(objects, "")

    def discard(self, objects: Iterable[DockerObject]) -> None:
        """Drop objects that were not created."""
        for object_ in objects:
            self._failures.pop(object_, None)

    def remove(self, objects: Iterable[DockerObject]) -> dict[DockerObject, Removal]:
        """Remove objects; those that cannot be removed stay recorded with the reason."""
        return {object_: self._remove(object_) for object_ in objects}

    def remove_all(self) -> None:
        """Remove every recorded object, the latest first, because it may use earlier ones."""
        self.remove([*reversed(self._failures)])

    @property
    def remaining(self) -> list[tuple[DockerObject, str, str]]:
        """The objects that are still recorded, the latest first, each with the reason and with the
        Docker command that removes it."""
        return [
            (object_, reason, _REMOVALS[object_.kind][1].format(object_.name))
            for object_, reason in reversed(self._failures.items())
        ]

    def _remove(self, object_: DockerObject) -> Removal:
        try:
            reply = exchange(self._endpoint, _removal_request(object_))
        except EndpointError as error:
            self._failures[object_] = str(error)
            return "failed"
        if reply.status < http.HTTPStatus.MULTIPLE_CHOICES:
            self._failures.pop(object_, None)
            return "removed"
        if is_not_found(reply):
            self._failures.pop(object_, None)
            return "absent"
        self._failures[object_] = reply.message[:200] or f"HTTP {reply.status}"
        return "failed"


def _removal_request(object_: DockerObject) -> Request:
    return Request("DELETE", _REMOVALS[object_.kind][0].format(object_.name))
