"""What the tests of learning share: production in warn mode, with a real OPA."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from authz_plugin.tools import sandbox as sandboxes
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.tools.learning.days import WARN


class _Remembering(Sandbox):
    """A sandbox that completes each configuration once: many tests begin with the same ones."""

    _completed: dict[str, dict[str, Any]]

    def configured(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        self.__dict__.setdefault("_completed", {})
        key = json.dumps(changes)
        if key not in self._completed:
            self._completed[key] = super().configured(changes)
        return self._completed[key]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandboxes, "Sandbox", _Remembering)
        with open_sandbox(with_policy(**WARN)) as opened:
            yield opened
