"""A running plugin beside the console; closes what the consoles of a file of tests have opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.plugin import Plugin, running_plugin
from tests.tools.console.pages import OPENED


@dataclass
class PluginHost:
    """A running plugin and its settings file."""

    plugin: Plugin
    file: Path


@pytest.fixture(scope="module")
def plugin_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginHost]:
    """A plugin with metrics and an audit file; the tests of a file share it."""
    folder = tmp_path_factory.mktemp("plugin")
    file = folder / "config.yaml"
    file.write_text(
        f"profile: production\nmetrics:\n  listen: unix:{folder}/metrics.sock\n"
        f"audit:\n  file: {folder}/audit.jsonl\n  inputs: true\n"
        f"server:\n  socket: {folder}/plugin.sock\n"
    )
    metrics = {"OPA_AUTHZ_METRICS_LISTEN": f"unix:{folder}/metrics.sock"}
    with running_plugin(folder, f"--config={file}", environment=metrics) as plugin:
        yield PluginHost(plugin, file)


@pytest.fixture(autouse=True, scope="module")
def closed_policies() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
