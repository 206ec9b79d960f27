"""``make fuzz``: generates bodies and compares how the plugin and Docker's types decode them."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Final

import click
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.dockerd.written import body_of
from tests.oracle import SHAPES, is_available, judge, running
from tests.oracle.hostile import hostile_body

_NAMES: Final = [*sorted(SHAPES), *["container.create"] * 10, *["service.create"] * 5]
_ROUND: Final = 5000
_FOUND: Final = Path(__file__).parents[2] / ".cache/oracle/found.json"


@click.command()
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--first-seed", default=0, show_default=True, help="Of the first round.")
def main(minutes: float, first_seed: int) -> None:
    """Compare until the time is over; exit with status 1 and write the body if a value differs."""
    if not is_available():
        raise click.ClickException("the oracle is built with Go: install it from https://go.dev/dl")
    end = time.monotonic() + minutes * 60
    counts: Counter[str] = Counter()
    number = first_seed
    with running() as oracles:

        def compare(case: tuple[str, bytes]) -> None:
            name, body = case
            verdict = judge(oracles, name, body)
            counts[verdict.refused or "understood"] += 1
            if verdict.differences:
                found = {"type": name, "body": body.hex(), "differences": verdict.differences}
                _FOUND.write_text(json.dumps(found, indent=1))
                raise AssertionError(f"{name} differs: {body!r}: {verdict.differences}")

        while time.monotonic() < end:
            bodies = st.sampled_from(_NAMES).flatmap(_any_body)
            check = settings(
                max_examples=_ROUND,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            )(seed(number)(given(bodies)(compare)))
            try:
                check()
            except AssertionError as difference:
                raise click.ClickException(f"seed {number}: {difference}; see {_FOUND}") from None
            number += 1
            click.echo(f"seed {number - 1}: {sum(counts.values())} bodies, no difference", err=True)
    click.echo(json.dumps({"bodies": sum(counts.values()), **counts}, indent=1))


def _any_body(name: str) -> st.SearchStrategy[tuple[str, bytes]]:
    shape = SHAPES[name]
    written = body_of(shape).map(lambda pair: pair[1].encode())
    return (written | hostile_body(shape)).map(lambda body: (name, body))


if __name__ == "__main__":
    main()
