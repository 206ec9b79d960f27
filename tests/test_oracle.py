"""The plugin decodes bodies to the same values as Docker's own types."""

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
    missing_in_engines,
    missing_in_shapes,
    running,
)
from tests.oracle.hostile import hostile_body

pytestmark = pytest.mark.skipif(
    not is_available(), reason="Go, which builds the oracle, is not here"
)

CASES = 40
"""Examples for each shape; ``make fuzz`` generates more."""

MORE_OFTEN = ["container.create"] * 10


@pytest.fixture(scope="module")
def oracles() -> Iterator[list[Oracle]]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return {engine: fields(engine) for engine in ENGINES}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_the_fields_of_the_engines_and_no_others(
    known: dict[str, Any], name: str
) -> None:
    shape = SHAPES[name]
    for engine in ENGINES:
        assert list(missing_in_shapes(shape, known[engine][name], name)) == []
    assert list(missing_in_engines(shape, [known[engine][name] for engine in ENGINES], name)) == []


@pytest.mark.parametrize("name", SHAPES)
def test_a_valid_body_is_decoded_as_by_every_engine(oracles: list[Oracle], name: str) -> None:
    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
    @given(body_of(SHAPES[name]))
    def check(body: tuple[Any, str]) -> None:
        verdict = judge(oracles, name, body[1].encode())
        assert verdict.differences == ()
        if not verdict.engines:
            assert verdict.refused == ""

    check()


def test_a_hostile_body_is_refused_or_decoded_as_by_every_engine(
    oracles: list[Oracle],
) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=CASES * len(SHAPES), suppress_health_check=list(HealthCheck))
    @given(st.sampled_from([*sorted(SHAPES), *MORE_OFTEN]).flatmap(_hostile))
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
