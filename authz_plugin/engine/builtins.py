"""The builtin functions that a policy may call in the embedded engine.

OPA's compiler takes most builtins from a library of C functions, whose names are in ``NATIVE``; the
plugin provides those in ``PROVIDED``. Each gives the same result as OPA's server, which
tests/engine/test_builtins.py compares. A policy that calls any other builtin needs OPA's server.

Sources: OPA 1.21.1 ``internal/compiler/wasm/wasm.go`` (builtinsFunctions),
``v1/topdown/strings.go`` (builtinSprintf), ``v1/topdown/time.go``; Go 1.26 ``fmt``, ``time``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

NATIVE: Final[Mapping[str, str]] = {
    "and": "opa_set_intersection",
    "array.concat": "opa_array_concat",
    "array.reverse": "opa_array_reverse",
    "concat": "opa_strings_concat",
    "contains": "opa_strings_contains",
    "count": "opa_agg_count",
    "endswith": "opa_strings_endswith",
    "equal": "opa_cmp_eq",
    "glob.match": "opa_glob_match",
    "graph.reachable": "builtin_graph_reachable",
    "gt": "opa_cmp_gt",
    "gte": "opa_cmp_gte",
    "internal.member_2": "builtin_member",
    "internal.member_3": "builtin_member3",
    "intersection": "opa_sets_intersection",
    "is_array": "opa_types_is_array",
    "is_boolean": "opa_types_is_boolean",
    "is_null": "opa_types_is_null",
    "is_number": "opa_types_is_number",
    "is_object": "opa_types_is_object",
    "is_set": "opa_types_is_set",
    "is_string": "opa_types_is_string",
    "lt": "opa_cmp_lt",
    "lte": "opa_cmp_lte",
    "minus": "opa_arith_minus",
    "neq": "opa_cmp_neq",
    "numbers.range": "opa_numbers_range",
    "object.filter": "builtin_object_filter",
    "object.get": "builtin_object_get",
    "object.keys": "builtin_object_keys",
    "object.remove": "builtin_object_remove",
    "object.union": "builtin_object_union",
    "or": "opa_set_union",
    "regex.is_valid": "opa_regex_is_valid",
    "regex.match": "opa_regex_match",
    "sort": "opa_agg_sort",
    "split": "opa_strings_split",
    "startswith": "opa_strings_startswith",
    "strings.replace_n": "opa_strings_replace_n",
    "strings.reverse": "opa_strings_reverse",
    "trim": "opa_strings_trim",
    "trim_left": "opa_strings_trim_left",
    "trim_prefix": "opa_strings_trim_prefix",
    "trim_right": "opa_strings_trim_right",
    "trim_space": "opa_strings_trim_space",
    "trim_suffix": "opa_strings_trim_suffix",
    "type_name": "opa_types_name",
    "union": "opa_sets_union",
}
"""The builtins that are compiled into the module, and the names of their functions in it.

The others of the library give another result than OPA's server for some arguments (1.21.1):

- ``abs``, ``ceil``, ``div``, ``floor``, ``max``, ``min``, ``mul``, ``plus``, ``product``, ``rem``,
  ``round`` and ``sum`` have another precision and form: ``plus(1.1, -1)`` is 0.1, in the server
  0.10000000000000000002.
- ``indexof`` finds ``""``, ``json.unmarshal`` and ``json.is_valid`` accept ``01``, ``bits.rsh(-0,
  1)`` is -1; ``replace`` does not end if it is to replace an empty text.
- ``net.cidr_contains`` and ``net.cidr_intersects`` know no IPv4 addresses within IPv6.
- ``to_number`` makes numbers of text that is none, such as ``01``.
- ``json.marshal`` and ``walk`` have the order of hashes.
- ``array.slice``, ``substring``, ``regex.find_all_string_submatch_n`` and the other ``bits``
  refuse ``1.0`` for 1, ``format_int`` numbers above 2^53, ``json.filter`` and ``json.remove`` the
  path ``""``, ``object.union_n`` an empty array.
- ``lower`` and ``upper`` do not know 43 letters that came with Unicode 13 and later.

``strict_errors`` mends three of the table: ``glob.match``, ``concat`` and ``regex.match``.
"""

SHIPPED_ONLY: Final = frozenset({"minus"})
"""Builtins that only the shipped policies may call. ``minus`` differs as ``plus`` does for numbers
that are not integers of 64 bits; the shipped policies subtract sets."""

NETWORK: Final[Mapping[str, int]] = {
    "http.send": 1,
    "json.match_schema": 2,
    "json.verify_schema": 1,
    "net.lookup_ip_addr": 1,
}
"""The builtins of OPA's server that can send requests, with their numbers of arguments. A schema of
JSON may refer to another one by its URL."""


class BuiltinError(Exception):
    """A builtin fails, or its arguments are not supported: there is no decision."""


class Number(str):
    """A number as it is written in JSON, because OPA keeps numbers as text."""

    __slots__ = ()


def _sprintf(format_: Any, values: Any) -> str:
    """``sprintf`` with the verbs ``%s``, ``%v``, ``%d`` and ``%%`` without flags."""
    if type(format_) is not str or not isinstance(values, list):
        raise BuiltinError("sprintf needs a string and an array")
    left = [_go_value(value) for value in values]

    def formatted(found: re.Match[str]) -> str:
        verb = found[1]
        if verb == "%":
            return "%"
        if verb not in _TYPES:
            raise BuiltinError(f"sprintf with %{verb} is not supported")
        return _formatted(left.pop(0), verb) if left else f"%!{verb}(MISSING)"

    text = re.sub(r"%(.|$)", formatted, format_, flags=re.DOTALL)
    if not left:
        return text
    extra = ", ".join(f"{_go_type(value)}={_formatted(value, 'v')}" for value in left)
    return f"{text}%!(EXTRA {extra})"


def _go_value(value: Any) -> str | int | float:
    """The value that ``builtinSprintf`` gives to Go's ``fmt``."""
    if not isinstance(value, Number):
        return value if isinstance(value, str) else _rego(value)
    if not any(character in ".eE" for character in value):
        if len(value) > _MOST_DIGITS:
            raise BuiltinError("sprintf with an integer of so many digits is not supported")
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else str(value)


def _rego(value: Any) -> str:
    """A value as OPA writes it: ``{"a": [1, null]}``."""
    if isinstance(value, Number):
        return value
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_rego, value))}]"
    if isinstance(value, dict):
        items = sorted(value.items())
        return f"{{{', '.join(f'{_rego(key)}: {_rego(inner)}' for key, inner in items)}}}"
    return {None: "null", True: "true", False: "false"}[value]


def _quoted(text: str) -> str:
    """A string as Go's ``strconv.Quote`` writes it."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:  # noqa: PLR2004 - ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


_ESCAPES: Final = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f",
    "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _formatted(value: str | float, verb: str) -> str:
    type_ = _go_type(value)
    text = _shortest(value) if isinstance(value, float) else str(value)
    return text if type_ in _TYPES[verb] else f"%!{verb}({type_}={text})"


def _go_type(value: str | float) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, float):
        return "float64"
    return "int64" if _EARLIEST <= value <= _LATEST else "*big.Int"


_TYPES: Final = {
    "s": {"string", "*big.Int"},
    "d": {"int64", "*big.Int"},
    "v": {"string", "int64", "*big.Int", "float64"},
}
"""The Go types that a verb formats."""

_MOST_DIGITS: Final = 4000
"""Digits of an integer that Python converts, at most."""


def _shortest(value: float) -> str:
    """A floating-point number as Go's ``%g`` formats it: with the fewest digits that identify it,
    and with an exponent below -4 or above 5."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    power = len(text) + exponent - 1
    if value != 0 and not -4 <= power < 6:  # noqa: PLR2004 - strconv's %e of the shortest form
        fraction = f".{text[1:]}" if text[1:] else ""
        text = f"{text[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02}"
    else:
        text = format(Decimal((0, digits, exponent)), "f")
    return f"-{text}" if sign else text


_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?(?:Z|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1


def _parse_rfc3339_ns(text: Any) -> int:
    """Nanoseconds since 1970."""
    found = _RFC3339.fullmatch(text) if type(text) is str else None
    if found is None:
        raise BuiltinError("this is no time of RFC 3339")
    *moment, fraction, sign, hours, minutes = found.groups()
    try:
        year, month, day, hour, minute, second = map(int, moment)
        point = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        seconds = int((point - _EPOCH).total_seconds())
    except ValueError as error:
        raise BuiltinError("this is no time of RFC 3339") from error
    if sign:
        if int(hours) > 24 or int(minutes) > 60:  # noqa: PLR2004 - as Go's time.Parse
            raise BuiltinError("this is no time zone of RFC 3339")
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds -= offset if sign == "+" else -offset
    nanoseconds = seconds * 10**9 + int((fraction or "0").ljust(9, "0"))
    if not _EARLIEST <= nanoseconds <= _LATEST:
        raise BuiltinError("this time is out of range")
    return nanoseconds


def glob_match(pattern: Any, delimiters: Any, value: Any) -> bool:
    """``glob.match`` without delimiters, for patterns with ``*`` and ``?``, in linear time.

    It is called only where the function in the module is wrong; see ``strict_errors``.
    """
    if type(pattern) is not str or type(value) is not str or delimiters is not None:
        raise BuiltinError("glob.match of this pattern or value has no delimiters here")
    if any(special in pattern for special in "[]{}\\"):
        raise BuiltinError("glob.match with one of []{}\\ in the pattern is not supported")
    parts = re.split(r"\*+", pattern)
    first, *inner, last = (
        "".join("." if c == "?" else re.escape(c) for c in part)
        for part in (parts if len(parts) > 1 else [*parts, ""])
    )
    # What is found first is found best, so nothing needs to be searched again.
    form = first + "".join(f"(?>.*?{part})" for part in inner) + (".*" if len(parts) > 1 else "")
    return re.fullmatch(form + last, value, re.DOTALL) is not None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

PROVIDED: Final[Mapping[str, Callable[..., Any]]] = {
    "sprintf": _sprintf,
    "time.parse_rfc3339_ns": _parse_rfc3339_ns,
}
"""The builtins that the plugin provides. Their arguments are JSON values, whose numbers are
``Number``. They raise ``BuiltinError``."""
