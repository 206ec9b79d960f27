"""docs/reference/settings.md: every key that is not policy configuration, from the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from authz_plugin.settings import DEFAULT_FILE, ENVIRONMENT, SCHEMA, show

_HEAD: Final = f"""\
# Settings

One YAML file, `{DEFAULT_FILE}` unless `--config` or `OPA_AUTHZ_CONFIG` names
another. Variables of the environment go before the file, flags before variables. An unknown key or
variable, or a value of the wrong form, stops the start with a message that names the line, the
variable or the flag.

`opa-authz check` says whether the plugin would start. After a change, `systemctl reload opa-authz`
(SIGHUP) takes over what concerns the policy; a change that is not sound is not taken over, and the
running policy stays. What counts from the start on (`server`, `opa`, `deadline`, `identities`,
`host_paths`, `log`, `audit`, `metrics`, `ping`) needs a restart, and a reload says so.

The keys below are the plugin's own. All other keys of the file are the
[policy configuration](policy-configuration.md).

This page is made from `authz_plugin/settings.py`.

| key | value | variable | |
|---|---|---|---|"""


def settings_page() -> str:
    """The page, one row a key."""
    variables = {show(key): name for name, key in ENVIRONMENT.items()}
    rows = [
        f"| `{key}` | {value_of(schema)} | {_code(variables.get(key))} | {schema['description']} |"
        for key, schema in _keys(SCHEMA, "")
    ]
    return "\n".join([_HEAD, *rows]) + "\n"


def value_of(schema: Mapping[str, Any]) -> str:
    """What a value may be, in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] in {"integer", "number"}:
        return f"{schema['minimum']} to {schema['maximum']}"
    if schema["type"] == "boolean":
        return "`true`, `false`"
    return "absolute path" if schema.get("pattern") == "^/" else "text"


def _keys(properties: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, schema in properties.items():
        if schema["type"] == "object":
            yield from _keys(schema["properties"], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", schema


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""
