"""A quick check of values against a JSON schema, of the keywords that the schemas here use.

It only ever says that values conform. Where it does not, because they do not or because it cannot
tell, ``validation`` asks ``jsonschema``, whose import takes as long as that of the whole plugin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_TYPES: Final[Mapping[str, type]] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "object": dict,
    "string": str,
}
_ANNOTATIONS: Final = frozenset(
    {"$defs", "$schema", "additionalProperties", "description", "title"}
)


def conforms(value: Any, schema: Schema, root: Schema | None = None) -> bool:
    """Whether a value conforms for certain. ``root`` is the schema that ``$ref`` refers to, by
    default ``schema`` itself."""
    root = schema if root is None else root
    for keyword, wanted in schema.items():
        check = _CHECKS.get(keyword)
        if check is None:
            if keyword not in _ANNOTATIONS:
                return False
        elif not check(value, wanted, root):
            return False
    return not isinstance(value, dict) or _conforms_elsewhere(value, schema, root)


def _conforms_elsewhere(value: dict[str, Any], schema: Schema, root: Schema) -> bool:
    """Whether the values of the keys that ``properties`` does not name conform."""
    others = schema.get("additionalProperties", True)
    if others is True:
        return True
    names = value.keys() - schema.get("properties", {}).keys()
    if others is False:
        return not names
    return all(conforms(value[name], others, root) for name in names)


def _is_type(value: Any, wanted: Any, _: Schema) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    if type(value) is float:
        return "number" in names
    return any(type(value) is _TYPES.get(name) for name in names) or (
        type(value) is int and "number" in names
    )


def _refers(value: Any, reference: str, root: Schema) -> bool:
    start, _, name = reference.rpartition("/")
    return start == "#/$defs" and conforms(value, root["$defs"][name], root)


def _is_unique(value: Any, wanted: Any, _: Schema) -> bool:
    if not isinstance(value, list) or not wanted:
        return True
    if all(type(item) is str for item in value):
        return len(set(value)) == len(value)
    return all(item not in value[:i] for i, item in enumerate(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


_CHECKS: Final[Mapping[str, Callable[[Any, Any, Schema], bool]]] = {
    "$ref": _refers,
    "anyOf": lambda value, options, root: any(conforms(value, one, root) for one in options),
    "enum": lambda value, options, _: any(
        type(value) is type(one) and value == one for one in options
    ),
    "exclusiveMinimum": lambda value, least, _: not _is_number(value) or value > least,
    "items": lambda value, shape, root: (
        not isinstance(value, list) or all(conforms(item, shape, root) for item in value)
    ),
    "maximum": lambda value, most, _: not _is_number(value) or value <= most,
    "minLength": lambda value, least, _: not isinstance(value, str) or len(value) >= least,
    "minProperties": lambda value, least, _: not isinstance(value, dict) or len(value) >= least,
    "minimum": lambda value, least, _: not _is_number(value) or value >= least,
    "pattern": lambda value, form, _: (
        not isinstance(value, str) or re.search(form, value) is not None
    ),
    "properties": lambda value, shapes, root: (
        not isinstance(value, dict)
        or all(conforms(value[name], shapes[name], root) for name in value.keys() & shapes.keys())
    ),
    "propertyNames": lambda value, shape, root: (
        not isinstance(value, dict) or all(conforms(name, shape, root) for name in value)
    ),
    "required": lambda value, names, _: (
        not isinstance(value, dict) or all(name in value for name in names)
    ),
    "type": _is_type,
    "uniqueItems": _is_unique,
}
