"""Where OPA is found, and how it is had."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest
import requests
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


RELEASE: Final = b"#!/bin/sh\necho 'Version: " + binary.VERSION.encode() + b"'\n"


@pytest.fixture
def pinned(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine for which a small release is pinned; the empty folder to install into."""
    digest = hashlib.sha256(RELEASE).hexdigest()
    key = next(iter(opa_installation._RELEASES))
    monkeypatch.setattr(platform, "system", lambda: key[0])
    monkeypatch.setattr(platform, "machine", lambda: key[1])
    monkeypatch.setitem(opa_installation._RELEASES, key, ("opa_release", digest))
    return nothing_installed


def refusal(target: Path, source: str | None = None) -> str:
    """Why nothing was installed, and nothing left behind."""
    before = list(target.iterdir())
    with pytest.raises(EngineSetupError) as raised:
        opa_installation.install(target, lambda _: None, source)
    assert list(target.iterdir()) == before
    return str(raised.value)


@responses.activate
def test_install_downloads_the_pinned_release(pinned: Path) -> None:
    responses.get(f"{opa_installation._RELEASE}opa_release", body=RELEASE)
    assert opa_installation.install(pinned, lambda _: None).version == binary.VERSION


def test_install_takes_the_pinned_release_from_a_file(pinned: Path) -> None:
    file = pinned / "brought.bin"
    file.write_bytes(RELEASE)
    opa = opa_installation.install(pinned, lambda _: None, str(file))
    assert (opa.path, opa.version) == (pinned / "opa", binary.VERSION)
    assert file.read_bytes() == RELEASE


@responses.activate
@pytest.mark.parametrize("source", ["https://m.example/opa/", "https://m.example/opa/opa_release"])
def test_install_takes_the_pinned_release_from_a_mirror(pinned: Path, source: str) -> None:
    responses.get("https://m.example/opa/opa_release", body=RELEASE)
    assert opa_installation.install(pinned, lambda _: None, source).version == binary.VERSION


@responses.activate
def test_what_has_another_checksum_is_not_installed_wherever_it_is_from(pinned: Path) -> None:
    evil = RELEASE + b"echo evil\n"
    responses.get("https://m.example/opa", body=evil)
    responses.get(f"{opa_installation._RELEASE}opa_release", body=evil)
    (pinned / "brought.bin").write_bytes(evil)
    for source in ("https://m.example/opa", str(pinned / "brought.bin"), None):
        assert f"has SHA-256 {hashlib.sha256(evil).hexdigest()}, not" in refusal(pinned, source)


@responses.activate
def test_a_named_source_is_the_only_one(pinned: Path) -> None:
    fake_opa(pinned, binary.VERSION)
    responses.get("https://m.example/opa/opa_release", status=404)
    assert "opa_release cannot be downloaded (status 404)" in refusal(
        pinned, "https://m.example/opa/"
    )


@responses.activate
def test_a_mirror_sends_no_more_than_a_release_has(
    pinned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opa_installation, "_LARGEST", 10)
    responses.get("https://m.example/opa", body=RELEASE)
    assert "it is too large for a release of OPA" in refusal(pinned, "https://m.example/opa")


def test_without_a_network_one_sentence_says_what_to_bring(pinned: Path) -> None:
    with responses.RequestsMock() as network:
        network.get(f"{opa_installation._RELEASE}opa_release", body=requests.ConnectionError())
        said = refusal(pinned)
    assert "\n" not in said
    assert "cannot be downloaded (it cannot be reached)" in said
    assert f"bring {opa_installation._RELEASE}opa_release here" in said
    assert "install-opa --from FILE" in said


def test_a_mirror_that_is_gone_is_named_without_its_password(pinned: Path) -> None:
    said = refusal(pinned, "http://user:secret@127.0.0.1:9/opa?token=secret")
    assert "127.0.0.1:9/opa cannot be downloaded (it cannot be reached)" in said
    assert "secret" not in said


def test_a_file_that_is_not_there_is_named(pinned: Path) -> None:
    assert "No such file or directory: /nowhere/opa" in refusal(pinned, "/nowhere/opa")


def test_a_build_that_fails_says_why_and_why_it_was_tried(pinned: Path) -> None:
    go = pinned / "go"
    go.write_text("#!/bin/sh\necho 'dial tcp: no route to host' >&2; exit 1\n")
    go.chmod(0o755)
    with responses.RequestsMock() as network:
        network.get(f"{opa_installation._RELEASE}opa_release", body=requests.ConnectionError())
        said = refusal(pinned)
    assert "failed (dial tcp: no route to host), and before that" in said


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
