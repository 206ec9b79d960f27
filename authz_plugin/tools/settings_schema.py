"""The JSON schema of the settings file, for editors.

It is made from the schemas with which the plugin checks settings. It differs from them in what an
editor needs: every key that has a default is optional, keys that the plugin fills in are left out,
and profiles, operations and rules are listed by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from authz_plugin.configuration import config_schema, profiles
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.rules import RULES
from authz_plugin.settings import with_settings

_FILLED_IN: Final = "the plugin fills"
_DEFAULTS_IN_LISTS: Final = frozenset({"read_only"})
"""Keys of entries of lists that may be missing. An entry is not merged with that of a profile, so
all its other keys are required."""

_CUSTOM: Final = r"^custom\."


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the settings file."""
    schema: dict[str, Any] = _as_written(with_settings(config_schema()), required=False)
    given = schema["properties"]
    given["profile"]["enum"] = profiles()
    given["operations"] = _named(given["operations"], dict.fromkeys(sorted(OPERATIONS), ""))
    titles = {rule.id: rule.title for rule in RULES.values()}
    given["rules"] = _named(given["rules"], titles)
    excepted = given["exceptions"]["items"]["properties"]
    excepted["rule"]["anyOf"] = [{"enum": list(titles)}, {"pattern": _CUSTOM}]
    schema["$defs"]["role"]["required"] = ["callers"]
    return {
        **schema,
        "title": "Settings of opa-authz",
        "description": "The settings of the plugin and the policy configuration, in one YAML file.",
    }


def _as_written(schema: Any, *, required: bool) -> Any:
    """Return a schema without keys that the plugin fills in. ``required`` says whether the other
    keys of an object must be given, as in the entries of a list."""
    if isinstance(schema, list):
        return [_as_written(part, required=required) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in {"properties", "$defs"}:
            found[keyword] = {
                name: _as_written(inner, required=required)
                for name, inner in value.items()
                if not _is_filled_in(inner)
            }
        elif keyword != "required":
            found[keyword] = _as_written(value, required=required or keyword == "items")
        elif required:
            properties = schema.get("properties", {})
            found[keyword] = list(_needed(value, properties))
    return found


def _needed(names: Iterable[str], properties: Mapping[str, Any]) -> Iterable[str]:
    return (
        name
        for name in names
        if name not in _DEFAULTS_IN_LISTS and not _is_filled_in(properties.get(name, {}))
    )


def _is_filled_in(schema: Any) -> bool:
    return _FILLED_IN in schema.get("description", "")


def _named(schema: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the schema of a map with its keys listed, each with a title, or an empty one."""
    value = schema["additionalProperties"]
    return {
        **schema,
        "properties": {
            name: {"title": title, **value} if title else value for name, title in names.items()
        },
        "patternProperties": {_CUSTOM: value},
        "additionalProperties": False,
    }
