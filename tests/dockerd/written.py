"""Strategies for bodies: what dockerd holds, and one of the texts that a client may write."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import strategies as st

from authz_plugin.dockerd import gojson
from authz_plugin.dockerd.gojson import Shape

TEXTS = st.sampled_from(
    ["", "x", "host", "/", "/etc", "/a/../b:/c:ro", "container:db", "none", "ALL", "cap_sys_admin"]
) | st.text(st.characters(codec="utf-8"), max_size=12)
KEYS = st.sampled_from(["o", "device", "type", "80/tcp", "host", "k"]) | st.text(
    st.characters(codec="utf-8"), max_size=5
)


_BOOLEANS = st.booleans()
_COUNTS = st.integers(0, 2)
_FLOATS = st.floats(-1e9, 1e9, width=32)
_BYTES = st.binary(max_size=6)


@st.composite
def body_of(draw: st.DrawFn, shape: Shape) -> tuple[Any, str]:
    """What dockerd holds, and a text for it: fields left out or null, names in any case."""
    return _written(draw, shape)


def _written(draw: st.DrawFn, shape: Any) -> tuple[Any, str]:  # noqa: C901, PLR0911, PLR0912 - one case a type
    match shape:
        case gojson.PointerOrZero():
            return _written(draw, shape.element)
        case gojson.Pointer():
            return (None, "null") if draw(_BOOLEANS) else _written(draw, shape.element)
        case gojson.Bool():
            return _as_is(draw(_BOOLEANS))
        case gojson.Integer():
            return _as_is(draw(_integers(shape.lowest, shape.highest)))
        case gojson.Float():
            return _as_is(draw(_FLOATS))
        case gojson.Bytes():
            return _as_is(base64.b64encode(draw(_BYTES)).decode())
        case gojson.String():
            return _as_is(draw(TEXTS))
        case gojson.StringOrSlice() if draw(_BOOLEANS):
            text = draw(TEXTS)
            return [text], json.dumps(text)
        case gojson.Array():
            items = [_written(draw, shape.element) for _ in range(shape.length)]
        case gojson.Slice():
            items = [_written(draw, shape.element) for _ in range(draw(_COUNTS))]
            if not items and draw(_BOOLEANS):
                return shape.zero(), "null"
        case gojson.Map():
            keys = draw(_keys(shape._key))
            entries = {key: _written(draw, shape.element) for key in keys}
            texts = [f"{json.dumps(key)}:{text}" for key, (_, text) in entries.items()]
            return {key: value for key, (value, _) in entries.items()}, f"{{{','.join(texts)}}}"
        case gojson.Struct():
            return _struct(draw, shape)
        case _:
            raise TypeError(shape)
    return [value for value, _ in items], f"[{','.join(text for _, text in items)}]"


def _struct(draw: st.DrawFn, shape: gojson.Struct) -> tuple[dict[str, Any], str]:
    """A few of the fields, in any order, under any name that Go takes for theirs."""
    names = draw(_names(tuple(sorted(shape.fields)))) if shape.fields else []
    held, texts = dict(shape.zero()), []
    for name in names:
        held[name], text = _written(draw, shape.fields[name])
        spelling = draw(_spellings(name))
        texts.append(f"{json.dumps(spelling, ensure_ascii=draw(_BOOLEANS))}:{text}")
    return held, f"{{{','.join(texts)}}}"


# Hypothesis checks a strategy when it is first drawn from, so one for each draw takes longer.
@cache
def _integers(lowest: int, highest: int) -> st.SearchStrategy[int]:
    return st.integers(lowest, highest) | st.integers(0, 9)


@cache
def _keys(unique_by: Callable[[str], Any] | None) -> st.SearchStrategy[list[str]]:
    names = KEYS if unique_by is None else KEYS.filter(bool)
    return st.lists(names, max_size=2, unique_by=unique_by or str)


@cache
def _names(fields: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(fields), max_size=4, unique=True)


@cache
def _spellings(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name, name.lower(), name.upper(), _folded(name)])


def _folded(name: str) -> str:
    return name.replace("s", "\u017f").replace("K", "\u212a")


def _as_is(value: Any) -> tuple[Any, str]:
    return value, json.dumps(value)
