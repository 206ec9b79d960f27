"""JSON as dockerd reads it: Go's encoding/json decoding into typed structs.

Field names are compared after case folding (ASCII case, U+017F to s, U+212A to k), map keys are
not; unknown fields are dropped; null leaves a field at its zero value. Ambiguous JSON (a field
given twice, trailing bytes, invalid UTF-8) is refused: Go would merge or ignore it, and ordinary
clients do not send it. Source: Go 1.26 ``encoding/json/decode.go`` and ``fold.go``.

The canonical form is the decoded Go value: it has every field of a struct, under its declared
name, with its zero value if it was not given. A nil slice or map is ``[]`` or ``{}``, a nil pointer
``None``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final, NoReturn, Protocol

from authz_plugin.errors import Refused

Json = Any
"""A JSON value: None, bool, int, float, str, list, and dict (before ``Shape.read``: ``Pairs``)."""

_FOLDED: Final = str.maketrans(
    {
        **{chr(upper): chr(upper + 32) for upper in range(ord("A"), ord("Z") + 1)},
        "\u017f": "s",
        "\u212a": "k",
    }
)

_STRINGS: Final = frozenset({str})
_FLOAT32_MAX: Final = 3.4028234663852886e38
_UNKNOWN_LIMIT: Final = 20
_KEY_LIMIT: Final = 100
_ENTRIES_LIMIT: Final = 1 << 16


class Pairs(tuple[tuple[str, Any], ...]):
    """A JSON object as parsed: its members in order, including repeated names."""

    __slots__ = ()


class Reading:
    """State of reading one body.

    ``unknown`` lists the first ``_UNKNOWN_LIMIT`` fields that no engine reads. ``entries`` is the
    number of entries of all lists and maps; it is limited because a few bytes of the body can
    become hundreds in the input document.
    """

    __slots__ = ("entries", "unknown")

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.entries = 0

    def overlook(self, field: str) -> None:
        """Record the path of a field that no engine reads."""
        if len(self.unknown) < _UNKNOWN_LIMIT:
            self.unknown.append(field)

    def count(self, entries: int, path: str) -> None:
        """Count the entries of the list or map at ``path``; raises ``Refused`` beyond the limit."""
        self.entries += entries
        if self.entries > _ENTRIES_LIMIT:
            raise _too_much(path, "has too many entries", f"{_ENTRIES_LIMIT} in one body")


class Shape(Protocol):
    """A Go type, as a target of JSON decoding."""

    def zero(self) -> Json:
        """The canonical form of Go's zero value. It is shared: do not modify it."""

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        """The canonical form of a parsed value at ``path``; raises ``Refused``."""


def fold(name: str) -> str:
    """The folded form in which encoding/json compares an object's key with a field's name."""
    return name.translate(_FOLDED)


def entry(path: str, key: str) -> str:
    """The path of a map's entry. A long key is cut, because every path below it repeats it."""
    return f"{path}[{key if len(key) <= _KEY_LIMIT else f'{key[:_KEY_LIMIT]}…'!r}]"


def parse(body: bytes) -> Json:
    """Parse one JSON document; objects become ``Pairs``.

    Raises ``Refused`` (``request.body-json``) for everything that encoding/json would reject,
    replace or leave unread: invalid UTF-8, a byte-order mark, NaN, lone surrogates, trailing bytes,
    deep nesting.
    """
    try:
        text = body.decode()
        value = _DECODER.decode(text)
        if "\\" in text and "\\u" in text:  # the search for one character is the quicker by far
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise _not_json("it is not UTF-8") from None
    except UnicodeEncodeError:
        raise _not_json("it holds a lone surrogate") from None
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    except ValueError as error:
        raise _not_json(str(error)) from None
    return value


class Bool:
    """``bool``."""

    def zero(self) -> Json:
        return False

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return False
        if isinstance(value, bool):
            return value
        raise _wrong_type(path, "true or false")


class String:
    """``string``, and Go types that unmarshal a string; dockerd may reject some values of those.

    ``longest`` is the maximum length in characters, for a string that many facts repeat.
    """

    def __init__(self, *, longest: int | None = None) -> None:
        self._longest = longest

    @property
    def is_plain(self) -> bool:
        """Whether every string is read as it is."""
        return self._longest is None

    def zero(self) -> Json:
        return ""

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return ""
        if isinstance(value, str):
            if self._longest is not None and len(value) > self._longest:
                raise _too_much(path, "is too long", f"{self._longest} characters")
            return value
        raise _wrong_type(path, "a string")


class Integer:
    """``int64``, ``uint16`` and so on: no fraction, no exponent, within the type's range."""

    def __init__(self, bits: int, *, signed: bool) -> None:
        self.lowest = -(1 << (bits - 1)) if signed else 0
        self.highest = (1 << (bits - 1 if signed else bits)) - 1

    def zero(self) -> Json:
        return 0

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return 0
        if type(value) is int and self.lowest <= value <= self.highest:
            return value
        raise _wrong_type(path, f"a whole number from {self.lowest} to {self.highest}")


class Float:
    """``float32``: kept as written."""

    def zero(self) -> Json:
        return 0.0

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return 0.0
        if type(value) in {int, float} and abs(value) <= _FLOAT32_MAX:
            return float(value)
        raise _wrong_type(path, "a number")


class Bytes:
    """``[]byte``: a base64 string, kept as written."""

    def zero(self) -> Json:
        return ""

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return ""
        if isinstance(value, str):
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                pass
            else:
                return value
        raise _wrong_type(path, "a base64 string")


class Slice:
    """``[]T``. Nil is ``[]``, or ``None`` if ``nullable``: where dockerd treats nil differently."""

    def __init__(self, element: Shape, *, nullable: bool = False) -> None:
        self.element = element
        self.nullable = nullable
        self._is_plain = _reads_plain_strings(element)

    def zero(self) -> Json:
        return None if self.nullable else []

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return self.zero()
        if not isinstance(value, list):
            raise _wrong_type(path, "a list")
        reading.count(len(value), path)
        if self._is_plain and set(map(type, value)) <= _STRINGS:
            return value
        element = self.element
        return [element.read(item, f"{path}[{i}]", reading) for i, item in enumerate(value)]


class StringOrSlice(Slice):
    """``strslice.StrSlice`` (engines up to 28): a plain string is a list of one."""

    def __init__(self) -> None:
        super().__init__(String())

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        return [value] if isinstance(value, str) else super().read(value, path, reading)


class Array:
    """``[n]T``: missing elements have their zero value, surplus elements are dropped."""

    def __init__(self, element: Shape, length: int) -> None:
        self.element = element
        self.length = length

    def zero(self) -> Json:
        return [self.element.zero()] * self.length

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return self.zero()
        if not isinstance(value, list):
            raise _wrong_type(path, "a list")
        items = [self.element.read(v, f"{path}[{i}]", reading) for i, v in enumerate(value)]
        return (items + self.zero())[: self.length]


class Map:
    """``map[string]T``: keys are kept as written.

    ``key``, if given, returns the form in which engines compare keys: two keys of the same form are
    refused as duplicates. An empty key is then refused too, because engines that parse keys into
    another type take it for another key.
    """

    def __init__(self, element: Shape, *, key: Callable[[str], str] | None = None) -> None:
        self.element = element
        self._key = key
        self._is_plain = _reads_plain_strings(element)

    def zero(self) -> Json:
        return {}

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return {}
        if not isinstance(value, Pairs):
            raise _wrong_type(path, "an object")
        reading.count(len(value), path)
        if self._is_plain and set(map(type, map(itemgetter(1), value))) <= _STRINGS:
            entries = dict(value)
        else:
            element = self.element
            entries = {k: element.read(item, entry(path, k), reading) for k, item in value}
        if self._key is not None and "" in entries:
            raise _wrong_type(path, "a name with each entry")
        distinct = entries if self._key is None else {self._key(k) for k in entries}
        if len(distinct) != len(value):
            raise _duplicate(path, "holds a key twice")
        return entries


class Pointer:
    """``*T``: null is nil."""

    def __init__(self, element: Shape) -> None:
        self.element = element

    def zero(self) -> Json:
        return None

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        return None if value is None else self.element.read(value, path, reading)


class Struct:
    """A struct: ``fields`` by their JSON names, including the fields of embedded structs.

    ``refused`` names fields that some engines read and others ignore; any value but their zero
    value is refused, because its effect depends on the engine. ``unread`` names fields that common
    clients send although no engine reads them; they are not reported as unknown.
    """

    def __init__(
        self,
        fields: Mapping[str, Shape],
        *,
        refused: Mapping[str, Shape] | None = None,
        unread: Iterable[str] = (),
    ) -> None:
        self.fields = dict(fields)
        self._zero = {name: shape.zero() for name, shape in fields.items()}
        known = [(name, _as_is(shape), shape.read) for name, shape in fields.items()]
        self._by_fold = {fold(field[0]): field for field in known}
        self._by_name = {field[0]: field for field in known}
        self._refused = {fold(name): (name, shape) for name, shape in (refused or {}).items()}
        self._unread = frozenset(map(fold, unread))

    def zero(self) -> Json:
        return self._zero

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        if value is None:
            return self._zero
        if not isinstance(value, Pairs):
            raise _wrong_type(path, "an object")
        prefix = f"{path}." if path else ""
        read: dict[str, Json] = {}
        by_name = self._by_name
        for key, item in value:
            known = by_name.get(key) or self._by_fold.get(fold(key))
            if known is None:
                self._read_unknown(key, item, prefix, reading)
                continue
            name, as_is, read_field = known
            if name in read:
                raise _duplicate(f"{prefix}{name}", "is given twice")
            if type(item) is as_is:
                read[name] = item
            else:
                read[name] = read_field(item, f"{prefix}{name}", reading)
        return {**self._zero, **read}

    def _read_unknown(self, key: str, item: Json, prefix: str, reading: Reading) -> None:
        ambiguous = self._refused.get(fold(key))
        if ambiguous is None:
            if fold(key) not in self._unread:
                reading.overlook(f"{prefix}{key}")
            return
        name, shape = ambiguous
        if shape.read(item, f"{prefix}{name}", reading) != shape.zero():
            raise Refused(
                "request.body-old-shape",
                f"{prefix}{name}",
                f"{prefix}{name} stands where engines before 27 read it and later ones do not",
                f"give it as HostConfig.{name}",
            )


class PointerOrZero(Pointer):
    """``*T`` where dockerd treats nil as the zero value of T."""

    def zero(self) -> Json:
        return self.element.zero()

    def read(self, value: Json, path: str, reading: Reading) -> Json:
        return self.element.read(value, path, reading)


def _as_is(shape: Shape) -> type | None:
    """The type of which this shape reads every value as it is, so that no path has to be made for
    it; None if there is none."""
    if type(shape) is Bool:
        return bool
    return str if _reads_plain_strings(shape) else None


def _reads_plain_strings(element: Shape) -> bool:
    """Whether strings of this shape need no reading."""
    return type(element) is String and element.is_plain


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=Pairs, parse_constant=_refuse_constant)


def _not_json(problem: str) -> Refused:
    return Refused("request.body-json", "body", f"the body is not the JSON of one value: {problem}")


def _wrong_type(path: str, expected: str) -> Refused:
    return Refused(
        "request.body-type",
        path or "body",
        f"{path or 'the body'} is not what dockerd accepts",
        f"give {expected}",
    )


def _too_much(path: str, problem: str, most: str) -> Refused:
    return Refused("request.body-size", path, f"{path} {problem}", f"give at most {most}")


def _duplicate(path: str, problem: str) -> Refused:
    return Refused(
        "request.body-duplicate",
        path,
        f"{path} {problem}, and readers differ on what that means",
        "give it once",
    )
