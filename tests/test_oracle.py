"""What a body holds for dockerd, it holds for us: Docker's own types as the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dockerd.written import body_of
from tests.oracle import (
    ENGINES,
    SHAPES,
    Oracle,
    fields,
    is_available,
    judge,
    running,
    unknown_to_them,
    unknown_to_us,
)
from tests.oracle.hostile import hostile_body

pytestmark = pytest.mark.skipif(
    not is_available(), reason="Go, which builds the oracle, is not here"
)

CASES = 150
"""Of each kind, for each body; an hour's are behind ``make fuzz``."""

MATTERS = ["container.create"] * 10


@pytest.fixture(scope="module")
def oracles() -> Iterator[list[Oracle]]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return {engine: fields(engine) for engine in ENGINES}


@pytest.mark.parametrize("name", SHAPES)
def test_no_field_of_an_engine_is_overlooked_and_none_is_made_up(
    known: dict[str, Any], name: str
) -> None:
    shape = SHAPES[name]
    for engine in ENGINES:
        assert list(unknown_to_us(shape, known[engine][name], name)) == []
    assert list(unknown_to_them(shape, [known[engine][name] for engine in ENGINES], name)) == []


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_client_writes_is_understood_as_every_engine_does(
    oracles: list[Oracle], name: str
) -> None:
    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
    @given(body_of(SHAPES[name]))
    def check(body: tuple[Any, str]) -> None:
        verdict = judge(oracles, name, body[1].encode())
        assert verdict.differences == ()
        if not verdict.engines:
            assert verdict.refused == ""

    check()


def test_a_hostile_body_is_refused_or_understood_as_every_engine_does(
    oracles: list[Oracle],
) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=CASES * len(SHAPES), suppress_health_check=list(HealthCheck))
    @given(st.sampled_from([*sorted(SHAPES), *MATTERS]).flatmap(_hostile))
    def check(case: tuple[str, bytes]) -> None:
        verdict = judge(oracles, *case)
        seen[verdict.refused or "understood"] += 1
        assert verdict.differences == ()

    check()
    assert {
        "understood",
        "request.body-duplicate",
        "request.body-json",
        "request.body-type",
    } <= set(seen)


def _hostile(name: str) -> st.SearchStrategy[tuple[str, bytes]]:
    return hostile_body(SHAPES[name]).map(lambda body: (name, body))
