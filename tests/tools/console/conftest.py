"""Closes what the consoles of a file of tests have opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tools.console.pages import OPENED


@pytest.fixture(autouse=True, scope="module")
def closed_policies() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
