"""Helpers for calls that can raise ``Refused``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from authz_plugin.errors import Refused

T = TypeVar("T")


def attempt(call: Callable[[], T]) -> T | Refused:
    """Return the result of a call, or the ``Refused`` that it raised."""
    try:
        return call()
    except Refused as refused:
        return refused


def refusal_of(call: Callable[[], object]) -> Refused:
    """Return the ``Refused`` that a call must raise."""
    with pytest.raises(Refused) as raised:
        call()
    return raised.value
