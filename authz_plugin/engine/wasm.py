"""A compiled policy in this process: OPA's WebAssembly modules, executed by wasmtime.

A ``Machine`` belongs to a process, a ``CompiledPolicy`` to a policy and an ``Instance`` to the
thread that uses it. An instance has a memory of its own. After a trap it must not be used again.

Sources: https://www.openpolicyagent.org/docs/wasm (ABI 1.2 and later), OPA 1.21.1
``wasm/src/context.c`` (opa_eval), ``wasm/src/malloc.c``.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import orjson
import wasmtime

from authz_plugin.engine.builtins import PROVIDED, BuiltinError, Number, glob_match
from authz_plugin.engine.strict_errors import GLOB_ID
from authz_plugin.engine.wasm_calls import Calls, Function
from authz_plugin.errors import EngineError, EngineSetupError

SMALL: Final = 1 << 20
LARGE: Final = 96 << 20
"""By how many bytes the memory of an instance may grow in evaluations: an ordinary request needs
0.2 MiB, one of 4 MiB or with 65,536 short strings 20, one with 3,000 mounts that are denied 90."""

ANSWER_LIMIT: Final = 1 << 20
"""The maximum length of an answer, in bytes; a decision has a few hundred."""

_TICKS: Final = 20
"""The parts into which the time for a decision is divided; it is measured to one part."""

_NO_MEMORY: Final = "opa_malloc: failed"
"""What a module says that cannot get memory (``wasm/src/malloc.c``)."""

_decode: Final = json.JSONDecoder(parse_int=Number, parse_float=Number).decode
"""The value of a JSON text; its numbers are ``Number``."""

_PAGE: Final = 1 << 16
_USUAL_ANSWER: Final = 1 << 12
_LARGEST_CALL: Final = 5
"""Arguments of a host function for builtins, the context included, at most."""


class MemoryLimitError(EngineError):
    """An evaluation needs more memory than the instance may have."""


class Machine:
    """Compiles and runs modules. ``deadline`` is the time in seconds that an evaluation may take.

    A thread measures the time. A machine must not be used after a fork in the child process.
    """

    def __init__(self, deadline: float) -> None:
        _notice_lost_calls()
        config = wasmtime.Config()
        config.epoch_interruption = True
        self.engine = wasmtime.Engine(config)
        self.deadline = deadline
        self._tick = deadline / _TICKS
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._measure, name="deadlines", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread that measures the time; evaluations must have ended."""
        self._closed.set()
        self._thread.join()

    def compile(self, module: bytes) -> bytes:
        """The native code of a module; raises ``EngineSetupError``."""
        try:
            return bytes(wasmtime.Module(self.engine, module).serialize())
        except wasmtime.WasmtimeError as error:
            raise EngineSetupError(f"the compiled policy is not valid: {error}") from error

    def load(self, native: bytes) -> wasmtime.Module:
        """The module of native code that ``compile`` returned, which must be trusted.

        Raises ``EngineSetupError`` if the code is not for this version and processor.
        """
        try:
            return wasmtime.Module.deserialize(self.engine, native)
        except wasmtime.WasmtimeError as error:
            raise EngineSetupError(f"the compiled policy cannot be loaded: {error}") from error

    def can_load(self, native: bytes) -> bool:
        """Whether native code is for this version of wasmtime and this processor."""
        try:
            self.load(native)
        except EngineSetupError:
            return False
        return True

    def ticks_until(self, end: float) -> int:
        """The parts of the time for a decision that are left until a ``time.monotonic()``."""
        return max(1, math.ceil((end - time.monotonic()) / self._tick))

    def _measure(self) -> None:
        while not self._closed.wait(self._tick):
            self.engine.increment_epoch()


class Instance:
    """An instance of a module with the data of a policy (``{"docker": {"authz": …}}`` as JSON).

    ``growth`` is by how many bytes its memory may grow in evaluations. Raises ``EngineError`` if it
    cannot be made.
    """

    def __init__(
        self, machine: Machine, module: wasmtime.Module, data: bytes, growth: int = LARGE
    ) -> None:
        self._machine = machine
        self._raised: BaseException | None = None
        self._store = wasmtime.Store(machine.engine)
        self._store.set_limits(memory_size=LARGE)
        self._store.set_epoch_deadline(_TICKS)
        try:
            self._memory = wasmtime.Memory(self._store, _memory_type(module))
            instance = self._linker(machine.engine).instantiate(self._store, module)
            self._calls = Calls(self._store, self._memory)
            exports = instance.exports(self._store)
            self._evaluate = self._function(exports, "opa_eval", 7, is_long=True)
            self._dump_json = self._function(exports, "opa_json_dump", 1)
            self._dump_value = self._function(exports, "opa_value_dump", 1)
            self._allocate = self._function(exports, "opa_malloc", 1)
            self._parse = self._function(exports, "opa_json_parse", 2)
            builtins = self._ids(self._function(exports, "builtins", 0)())
            self._builtins = {id_: PROVIDED[name] for name, id_ in builtins.items()}
            self._builtins[GLOB_ID] = glob_match
            self._entrypoints = self._ids(self._function(exports, "entrypoints", 0)())
            self._data = self._put(data)
            self._base = self._function(exports, "opa_heap_ptr_get", 0)()
            self._store.set_limits(memory_size=self.size + growth)
        except KeyError as error:
            raise EngineError(f"the policy calls {error}, which the plugin lacks") from error
        except (BuiltinError, TypeError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            reason = _reason(self._raised or error)
            raise EngineError(f"the policy cannot be set up: {reason}") from error

    @property
    def size(self) -> int:
        """The present size of the memory in bytes; it only grows."""
        return self._calls.size()

    def evaluate(self, entrypoint: str, document: bytes, end: float | None = None) -> Any:
        """The value of an entrypoint (``"docker/authz/decision"``) for an input document as JSON.

        ``end`` is the ``time.monotonic()`` until which it may take, if not the whole deadline.
        Raises ``EngineError`` if it is undefined, and where OPA's server would return an error;
        ``MemoryLimitError`` if the memory does not suffice.
        """
        try:
            results = orjson.loads(self.answer(entrypoint, document, end))
        except orjson.JSONDecodeError:
            raise EngineError("the policy's answer is not JSON") from None
        if len(results) != 1:
            raise EngineError("the policy has no decision")
        return results[0]["result"]

    def answer(self, entrypoint: str, document: bytes, end: float | None = None) -> bytes:
        """The values of an entrypoint as JSON: ``[]`` or ``[{"result": …}]``.

        Raises ``EngineError`` where OPA's server would return an error, and ``MemoryLimitError``.
        """
        self._calls.set_deadline(_TICKS if end is None else self._machine.ticks_until(end))
        length = len(document)
        heap = (self._base + length + 7) & ~7
        try:
            self._reserve(heap)
            self._calls.write(document, self._base)
            number = self._entrypoints[entrypoint]
            _lost.reason = None
            address = self._evaluate(0, number, self._data, self._base, length, heap, 0)
            if _lost.reason is not None:
                raise EngineError(f"a builtin was not called: {_lost.reason}")
            return self._text(address)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            if isinstance(self._raised, EngineError | KeyboardInterrupt | SystemExit):
                raise self._raised from error
            raise EngineError(_reason(self._raised or error)) from error

    def close(self) -> None:
        """Release the memory; the instance must not be used again."""
        self._store.close()

    def _linker(self, engine: wasmtime.Engine) -> wasmtime.Linker:
        """What a module imports: its memory, a function for errors and those for builtins."""
        i32 = wasmtime.ValType.i32()
        linker = wasmtime.Linker(engine)
        linker.define(self._store, "env", "memory", self._memory)
        abort, builtin = self._host_function("_abort"), self._host_function("_builtin")
        linker.define_func("env", "opa_abort", wasmtime.FuncType([i32], []), abort)
        for count in range(_LARGEST_CALL):
            type_ = wasmtime.FuncType([i32] * (count + 2), [i32])
            linker.define_func("env", f"opa_builtin{count}", type_, builtin)
        return linker

    def _host_function(self, name: str) -> Callable[..., Any]:
        """A function that calls a method and keeps its exception, but not this object: a store
        keeps its functions, so an instance that these keep would never be released."""
        reference = weakref.ref(self)

        def call(*arguments: int) -> Any:
            instance = reference()
            if instance is None:
                raise EngineError("the instance was released")
            try:
                return getattr(instance, name)(*arguments)
            except BaseException as error:
                instance._raised = error  # noqa: SLF001 - of the same class
                raise

        return call

    def _abort(self, message: int) -> None:
        text = self._text(message).decode(errors="replace")
        if text == _NO_MEMORY:
            raise _memory_limit()
        raise BuiltinError(text)

    def _builtin(self, id_: int, _context: int, *arguments: int) -> int:
        result = self._builtins[id_](*map(self._argument, arguments))
        return self._put(orjson.dumps(result))

    def _argument(self, address: int) -> Any:
        """The JSON value of a builtin's argument; raises ``BuiltinError`` if that is or has a set,
        or an object with a key that is not a string: their literals are not JSON."""
        text = self._text(self._dump_value(address))
        try:
            return _decode(text.decode())
        except ValueError:
            raise BuiltinError("a set in the arguments of a builtin is not supported") from None

    def _function(
        self, exports: Any, name: str, parameters: int, *, is_long: bool = False
    ) -> Function:
        exported = exports.get(name)
        if not isinstance(exported, wasmtime.Func):
            raise EngineError(f"the compiled policy has no function {name}")
        return self._calls.function(exported, parameters, is_long=is_long)

    def _value(self, address: int) -> Any:
        """The JSON value of an OPA value; its numbers are ``Number``."""
        text = self._text(self._dump_json(address))
        return _decode(text.decode())

    def _ids(self, address: int) -> dict[str, int]:
        return {name: int(id_) for name, id_ in self._value(address).items()}

    def _put(self, value: bytes) -> int:
        """Make an OPA value of JSON and return its address."""
        address = self._allocate(len(value))
        self._calls.write(value, address)
        parsed = self._parse(address, len(value))
        if not parsed:
            raise BuiltinError("a value is not JSON")
        return parsed

    def _reserve(self, end: int) -> None:
        missing = end - self.size
        if missing > 0:
            try:
                self._memory.grow(self._store, -(-missing // _PAGE))
            except wasmtime.WasmtimeError as error:
                raise _memory_limit() from error

    def _text(self, address: int) -> bytes:
        """The bytes from an address to the next zero byte."""
        most = min(self.size - address, ANSWER_LIMIT)
        for length in (min(most, _USUAL_ANSWER), most):
            text, end, _ = self._calls.read(address, length).partition(b"\0")
            if end:
                return text
        raise EngineError("the policy's answer is too large to be a decision")


class _Lost(threading.local):
    """Why ctypes has lost a call of a host function in this thread, if it has."""

    reason: str | None = None


_lost: Final = _Lost()
_LOST_CALL: Final = "ctypes callback"


@cache
def _notice_lost_calls() -> None:
    """From now on, note in ``_lost`` if a call of a host function ends with an exception before or
    after ``wasmtime`` could catch it, for want of memory.

    ctypes then returns as if there were no exception, and the builtin would be undefined.
    """
    previous = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if _LOST_CALL in (unraisable.err_msg or ""):
            _lost.reason = unraisable.exc_type.__name__
        else:
            previous(unraisable)

    sys.unraisablehook = hook


def _memory_limit() -> MemoryLimitError:
    return MemoryLimitError("the request needs more memory than a decision may take")


def _memory_type(module: wasmtime.Module) -> wasmtime.MemoryType:
    for imported in module.imports:
        if isinstance(imported.type, wasmtime.MemoryType):
            return imported.type
    raise EngineError("the compiled policy has no memory")


def _reason(error: BaseException) -> str:
    """Why an evaluation ended, without values of the request."""
    if isinstance(error, BuiltinError):
        return str(error)
    if isinstance(error, wasmtime.Trap):
        if error.trap_code == wasmtime.TrapCode.INTERRUPT:
            return "the policy did not decide in time"
        if error.trap_code == wasmtime.TrapCode.UNREACHABLE:
            names = _functions(error.frames)
            return f"a builtin failed: {names}" if names else "a builtin failed"
        return f"the policy's evaluation ended: {error.trap_code!s}"
    return f"the policy's evaluation ended: {type(error).__name__}"


def _functions(frames: Sequence[Any]) -> str:
    return ", ".join(frame.func_name for frame in frames[:2] if frame.func_name)
