"""Whatever stands in a settings file: it is taken, or refused with a place and a reason."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given, settings, strategies
from ruamel.yaml import YAML

from authz_plugin import policy
from authz_plugin.errors import SettingsError
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.settings import SCHEMA, load

POLICY: Final = policy.config_schema()
WHOLE: Final = {**POLICY, "properties": {**SCHEMA, **POLICY["properties"]}}
WORDS: Final = (
    *policy.profiles(),
    *sorted(policy.rule_ids())[:5],
    "container.create",
    "custom.mine",
    "/srv",
    "1m",
    "ci",
    "2027-01-31",
    "2027-02-31",
)
SCALARS: Final = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(-(1 << 70), 1 << 70),
    strategies.floats(),
    strategies.text(max_size=8),
    strategies.sampled_from(WORDS),
)
ANYTHING: Final = strategies.recursive(
    SCALARS,
    lambda inner: strategies.one_of(
        strategies.lists(inner, max_size=3),
        strategies.dictionaries(strategies.text(max_size=6), inner, max_size=3),
    ),
    max_leaves=5,
)


def fitting(schema: Mapping[str, Any]) -> strategies.SearchStrategy[Any]:
    """Values that look as a schema wants them, and now and then anything else."""
    if "$ref" in schema:
        target: Any = WHOLE
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return fitting(target)
    if "enum" in schema:
        return strategies.sampled_from(schema["enum"]) | ANYTHING
    if schema.get("type") == "array":
        return strategies.lists(fitting(schema.get("items", {})), max_size=3) | ANYTHING
    if schema.get("type") == "object":
        return strategies.one_of(_objects(schema), _objects(schema), ANYTHING)
    return SCALARS


def _objects(schema: Mapping[str, Any]) -> strategies.SearchStrategy[Any]:
    known = schema.get("properties", {})
    if known:
        names = strategies.lists(strategies.sampled_from(sorted(known)), max_size=4)
        return names.flatmap(
            lambda names: strategies.fixed_dictionaries({n: fitting(known[n]) for n in names})
        )
    others = schema.get("additionalProperties")
    value = fitting(others) if isinstance(others, Mapping) else ANYTHING
    return strategies.dictionaries(strategies.sampled_from(WORDS), value, max_size=3)


@contextlib.contextmanager
def written(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_bytes(content)
        yield file


def outcome(file: Path) -> dict[str, Any] | None:
    """The configuration that a file makes, or None where it is refused as it should be."""
    try:
        loaded = load({("config",): str(file)}, {}, POLICY)
        return policy.configuration(loaded, LocalHostPaths())
    except SettingsError as error:
        assert error.where.startswith(str(file))  # noqa: PT017 - one of two good ends
        return None


@settings(max_examples=80)
@given(strategies.deferred(lambda: _objects(WHOLE)))
def test_any_values_are_taken_or_refused(tmp_path_factory: Any, values: Any) -> None:
    file = tmp_path_factory.mktemp("settings") / "config.yaml"
    YAML(typ="safe").dump(values, file)
    config = outcome(file)
    if config is not None:
        jsonschema.Draft202012Validator(POLICY).validate(config)


@settings(max_examples=200)
@given(strategies.binary(max_size=60) | strategies.text("a:-[]{}&*!?<>|'\"# \n", max_size=40))
def test_any_bytes_are_taken_or_refused(content: bytes | str) -> None:
    with written(content if isinstance(content, bytes) else content.encode()) as file:
        outcome(file)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("profile: &a [*a]\n", id="a list in itself"),
        pytest.param("sections: &a {volumes: *a}\n", id="a mapping in itself"),
        pytest.param("deadline: .nan\n", id="no number"),
        pytest.param("deadline: .inf\n", id="for ever"),
        pytest.param("exceptions: [{expires: 2027-02-31}]\n", id="no day"),
        pytest.param("mounts: {allow: [{read_only: true}]}\n", id="a mount of nothing"),
        pytest.param("profile: !!python/name:os.system x\n", id="a tag of another language"),
        pytest.param("a" * 5000 + ": 1\n", id="an endless key"),
        pytest.param("sections: " + "[" * 1000 + "\n", id="a deep pit"),
        pytest.param("? [a]\n: b\n", id="a key that is a list"),
        pytest.param("1: 2\n", id="a key that is a number"),
    ],
)
def test_what_yaml_can_say_and_settings_cannot_is_refused(content: str) -> None:
    with written(content.encode()) as file:
        assert outcome(file) is None
