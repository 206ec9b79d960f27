"""What the Debian package of ``make deb`` holds, and tells dpkg."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Final

import click
import pytest
from hatchling.builders.utils import get_reproducible_timestamp

from authz_plugin.cli import cli
from tests.harness.checkout import ROOT, copy_of_checkout
from tools.debian_package import build
from tools.wheels import make_wheel

SETTINGS: Final = "etc/opa-authz/config.yaml"
PROGRAM: Final = "usr/lib/opa-authz/bin/opa-authz"
SITE: Final = "usr/lib/opa-authz/lib/python3.11/site-packages/"


class Package:
    """The members of a package and of its control archive, by their names without ``./``."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.members, self.texts = self._read("--fsys-tarfile")
        self.control_members, self.controls = self._read("--ctrl-tarfile")

    def _read(self, part: str) -> tuple[dict[str, tarfile.TarInfo], dict[str, bytes]]:
        done = subprocess.run(["dpkg-deb", part, self.file], stdout=subprocess.PIPE, check=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            members = {member.name.removeprefix("./"): member for member in archive}
            texts = {}
            for name, member in members.items():
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    texts[name] = content.read()
        return members, texts

    def fields(self) -> Message:
        return Parser().parsestr(self.controls["control"].decode())

    def below(self, folder: str) -> set[str]:
        """The files below a folder, by their paths in it."""
        return {name.removeprefix(folder) for name in self.texts if name.startswith(folder)}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    source = copy_of_checkout(tmp_path_factory.mktemp("checkout"))
    made = tmp_path_factory.mktemp("made")
    wheel = make_wheel(source, made)
    return Package(build(wheel, "bookworm", made, compression=["-Znone"]))  # xz takes ten seconds


def test_every_file_is_at_the_place_that_debian_has_for_it(package: Package) -> None:
    shipped = {str(file.relative_to(ROOT / "deploy")) for file in files(ROOT / "deploy")}
    units = {name for name in shipped if re.fullmatch(r"systemd/[^/]+", name)}
    folders = {name for name in shipped if name.startswith(("sysusers.d/", "tmpfiles.d/"))}
    assert package.below("usr/lib/systemd/system/") == {name.partition("/")[2] for name in units}
    assert package.below("usr/lib/sysusers.d/") | package.below("usr/lib/tmpfiles.d/") == {
        name.partition("/")[2] for name in folders
    }
    assert package.below("etc/") == {SETTINGS.removeprefix("etc/")}
    assert package.below("usr/share/opa-authz/") == shipped - units - folders - {"config.yaml"} | {
        "plugin.json",
        "prometheus/alerts.md",
        "settings.schema.json",
    }
    assert package.members["usr/bin/opa-authz"].linkname == "../lib/opa-authz/bin/opa-authz"
    assert {name.partition("/")[0] for name in package.members} == {".", "etc", "usr"}


def test_the_units_start_the_program_of_the_package(package: Package) -> None:
    of_wheels = (SITE, "usr/share/opa-authz/ansible/")  # the role also installs wheels
    outside = {name: text for name, text in package.texts.items() if not name.startswith(of_wheels)}
    assert [name for name, text in outside.items() if b"/usr/local/" in text] == []
    main = package.texts["usr/lib/systemd/system/opa-authz.service"].decode()
    assert "\nExecStart=/usr/bin/opa-authz serve\n" in main


def test_what_the_units_run_comes_with_debian_or_with_what_it_depends_on(package: Package) -> None:
    of_others = {
        "/bin/kill": "procps",
        "/usr/bin/systemctl": "systemd",  # runs the units
        "/usr/sbin/haproxy": "haproxy",  # only the front's unit, which nothing enables
    }
    units = [
        text.decode()
        for name, text in package.texts.items()
        if name.startswith("usr/lib/systemd/system/")
    ]
    run = {program for text in units for program in re.findall(r"(?m)^Exec\w+=(\S+)", text)}
    assert run == {*of_others, "/usr/bin/opa-authz"}
    depends = package.fields()["Depends"]
    assert re.findall(r"\bprocps\b", depends)
    assert "python3 (>= 3.11~), python3 (<< 3.12)" in depends
    assert "haproxy" in package.fields()["Suggests"]


def test_the_settings_are_a_conffile_and_every_other_file_has_its_checksum(
    package: Package,
) -> None:
    assert package.controls["conffiles"].decode() == f"/{SETTINGS}\n"
    lines = package.controls["md5sums"].decode().splitlines()
    sums = {name: sum_ for sum_, _, name in (line.partition("  ") for line in lines)}
    assert sums == {
        name: hashlib.md5(text).hexdigest()
        for name, text in package.texts.items()
        if name != SETTINGS
    }


def test_everything_is_roots_and_nobody_else_may_write_it(package: Package) -> None:
    programs = {PROGRAM, "postinst", "prerm", "postrm"}
    for name, member in (package.members | package.control_members).items():
        assert (member.uid, member.gid, member.uname) == (0, 0, "root"), name
        if not member.issym():
            is_run = member.isdir() or name in programs
            assert member.mode == (0o755 if is_run else 0o644), name


def test_it_holds_the_pinned_requirements_for_debians_python_and_no_more(package: Package) -> None:
    pins = re.findall(r"(?m)^([\w.-]+)==(\S+)", (ROOT / "requirements/run.txt").read_text())
    pinned = {f"{normal(name)}-{version}" for name, version in pins}
    held = {
        match.group(1)
        for name in package.below(SITE)
        if (match := re.fullmatch(r"([^/]+)\.dist-info/METADATA", name))
    }
    [own] = [name for name in held if name.startswith("docker_opa_authz-")]
    others = held - {own}
    assert others
    assert others <= pinned  # pip refuses to leave out one that another needs
    assert [name for name in others if name.startswith("hatchling-")] == []
    libraries = [name for name in package.below(SITE) if name.endswith(".so") and "cpython" in name]
    assert libraries
    assert [name for name in libraries if "cpython-311-" not in name] == []


def test_it_holds_nothing_of_the_machine_on_which_it_was_made(package: Package) -> None:
    homes = [str(ROOT).encode(), str(package.file.parent).encode()]
    named = [name for name, text in package.texts.items() if any(home in text for home in homes)]
    assert named == []
    made = re.compile(r"/__pycache__|\.dist-info/(RECORD|direct_url\.json)$")
    assert [name for name in package.members if made.search(name)] == []
    assert {member.mtime for member in package.members.values()} == {get_reproducible_timestamp()}


def test_every_command_has_a_manual_page_that_names_its_options(package: Package) -> None:
    pages = {
        name: gzip.decompress(package.texts[f"usr/share/man/man1/{name}"]).decode()
        for name in package.below("usr/share/man/man1/")
    }
    found = dict(commands(cli, "opa-authz"))
    assert set(pages) == {f"{name}.1.gz" for name in found}
    for name, command in found.items():
        page = pages[f"{name}.1.gz"].replace("\\-", "-")
        assert f"\n.SH NAME\n{name} - {command.get_short_help_str(1000)}\n" in page
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in page, (name, parameter.opts)


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_the_scripts_are_sound_for_debians_sh(package: Package, script: str) -> None:
    text = package.controls[script]
    assert text.startswith(b"#!/bin/sh\nset -e\n")
    subprocess.run(["sh", "-n"], input=text, check=True)


def files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


def normal(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command, by the name of its page."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands(found, f"{name}-{below}")
