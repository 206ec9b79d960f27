"""Where OPA is found, and how it is had."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from pathlib import Path

import pytest
import responses

from authz_plugin import policy
from authz_plugin.engine import binary
from authz_plugin.errors import EngineSetupError, PolicyError
from authz_plugin.tools import opa_installation


def fake_opa(folder: Path, version: str) -> Path:
    program = folder / "opa"
    program.write_text(f"#!/bin/sh\necho 'Version: {version}'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which no OPA and no Go is found; its empty folder on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return tmp_path


def test_the_one_on_path_is_found(nothing_installed: Path) -> None:
    program = fake_opa(nothing_installed, "1.9.0")
    assert binary.find() == binary.Opa(program, "1.9.0")


def test_a_preferred_one_goes_first(nothing_installed: Path) -> None:
    fake_opa(nothing_installed, "1.9.0")
    other = nothing_installed / "other"
    other.mkdir()
    program = fake_opa(other, "1.10.0")
    assert binary.find(program).path == program


def test_without_any_the_message_says_what_to_install(nothing_installed: Path) -> None:
    with pytest.raises(EngineSetupError, match="opa-authz install-opa"):
        binary.find()


@pytest.mark.parametrize("version", ["0.70.0", "1.6.9", "nonsense"])
def test_one_that_is_too_old_or_not_opa_is_not_used(nothing_installed: Path, version: str) -> None:
    fake_opa(nothing_installed, version)
    with pytest.raises(EngineSetupError):
        binary.find()


def test_install_takes_the_right_version_from_path(nothing_installed: Path) -> None:
    fake_opa(nothing_installed, binary.VERSION)
    target = nothing_installed / "target"
    target.mkdir()
    assert opa_installation.install(target, lambda _: None).path == target / "opa"


def test_install_leaves_the_right_version_where_it_is(nothing_installed: Path) -> None:
    program = fake_opa(nothing_installed, binary.VERSION)
    assert opa_installation.install(nothing_installed, lambda _: None).path == program


@responses.activate
def test_install_downloads_the_pinned_release(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"#!/bin/sh\necho 'Version: " + binary.VERSION.encode() + b"'\n"
    digest = hashlib.sha256(content).hexdigest()
    key = next(iter(opa_installation._RELEASES))
    monkeypatch.setattr(platform, "system", lambda: key[0])
    monkeypatch.setattr(platform, "machine", lambda: key[1])
    monkeypatch.setitem(opa_installation._RELEASES, key, ("opa_release", digest))
    responses.get(f"{opa_installation._RELEASE}opa_release", body=content)
    assert opa_installation.install(nothing_installed, lambda _: None).version == binary.VERSION


@responses.activate
def test_a_download_with_another_checksum_is_thrown_away(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    name, _ = opa_installation._RELEASES["Linux", "x86_64"]
    responses.get(opa_installation._RELEASE + name, body=b"#!/bin/sh\necho evil\n")
    said: list[str] = []
    with pytest.raises(EngineSetupError, match="no Go"):
        opa_installation.install(nothing_installed, said.append)
    assert any("SHA-256" in line for line in said)
    assert not list(nothing_installed.iterdir())


def test_policies_that_do_not_compile_are_told_by_file_and_line(
    tmp_path: Path, opa: binary.Opa
) -> None:
    broken = tmp_path / "broken.rego"
    broken.write_text(
        "package docker.authz.rules.custom_x\n\ndenials contains 1 if input.nope == 1\n"
    )
    shutil.copytree(policy.SHIPPED / policy.ROOT, tmp_path / "shipped")
    with pytest.raises(PolicyError, match=r"broken\.rego:3.*nope"):
        opa.check(policy.SHIPPED / "schemas", [tmp_path])


def test_packages_are_named_with_their_files(opa: binary.Opa, tmp_path: Path) -> None:
    file = tmp_path / "mine.rego"
    file.write_text("package docker.authz.rules.custom_mine\n\nx := 1\n")
    assert opa.packages([tmp_path]) == {"data.docker.authz.rules.custom_mine": [str(file)]}
