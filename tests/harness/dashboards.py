"""What the panels of the Grafana dashboards ask Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parents[2] / "deploy/grafana"


def queries(name: str, **variables: str) -> Iterator[tuple[str, str]]:
    """The title and expression of each query, with the variables filled in as Grafana does."""
    values = {"__rate_interval": "15s", "instance": ".*", **variables}
    dashboard = json.loads((_FOLDER / f"{name}.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in values.items():
                expression = expression.replace(f"${variable}", value)
            yield panel["title"], expression
