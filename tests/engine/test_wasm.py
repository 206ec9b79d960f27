"""An instance of a compiled policy: its limits, its errors, and what it leaves behind."""

from __future__ import annotations

import ctypes
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
import wasmtime

from authz_plugin.engine.binary import Opa
from authz_plugin.engine.compiled import DECISION, compile_policy
from authz_plugin.engine.strict_errors import with_strict_errors
from authz_plugin.engine.wasm import LARGE, SMALL, Instance, Machine, MemoryLimitError
from authz_plugin.errors import EngineError, PolicyError

POLICY: Final = """\
package docker.authz

decision := count(input.text) if input.ask == "count"

decision := "denied" if {
	input.ask == "starts"
	startswith(input.text, "/")
}

decision := "other" if {
	input.ask == "starts"
	input.text == "x"
}

decision := 1 if input.ask == "conflict"

decision := 2 if input.ask == "conflict"

decision := sprintf("%q", [input.text]) if input.ask == "sprintf"

decision := sprintf("%s", [input.text]) if input.ask == "text"

_numbers := numbers.range(1, 20000)

# Takes long and little memory: nothing is kept of what is compared.
decision := "none" if {
	input.ask == "long"
	some a in _numbers
	some b in _numbers
	a > input.most
	b < 0
}

decision := count(concat(",", [input.text | some _ in numbers.range(1, 1000)])) if {
	input.ask == "big"
}
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "policy.rego").write_text(POLICY)
    return folder


@pytest.fixture(scope="module")
def module(opa: Opa, sources: Path) -> bytes:
    return compile_policy(opa, sources).module


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine(0.5)
    yield made
    made.close()


Make = Callable[..., Instance]


@pytest.fixture
def make(machine: Machine, module: bytes) -> Make:
    loaded = machine.load(machine.compile(module))
    return lambda growth=LARGE: Instance(machine, loaded, b"{}", growth)


def ask(instance: Instance, what: str, text: str = '"/x"') -> Any:
    return instance.evaluate(DECISION, f'{{"ask":"{what}","most":5000,"text":{text}}}'.encode())


def test_a_value_is_returned_as_often_as_it_is_asked_for(make: Make) -> None:
    instance = make()
    assert [ask(instance, "count", '"abc"'), ask(instance, "starts")] == [3, "denied"]
    assert ask(instance, "count", "[1, 1.0]") == 2


def test_a_builtin_that_fails_ends_the_evaluation_and_is_named(make: Make) -> None:
    with pytest.raises(EngineError, match="a builtin failed: opa_strings_startswith"):
        ask(make(), "starts", "null")


def test_without_strict_errors_the_rule_of_a_failing_builtin_would_be_lost(
    opa: Opa, sources: Path, machine: Machine
) -> None:
    lax = opa.build("wasm", DECISION, sources, "/policy.wasm")
    instance = Instance(machine, machine.load(machine.compile(lax)), b"{}")
    with pytest.raises(EngineError, match="the policy has no decision"):
        ask(instance, "starts", "null")


@pytest.mark.parametrize(
    ("what", "text", "reason"),
    [
        ("conflict", "1", "conflict"),
        ("sprintf", "1", "sprintf with %q is not supported"),
        ("nothing", "1", "the policy has no decision"),
        ("count", r'"\ud800"', "illegal string escape"),
        ("count", "[" * 10_000 + "]" * 10_000, "STACK_OVERFLOW"),
        ("count", "[1,", "."),
        ("count", '"\x00"', "."),
    ],
)
def test_what_is_no_decision_is_an_error(make: Make, what: str, text: str, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        ask(make(), what, text)


def test_an_evaluation_ends_at_the_deadline_in_each_of_several_threads(make: Make) -> None:
    def run(_: int) -> float:
        instance, started = make(), time.monotonic()
        with pytest.raises(EngineError, match="did not decide in time"):
            ask(instance, "long")
        return time.monotonic() - started

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(run, range(4))) < 5


def test_a_call_that_ctypes_has_lost_ends_the_evaluation(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory is missing, that can be the call of a builtin, which would be undefined."""

    def fail() -> int:
        raise MemoryError

    lost = ctypes.CFUNCTYPE(ctypes.c_int)(fail)

    def losing(*_: object) -> str:
        lost()
        return "/x"

    instance = make()
    assert ask(instance, "text") == "/x"
    monkeypatch.setattr(instance, "_builtins", dict.fromkeys(instance._builtins, losing))
    with pytest.raises(EngineError, match="a builtin was not called: MemoryError"):
        ask(instance, "text")


def test_an_evaluation_ends_when_the_time_that_is_left_is_over(make: Make) -> None:
    instance, started = make(), time.monotonic()
    with pytest.raises(EngineError, match="did not decide in time"):
        instance.evaluate(DECISION, b'{"ask":"long","most":5000}', started + 0.1)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("text", ['"' + "x" * 4000 + '"', "[" + "1," * 200_000 + "1]"])
def test_what_needs_more_memory_than_a_small_instance_has_fits_a_large_one(
    make: Make, text: str
) -> None:
    with pytest.raises(MemoryLimitError):
        ask(make(SMALL), "big" if text[0] == '"' else "count", text)
    assert ask(make(LARGE), "big" if text[0] == '"' else "count", text) > 0


def test_no_instance_gets_more_than_its_memory(make: Make) -> None:
    instance = make()
    with pytest.raises(MemoryLimitError):
        ask(instance, "big", '"' + "x" * 200_000 + '"')
    assert instance.size < LARGE + (1 << 20)


def test_an_instance_that_is_not_used_any_more_is_released(make: Make) -> None:
    """Its store keeps the functions of the host, which must not keep the instance."""
    instance = make()
    with pytest.raises(EngineError):
        ask(instance, "starts", "null")
    released = weakref.ref(instance)
    del instance
    gc.collect()
    assert released() is None


@pytest.mark.parametrize("native", [b"", b"not native code", b"\x7fELF" + bytes(100)])
def test_code_that_wasmtime_did_not_make_is_not_loaded(machine: Machine, native: bytes) -> None:
    assert not machine.can_load(native)


def test_a_truncated_module_is_refused(module: bytes) -> None:
    engine = wasmtime.Engine()

    def load(part: bytes) -> wasmtime.Module:
        return wasmtime.Module(engine, with_strict_errors(part, ["opa_strings_startswith"]))

    for end in range(0, len(module) - 1, len(module) // 50):
        with pytest.raises((PolicyError, wasmtime.WasmtimeError)):
            load(module[:end])


def test_a_module_that_lacks_a_builtin_is_refused(module: bytes) -> None:
    with pytest.raises(PolicyError, match="lacks functions of OPA: opa_unheard"):
        with_strict_errors(module, ["opa_unheard"])
