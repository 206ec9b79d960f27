"""What the tests of learning share: production in warn mode, with a real OPA."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from authz_plugin import trial as trials
from authz_plugin.trial import Trial, open_trial
from tests.conftest import with_policy
from tests.learning.days import WARN


class _Remembering(Trial):
    """A trial that completes each configuration once: many tests begin with the same ones."""

    _completed: dict[str, dict[str, Any]]

    def configured(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        self.__dict__.setdefault("_completed", {})
        key = json.dumps(changes)
        if key not in self._completed:
            self._completed[key] = super().configured(changes)
        return self._completed[key]


@pytest.fixture(scope="session")
def trial() -> Iterator[Trial]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "Trial", _Remembering)
        with open_trial(with_policy(**WARN)) as opened:
            yield opened
