"""What the tests of learning share: production in warn mode, with a real OPA."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.tools.learning.days import WARN


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(**WARN)) as opened:
        yield opened
