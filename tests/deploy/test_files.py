"""``opa-authz deploy files`` writes what an installation needs, and replaces nothing unasked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from authz_plugin import policy, settings
from authz_plugin.errors import SetupError
from authz_plugin.tools.commands.deploy import deploy

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = "/srv/tools/opa-authz"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(deploy, ["files", *map(str, arguments)])


def test_every_file_of_the_repository_is_written_for_everybody_to_read(tmp_path: Path) -> None:
    done = run(tmp_path / "made", "--program", PROGRAM, "--json")
    named = json.loads(done.stdout)["files"]
    expected = {
        str(file.relative_to(ROOT / "deploy"))
        for file in (ROOT / "deploy").rglob("*")
        if file.is_file()
    }
    assert set(named) == expected | {"plugin.json", "prometheus/alerts.md"}
    assert {(tmp_path / "made" / name).stat().st_mode & 0o777 for name in named} == {0o644}


def test_it_is_said_where_each_part_belongs(tmp_path: Path) -> None:
    shown = run(tmp_path, "--program", PROGRAM).stderr
    assert f"(the units start {PROGRAM}):" in shown
    parts = [f"{part.name}{'/' if part.is_dir() else ''}" for part in tmp_path.iterdir()]
    assert not [part for part in parts if part not in shown]


def test_the_alerts_link_to_the_page_where_the_site_has_its_runbooks(tmp_path: Path) -> None:
    page = "https://wiki.example.com/docker/alerts"
    run(tmp_path, "--program", PROGRAM, "--runbooks", page)
    rules = (tmp_path / "prometheus/opa-authz.rules.yml").read_text()
    groups = YAML(typ="safe").load(rules)["groups"]
    links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]]
    runbooks = (tmp_path / "prometheus/alerts.md").read_text().lower()
    assert len(links) > 20
    for link in links:
        assert link.partition("#")[0] == page
        assert f"### {link.partition('#')[2]}\n" in runbooks
    assert "runbook:" not in rules


@pytest.mark.parametrize("page", ["alerts.md", "https://", "https://a/b#c", "https://a/b\n  x: y"])
def test_what_is_no_address_of_a_page_is_refused(tmp_path: Path, page: str) -> None:
    done = run(tmp_path / "made", "--program", PROGRAM, "--runbooks", page)
    assert isinstance(done.exception, SetupError)
    assert "is not the address of a page" in str(done.exception)
    assert not (tmp_path / "made").exists()


def test_the_units_start_the_named_program_and_no_other(tmp_path: Path) -> None:
    run(tmp_path, "--program", PROGRAM)
    units = list(tmp_path.glob("systemd/**/*.*"))
    assert f"ExecStart={PROGRAM} serve\n" in (tmp_path / "systemd/opa-authz.service").read_text()
    assert not [unit for unit in units if unit.is_file() and "/usr/local" in unit.read_text()]


def test_without_a_name_the_units_start_this_program(tmp_path: Path) -> None:
    run(tmp_path)
    [start] = [
        line.partition("=")[2].split()[0]
        for line in (tmp_path / "systemd/opa-authz.service").read_text().splitlines()
        if line.startswith("ExecStart=")
    ]
    assert shutil.which(start) is not None
    assert Path(start).is_absolute()


@pytest.mark.parametrize("program", ["opa-authz", "/a b/opa-authz", "/a%n/opa-authz", "/a$b"])
def test_a_program_that_a_unit_would_read_otherwise_is_not_written(
    tmp_path: Path, program: str
) -> None:
    done = run(tmp_path / "made", "--program", program)
    assert isinstance(done.exception, SetupError)
    assert program in str(done.exception)
    assert not (tmp_path / "made").exists()


def test_a_changed_file_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    mine = tmp_path / "config.yaml"
    mine.write_text("profile: closed\n")
    done = run(tmp_path)
    assert f"{mine} is there and differs" in str(done.exception)
    assert list(tmp_path.iterdir()) == [mine]
    assert run(tmp_path, "--overwrite").exit_code == 0
    assert "production" in mine.read_text()


def test_written_again_nothing_changes(tmp_path: Path) -> None:
    assert [run(tmp_path).exit_code, run(tmp_path).exit_code] == [0, 0]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "systemd").write_text("a file, not a folder")
    assert "cannot write the files" in str(run(tmp_path).exception)


def test_the_example_of_the_settings_is_sound(tmp_path: Path) -> None:
    text = (ROOT / "deploy/config.yaml").read_text()
    file = tmp_path / "config.yaml"
    file.write_text(text.replace("# audit:\n#   inputs", f"audit:\n  file: {tmp_path}/a\n  inputs"))
    loaded = settings.load({("config",): str(file)}, {}, policy.config_schema())
    assert (loaded.audit.inputs, loaded.policy["profile"]) == (True, "production")
