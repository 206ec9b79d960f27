"""``docs/how-to/import.md`` names every setting of the proxies, and its commands work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.tools.importer import DIALECTS, SELECTABLE, expressions, switches
from authz_plugin.tools.importer.clients import IMAGES as CLIENT_IMAGES
from authz_plugin.tools.importer.permissions import METHODS
from authz_plugin.tools.importer.sources import IMAGES
from tests.harness.commands import command_named

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = (ROOT / "docs/how-to/import.md").read_text()
FENCE: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def first_cells(heading: str) -> set[str]:
    """The words in code in the first column of the table under a heading."""
    table = PAGE.partition(f"\n{heading}\n")[2].lstrip().partition("\n\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_every_variable_is_in_its_table_and_no_other() -> None:
    named = first_cells("Tecnativa's proxy, and linuxserver's:")
    assert named == switches.KNOWN | {"LIBPOD_…"}


def test_every_flag_is_in_its_table_and_no_other() -> None:
    named = first_cells("wollomatic's proxy:")
    methods = {f"-allow{method}" for method in METHODS}
    flags = {f"-{flag}" for flag in (expressions.MOUNTS, *expressions.NO_COUNTERPART)}
    variables = {"SP_ALLOW_GET", "SP_ALLOW_GET_2", "SP_ALLOWBINDMOUNTFROM"}
    assert named == methods | flags | variables


def test_every_dialect_image_and_word_is_named() -> None:
    for name in (*DIALECTS, *(names[0] for names in IMAGES.values())):
        assert f"`{name}`" in PAGE or f"--dialect {name}`" in PAGE
    for word in SELECTABLE:
        assert f"`--with {word}`" in PAGE


def test_every_client_that_is_recognised_is_named() -> None:
    (listed,) = re.findall(r"Clients are recognised by their images: (.*?)\n\n", PAGE, re.DOTALL)
    assert re.findall(r"`([^`]+)`", listed) == sorted(CLIENT_IMAGES)


def test_every_exit_status_that_help_names_is_documented() -> None:
    command = command_named("import")
    assert command.help is not None
    (named,) = re.findall(r"Exit status: (.*?)\n\n", command.help, re.DOTALL)
    assert set(re.findall(r"\b(\d) ", named)) == {"0", "1", "2", "3"}
    assert re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE) == ["0", "1", "2", "3"]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the page's commands say when they are run in their order."""
    bin_ = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(FENCE.findall(PAGE))],
        cwd=tmp_path_factory.mktemp("docs"),
        env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sound: profile production, ")
    return done.stderr


def test_the_page_shows_what_its_commands_say(said: str) -> None:
    (shown,) = re.findall(r"^```console\n(compose.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in shown.splitlines():
        assert line == "…" or line in said.splitlines()
