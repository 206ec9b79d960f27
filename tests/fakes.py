"""Fakes of host paths and of dockerd's state, for tests without a host."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from authz_plugin.hostpaths import Resolution


class FakeHostPaths:
    """Host paths that all exist.

    ``links`` are symbolic links with their targets. There are mounts below ``paths_with_mounts``.
    """

    def __init__(self, links: Mapping[str, str], paths_with_mounts: Collection[str] = ()) -> None:
        self._links = links
        self._paths_with_mounts = paths_with_mounts

    def resolve(self, path: str) -> Resolution:
        return Resolution(self._links.get(path, path), exists=True)

    def holds_mounts(self, path: str) -> bool | None:
        return path in self._paths_with_mounts


class FakeEngineState:
    """The state of containers: ``binds`` are the host paths that each container binds, by name."""

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
