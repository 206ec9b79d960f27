"""Checks of dockerd's version for known defects of its authorization plugin support.

The releases with each fix are those of moby's release tags (``pkg/authorization/authz.go``,
``daemon/command/httphandler.go``). Distributions can backport a fix to an older version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from authz_plugin.tools.doctor.finding import Finding

Version = tuple[int, int, int]

_FIRST_WITH_CHUNKS: Final[dict[int, Version]] = {
    23: (23, 0, 15),
    25: (25, 0, 6),
    26: (26, 1, 5),
    27: (27, 1, 1),
}
_OLDEST_WITH_CHUNKS: Final[Version] = (28, 0, 0)
_FIRST_WITH_LARGE: Final[dict[int, Version]] = {25: (25, 0, 16)}
_OLDEST_WITH_LARGE: Final[Version] = (29, 3, 1)
_FIRST_WITH_GRPC: Final[Version] = (29, 2, 0)
_FIRST_WITHOUT_V1: Final[Version] = (17, 12, 0)


def read_version(text: str) -> Version | None:
    """Return the version in ``"Docker/28.5.2+dfsg4 (linux)"`` or ``"28.5.2"``; None without one."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def withholds_chunked_bodies(version: Version) -> bool:
    """Return whether dockerd omits chunked bodies from AuthZ messages (CVE-2024-41110)."""
    first = _FIRST_WITH_CHUNKS.get(version[0], _OLDEST_WITH_CHUNKS)
    return version < first


def withholds_large_bodies(version: Version) -> bool:
    """Return whether dockerd omits bodies of 1 MiB or more from AuthZ messages (CVE-2026-34040)."""
    first = _FIRST_WITH_LARGE.get(version[0], _OLDEST_WITH_LARGE)
    return version < first


def serves_native_grpc(version: Version) -> bool:
    """Return whether dockerd serves BuildKit's gRPC on the API socket without asking plugins."""
    return version >= _FIRST_WITH_GRPC


def check_engine(server: str) -> Iterator[Finding]:
    """Check the version in dockerd's ``Server`` header, such as ``"Docker/28.5.2 (linux)"``."""
    version = read_version(server)
    if version is None:
        yield Finding(
            "engine.version",
            "info",
            f"dockerd does not say its version ({server or 'nothing'})",
            "known ways around authorization plugins cannot be ruled out",
            "compare `dockerd --version` with docs/explanation/limits.md",
        )
        return
    name = ".".join(map(str, version))
    backported = " Your distribution's build may carry the fix." if "+" in server else ""
    if withholds_chunked_bodies(version):
        yield Finding(
            "engine.cve-2024-41110",
            "warning",
            f"dockerd {name} hides chunked bodies from plugins (CVE-2024-41110)",
            "a plugin that decides without the body can be gone round; opa-authz refuses such "
            f"requests (request.body-withheld), honest ones among them.{backported}",
            "update to 23.0.15, 25.0.6, 26.1.5, 27.1.1, 28 or later",
        )
    if withholds_large_bodies(version):
        yield Finding(
            "engine.cve-2026-34040",
            "warning",
            f"dockerd {name} hides bodies of 1 MiB and more from plugins (CVE-2026-34040)",
            "a plugin that decides without the body can be gone round; opa-authz refuses such "
            f"requests (request.body-withheld), honest ones among them.{backported}",
            "update to 25.0.16, or to 29.3.1 or later with native gRPC closed",
        )
    if not (withholds_chunked_bodies(version) or withholds_large_bodies(version)):
        yield Finding("engine.version", "ok", f"dockerd {name} shows plugins everything known")


def check_registry_protocol(server: str) -> Iterator[Finding]:
    """Check for the registry API version 1, which does not verify image content.

    ``server`` is dockerd's ``Server`` header. Docker 17.12 removed version 1.
    """
    version = read_version(server)
    if version is None:
        return
    name = ".".join(map(str, version))
    if version >= _FIRST_WITHOUT_V1:
        yield Finding(
            "engine.registry-v1", "ok", f"dockerd {name} knows no registries of the first protocol"
        )
        return
    yield Finding(
        "engine.registry-v1",
        "warning",
        f"dockerd {name} takes images from registries of the first protocol",
        "that protocol does not prove that an image is the one that was asked for",
        "update to 17.12 or later, which knows the second protocol alone",
    )
