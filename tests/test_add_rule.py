"""A rule is added by its Rego with metadata and by its switch: nothing else has to know of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
SETTING: Final = '  hostnames: [""]\n'
REGO: Final = "policies/docker/authz/rules/containers/containers.rego"
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
    return copy_with_a_rule(tmp_path_factory.mktemp("copy"))


def copy_with_a_rule(copy: Path) -> Path:
    """Copy plugin and policies with one rule more: its Rego, its schema, its profile."""
    for folder in ("authz_plugin", "policies", "tests", "tools"):
        ignored = shutil.ignore_patterns("__pycache__", "go")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    rego = copy / REGO
    rego.write_text(rego.read_text() + RULE)
    schema_file = copy / "policies/schemas/config.json"
    schema = json.loads(schema_file.read_text())
    containers = schema["properties"]["containers"]
    containers["required"].append("hostnames")
    containers["properties"]["hostnames"] = {"$ref": "#/$defs/strings"}
    schema_file.write_text(json.dumps(schema))
    profile_file = copy / "policies/profiles/closed.yaml"
    before, section, after = profile_file.read_text().partition("\ncontainers:\n")
    profile_file.write_text(f"{before}{section}{SETTING}{after}")
    return copy


def run(copy: Path, module: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", module]
    return subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )


def succeeds(copy: Path, module: str) -> None:
    done = run(copy, module)
    assert done.returncode == 0, done.stderr


def test_a_rule_is_known_everywhere_by_its_metadata(copy: Path) -> None:
    succeeds(copy, "tests.generate.annotations")
    succeeds(copy, "tests.added_rule")


def test_a_damaged_rules_file_is_written_anew(copy: Path) -> None:
    rules = copy / "authz_plugin/rules.json"
    rules.write_text("[{")
    succeeds(copy, "tests.generate.annotations")
    assert "containers.hostname" in {rule["custom"]["id"] for rule in json.loads(rules.read_text())}


def test_faulty_metadata_is_not_written(copy: Path) -> None:
    rules = copy / "authz_plugin/rules.json"
    rego = copy / REGO
    before, text = rules.read_text(), rego.read_text()
    rego.write_text(text.replace("{add: containers.hostnames}", "{allow: containers.hostnames}"))
    try:
        for module in ("tests.generate.annotations", "tests.generate"):
            done = run(copy, module)
            assert done.returncode == 1
            assert done.stderr == (
                "containers.rego: containers.hostname: change has one of add, remove, set, "
                "function; found {'allow': 'containers.hostnames'}\n"
            )
    finally:
        rego.write_text(text)
    assert rules.read_text() == before


def test_a_profile_without_the_new_key_is_named(copy: Path) -> None:
    profile = copy / "policies/profiles/closed.yaml"
    text = profile.read_text()
    profile.write_text(text.replace(SETTING, ""))
    try:
        for module in ("tools.policy_data", "tests.generate"):
            done = run(copy, module)
            assert done.returncode == 1
            assert f"{profile}: containers: needs hostnames" in done.stderr
    finally:
        profile.write_text(text)
