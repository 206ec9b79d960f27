"""The parts of a request from which the readers of ``facts`` read facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

NO_OPTIONS: Final[Mapping[str, str]] = {}
"""The default of a fact's options. It is shared: do not modify it."""

Query = Mapping[str, tuple[str, ...]]
"""The values of each query parameter, decoded, in the order in which the request gives them."""


class Parts(NamedTuple):
    """The parts of a request that facts are read from.

    ``kind`` is the kind of object that the path names (``"container"``), or None; ``ref`` is the
    name or id in the path, or empty; ``body`` is the canonical body, or None; ``query`` is the
    decoded query.
    """

    kind: str | None
    ref: str
    body: Any
    query: Query


def first(query: Query, name: str) -> str:
    """The first value of a query parameter, or an empty text if the parameter is not given."""
    return query.get(name, ("",))[0]
