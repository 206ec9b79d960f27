"""What comes of a call that may refuse: its result or the refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from authz_plugin.errors import Refused

T = TypeVar("T")


def attempt(call: Callable[[], T]) -> T | Refused:
    """The result of a call, or the refusal that it raised; any other error is a failure."""
    try:
        return call()
    except Refused as refused:
        return refused


def refusal_of(call: Callable[[], object]) -> Refused:
    """The refusal of a call that must be refused."""
    with pytest.raises(Refused) as raised:
        call()
    return raised.value
