"""``opa-authz import`` as its users run it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

from authz_plugin.cli import main
from tests.tools.importer.settings import DEVELOPMENT

COMPOSE = """\
services:
  proxy:
    image: tecnativa/docker-socket-proxy
    environment: {CONTAINERS: 1, POST: 1, VOLUME: 1}
"""


class CommandResult(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., CommandResult]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run_(*arguments: str, text: str = "") -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["opa-authz", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        with pytest.raises(SystemExit) as ended:
            main()
        return CommandResult(int(ended.value.code or 0), *capsys.readouterr())

    return run_


@pytest.fixture
def compose(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    return tmp_path


def test_the_configuration_goes_to_stdout_and_the_notes_to_stderr(run: Run, compose: Path) -> None:
    done = run("import", "compose.yaml")
    assert done.returncode == 0
    first, *rest = done.stdout.splitlines(keepends=True)
    assert (
        first
        == "# Carried over from compose.yaml, service proxy (tecnativa) by `opa-authz import`.\n"
    )
    assert YAML(typ="safe").load("".join(rest))["sections"]["containers"] == "write"
    lines = done.stderr.splitlines()
    assert lines[0] == "compose.yaml, service proxy (tecnativa)"
    assert "carried over    CONTAINERS=1 → sections.containers: write" in lines
    assert "unknown         VOLUME → this proxy does not read it, did you mean VOLUMES?" in lines


def test_what_is_made_is_sound(run: Run, compose: Path) -> None:
    (compose / "proxy.env").write_text("".join(f"{k}={v}\n" for k, v in DEVELOPMENT.items()))
    assert run("import", "proxy.env", "--output", "config.yaml").stdout == ""
    done = run("check", "--config", "config.yaml")
    assert done.stdout.startswith("sound: profile devcontainer, ")


def test_a_file_is_overwritten_only_with_force(run: Run, compose: Path) -> None:
    output = compose / "config.yaml"
    output.write_text("mine")
    done = run("import", "compose.yaml", "--output", "config.yaml")
    assert done.returncode == 2
    assert done.stderr.endswith("config.yaml is there already; --force overwrites it\n")
    assert output.read_text() == "mine"
    assert run("import", "compose.yaml", "--output=config.yaml", "--force").returncode == 0
    assert output.read_text().startswith("# Carried over")


def test_a_file_that_cannot_be_written_is_an_error(run: Run, compose: Path) -> None:
    done = run("import", "compose.yaml", "--output", "nowhere/config.yaml")
    assert done.returncode == 1
    assert "nowhere/config.yaml cannot be written: No such file or directory" in done.stderr


def test_json_is_configuration_and_notes_as_one_document(run: Run, compose: Path) -> None:
    done = run("import", "--json", "compose.yaml")
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert document["version"] == 1
    assert document["origin"] == "compose.yaml, service proxy (tecnativa)"
    assert document["configuration"]["profile"] == "production"
    assert "container.create" in document["operations"]
    assert {"kind": "unknown", "subject": "VOLUME"}.items() <= document["notes"][2].items()


def test_standard_input_and_what_is_asked_for(run: Run, compose: Path) -> None:
    done = run("import", "-", "--with", "logs,top", text="CONTAINERS=1\n")
    operations = YAML(typ="safe").load(done.stdout)["operations"]
    assert "container.logs" not in operations
    assert operations["container.export"] == "deny"
    assert done.stdout.startswith("# Carried over from standard input (tecnativa) by")


def test_variables_are_taken_from_the_environment(
    run: Run, compose: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (compose / "c.yaml").write_text(COMPOSE.replace("POST: 1", "POST: '${WRITE}'"))
    for value, level in {"1": "write", "0": "read"}.items():
        monkeypatch.setenv("WRITE", value)
        assert f"containers: {level}" in run("import", "c.yaml").stdout


SEVERAL = """\
services:
  reading:
    image: tecnativa/docker-socket-proxy
    environment: {CONTAINERS: 1}
  writing:
    image: linuxserver/socket-proxy
    environment: {CONTAINERS: 1, IMAGES: 1, POST: 1}
  traefik:
    image: traefik:v3
    command: --providers.docker.endpoint=tcp://reading:2375
  watchtower:
    image: nickfedor/watchtower
    environment: {DOCKER_HOST: 'tcp://reading:2375'}
  portainer:
    image: portainer/portainer-ce:lts
"""


def test_several_proxies_become_roles_and_their_clients_are_judged(run: Run, compose: Path) -> None:
    (compose / "c.yaml").write_text(SEVERAL)
    done = run("import", "c.yaml", "--output", "config.yaml")
    assert done.returncode == 0
    made = YAML(typ="safe").load(compose / "config.yaml")
    assert (made["profile"], list(made["roles"])) == ("closed", ["reading", "writing"])
    assert made["roles"]["reading"]["callers"] == [{"user": "reading"}]
    assert made["roles"]["reading"]["sections"]["containers"] == "read"
    assert made["roles"]["writing"]["sections"]["containers"] == "write"
    clients = [line for line in done.stderr.splitlines() if line.startswith("client ")]
    traefik, watchtower, portainer = clients
    assert traefik.endswith("preset traefik; of what it sends, nothing is denied as role reading")
    assert "preset watchtower; of what it sends, this is denied as role reading: " in watchtower
    assert "image.pull (sections.operation)" in watchtower
    assert portainer.endswith("which proxy it uses is not in this file, so it has no role")
    assert run("check", "--config", "config.yaml").stdout.startswith("sound: profile closed, ")


def test_several_services_can_be_chosen(run: Run, compose: Path) -> None:
    (compose / "c.yaml").write_text(SEVERAL)
    one = YAML(typ="safe").load(run("import", "c.yaml", "--service", "writing").stdout)
    assert "roles" not in one
    words = ["--service", "writing", "--service", "reading"]
    both = YAML(typ="safe").load(run("import", "c.yaml", *words).stdout)
    assert set(both["roles"]) == {"reading", "writing"}


def test_a_client_of_a_proxy_that_is_not_chosen_is_not_judged(run: Run, compose: Path) -> None:
    (compose / "c.yaml").write_text(SEVERAL)
    done = run("import", "c.yaml", "--service", "writing")
    clients = [line for line in done.stderr.splitlines() if line.startswith("client ")]
    assert [line.partition("; ")[2] for line in clients[:2]] == [
        "it uses reading, which is not imported"
    ] * 2
    assert "of what it sends, this is denied: " in clients[2]


def test_a_check_of_mounts_counts_for_the_proxy_that_the_client_uses(
    run: Run, compose: Path
) -> None:
    check = "environment: {DOCKER_HOST: 'tcp://writing:2375', WORKSPACE_ROOT: /w}"
    (compose / "c.yaml").write_text(
        SEVERAL.replace("CONTAINERS: 1}", "CONTAINERS: 1, POST: 1, ALLOW_PRIVILEGED: 0}")
        + f"  dev:\n    image: alpine\n    {check}\n"
    )
    done = run("import", "c.yaml")
    roles = YAML(typ="safe").load(done.stdout)["roles"]
    assert roles["writing"]["mounts"]["allow"] == [{"path": "/w"}]
    assert roles["reading"]["mounts"]["allow"] == []
    assert "reading: ALLOW_PRIVILEGED=0" in done.stderr
    assert "writing: ALLOW_PRIVILEGED" not in done.stderr


def test_a_client_of_the_only_proxy_is_judged_by_its_configuration(run: Run, compose: Path) -> None:
    (compose / "c.yaml").write_text(COMPOSE + "  beszel: {image: henrygd/beszel-agent:0.9}\n")
    assert "of what it sends, nothing is denied\n" in run("import", "c.yaml").stderr


def test_an_import_that_opens_nothing_says_so_and_ends_with_status_3(
    run: Run, compose: Path
) -> None:
    done = run("import", "-", text="EVENTS=0\nCONTAINERS=true\n")
    assert done.returncode == 3
    assert "NOTHING IS OPEN" in done.stderr.splitlines()[-1]
    assert YAML(typ="safe").load(done.stdout)["sections"]["containers"] == "none"
    assert run("import", "--json", "-", text="EVENTS=0\n").returncode == 3


@pytest.mark.parametrize("name", ["GET", "HEAD", "PUT", "PATCH", "ALLOW_POST", "ALLOW_DELETE"])
def test_the_name_of_a_method_is_never_taken_for_a_misspelt_section(run: Run, name: str) -> None:
    said = run("import", "-", text=f"CONTAINERS=1\n{name}=1\n").stderr
    assert f"unknown         {name} → this proxy does not read it: POST is its only " in said
    assert "did you mean" not in said


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["nothing.env"], "", "nothing.env: cannot be read: No such file or directory"),
        (["-", "--with", "everything"], "", "--with: everything is none of archive, "),
        (["-", "--service", "x"], "", "--service: no file given is a compose file"),
        (["-"], "A\0=\n", "standard input:1: is not of the form KEY=value"),
        (["-"], "A=1\n", "FILE: holds no variable of a socket proxy that is known"),
        (["-"], "ALLOW_START=1\n", "standard input:1: ALLOW_START: without POST=1"),
        (["-"], "services: {a: {image: b}}\n", "standard input: services: no service runs "),
    ],
)
def test_a_user_error_is_one_sentence(
    run: Run, arguments: list[str], text: str, message: str
) -> None:
    done = run("import", *arguments, text=text)
    assert done.returncode == 2
    assert done.stderr.startswith(f"opa-authz: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
