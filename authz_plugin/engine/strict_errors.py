"""Makes a compiled policy stop where a builtin fails, as OPA does with strict builtin errors.

In WebAssembly a builtin that fails, such as ``startswith(null, "/")``, returns a null pointer, and
the rule that called it becomes undefined: a denial would be lost. ``with_strict_errors`` changes
the functions of builtins in a module. They then execute ``unreachable`` instead of returning a null
pointer, which ends the evaluation with a trap.

``glob.match`` has another mistake: there ``*`` and ``?`` match no newline, so that a label of two
lines would not be reserved, and unfinished patterns are no error. Calls with a newline
in the value, and those with more than ``*`` and ``?`` in the pattern, are passed to the host.
``concat`` joins a set in the order of hashes instead of the strings; it gets the sorted array.
``regex.match`` reads a pattern only up to the character NUL; such a pattern is an error.

Sources: OPA 1.21.1 ``internal/compiler/wasm/wasm.go`` (compileInternalCall); WebAssembly Core
Specification 1.0, chapter 5, and its appendix on the name section; ``wasm/src/value.h``
(opa_string_t), ``wasm/src/glob-compiler.cc``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from authz_plugin.errors import PolicyError

_HEADER: Final = b"\0asm\x01\0\0\0"
_CUSTOM, _TYPES, _IMPORTS, _FUNCTIONS, _CODE = 0, 1, 2, 3, 10
_FUNCTION_NAMES: Final = 1
_FUNCTION_IMPORT: Final = 0
_I32: Final = 0x7F
_MOST_BYTES: Final = 5
"""The maximum length of an unsigned 32-bit number in a module."""


GLOB: Final = "opa_glob_match"
GLOB_ID: Final = 1 << 30
"""The number by which the changed ``GLOB`` calls ``opa_builtin3``; OPA counts from 0."""

_GLOB_HOST: Final = b"opa_builtin3"
_CONCAT: Final = "opa_strings_concat"
_REGEX: Final = "opa_regex_match"
_SORT: Final = "opa_agg_sort"
_STRINGS: Final = (4, 8)
"""The types of strings (OPA_STRING, OPA_STRING_INTERNED)."""

_SET: Final = 7
"""The type of sets (OPA_SET)."""


def with_strict_errors(module: bytes, builtins: Iterable[str]) -> bytes:
    """Return the module with each of the functions ``builtins`` (``{"opa_strings_startswith"}``)
    made to trap instead of returning a null pointer.

    Raises ``PolicyError`` if the module cannot be read or lacks one of the functions.
    """
    try:
        return _changed(module, frozenset(builtins))
    except (IndexError, KeyError, ValueError) as error:
        raise PolicyError(f"the compiled policy cannot be read: {error!r}") from error


def _changed(module: bytes, builtins: frozenset[str]) -> bytes:
    if not module.startswith(_HEADER):
        raise PolicyError("the compiled policy is not a WebAssembly module of version 1")
    sections = list(_sections(module))
    found = {id_: content for id_, content in sections if id_ != _CUSTOM}
    imports = _imported_functions(found[_IMPORTS])
    imported = len(imports)
    types = _parameter_counts(found[_TYPES])
    functions = _Reader(found[_FUNCTIONS]).numbers()
    bodies = _bodies(found[_CODE])
    names = {name: index for index, name in _function_names(sections).items()}
    indexes = {
        name: index for name, index in names.items() if name in builtins and index >= imported
    }
    if indexes.keys() != builtins:
        missing = ", ".join(sorted(builtins - indexes.keys()))
        raise PolicyError(f"the compiled policy lacks functions of OPA: {missing}")
    for name, index in indexes.items():
        type_ = functions[index - imported]
        bodies.append(bodies[index - imported])
        functions.append(type_)
        called = imported + len(bodies) - 1
        if name == GLOB:
            body = _glob_body(called, imports.index(_GLOB_HOST))
        elif name == _CONCAT:
            body = _concat_body(called, names.get(_SORT))
        elif name == _REGEX:
            body = _regex_body(called)
        else:
            body = _strict_body(types[type_], called)
        bodies[index - imported] = body
    found[_FUNCTIONS] = _vector(map(_number, functions))
    found[_CODE] = _vector(_number(len(body)) + body for body in bodies)
    return _HEADER + b"".join(
        bytes([id_]) + _number(len(new)) + new
        for id_, content in sections
        for new in [content if id_ == _CUSTOM else found[id_]]
    )


def _strict_body(parameters: int, called: int) -> bytes:
    """The body of a function that calls another one with its own parameters, returns its result and
    traps if that is a null pointer."""
    locals_ = b"\x01\x01" + bytes([_I32])  # one local of type i32
    return locals_ + _strict_call(parameters, called, parameters) + b"\x0b"  # end


def _strict_call(parameters: int, called: int, result: int) -> bytes:
    """Code that leaves the result of a call; ``result`` is a local of its own."""
    return b"".join(
        (
            b"".join(_get(index) for index in range(parameters)),
            b"\x10" + _number(called),  # call
            b"\x22" + _number(result),  # local.tee
            b"\x45\x04\x40\x00\x0b",  # i32.eqz, if, unreachable, end
            _get(result),
        )
    )


def _glob_body(called: int, host: int) -> bytes:
    """The body for ``opa_glob_match(pattern, delimiters, value)``: calls ``host`` if a string has
    one of the bytes that ``called`` gets wrong."""
    pattern, value, result = 0, 2, 3
    arguments = b"\x41" + _signed(GLOB_ID) + b"\x41\x00"  # i32.const, i32.const 0
    by_host = arguments + _strict_call(3, host, result) + b"\x0f"  # return
    return b"".join(
        (
            b"\x01\x03" + bytes([_I32]),  # three locals of type i32
            _if_string_has(value, b"\n", by_host),
            _if_string_has(pattern, b"\0[]{}()|+^$\\", by_host),
            _strict_call(3, called, result),
            b"\x0b",  # end
        )
    )


def _regex_body(called: int) -> bytes:
    """The body for ``opa_regex_match(pattern, value)``: it traps if the pattern has a NUL."""
    pattern, result = 0, 2
    return b"".join(
        (
            b"\x01\x04" + bytes([_I32]),  # four locals of type i32, of which two are used below
            _if_string_has(pattern, b"\0", b"\x00"),  # unreachable
            _strict_call(2, called, result),
            b"\x0b",  # end
        )
    )


def _concat_body(called: int, sort: int | None) -> bytes:
    """The body for ``opa_strings_concat(delimiter, strings)``: it sorts the strings if they are a
    set, and traps if the module has no function for that."""
    strings, result = 1, 2
    to_array = _get(strings) + b"\x10" + _number(sort) if sort is not None else b"\x00"
    return b"".join(
        (
            b"\x01\x01" + bytes([_I32]),  # one local of type i32
            _get(strings) + b"\x2d\x00\x00\x41" + _signed(_SET) + b"\x46",  # i32.load8_u, i32.eq
            b"\x04\x40" + to_array + b"\x21" + _number(strings) + b"\x0b",  # if, local.set, end
            _strict_call(2, called, result),
            b"\x0b",  # end
        )
    )


def _if_string_has(parameter: int, bytes_: bytes, then: bytes) -> bytes:
    """Code that executes ``then`` if a parameter is a string with one of some bytes. It uses the
    locals 4 and 5."""
    position, end = 4, 5
    load_byte, load = b"\x2d\x00\x00", b"\x28\x02"  # i32.load8_u, i32.load
    types = (_get(parameter) + load_byte + b"\x41" + _signed(type_) + b"\x46" for type_ in _STRINGS)
    found = (_get(position) + load_byte + b"\x41" + _signed(byte) + b"\x46" for byte in bytes_)
    return b"".join(
        (
            b"\x02\x40",  # block
            _any(types) + b"\x45\x0d\x00",  # i32.eqz, br_if: not a string
            _get(parameter) + load + b"\x08" + b"\x22" + _number(position),  # local.tee
            _get(parameter) + load + b"\x04" + b"\x6a\x21" + _number(end),  # i32.add, local.set
            b"\x03\x40",  # loop
            _get(position) + _get(end) + b"\x4f\x0d\x01",  # i32.ge_u, br_if: out of the block
            _any(found) + b"\x04\x40" + then + b"\x0b",  # if … end
            _get(position) + b"\x41\x01\x6a\x21" + _number(position),  # i32.add, local.set
            b"\x0c\x00",  # br: again
            b"\x0b\x0b",  # end, end
        )
    )


def _get(local: int) -> bytes:
    return b"\x20" + _number(local)  # local.get


def _any(conditions: Iterable[bytes]) -> bytes:
    first, *others = conditions
    return first + b"".join(other + b"\x72" for other in others)  # i32.or


def _signed(value: int) -> bytes:
    """A natural number in the encoding for signed ones."""
    encoded = bytearray()
    while value >= 0x40:  # noqa: PLR2004 - the seventh bit is the sign
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


class _Reader:
    """Reads numbers and byte strings from the content of a section."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    @property
    def is_at_end(self) -> bool:
        return self.position >= len(self._content)

    def byte(self) -> int:
        self.position += 1
        return self._content[self.position - 1]

    def number(self) -> int:
        value = 0
        for place in range(_MOST_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:  # noqa: PLR2004 - the highest bit says that another byte follows
                return value
        raise IndexError("a number is too long")

    def numbers(self) -> list[int]:
        return [self.number() for _ in range(self.number())]

    def bytes(self) -> bytes:
        """A byte string after its length."""
        length = self.number()
        self.position += length
        if self.position > len(self._content):
            raise IndexError("the module ends within a byte string")
        return self._content[self.position - length : self.position]

    def skip_limits(self) -> None:
        for _ in range(2 if self.byte() & 1 else 1):
            self.number()


def _sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    reader = _Reader(module)
    reader.position = len(_HEADER)
    while not reader.is_at_end:
        yield reader.byte(), reader.bytes()


def _parameter_counts(content: bytes) -> list[int]:
    """The number of parameters of each function type."""
    reader = _Reader(content)
    counts = []
    for _ in range(reader.number()):
        reader.byte()
        counts.append(len(reader.bytes()))
        reader.bytes()
    return counts


def _imported_functions(content: bytes) -> list[bytes]:
    """The names of the imported functions, which have the first indexes."""
    reader = _Reader(content)
    names = []
    for _ in range(reader.number()):
        reader.bytes()
        name, kind = reader.bytes(), reader.byte()
        if kind == _FUNCTION_IMPORT:
            reader.number()
            names.append(name)
        elif kind == 2:  # noqa: PLR2004 - a memory
            reader.skip_limits()
        else:
            raise IndexError("an import that OPA does not make")
    return names


def _bodies(content: bytes) -> list[bytes]:
    reader = _Reader(content)
    return [reader.bytes() for _ in range(reader.number())]


def _function_names(sections: Iterable[tuple[int, bytes]]) -> dict[int, str]:
    """The names of functions by their indexes, from the custom section "name"."""
    for id_, content in sections:
        reader = _Reader(content)
        if id_ != _CUSTOM or reader.bytes() != b"name":
            continue
        while not reader.is_at_end:
            kind, names = reader.byte(), _Reader(reader.bytes())
            if kind == _FUNCTION_NAMES:
                return {names.number(): names.bytes().decode() for _ in range(names.number())}
    raise PolicyError("the compiled policy does not name its functions")


def _vector(items: Iterable[bytes]) -> bytes:
    listed = list(items)
    return _number(len(listed)) + b"".join(listed)


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:  # noqa: PLR2004 - seven bits in each byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
