"""Makes a compiled policy stop where a builtin fails, as OPA does with strict builtin errors.

In WebAssembly a builtin that fails, such as ``startswith(null, "/")``, returns a null pointer, and
the rule that called it becomes undefined: a denial would be lost. ``with_strict_errors`` changes
the functions of builtins in a module. They then execute ``unreachable`` instead of returning a null
pointer, which ends the evaluation with a trap.

Sources: OPA 1.21.1 ``internal/compiler/wasm/wasm.go`` (compileInternalCall); WebAssembly Core
Specification 1.0, chapter 5, and its appendix on the name section.
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


def with_strict_errors(module: bytes, builtins: Iterable[str]) -> bytes:
    """Return the module with each of the functions ``builtins`` (``{"opa_strings_startswith"}``)
    made to trap instead of returning a null pointer.

    Raises ``PolicyError`` if the module cannot be read or lacks one of the functions.
    """
    try:
        return _changed(module, frozenset(builtins))
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise PolicyError(f"the compiled policy cannot be read: {error!r}") from error


def _changed(module: bytes, builtins: frozenset[str]) -> bytes:
    if not module.startswith(_HEADER):
        raise PolicyError("the compiled policy is not a WebAssembly module of version 1")
    sections = list(_sections(module))
    found = {id_: content for id_, content in sections if id_ != _CUSTOM}
    imported = _imported_functions(found[_IMPORTS])
    types = _parameter_counts(found[_TYPES])
    functions = _Reader(found[_FUNCTIONS]).numbers()
    bodies = _bodies(found[_CODE])
    indexes = {
        name: index
        for index, name in _function_names(sections).items()
        if name in builtins and index >= imported
    }
    if indexes.keys() != builtins:
        missing = ", ".join(sorted(builtins - indexes.keys()))
        raise PolicyError(f"the compiled policy lacks functions of OPA: {missing}")
    for index in indexes.values():
        type_ = functions[index - imported]
        bodies.append(bodies[index - imported])
        functions.append(type_)
        bodies[index - imported] = _strict_body(types[type_], imported + len(bodies) - 1)
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
    arguments = b"".join(b"\x20" + _number(index) for index in range(parameters))  # local.get
    result = _number(parameters)
    return b"".join(
        (
            b"\x01\x01" + bytes([_I32]),  # one local of type i32
            arguments,
            b"\x10" + _number(called),  # call
            b"\x22" + result,  # local.tee
            b"\x45\x04\x40\x00\x0b",  # i32.eqz, if, unreachable, end
            b"\x20" + result,  # local.get
            b"\x0b",  # end
        )
    )


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


def _imported_functions(content: bytes) -> int:
    """The number of imported functions, which have the first indexes."""
    reader = _Reader(content)
    count = 0
    for _ in range(reader.number()):
        reader.bytes()
        reader.bytes()
        kind = reader.byte()
        if kind == _FUNCTION_IMPORT:
            reader.number()
            count += 1
        elif kind == 2:  # noqa: PLR2004 - a memory
            reader.skip_limits()
        else:
            raise IndexError("an import that OPA does not make")
    return count


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
