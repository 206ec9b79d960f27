"""``make fleet-scale``: measure real OPAs on real services, and write what that means for many."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal

import click

from tests.fleet_scale.measure import Measured, Service, measured
from tests.fleet_scale.page import page
from tests.fleet_scale.uploads import MeasuredUploads, measured_uploads

_PAGE: Final = Path(__file__).parents[2] / "docs/explanation/fleet-scale.md"
_SERVICES: Final[tuple[Service, ...]] = ("nginx", "registry")
_RECEIVER: Final = "receiver"


@click.command()
@click.option("--service", "services", type=click.Choice([*_SERVICES, _RECEIVER]), multiple=True)
@click.option("--hosts", default=50, show_default=True)
@click.option("--interval", default=30, show_default=True, help="fleet.interval of the settings.")
@click.option("--seconds", default=90.0, show_default=True, help="Time without a push.")
@click.option("--pushes", default=2, show_default=True)
@click.option("--runs", default=2, show_default=True)
@click.option("--rate", default=1.0, show_default=True, help="Decisions of a host in a second.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures, and write no page.")
def main(
    *,
    services: tuple[Service | Literal["receiver"], ...],
    hosts: int,
    interval: int,
    seconds: float,
    pushes: int,
    runs: int,
    rate: float,
    as_json: bool,
) -> None:
    """Have OPAs poll nginx and a registry out of Debian, and upload decisions and status to that
    nginx, as the plugin has them do it."""
    found: list[Measured] = []
    for _ in range(runs):
        for service in _SERVICES:
            if services and service not in services:
                continue
            with tempfile.TemporaryDirectory(prefix="fleet-scale-") as folder:
                made = measured(
                    Path(folder),
                    service,
                    hosts=hosts,
                    interval=interval,
                    seconds=seconds,
                    pushes=pushes,
                )
            click.echo(f"{service}: {made.polls} polls in {made.seconds:.0f} s", err=True)
            found.append(made)
    uploads: list[MeasuredUploads] = []
    for has_status in (False, True) if _RECEIVER in (services or (_RECEIVER,)) else ():
        with tempfile.TemporaryDirectory(prefix="fleet-scale-") as folder:
            uploads.append(
                measured_uploads(
                    Path(folder),
                    hosts=hosts,
                    interval=interval,
                    seconds=seconds,
                    rate=rate,
                    has_status=has_status,
                )
            )
    if as_json:
        click.echo(json.dumps([*map(asdict, found), *map(asdict, uploads)]))
    else:
        _PAGE.write_text(page(found, uploads))


if __name__ == "__main__":
    main()
