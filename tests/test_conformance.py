"""The quick check of settings accepts nothing that jsonschema refuses."""

from __future__ import annotations

import copy
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin import policy, settings
from authz_plugin.configuration import complete_profile
from authz_plugin.hostpaths import UnseenHostPaths
from authz_plugin.settings import conformance
from authz_plugin.settings.conformance import conforms

SCHEMA: Final = policy.config_schema()
PROFILES: Final = {name: complete_profile(name, UnseenHostPaths()) for name in policy.profiles()}
SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.floats(allow_nan=False),
    st.sampled_from(["", "none", "read", "allow", "/x", "a.b", "1.0", "mounts.source"]),
)
VALUES: Final = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["path", "allow", "x", "read_only"]), inner, max_size=3),
    ),
    max_leaves=6,
)


def accepts(value: Any, schema: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def keywords(schema: Any) -> set[str]:
    """The keywords in a schema; the names of properties and definitions are none."""
    found: set[str] = set()
    for keyword, value in schema.items():
        found.add(keyword)
        if keyword in {"properties", "$defs"}:
            found = found.union(*map(keywords, value.values()))
        elif isinstance(value, dict):
            found |= keywords(value)
        elif keyword == "anyOf":
            found = found.union(*map(keywords, value))
    return found


def test_the_tools_that_ask_only_this_check_can_rely_on_it() -> None:
    """``explain`` and ``learn`` propose what conforms; a keyword that is not known would have them
    propose less."""
    assert keywords(SCHEMA) <= {*conformance._CHECKS, *conformance._ANNOTATIONS}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


@pytest.mark.parametrize("name", PROFILES)
def test_a_shipped_profile_conforms_without_jsonschema(name: str) -> None:
    assert conforms(PROFILES[name], SCHEMA)


@given(data=st.data(), new=VALUES)
def test_a_configuration_with_any_value_exchanged_is_not_accepted_if_jsonschema_refuses_it(
    data: st.DataObject, new: Any
) -> None:
    profile = PROFILES["devcontainer"]
    changed = replaced(profile, data.draw(st.sampled_from(places(profile))), new)
    if conforms(changed, SCHEMA):
        assert accepts(changed, SCHEMA)


@given(
    value=VALUES,
    schema=st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(
                ["array", "boolean", "integer", "number", "object", "string", ["null", "integer"]]
            ),
            "enum": st.lists(SCALARS, min_size=1, max_size=3),
            "minimum": st.integers(-1, 2),
            "maximum": st.integers(-1, 2),
            "exclusiveMinimum": st.integers(-1, 2),
            "pattern": st.sampled_from(["^/", "a", "^$"]),
            "minLength": st.integers(0, 2),
            "minProperties": st.integers(0, 2),
            "uniqueItems": st.booleans(),
            "required": st.lists(st.sampled_from(["path", "x"]), unique=True),
            "items": st.sampled_from([{"type": "string"}, {"enum": [1, True]}]),
            "properties": st.sampled_from([{"path": {"type": "string"}}, {}]),
            "additionalProperties": st.sampled_from([True, False, {"type": "integer"}]),
            "anyOf": st.just([{"required": ["path"]}, {"required": ["x"]}]),
            "not": st.just({}),
        },
    ),
)
def test_no_value_is_accepted_that_jsonschema_refuses(value: Any, schema: Any) -> None:
    if conforms(value, schema):
        assert accepts(value, schema)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"mounts": {"allow": [{"path": 1}]}}, SCHEMA),
        ({"server": {"threads": 0}}, settings.SCHEMA),
        ({"server": {"thread": 1}}, settings.SCHEMA),
    ],
)
def test_a_fault_is_left_to_jsonschema(value: Any, schema: Any) -> None:
    assert not conforms(value, schema)
