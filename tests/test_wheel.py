"""A wheel that is built from a clean checkout holds the files that are not in git."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

from authz_plugin.cli.terminal import EXIT_NO
from authz_plugin.engine.binary import Opa
from authz_plugin.policy import SHIPPED
from tests.harness.checkout import copy_of_checkout
from tests.harness.plugin import Connection, wait_for
from tools import policy_data

ROOT: Final = Path(__file__).parents[1]
COMPILED: Final = {
    f"authz_plugin/policies/compiled/{name}"
    for name in ("annotations.json", "policy.compiled", "sources.sha256")
}
MADE: Final = [
    f"authz_plugin/policies/{file.relative_to(SHIPPED)}" for file in policy_data.paths(SHIPPED)
]


def run(command: Sequence[str | Path], cwd: Path, **environment: str) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree without what git ignores."""
    folder = copy_of_checkout(tmp_path_factory.mktemp("checkout"))
    assert not list(folder.glob("policies/**/data.json"))
    return folder


def build(source: Path, target: str) -> Path:
    """The distribution that hatchling, without network, builds of a source folder."""
    run([sys.executable, "-m", "hatchling", "build", "-t", target], source)
    [distribution] = (source / "dist").iterdir()
    return distribution


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as ``python -m build`` builds it: of the source distribution."""
    source = tmp_path_factory.mktemp("source")
    run(["tar", "-xf", build(checkout, "sdist")], source)
    [unpacked] = source.iterdir()
    assert not list(unpacked.rglob("data.json"))
    assert not list(unpacked.rglob("*.compiled"))
    return build(unpacked, "wheel")


def test_the_wheel_holds_the_pages_of_the_console(wheel: Path) -> None:
    folder = Path("authz_plugin/tools/console")
    pages = [*(ROOT / folder / "templates").rglob("*.html"), *(ROOT / folder / "static").rglob("*")]
    expected = {str(file.relative_to(ROOT)) for file in pages if file.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        assert expected <= set(archive.namelist())
    assert {f"{folder}/static/vendor/htmx.min.js", f"{folder}/templates/base.html"} <= expected


def test_the_wheel_holds_the_made_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = [archive.read(name).decode() for name in MADE]
    assert held == list(policy_data.files(SHIPPED).values())


def test_the_wheel_holds_the_plugin_the_policies_and_nothing_else(
    checkout: Path, wheel: Path
) -> None:
    homes = {
        "authz_plugin": "authz_plugin",
        "policies": "authz_plugin/policies",
        "deploy": "authz_plugin/deploy",
    }
    expected = {
        f"{home}/{file.relative_to(checkout / folder)}"
        for folder, home in homes.items()
        for file in (checkout / folder).rglob("*")
        if file.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    copied = {"authz_plugin/deploy/plugin.json", "authz_plugin/deploy/prometheus/alerts.md"}
    assert held == expected | set(MADE) | COMPILED | copied


def test_a_wheel_of_the_checkout_itself_holds_the_same(checkout: Path, wheel: Path) -> None:
    shutil.rmtree(checkout / "dist", ignore_errors=True)
    with zipfile.ZipFile(build(checkout, "wheel")) as direct, zipfile.ZipFile(wheel) as other:
        assert {i.filename: i.CRC for i in direct.infolist()} == {
            i.filename: i.CRC for i in other.infolist()
        }


def test_a_build_asks_for_what_its_hook_imports(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    ask = "from hatchling import build; print(*build.get_requires_for_build_wheel(), sep=chr(10))"
    asked = run([sys.executable, "-c", ask], checkout).splitlines()
    assert set(map(Requirement, project["dependencies"])) <= set(map(Requirement, asked))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of a virtual environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv")
    python = folder / "venv/bin/python"
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile"]
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    run([*pip, "install", *options, wheel], folder)
    [site] = (folder / "venv").glob("lib/python*/site-packages")
    # What the plugin depends on; the editable plugin of that folder is not found through a .pth.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    imported = run([python, "-c", "import authz_plugin; print(authz_plugin.__file__)"], folder)
    assert Path(imported).is_relative_to(site)
    return python.parent


def test_the_installed_wheel_decides_without_opa(installed: Path, tmp_path: Path) -> None:
    path = "/usr/bin:/bin"
    assert shutil.which("opa", path=f"{installed}:{path}") is None
    socket = tmp_path / "plugin.sock"
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [installed / "opa-authz", "serve", f"--socket={socket}"],
            env={**os.environ, "PATH": path, "OPA_AUTHZ_METRICS_LISTEN": "off"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: "guards the Docker API" in log.read_text(), "the plugin to serve", 30)
        with Connection(socket) as connection:
            for uri, allowed in (("/v1.44/containers/json", True), ("/v1.44/volumes", False)):
                message = {"RequestMethod": "GET", "RequestUri": uri}
                answer = connection.post("/AuthZPlugin.AuthZReq", message)
                assert answer["Allow"] is allowed, answer
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()


def test_the_installed_wheel_explains_without_opa(installed: Path, tmp_path: Path) -> None:
    request = tmp_path / "request.http"
    body = '{"Image": "alpine", "HostConfig": {"Privileged": true}}'
    request.write_text(
        "POST /v1.44/containers/create HTTP/1.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    done = subprocess.run(
        [installed / "opa-authz", "explain", request],
        env={**os.environ, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_NO, done.stdout + done.stderr
    assert "rules/privileged/privileged.rego:" in done.stdout


def test_the_installed_wheel_makes_and_tests_rules(
    installed: Path, opa: Opa, tmp_path: Path
) -> None:
    command = installed / "opa-authz"
    path = f"{opa.path.parent}:{os.environ['PATH']}"
    run([command, "policy", "new", "named", "--into", "rules"], tmp_path, PATH=path)
    tested = run([command, "policy", "test", "rules"], tmp_path, PATH=path)
    assert tested == "4 passed, 0 failed\n"
    run([command, "policy", "library", "library"], tmp_path, PATH=path)
    assert run([opa.path, "test", "library/policies", "rules"], tmp_path) == "PASS: 4/4\n"
    options = ["--strict", "--schema", "library/schemas", "library/policies"]
    run([opa.path, "check", *options, "rules"], tmp_path)
    published = ROOT / "docs/reference/settings.schema.json"
    assert run([command, "schema"], tmp_path, PATH=path) == published.read_text()


def test_the_installed_wheel_writes_what_a_checkout_has_beside_it(
    installed: Path, checkout: Path, tmp_path: Path
) -> None:
    run([installed / "opa-authz", "deploy", "files", "made"], tmp_path)
    made = files_below(tmp_path / "made")
    assert f"ExecStart={installed / 'opa-authz'} serve\n" in made["systemd/opa-authz.service"]
    made = {name: text.replace(str(installed), "/usr/local/bin") for name, text in made.items()}
    copied = {"plugin.json": "plugin.json", "prometheus/alerts.md": "docs/how-to/alerts.md"}
    others = {name: (checkout / source).read_text() for name, source in copied.items()}
    assert made == files_below(checkout / "deploy") | others


def files_below(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in folder.rglob("*")
        if file.is_file()
    }
