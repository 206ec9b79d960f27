"""A host for tests: which paths are links, and what dockerd keeps of its containers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from authz_plugin.hostpaths import Resolution


class Host:
    """A host on which everything is there: ``links`` lead elsewhere, and something is mounted below
    each of the ``busy`` paths."""

    def __init__(self, links: Mapping[str, str], busy: Collection[str] = ()) -> None:
        self._links = links
        self._busy = busy

    def resolve(self, path: str) -> Resolution:
        return Resolution(self._links.get(path, path), exists=True)

    def holds_mounts(self, path: str) -> bool | None:
        return path in self._busy


class Containers:
    """dockerd's files: containers by their names, each with the host paths that it binds."""

    is_seen = True

    def __init__(self, binds: Mapping[str, Collection[str]]) -> None:
        self._binds = binds

    def mount_points(self, reference: str) -> list[Any]:
        return [
            {"Type": "bind", "Source": path, "Destination": "/x", "RW": True}
            for path in self._binds.get(reference, ())
        ]

    def volume_options(self, name: str) -> list[Any]:
        del name
        return []
