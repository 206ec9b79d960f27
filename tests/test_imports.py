"""What a running plugin imports: its start and its memory depend on it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from authz_plugin.configuration import _profile_file, _read_profile, profiles
from authz_plugin.settings import read_yaml


@pytest.mark.parametrize(
    "module",
    [
        "authz_plugin.engine.opa",
        "authz_plugin.supervisor.fleet",
        "cryptography",
        "flask",
        "gunicorn",
        "h2",
        "jsonschema",
        "prometheus_client",
        "wasmtime",
    ],
)
def test_the_supervisor_holds_nothing_that_it_does_not_need(module: str) -> None:
    program = (
        "import os, sys\n"
        "from authz_plugin import cli, policy\n"
        "from authz_plugin.cli import options, serve\n"
        "from authz_plugin.hostpaths import UnseenHostPaths\n"
        "settings = options.load_settings({'profile': 'production'})\n"
        "policy.configuration(settings, UnseenHostPaths())\n"
        f"sys.exit({module!r} in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", profiles())
def test_a_profile_is_read_from_its_made_form_as_from_its_file(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _profile_file(name)
    expected = read_yaml(file)[0]
    monkeypatch.setattr("authz_plugin.configuration.read_yaml", None)
    assert _read_profile(file)[0] == expected
