"""docs/reference/settings.md: every key that is not policy configuration, from the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from authz_plugin.settings import DEFAULT_FILE, ENVIRONMENT, SCHEMA, show

_HEAD: Final = f"""\
# Settings

The settings are one YAML file, `{DEFAULT_FILE}` unless `--config` or `OPA_AUTHZ_CONFIG` names
another. Environment variables override the file, flags override variables. With an unknown key or
variable, or a value of the wrong type, the plugin does not start; the message names the line, the
variable or the flag.

`opa-authz check` checks settings and policy as the plugin does at its start, without starting it;
the service of a fleet and an OPA at `opa.url` are not asked. After a change of the policy
configuration, run `systemctl reload opa-authz` (SIGHUP); if the changed policy is not valid, the
running policy stays in force. Changes of `server`, `engine`, `opa`, `deadline`, `identities`,
`host_paths`, `data_root`, `log`, `audit`, `metrics`, `fleet` and `ping` need a restart; a
reload logs this.

## In an editor

[`settings.schema.json`](settings.schema.json) is a JSON schema of the whole file. No key is
required. `opa-authz schema` prints the schema of the installed version:

```sh
opa-authz schema > settings.schema.json
```

Write the path or URL of the schema into the first line of the settings. An editor with a YAML
language server (VS Code, Neovim, Helix and others) then completes keys, shows what they mean, and
marks unknown keys and wrong values:

```yaml
# yaml-language-server: $schema=settings.schema.json
profile: production
log: {{level: warning}}
```

## Keys

The keys below are the plugin's own. All other keys of the file are the
[policy configuration](policy-configuration.md).

This page is made from `authz_plugin/settings/schema.py`.

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
    if schema["type"] == "object":
        return "names and texts"
    return "absolute path" if schema.get("pattern") == "^/" else "text"


def _keys(properties: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, schema in properties.items():
        if "properties" in schema:
            yield from _keys(schema["properties"], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", schema


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""
