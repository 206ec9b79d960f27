"""The calls of wasmtime's C API that each decision makes.

``wasmtime``'s own classes ask for the types of a function at each call, in about ten C calls, and
release Python's global lock around each of these. With several threads, most of the time of a
decision is then spent waiting for the lock. Here a function is called with one C call, and the lock
is released only around the evaluation.

Sources: wasmtime 50 ``include/wasmtime/{func,memory,store,val}.h``; the package ``wasmtime`` 50,
whose ``_ffi`` and ``_bindings`` have the types.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import wasmtime
from wasmtime import _bindings, _ffi, _func

_KEEPS_LOCK: Final = ctypes.PyDLL(str(_ffi.filename))
_RELEASES_LOCK: Final = ctypes.CDLL(str(_ffi.filename))


def _declare(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]  # unlike an attribute, an object of its own
    function.restype = result
    function.argtypes = arguments
    return function


_ERROR: Final = ctypes.POINTER(_bindings.wasmtime_error_t)
_TRAP: Final = ctypes.POINTER(_bindings.wasm_trap_t)
_VALUE: Final = _bindings.wasmtime_val_raw_t
_CALL: Final = (
    "wasmtime_func_call_unchecked", _ERROR, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
    ctypes.c_size_t, ctypes.POINTER(_TRAP),
)  # fmt: skip
_call: Final = _declare(_KEEPS_LOCK, *_CALL)
_call_long: Final = _declare(_RELEASES_LOCK, *_CALL)
_data: Final = _declare(
    _KEEPS_LOCK, "wasmtime_memory_data", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)
_size: Final = _declare(
    _KEEPS_LOCK, "wasmtime_memory_data_size", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p
)
_set_deadline: Final = _declare(
    _KEEPS_LOCK, "wasmtime_context_set_epoch_deadline", None, ctypes.c_void_p, ctypes.c_uint64
)


class Calls:
    """The calls to one instance. ``store`` and ``memory`` are those of the instance; after the
    store is closed, nothing may be called."""

    def __init__(self, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        self._store = store
        self._kept = memory._memory  # noqa: SLF001 - the structure of the C API
        self._memory = ctypes.addressof(self._kept)
        self._context = ctypes.cast(store._context(), ctypes.c_void_p).value  # noqa: SLF001

    def set_deadline(self, ticks: int) -> None:
        """Interrupt evaluations after so many increments of the engine's epoch."""
        _set_deadline(self._context, ticks)

    def size(self) -> int:
        """The size of the memory in bytes."""
        size: int = _size(self._context, self._memory)
        return size

    def write(self, content: bytes, start: int) -> None:
        """Write into the memory; raises ``IndexError`` beyond its end."""
        if start < 0 or start + len(content) > self.size():
            raise IndexError("beyond the memory of the instance")
        ctypes.memmove(_data(self._context, self._memory) + start, content, len(content))

    def read(self, start: int, length: int) -> bytes:
        """Read from the memory; raises ``IndexError`` beyond its end."""
        if start < 0 or start + length > self.size():
            raise IndexError("beyond the memory of the instance")
        return ctypes.string_at(_data(self._context, self._memory) + start, length)

    def function(
        self, exported: wasmtime.Func, parameters: int, *, is_long: bool = False
    ) -> Function:
        """A function of the instance whose parameters and result are numbers of 32 bits.

        Other threads run during a call if it ``is_long``; only then may it call host functions.
        """
        return Function(self._store, self._context, exported, parameters, is_long=is_long)


class Function:
    """A function of an instance; made by ``Calls.function``."""

    def __init__(
        self,
        store: wasmtime.Store,
        context: int | None,
        exported: wasmtime.Func,
        parameters: int,
        *,
        is_long: bool,
    ) -> None:
        type_ = exported.type(store)
        numbers = [str(kind) for kind in (*type_.params, *type_.results)]
        if len(type_.params) != parameters or len(type_.results) > 1 or {*numbers} - {"i32"}:
            raise TypeError("a function of the compiled policy has another type")
        self._context = context
        self._kept = exported._func  # noqa: SLF001 - the structure of the C API
        self._function = ctypes.addressof(self._kept)
        self._length = max(parameters, 1)
        self._values = (_VALUE * self._length)()
        self._trap = _TRAP()
        self._call = _call_long if is_long else _call

    def __call__(self, *arguments: int) -> int:
        """Call the function; raises ``wasmtime.Trap`` and ``wasmtime.WasmtimeError``."""
        values = self._values
        for position, argument in enumerate(arguments):
            values[position].i32 = argument
        error = self._call(
            self._context, self._function, values, self._length, ctypes.byref(self._trap)
        )
        if error or self._trap:
            self._raise(error)
        result: int = values[0].i32
        return result

    def _raise(self, error: Any) -> None:
        _func.LAST_EXCEPTION = None  # the instance keeps the exceptions of its host functions
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)  # noqa: SLF001
        trap, self._trap = self._trap, _TRAP()
        raise wasmtime.Trap._from_ptr(trap)  # noqa: SLF001
