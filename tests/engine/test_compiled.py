"""Compiled policies: where they come from, and which an embedded engine cannot evaluate."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from authz_plugin.engine.binary import Opa
from authz_plugin.engine.compiled import compile_policy, find_compiled, write_compiled
from authz_plugin.errors import EngineSetupError, UnsupportedBuiltinsError
from authz_plugin.hostpaths import SHIPPED

ALLOWED = """\
package docker.authz

decision := {"allow": true} if count(input.x) == 0
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "policy.rego").write_text(ALLOWED)
    return folder


@pytest.fixture
def shipped(tmp_path: Path, sources: Path, opa: Opa) -> Path:
    write_compiled(opa, sources, tmp_path / "shipped")
    return tmp_path / "shipped"


def no_opa() -> Opa:
    raise EngineSetupError("there is no OPA")


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_the_shipped_policies_need_no_opa(tmp_path: Path, sources: Path, shipped: Path) -> None:
    assert find_compiled(sources, shipped, tmp_path / "cache", no_opa).module
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda sources, _: (sources / "policy.rego").write_text(ALLOWED.replace("== 0", "== 1")),
        lambda sources, _: (sources / "more.rego").write_text("package docker.authz.more"),
        lambda _, shipped: damage(shipped / "policy.compiled"),
        lambda _, shipped: (shipped / "policy.compiled").unlink(),
        lambda _, shipped: (shipped / "sources.sha256").write_text("0\n"),
        lambda _, shipped: shutil.rmtree(shipped),
    ],
    ids=["changed", "more", "damaged", "lost", "another digest", "none"],
)
def test_what_is_not_exactly_the_shipped_policy_is_compiled(
    tmp_path: Path, sources: Path, shipped: Path, opa: Opa, change: Callable[[Path, Path], None]
) -> None:
    change(sources, shipped)
    cache = tmp_path / "cache"
    with pytest.raises(EngineSetupError, match="there is no OPA"):
        find_compiled(sources, shipped, cache, no_opa)
    asked = find_compiled(sources, shipped, cache, lambda: opa)
    assert asked.module == compile_policy(opa, sources).module
    assert [file.suffix for file in cache.iterdir()] == [".compiled"]


def test_what_was_compiled_is_kept(
    tmp_path: Path, sources: Path, opa: Opa, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere, cache = tmp_path / "nowhere", tmp_path / "cache"
    first = find_compiled(sources, nowhere, cache, lambda: opa)
    monkeypatch.setattr(Opa, "build", None)
    assert find_compiled(sources, nowhere, cache, lambda: opa) == first


@pytest.mark.parametrize(
    ("rule", "builtin"),
    [
        ("input.a - input.b > 0", "minus"),
        ("some x in input.list\n\tf(x)", "minus"),
        ('crypto.sha256(input.a) == "x"', "crypto.sha256"),
        ("time.now_ns() > 0", "time.now_ns"),
        ('lower(input.a) == "x"', "lower"),
    ],
)
def test_own_rules_that_would_be_decided_otherwise_need_opas_server(
    tmp_path: Path, opa: Opa, rule: str, builtin: str
) -> None:
    shutil.copytree(SHIPPED / "docker", tmp_path / "docker")
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom/mine.rego").write_text(
        "package docker.authz.rules.custom_mine\n\n"
        f'denials contains "no" if {{\n\t{rule}\n}}\n\nf(x) if x - 1 > 0\n'
    )
    with pytest.raises(UnsupportedBuiltinsError, match=f"calls {builtin}, which only"):
        compile_policy(opa, tmp_path)
