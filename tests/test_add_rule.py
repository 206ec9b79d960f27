"""A rule is added by its Rego with metadata and by its switch: nothing else has to know of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
RULE: Final = """
# METADATA
# title: A host name must be an allowed one
# description: Neighbours in a network find a container by it.
# custom:
#   id: containers.hostname
#   settings: [containers.hostnames]
#   remedy: Run it without --hostname.
#   change: {add: containers.hostnames}
#   danger:
#     values:
#       mail: answers for the host's mail
#   baseline: {containers.hostnames: []}
#   records: ["body.Hostname"]
#   controls: [docker Networks]
denials contains denial.of(
	"containers.hostname", "Hostname", _hostname,
	sprintf("host name %v is not allowed", [_hostname]),
	_hint("hostnames"),
) if {
	input.operation.id == "container.create"
	not _hostname in effective.list(["containers", "hostnames"])
}

_hostname := object.get(input, ["body", "Hostname"], "unknown")
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of plugin and policies with one rule more: its Rego, its schema, its profile."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("authz_plugin", "policies", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "go")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    rego = copy / "policies/docker/authz/rules/containers/containers.rego"
    rego.write_text(rego.read_text() + RULE)
    replace(
        copy / "policies/schemas/config.json",
        '"ps_arguments"\n      ],',
        '"ps_arguments", "hostnames"\n      ],',
        '"cgroup_parents": {"$ref": "#/$defs/strings", "description": "Parent cgroups; ',
        '"hostnames": {"$ref": "#/$defs/strings"},\n        '
        '"cgroup_parents": {"$ref": "#/$defs/strings", "description": "Parent cgroups; ',
    )
    replace(
        copy / "policies/profiles/closed.yaml",
        "  storage_options:",
        '  hostnames: [""]\n  storage_options:',
    )
    return copy


def replace(file: Path, *pairs: str) -> None:
    text = file.read_text()
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def run(copy: Path, module: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", module]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_rule_is_known_everywhere_by_its_metadata(copy: Path) -> None:
    run(copy, "tests.generate.annotations")
    run(copy, "tests.added_rule")
