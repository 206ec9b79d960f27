"""Check settings against a JSON schema, with messages that name the key and its place."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from authz_plugin.errors import SettingsError
from authz_plugin.settings.conformance import conforms
from authz_plugin.settings.origins import Key, KeyOrigins, show

_IN_YAML: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping of keys to values",
    "string": "a text",
}


def validate(values: Mapping[str, Any], schema: Mapping[str, Any], origins: KeyOrigins) -> None:
    """Check values against a JSON schema; raises ``SettingsError`` for the first fault by path."""
    if conforms(values, schema):
        return
    import jsonschema  # noqa: PLC0415 - needed for the message about a fault only

    faults = jsonschema.Draft202012Validator(schema).iter_errors(values)
    fault = min(faults, key=lambda fault: list(map(str, fault.absolute_path)), default=None)
    if fault is None:
        return
    key: Key = tuple(fault.absolute_path)
    message = fault.message
    if fault.validator == "additionalProperties":
        known = fault.schema.get("properties", {})
        unknown = min(set(fault.instance) - set(known))
        key = (*key, unknown)
        message = f"no such key{suggest(unknown, known)}"
    elif fault.validator in {"enum", "type"}:
        message = f"must be {_expected(fault.schema)}"
    elif fault.validator == "pattern":
        title = fault.schema.get("title")
        form = f"must be {title}" if title else f"is not of the form {fault.validator_value}"
        message = f"{fault.instance!r} {form}"
    elif fault.validator == "required":
        missing = [name for name in fault.validator_value if name not in fault.instance]
        message = f"needs {', '.join(missing)}"
    elif fault.validator == "anyOf":
        message = f"needs {' or '.join(option['required'][0] for option in fault.validator_value)}"
    elif fault.validator == "minProperties":
        message = "must not be empty"
    raise SettingsError(origins.of(key), show(key), message)


def _expected(schema: Mapping[str, Any]) -> str:
    """A description of the types or values that a schema accepts."""
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    types = schema["type"]
    return " or ".join(_IN_YAML[type_] for type_ in ([types] if isinstance(types, str) else types))


def suggest(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known))}"
