"""Signals that end a program are obeyed where their exceptions do no harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from authz_plugin import policy, settings
from authz_plugin.engine.wasm import Instance
from authz_plugin.interrupts import postponed, recorded
from authz_plugin.tools.sandbox import Sandbox, open_sandbox

_REQUEST = b'{"RequestMethod": "GET", "RequestUri": "/v1.44/secrets"}'


@pytest.fixture(autouse=True)
def obeyed() -> Iterator[None]:
    """Have SIGINT raise its exception: a process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_postponed_interrupt_is_obeyed_at_the_end_of_the_block() -> None:
    done = []

    def block() -> None:
        with postponed():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_is_obeyed_even_if_the_block_fails() -> None:
    def block() -> None:
        with postponed():
            signal.raise_signal(signal.SIGINT)
            raise ValueError

    with pytest.raises(KeyboardInterrupt):
        block()


def test_recorded_signals_are_not_obeyed() -> None:
    notices: list[str] = []
    with recorded(lambda: notices.append("interrupted")) as received:
        signal.raise_signal(signal.SIGINT)
        with postponed():
            signal.raise_signal(signal.SIGTERM)
            assert received == [signal.SIGINT]
    assert received == [signal.SIGINT, signal.SIGTERM]
    assert notices == ["interrupted"] * 2


def _judge(sandbox: Sandbox) -> bool:
    """Decide on a request in the main thread."""
    return sandbox.judge(_REQUEST).allow


def _decide(sandbox: Sandbox) -> bool:
    """Have the threads of the sandbox decide, and wait for them."""
    (decision,) = sandbox.decide([{"operation": {"id": "nothing"}}])
    return decision.allow


@pytest.mark.parametrize(
    ("decide", "class_", "method"), [(_judge, Instance, "evaluate"), (_decide, Future, "result")]
)
def test_an_interrupt_ends_neither_an_evaluation_nor_the_wait_for_one(
    decide: Callable[[Sandbox], bool], class_: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, results = getattr(class_, method), []

    def interrupted(*arguments: Any) -> Any:
        assert threading.current_thread() is threading.main_thread()
        signal.raise_signal(signal.SIGINT)
        results.append(real(*arguments))
        return results[0]

    loaded = settings.load({("config",): Path("/dev/null")}, {}, policy.config_schema())
    with open_sandbox(loaded) as sandbox:
        monkeypatch.setattr(class_, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            decide(sandbox)
        monkeypatch.undo()
        assert results
        assert not decide(sandbox)
