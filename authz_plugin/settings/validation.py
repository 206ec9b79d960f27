"""Check settings against a JSON schema, with messages that name the key and its place."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from authz_plugin.errors import SettingsError, raise_faults
from authz_plugin.settings.conformance import conforms
from authz_plugin.settings.origins import Key, KeyOrigins, show

_PLAIN: Final = re.compile(r"[A-Za-z_/.][\w/.:-]*(?<!:)")
"""Texts that YAML reads as texts without quotes."""

_TEXTS: Final = ("text", "KILL", "/srv", "64m", "127.0.0.1:9717")
"""Examples of texts, by the forms that the schemas ask for."""

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
    """Check values against a JSON schema; raises one ``SettingsError`` for all faults."""
    raise_faults(
        SettingsError(origins.of(key), show(key), message)
        for key, message in faults_of(values, schema)
    )


def faults_of(values: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """The faults of values by a JSON schema, ordered by path: each a key and what is wrong."""
    if conforms(values, schema):
        return
    import jsonschema  # noqa: PLC0415 - needed for the messages about faults only

    faults = jsonschema.Draft202012Validator(schema).iter_errors(values)
    for fault in sorted(faults, key=lambda fault: list(map(str, fault.absolute_path))):
        key: Key = tuple(fault.absolute_path)
        if fault.validator == "additionalProperties":
            known = fault.schema.get("properties", {})
            for unknown in sorted(set(fault.instance) - set(known)):
                yield (*key, unknown), f"no such key{suggest(unknown, known)}"
        else:
            yield key, _message(fault, schema)


def _message(fault: Any, root: Mapping[str, Any]) -> str:
    """What a ``jsonschema.ValidationError`` says is wrong, and an example for a wrong type."""
    message: str = fault.message
    if fault.validator == "enum":
        message = f"must be {_expected(fault.schema)}"
    elif fault.validator == "type":
        example = _flow(_example(fault.schema, root, fault.instance))
        message = f"must be {_expected(fault.schema)}, for example {example}"
    elif fault.validator == "pattern":
        message = f"{fault.instance!r} {_form(fault.schema)}"
    elif fault.validator == "required":
        missing = [name for name in fault.validator_value if name not in fault.instance]
        message = f"needs {', '.join(missing)}"
    elif fault.validator == "anyOf":
        message = f"needs {' or '.join(option['required'][0] for option in fault.validator_value)}"
    elif fault.validator == "minProperties":
        message = "must not be empty"
    return message


def _form(schema: Mapping[str, Any]) -> str:
    """What a schema says about the form of a text: in words, by an example, or its expression."""
    if "title" in schema:
        return f"must be {schema['title']}"
    pattern = schema["pattern"]
    example = next((text for text in _TEXTS if re.search(pattern, text)), None)
    return f"is not of the form {pattern}" if example is None else f"must be like {example}"


def _example(schema: Mapping[str, Any], root: Mapping[str, Any], given: Any = None) -> Any:
    """A value that a schema accepts; it contains ``given`` where that is what was meant."""
    while "$ref" in schema:
        _, place, name = schema["$ref"].split("/")
        schema = root[place][name]
    if "enum" in schema:
        return given if given in schema["enum"] else schema["enum"][-1]
    types = schema.get("type", "string")
    kind = types if isinstance(types, str) else types[0]
    if kind == "array":
        item = given if isinstance(given, str | int) else None
        return [_example(schema.get("items", {}), root, item)]
    if kind == "object":
        names = schema.get("required") or list(schema.get("properties", {}))[:1] or ["NAME"]
        shapes = {**schema.get("properties", {})}
        return {n: _example(shapes.get(n, _others(schema)), root) for n in names[:1]}
    return _plain_example(kind, schema, given)


def _others(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    others = schema.get("additionalProperties", {})
    return others if isinstance(others, Mapping) else {}


def _plain_example(kind: str, schema: Mapping[str, Any], given: Any) -> Any:
    if kind == "boolean":
        return str(given).lower() in {"yes", "on", "true", "1"}
    if kind in {"integer", "number"}:
        return int(given) if str(given).isdecimal() else schema.get("minimum", 10)
    if kind == "null":
        return None
    form = schema.get("pattern", "")
    if given is not None and not isinstance(given, list | dict) and re.search(form, str(given)):
        return str(given)
    return next((text for text in _TEXTS if re.search(form, text)), _TEXTS[0])


def _flow(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_flow(one)}' for name, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    plain = isinstance(value, str) and value not in {"", "true", "false", "null"}
    return value if plain and _PLAIN.fullmatch(value) else json.dumps(value)


def _expected(schema: Mapping[str, Any]) -> str:
    """A description of the types or values that a schema accepts."""
    if "enum" in schema:
        return "one of " + ", ".join(str(value) or '""' for value in schema["enum"])
    types = schema["type"]
    return " or ".join(_IN_YAML[type_] for type_ in ([types] if isinstance(types, str) else types))


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known name that is like it, or all known."""
    close = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known))}"
