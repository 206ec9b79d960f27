"""The schema of the settings accepts what the plugin accepts, and marks mistakes in an editor."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from authz_plugin import policy
from authz_plugin.settings import read_yaml
from authz_plugin.tools.settings_schema import settings_schema
from tests.harness.in_process import run_command

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OTHER_FILES: Final = frozenset(
    {"decision_logs", "jobs", "name", "on", "repos", "role", "scrape_configs", "services"}
)
"""The first keys of YAML in the docs that is no settings file: OPA's own configuration, compose
files, workflows, hooks, a playbook and Prometheus' configuration."""

_SAMPLE: Final = re.compile(
    r"^( *)```yaml\n(?P<block>.*?)^ *```$|<<'YAML'\n(?P<heredoc>.*?)^YAML$",
    re.MULTILINE | re.DOTALL,
)
CHECKER: Final = Draft202012Validator(settings_schema())


def samples() -> Iterator[Any]:
    """Each piece of a settings file in the docs, named by page and line, without the lines ``…``
    that stand for what is left out."""
    for page in PAGES:
        text = page.read_text()
        for found in _SAMPLE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            piece = re.sub(r"^ *…\n", "", found["block"] or found["heredoc"], flags=re.MULTILINE)
            if re.findall(r"^(?:- )?(\w+):", piece, re.MULTILINE)[0] not in OTHER_FILES:
                yield pytest.param(piece, id=f"{page.relative_to(ROOT)}:{line}")


SAMPLES: Final = list(samples())


def read(folder: Path, text: str) -> dict[str, Any]:
    file = folder / "config.yaml"
    file.write_text(text)
    return read_yaml(file)[0]


def misspelt(values: Any) -> Iterator[tuple[str, Any]]:
    """Copies of settings, each with one key misspelt, except keys that are names of one's own."""
    for name, value in values.items() if isinstance(values, dict) else ():
        yield (
            name,
            {**{key: copy.copy(v) for key, v in values.items() if key != name}, f"{name}x": 1},
        )
        if name not in {"roles", "required", "ulimits", "privileges"}:
            yield from ((inner, {**values, name: other}) for inner, other in misspelt(value))
    for i, value in enumerate(values) if isinstance(values, list) else ():
        yield from (
            (inner, [*values[:i], other, *values[i + 1 :]]) for inner, other in misspelt(value)
        )


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(settings_schema())


@pytest.mark.parametrize("text", SAMPLES)
def test_a_sample_of_the_docs_has_no_mistake(tmp_path: Path, text: str) -> None:
    assert [fault.message for fault in CHECKER.iter_errors(read(tmp_path, text))] == []


@pytest.mark.parametrize("text", SAMPLES)
def test_a_misspelt_key_in_a_sample_is_a_mistake(tmp_path: Path, text: str) -> None:
    found = list(misspelt(read(tmp_path, text)))
    assert found
    assert [name for name, values in found if CHECKER.is_valid(values)] == []


@pytest.mark.parametrize("name", policy.profiles())
def test_all_that_a_profile_sets_may_be_set(name: str) -> None:
    profile = read_yaml(policy.SHIPPED / "profiles" / f"{name}.yaml")[0]
    profile.pop("extends", None)
    assert [fault.message for fault in CHECKER.iter_errors(profile)] == []


@pytest.mark.parametrize(
    "text",
    [
        "profile: prodction",
        "rules: {mounts.sauce: warn}",
        "operations: {container.strat: allow}",
        "mounts: {deny_inside: [/srv/]}",
        "role_order: []",
        "mounts: {allow: [{read_only: true}]}",
        "ports: {ranges: [{first: 80}]}",
        "roles: {admin: {profile: production}}",
        "roles: {admin: {callers: [{user: ann}], mounts: {alow: []}}}",
        "log: {level: loud}",
        "deadline: soon",
        "exceptions: [{rule: capabilities.add, when: {role: x}, expires: 2099-01-01, reason: y}]",
    ],
)
def test_what_the_plugin_refuses_or_ignores_is_a_mistake(tmp_path: Path, text: str) -> None:
    assert not CHECKER.is_valid(read(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "rules: {custom.mine: warn, mounts.source: enforce}",
        "operations: {container.start: deny}",
        "mounts: {allow: [{path: /srv}]}",
        "resources: {max: {memory: 512m}}",
        "roles: {admin: {callers: [{user: ann}], sections: {volumes: write}}}",
        "server: {threads: 4}",
        "{}",
    ],
)
def test_a_part_of_the_settings_is_enough(tmp_path: Path, text: str) -> None:
    assert [fault.message for fault in CHECKER.iter_errors(read(tmp_path, text))] == []


def test_the_command_prints_the_schema(tmp_path: Path) -> None:
    printed = run_command(tmp_path, "schema")
    assert json.loads(printed.stdout) == settings_schema()
    published = ROOT / "docs/reference/settings.schema.json"
    assert published.read_text() == printed.stdout
