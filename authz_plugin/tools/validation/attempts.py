"""Attempts: requests that are sent to a daemon, with what the configuration says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authz_plugin.tools.docker_client import Request


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to send.

    ``permitted`` is whether the configuration allows it. ``rules`` are the rules of which at least
    one must deny it if not: ids, or families of rules with a trailing dot (``"mounts."``).
    """

    id: str
    title: str
    request: Request
    permitted: bool
    rules: tuple[str, ...]


class AttemptFactory:
    """Makes attempts to create containers, each with changes of an allowed container's body."""

    def __init__(self, base: Mapping[str, Any]) -> None:
        self._base = base

    def __call__(
        self,
        id_: str,
        title: str,
        permitted: bool,
        rules: tuple[str, ...],
        *,
        top: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Attempt:
        """Return an attempt; ``changes`` are fields of HostConfig, ``top`` fields beside it."""
        host = {**self._base["HostConfig"], **changes}
        body = {**self._base, **(top or {}), "HostConfig": host}
        request = Request.of_json("POST", "/containers/create", body)
        return Attempt(id_, title, request, permitted, rules)

    @property
    def security_options(self) -> list[str]:
        """The ``SecurityOpt`` of the allowed container."""
        return list(self._base["HostConfig"].get("SecurityOpt", []))
