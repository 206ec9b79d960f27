"""What an answer costs as the request grows: bodies from 1 KB to 4 MB, and ever more mounts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.bench import cases

_BODIES: Final = {"1 KB": 1, "16 KB": 16, "256 KB": 256, "1 MB": 1024, "4 MB": 4000}
"""dockerd shows no more than 4 MiB."""

_MOUNTS: Final = (1, 10, 100, 1000)


def all_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Creates that grow, none the same twice: what grows, and the case."""
    for name, kilobytes in _BODIES.items():
        yield f"a body of {name}", cases.create_case({"Env": ["SETTING=" + "v" * 1012] * kilobytes})
    for count in _MOUNTS:
        binds = [f"/workspace/{n}:/data/{n}" for n in range(count)]
        noun = "mount" if count == 1 else "mounts"
        yield f"{count} {noun}", cases.create_case({"HostConfig": {"Binds": binds}})
