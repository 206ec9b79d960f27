"""The embedded engine while policies change, threads decide and files are damaged."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from authz_plugin.engine import embedded
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.cache import CachingEngine
from authz_plugin.engine.compiled import CompiledPolicy, cached, compile_policy
from authz_plugin.engine.embedded import NATIVE, EmbeddedEngine, prepare
from authz_plugin.engine.wasm import LARGE as LARGE_MEMORY
from authz_plugin.errors import EngineError

POLICY: Final = """\
package docker.authz

decision := {
	"allow": count(_denials) == 0,
	"denials": _denials,
	"warnings": [],
	"evaluated": ["mounts"],
	"profile": data.docker.authz.config.profile,
	"role": "",
	"policy_revision": "1",
}

_denials contains {"rule": "r", "field": "", "value": input.text, "message": "m", "hint": ""} if {
	startswith(input.text, "denied")
	not input.all == [""]
}
"""
LARGE: Final = {"text": "denied", "all": ["x"] * 100_000}


@pytest.fixture(scope="module")
def compiled(opa: Opa, tmp_path_factory: pytest.TempPathFactory) -> CompiledPolicy:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "policy.rego").write_text(POLICY)
    return compile_policy(opa, folder)


@pytest.fixture
def put_in_force(compiled: CompiledPolicy, tmp_path: Path) -> Callable[[str], Path]:
    """A function that puts the policy with a profile's name in force, and returns its folder."""

    def put(profile: str) -> Path:
        bundle, folder = tmp_path / f"bundle-{profile}", tmp_path / profile
        for name, content in (("config", {"profile": profile}), ("bundle", {"revision": "1"})):
            (bundle / "docker/authz" / name).mkdir(parents=True)
            (bundle / "docker/authz" / name / "data.json").write_bytes(orjson.dumps(content))
        folder.mkdir()
        prepare(compiled, bundle, folder, tmp_path / "cache")
        (tmp_path / "new").symlink_to(folder)
        (tmp_path / "new").replace(tmp_path / "policy")
        return folder

    return put


@pytest.fixture
def engine(tmp_path: Path, put_in_force: Callable[[str], Path]) -> Iterator[EmbeddedEngine]:
    put_in_force("first")
    with closing(EmbeddedEngine(tmp_path / "policy", frozenset({"mounts"}), 2.0)) as made:
        yield made


def test_threads_get_the_decisions_on_their_own_documents(engine: EmbeddedEngine) -> None:
    def values(number: int) -> tuple[Any, ...]:
        decision = engine.decide({"text": f"denied {number}", "x": "y" * (number * 37 % 5000)})
        return tuple(denial.value for denial in decision.denials)

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(values, range(1000)))
    assert found == [(f"denied {number}",) for number in range(1000)]


def test_a_trap_denies_and_the_next_decision_is_right(engine: EmbeddedEngine) -> None:
    for _ in range(3):
        with pytest.raises(EngineError, match="a builtin failed"):
            engine.decide({"text": None})
        assert engine.decide({"text": "fine"}).allow
        assert not engine.decide({"text": "denied"}).allow


def test_decisions_are_those_of_the_policy_in_force(
    engine: EmbeddedEngine, put_in_force: Callable[[str], Path], tmp_path: Path
) -> None:
    changed, ended = threading.Event(), threading.Event()
    seen: list[tuple[bool, str]] = []

    def decide() -> None:
        while not ended.is_set():
            begins_after_change = changed.is_set()
            seen.append((begins_after_change, engine.decide({"text": "fine"}).profile))

    def wait_for(found: tuple[bool, str]) -> None:
        end = time.monotonic() + 10
        while found not in seen:
            assert time.monotonic() < end
            time.sleep(0.01)

    threads = [threading.Thread(target=decide) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for((False, "first"))
        put_in_force("second")
        changed.set()
        shutil.rmtree(tmp_path / "first")
        wait_for((True, "second"))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert (True, "first") not in seen


def test_a_policy_whose_folder_is_gone_decides_until_there_is_another(
    engine: EmbeddedEngine, put_in_force: Callable[[str], Path], tmp_path: Path
) -> None:
    assert engine.decide({"text": "fine"}).allow
    shutil.rmtree(tmp_path / "first")
    assert not engine.decide({"text": "denied"}).allow
    put_in_force("second")
    assert engine.decide({"text": "fine"}).profile == "second"


def test_a_policy_gets_what_it_reads_of_a_document(engine: EmbeddedEngine) -> None:
    huge = ["x" * 1000] * (LARGE_MEMORY // 1600)
    assert not engine.decide({"text": "denied", "unread": huge}).allow
    with pytest.raises(EngineError, match="memory"):
        engine.decide({"text": "denied", "all": huge})


def test_nothing_is_remembered_of_a_policy_of_which_nothing_is_known(
    put_in_force: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = put_in_force("first")
    with closing(EmbeddedEngine(tmp_path / "policy", frozenset(), 2.0)) as engine:
        assert engine.in_force() is not None
    (folder / "dependencies.json").write_text("[]")
    with closing(EmbeddedEngine(tmp_path / "policy", frozenset(), 2.0)) as engine:
        assert engine.in_force() is None
        assert not engine.decide({"text": "denied"}).allow


def test_others_are_served_before_each_evaluation(
    put_in_force: Callable[[str], Path], tmp_path: Path
) -> None:
    put_in_force("first")
    waits: list[int] = []
    evaluations = EmbeddedEngine(
        tmp_path / "policy", frozenset(), 2.0, lambda: waits.append(len(waits))
    )
    with closing(evaluations) as engine:
        cached_engine = CachingEngine(engine, engine.in_force)
        cached_engine.decide({"text": "fine"})
        engine.decide({"text": "fine"})
    assert waits == [0, 1]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "other"])
def test_a_native_file_that_is_damaged_denies(
    put_in_force: Callable[[str], Path], tmp_path: Path, damage: str
) -> None:
    file = put_in_force("first") / NATIVE
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        version = re.search(rb"\x0250\x00|50\.0|\x0250", content)
        assert version is not None
        written = version[0].replace(b"50", b"49")
        other = content[: version.start()] + written + content[version.end() :]
        file.write_bytes({"empty": b"", "truncated": content[:5000], "other": other}[damage])
    started = time.monotonic()
    with (
        closing(EmbeddedEngine(tmp_path / "policy", frozenset(), 0.3)) as engine,
        pytest.raises(EngineError),
    ):
        engine.decide({"text": "fine"})
    assert time.monotonic() - started < 5


def test_a_large_request_is_decided_and_its_memory_is_not_kept(engine: EmbeddedEngine) -> None:
    assert not engine.decide(LARGE).allow
    assert engine._loaded is not None
    assert all(instance.size < 2 << 20 for instance in engine._loaded.idle)


def test_a_large_request_that_finds_no_room_in_time_is_an_error(engine: EmbeddedEngine) -> None:
    for _ in range(embedded._LARGE_AT_ONCE):
        assert engine._large.acquire(timeout=1)
    started = time.monotonic()
    with pytest.raises(EngineError, match="too many large requests"):
        engine.decide(LARGE)
    assert 1.5 < time.monotonic() - started < 5
    assert engine.decide({"text": "fine"}).allow, "small requests need no room"
    for _ in range(embedded._LARGE_AT_ONCE):
        engine._large.release()
    assert not engine.decide(LARGE).allow


def test_large_requests_that_fail_give_their_room_back(engine: EmbeddedEngine) -> None:
    for _ in range(2 * embedded._LARGE_AT_ONCE):
        with pytest.raises(EngineError, match="a builtin failed"):
            engine.decide({**LARGE, "text": None})
    assert not engine.decide(LARGE).allow


def test_what_only_this_user_can_change_is_taken_from_the_cache(tmp_path: Path) -> None:
    assert cached(tmp_path / "cache", "x", lambda: b"made") == b"made"
    assert cached(tmp_path / "cache", "x", lambda: b"again") == b"made"


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
@pytest.mark.parametrize("part", ["cache", "cache/x"])
def test_a_cache_that_others_can_write_to_is_not_trusted(
    tmp_path: Path, part: str, mode: int
) -> None:
    cached(tmp_path / "cache", "x", lambda: b"made")
    (tmp_path / part).chmod(mode)
    assert cached(tmp_path / "cache", "x", lambda: b"again") == b"again"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("part", ["cache", "cache/x"])
def test_a_cache_of_another_user_is_not_trusted(tmp_path: Path, part: str) -> None:
    cached(tmp_path / "cache", "x", lambda: b"made")
    os.chown(tmp_path / part, 12345, 12345)
    assert cached(tmp_path / "cache", "x", lambda: b"again") == b"again"


@pytest.mark.parametrize("size", [0, 10, 33, 35])
def test_a_damaged_file_in_the_cache_is_made_again(tmp_path: Path, size: int) -> None:
    file = tmp_path / "cache/x"
    cached(tmp_path / "cache", "x", lambda: b"made")
    file.write_bytes(file.read_bytes()[:size])
    assert cached(tmp_path / "cache", "x", lambda: b"again") == b"again"
    assert cached(tmp_path / "cache", "x", lambda: b"a third time") == b"again"


def test_what_is_used_stays_in_the_cache_and_what_is_not_goes(tmp_path: Path) -> None:
    for name in ("used", "unused"):
        cached(tmp_path, name, lambda: b"made")
        os.utime(tmp_path / name, (1, 1))
    cached(tmp_path, "used", lambda: b"again")
    for number in range(15):
        cached(tmp_path, f"other {number}", lambda: b"made")
    assert cached(tmp_path, "used", lambda: b"again") == b"made"
    assert cached(tmp_path, "unused", lambda: b"again") == b"again"


def test_a_file_in_the_cache_that_cannot_be_used_is_made_again(tmp_path: Path) -> None:
    cached(tmp_path / "cache", "x", lambda: b"made by another version")
    assert cached(tmp_path / "cache", "x", lambda: b"again", b"again".__eq__) == b"again"
