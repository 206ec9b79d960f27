"""An exception is added to the settings file, checked, and taken over; an invalid one is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from authz_plugin import policy, settings
from authz_plugin.errors import SetupError
from authz_plugin.settings import Settings
from authz_plugin.settings.model import Fleet
from authz_plugin.tools.console import new_exception
from authz_plugin.tools.console.new_exception import Added, Choice, add_exception, choices
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.tools.console.conftest import PluginHost
from tests.tools.learning.days import create, message

MOUNT = message(create(Binds=["/srv/data:/d"]))
PRIVILEGED = message(create(Privileged=True))
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()

TEXT = """\
# Settings of this host
profile: production   # see docs

sections:
    exec: write
mounts:
    allow:
        - path: "/srv/other"  # for the other
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "config.yaml"
    found.write_text(TEXT)
    found.chmod(0o640)
    return found


def load(file: Path) -> Settings:
    flags: dict[settings.Key, Any] = {("config",): str(file)}
    return settings.load(flags, {}, policy.config_schema())


def choices_of(file: Path, subject: bytes) -> list[Choice]:
    with open_sandbox(load(file)) as sandbox:
        return choices(sandbox, subject)


def choice(file: Path, subject: bytes = MOUNT) -> Choice:
    return choices_of(file, subject)[0]


def add(file: Path, made: Choice, **given: Any) -> Added:
    fields = {"reason": "until it moves", "expires": TOMORROW, "accepts_danger": False, **given}
    return add_exception(load(file), made, load=load, **fields)


def allows(file: Path, subject: bytes) -> bool:
    with open_sandbox(load(file)) as sandbox:
        return sandbox.judge(subject).allow


def test_an_exception_is_added_and_lifts_the_denial(file: Path) -> None:
    assert not allows(file, MOUNT)
    made = add(file, choice(file))
    assert allows(file, MOUNT)
    with open_sandbox(load(file)) as sandbox:
        assert sandbox.bundle.revision == made.revision
        (exception,) = policy.exceptions(sandbox.config, datetime.now(UTC))
    assert (exception.rule, exception.what, exception.reason) == (
        "mounts.source",
        "/srv/data",
        "until it moves",
    )


def test_an_exception_for_a_repository_says_that_every_tag_has_it(file: Path) -> None:
    assert [one.whom for one in choices_of(file, MOUNT)] == [
        "image docker.io/library/alpine:3",
        "image docker.io/library/alpine, every tag",
    ]


def test_the_rest_of_the_file_stays_as_it_was(file: Path) -> None:
    add(file, choice(file))
    assert file.read_text().startswith(TEXT)
    assert file.stat().st_mode & 0o777 == 0o640
    assert len(list(file.parent.iterdir())) == 1


def test_the_ends_of_the_lines_stay_as_they_were(file: Path) -> None:
    written = TEXT.replace("\n", "\r\n").encode() + "# Größe".encode()
    file.write_bytes(written)
    add(file, choice(file))
    assert file.read_bytes().startswith(written)
    assert allows(file, MOUNT)


@pytest.mark.parametrize("column", [0, 4])
def test_further_exceptions_follow_the_present_ones(file: Path, column: int) -> None:
    dash = " " * column
    present = (
        f"profile: production\nexceptions:\n{dash}- rule: mounts.source\n{dash}  value: /a\n"
        f"{dash}  when: {{image: alpine}}\n{dash}  expires: '{TOMORROW}'\n{dash}  reason: r\n"
    )
    rest = "\n# The rest\nmode: enforce\n"
    file.write_text(present + rest)
    add(file, choice(file))
    text = file.read_text()
    assert text.startswith(f'{present}{dash}- rule: "mounts.source"\n{dash}  value: "/srv/data"\n')
    assert text.endswith(rest)
    assert allows(file, MOUNT)


@pytest.mark.parametrize("present", ["exceptions: []\n", "...\n"])
def test_a_file_in_another_form_is_not_rewritten(file: Path, present: str) -> None:
    file.write_text(TEXT + present)
    made = choice(file)
    with pytest.raises(SetupError, match="by hand"):
        add_exception(
            load(file), made, reason="r", expires=TOMORROW, accepts_danger=False, load=load
        )
    assert file.read_text() == TEXT + present


@pytest.mark.parametrize(
    "name", ["a\u202eb", "a\u2028b", "a\nb: c", "\x7f", "\x85", "😀", '"\\', "*"]
)
def test_a_value_of_any_characters_is_the_one_that_is_excepted(file: Path, name: str) -> None:
    subject = message(create(Mounts=[{"Type": "bind", "Source": f"/srv/{name}", "Target": "/d"}]))
    add(file, choices_of(file, subject)[0], accepts_danger=True)
    assert allows(file, subject)
    assert not allows(file, MOUNT)
    lines = file.read_text().split("\n")
    assert all(line.isprintable() for line in lines)


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    add(link, choice(link))
    assert link.is_symlink()
    assert "exceptions:" in file.read_text()


def test_what_it_makes_possible_must_be_confirmed(file: Path) -> None:
    made = choice(file, PRIVILEGED)
    assert made.dangers
    with pytest.raises(SetupError, match="confirm"):
        add(file, made)
    assert file.read_text() == TEXT
    add(file, made, accepts_danger=True)
    assert allows(file, PRIVILEGED)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"reason": " \n"}, "a reason"),
        ({"reason": "x" * 301}, "a reason"),
        ({"reason": "\u202e"}, "a reason"),
        ({"expires": ""}, "last day"),
        ({"expires": "2027-02-30"}, "last day"),
        ({"expires": YESTERDAY}, "is over"),
        ({"expires": "2127-01-01"}, "expires"),
    ],
)
def test_an_invalid_exception_changes_nothing_and_says_why(
    file: Path, given: dict[str, str], told: str
) -> None:
    with pytest.raises(SetupError, match=told):
        add(file, choice(file), **given)
    assert file.read_text() == TEXT
    assert len(list(file.parent.iterdir())) == 1


def test_a_file_that_became_wrong_is_not_replaced(file: Path) -> None:
    loaded, made = load(file), choice(file)
    file.write_text(f"{TEXT}nonsense: 1\n")
    before = file.read_text()
    with pytest.raises(SetupError, match="nonsense") as raised:
        add_exception(loaded, made, reason="r", expires=TOMORROW, accepts_danger=False, load=load)
    assert str(file) in str(raised.value)
    assert file.read_text() == before


def test_a_file_that_is_changed_meanwhile_is_not_replaced(file: Path) -> None:
    def load_and_change(other: Path) -> Settings:
        file.write_text(f"{TEXT}# a note\n")
        return load(other)

    with pytest.raises(SetupError, match="changed meanwhile"):
        add_exception(
            load(file),
            choice(file),
            reason="r",
            expires=TOMORROW,
            accepts_danger=False,
            load=load_and_change,
        )
    assert file.read_text().endswith("# a note\n")


def test_without_a_file_there_is_nothing_to_write_to(file: Path) -> None:
    loaded = load(file)._replace(file=None)
    with pytest.raises(SetupError, match="--config"):
        add_exception(
            loaded,
            choice(file),
            reason="r",
            expires=TOMORROW,
            accepts_danger=False,
            load=load,
        )


def test_with_a_fleet_it_says_where_the_policy_comes_from(file: Path) -> None:
    fleet = Fleet("https://policy.example", "bundle.tar.gz", file)
    with pytest.raises(SetupError, match=r"https://policy\.example"):
        add_exception(
            load(file)._replace(fleet=fleet),
            choice(file),
            reason="r",
            expires=TOMORROW,
            accepts_danger=False,
            load=load,
        )
    assert file.read_text() == TEXT


def test_an_exception_that_lifts_nothing_is_not_added(file: Path) -> None:
    made = choice(file)
    assert made.lifts
    with pytest.raises(SetupError, match="no exception lifts"):
        add(file, replace(made, lifts=False))
    assert file.read_text() == TEXT


def test_an_allowed_request_needs_no_exception(file: Path) -> None:
    assert choices_of(file, message(create())) == []


def test_a_running_plugin_takes_the_exception_over(plugin_host: PluginHost) -> None:
    assert not plugin_host.plugin.post("/AuthZPlugin.AuthZReq", MOUNT)["Allow"]
    made = add(plugin_host.file, choice(plugin_host.file))
    assert made.in_force, made.told
    assert f"policy revision {made.revision}" in plugin_host.plugin.log
    assert plugin_host.plugin.post("/AuthZPlugin.AuthZReq", MOUNT)["Allow"]


def test_no_other_process_is_told(plugin_host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_exception._supervisor(load(plugin_host.file)) == plugin_host.plugin.process.pid
    monkeypatch.setattr(new_exception, "_SERVE", (b"another", b"serve"))
    assert new_exception._supervisor(load(plugin_host.file)) is None


def test_what_has_started_the_plugin_is_not_told() -> None:
    waits = "import time; time.sleep(60)"
    command = ["timeout", "60", sys.executable, "-c", waits, "opa-authz", "serve"]
    with subprocess.Popen(command) as process:
        try:
            assert not new_exception._serves(process.pid)
        finally:
            process.terminate()


def test_without_a_plugin_it_says_how_to_reload(file: Path, sandboxed: Sandbox) -> None:
    del sandboxed
    found = add(file, choice(file))
    assert not found.in_force
    assert "systemctl reload opa-authz" in found.told


@pytest.fixture
def sandboxed(file: Path) -> Iterator[Sandbox]:
    with open_sandbox(load(file)) as opened:
        yield opened
