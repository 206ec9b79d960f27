"""Hypothesis strategies for bodies of clients with mutations that attackers could try."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from hypothesis import strategies as st

from authz_plugin.dockerd import shapes
from authz_plugin.dockerd.gojson import Shape
from tests.dockerd.written import body_of

_TOKENS: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"\s*:|"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null'
)
_VALUES: Final = (
    "null", "true", "false", "0", "-1", "1", "1.0", "1e3", "1E400", "-0", "0.5",
    "18446744073709551616", "9223372036854775808", "65536", '""', '"x"',
    "[]", "[null]", '["x"]', "{}", '{"":null}', "[[]]",
    '{"x":{}}', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\u212a"', '"AAAA"', '"A"', "NaN",
    "Infinity", "01", "+1", ".5", "'x'", '"\t"', '"\\x"', "[1,]", "{,}", "nul", "/*x*/1",
)  # fmt: skip
Mutation = Callable[[str, int, str], str]

_TOP_LEVEL: Final = sorted(shapes.CONTAINER_CREATE.fields["HostConfig"].element.fields)  # type: ignore[attr-defined]


def hostile_body(shape: Shape) -> st.SearchStrategy[bytes]:
    """Return a strategy for bodies of a shape with one to three mutations."""
    written = body_of(shape).map(lambda pair: pair[1])
    return st.tuples(written, st.lists(_MUTATION, min_size=1, max_size=3)).map(_mutated)


def _mutated(case: tuple[str, list[tuple[Mutation, int, str]]]) -> bytes:
    text, mutations = case
    body = text.encode("utf-8", "surrogatepass")
    for mutate, position, replacement in mutations:
        mutated = mutate(body.decode("utf-8", "surrogateescape"), position, replacement)
        body = mutated.encode("utf-8", "surrogateescape")
    return body


def _another_value(text: str, position: int, replacement: str) -> str:
    values = [token for token in _TOKENS.finditer(text) if not _is_name(token)]
    return _replaced(text, values[position % len(values)], replacement) if values else text


def _another_spelling(text: str, position: int, replacement: str) -> str:
    names = [token for token in _TOKENS.finditer(text) if _is_name(token)]
    if not names:
        return text
    token = names[position % len(names)]
    return _replaced(text, token, _respelled(token.group(), position))


def _a_name_twice(text: str, position: int, replacement: str) -> str:
    names = [token for token in _TOKENS.finditer(text) if _is_name(token)]
    if not names:
        return text
    token = names[position % len(names)]
    again = _respelled(token.group(), position) if position % 2 else token.group()
    value = ("{}", "[]", "null", replacement)[position % 4]
    if position % 3 and text.endswith("}"):
        return f"{text[:-1]},{names[0].group()}{value}}}"
    return f"{text[: token.start()]}{again}{value},{text[token.start() :]}"


def _an_old_field(text: str, position: int, replacement: str) -> str:
    if not text.startswith("{"):
        return text
    comma = "" if text.startswith("{}") else ","
    return f'{{"{_TOP_LEVEL[position % len(_TOP_LEVEL)]}":{replacement}{comma}{text[1:]}'


def _text_after(text: str, position: int, replacement: str) -> str:
    return text + replacement


def _text_before(text: str, position: int, replacement: str) -> str:
    return ("\ufeff" if position % 2 else " \n\t\r") + text


def _truncated(text: str, position: int, replacement: str) -> str:
    return text[: position % (len(text) + 1)]


def _nested(text: str, position: int, replacement: str) -> str:
    depth = 1 + position % 12000
    return "[" * depth + text + "]" * depth


def _another_byte(text: str, position: int, replacement: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    at = position % (len(raw) + 1)
    return (raw[:at] + bytes([position % 256]) + raw[at + 1 :]).decode("utf-8", "surrogateescape")


def _is_name(token: re.Match[str]) -> bool:
    return token.group().endswith(":")


def _replaced(text: str, token: re.Match[str], replacement: str) -> str:
    return text[: token.start()] + replacement + text[token.end() :]


def _respelled(name: str, how: int) -> str:
    """Return a field's name in a form that Go accepts, or that is similar to one."""
    inner = name.rstrip().removesuffix(":").strip()[1:-1]
    match how % 6:
        case 0:
            inner = inner.swapcase()
        case 1:
            inner = inner.replace("s", "\u017f").replace("S", "\u017f")
        case 2:
            inner = inner.replace("k", "\u212a").replace("K", "\u212a")
        case 3:
            inner = "".join(f"\\u{ord(c):04x}" if c.isalpha() else c for c in inner)
        case 4:
            inner = inner.replace("I", "\u0130").replace("i", "\u0131")  # folds in no case of Go's
        case _:
            inner = f"{inner}\u0000" if how % 2 else f" {inner}"
            return json.dumps(inner) + ":"
    return f'"{inner}":'


_MUTATIONS: Final[tuple[Mutation, ...]] = (
    _another_value, _another_value, _another_spelling, _another_spelling, _a_name_twice,
    _an_old_field, _text_after, _text_before, _truncated, _nested, _another_byte,
)  # fmt: skip
_MUTATION: Final = st.tuples(
    st.sampled_from(_MUTATIONS),
    st.integers(0, 1 << 16),
    st.sampled_from(_VALUES),
)
