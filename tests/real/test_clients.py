"""Real clients, on an ordinary day, at a guarded dockerd: nothing is refused that should not be."""

from __future__ import annotations

import pytest

from tests.corpus.clients import ORDINARY, Workspace
from tests.real.conftest import TESTED, Guard


@pytest.mark.parametrize("client", ORDINARY)
@pytest.mark.parametrize("engine", TESTED)
def test_a_client_works_in_a_development_container(guard: Guard, engine: str, client: str) -> None:
    guarded = guard(engine, "devcontainer")
    ORDINARY[client](Workspace(guarded.dockerd, guarded.workspace))
