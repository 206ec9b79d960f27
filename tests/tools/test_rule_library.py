"""OPA's own commands and Regal on rules of the operator's own, beside the library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from authz_plugin import __version__, policy
from authz_plugin.engine.binary import Opa
from authz_plugin.errors import PolicyError
from authz_plugin.tools import rule_library
from tests.harness.in_process import run_command as run
from tests.harness.pages import steps

TUTORIAL: Final = Path(__file__).parents[2] / "docs/tutorial/policy-author.md"
REGAL: Final = Path(sys.executable).with_name("regal")
LIBRARY: Final = "library/policies"

DECISION: Final = """\
package docker.authz.rules.custom_named_test

import data.docker.authz.effective
import data.docker.authz.examples
import data.docker.authz.profiles

test_the_decision_has_the_denials_of_both if {
	decision := data.docker.authz.decision with input as _nameless
		with data.docker.authz.config as profiles.closed
	{denial.rule | some denial in decision.denials} & {"custom.named", "sections.operation"} == {
		"custom.named",
		"sections.operation",
	}
	decision.profile == "closed"
}

test_without_a_configuration_it_is_the_default if {
	effective.config.profile == "production"
	count(effective.list(["capabilities", "allow"])) > 0
	decision := data.docker.authz.decision with input as examples.container_list
	decision.allow
}

_nameless := json.patch(
	examples.container_create,
	[{"op": "replace", "path": "/request/query", "value": {}}],
)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of rules as the commands start it, with the rule of the tutorial, too."""
    folder = tmp_path_factory.mktemp("repository")
    for command in (["policy", "init"], ["policy", "new", "named", "--into", "rules"]):
        assert run(folder, *command).returncode == 0
    run(folder, "policy", "new", "registry", "--into", "rules")
    for step in steps(TUTORIAL):
        if step.command.startswith("cat > rules/"):
            subprocess.run(["sh", "-euc", step.command], cwd=folder, check=True)
    return folder


def opa_finds(opa: Opa, folder: Path, *arguments: str) -> str:
    """What OPA prints of a command that must succeed."""
    done = opa.run(*arguments, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_opa_tests_own_rules_beside_the_library_and_nothing_else(
    repository: Path, opa: Opa
) -> None:
    results = json.loads(opa_finds(opa, repository, "test", LIBRARY, "rules", "--format", "json"))
    assert {result["package"] for result in results} == {
        "data.docker.authz.rules.custom_named_test",
        "data.docker.authz.rules.custom_registry_test",
    }


def test_opa_checks_own_rules_strictly_against_the_schemas(repository: Path, opa: Opa) -> None:
    check = ("check", "--strict", "--schema", "library/schemas", LIBRARY, "rules")
    opa_finds(opa, repository, *check)
    rule = repository / "rules/custom_named/custom_named.rego"
    text = rule.read_text()
    rule.write_text(text.replace("input.operation.id", "input.operation.idd"))
    try:
        done = opa.run(*check, folder=repository)
    finally:
        rule.write_text(text)
    assert "undefined ref: input.operation.idd" in done.stderr


def test_a_test_may_read_the_whole_decision(repository: Path, opa: Opa) -> None:
    test = repository / "rules/custom_named/decision_test.rego"
    test.write_text(DECISION)
    try:
        opa_finds(opa, repository, "test", LIBRARY, "rules", "--run", "decision|default")
        done = run(repository, "policy", "test", "rules", "--run", "decision|default")
    finally:
        test.unlink()
    assert done.stdout == "2 passed, 0 failed\n"


REQUEST: Final = b"""\
POST /v1.44/containers/create HTTP/1.1\r
Content-Type: application/json\r
Content-Length: 59\r
\r
{"Image":"alpine","HostConfig":{"Binds":["/etc/ssl:/x"]}}\r
"""


def test_a_rule_is_evaluated_with_the_input_document_of_a_request(
    repository: Path, opa: Opa, tmp_path: Path
) -> None:
    """The document is that of a host without links, whatever is on this one."""
    (tmp_path / "request.http").write_bytes(REQUEST)
    done = run(tmp_path, "policy", "input", "request.http", "--user", "ann")
    document = json.loads(done.stdout)
    assert document["caller"]["user"] == "ann"
    [mount] = document["mounts"]
    assert (mount["resolved"], mount["exists"]) == ("/etc/ssl", True)
    (tmp_path / "input.json").write_text(done.stdout)
    query = "{denial.rule | some denial in data.docker.authz.decision.denials}"
    sources = ["--data", LIBRARY, "--data", "rules", "--input", str(tmp_path / "input.json")]
    found = opa_finds(opa, repository, "eval", *sources, "--format", "raw", query)
    assert {"custom.named", "mounts.source"} <= set(json.loads(found))


@pytest.mark.parametrize(
    ("request_", "options", "status", "message"),
    [
        (REQUEST, ["--operation", "image.pull"], 1, "no request of image.pull, only of container"),
        (REQUEST.replace(b"/containers/", b"//containers/"), [], 1, "request.uri"),
        (b'{"decision_id": "3f2a9c0d51e7b846", "verdict": "deny"}', [], 2, "the record of a"),
        (None, [], 2, "cannot be read: No such file"),
    ],
)
def test_without_an_input_document_the_reason_is_said(
    tmp_path: Path, request_: bytes | None, options: list[str], status: int, message: str
) -> None:
    if request_ is not None:
        (tmp_path / "request").write_bytes(request_)
    done = run(tmp_path, "policy", "input", *options, "request")
    assert done.returncode == status
    assert message in done.stderr


def test_regal_finds_nothing_in_new_rules(repository: Path) -> None:
    for place in (".", "rules"):
        done = subprocess.run(
            [REGAL, "lint", "--no-color", place],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert "No violations found" in done.stdout


def test_regal_still_finds_mistakes(repository: Path) -> None:
    rule = repository / "rules/custom_named/shout.rego"
    rule.write_text("package docker.authz.rules.custom_named\n\nShout := input.x == true\n")
    try:
        done = subprocess.run(
            [REGAL, "lint", "rules"], cwd=repository, capture_output=True, text=True, check=False
        )
    finally:
        rule.unlink()
    assert done.returncode == 3
    assert "prefer-snake-case" in done.stdout


def test_the_library_is_the_same_on_every_host_and_names_its_version(repository: Path) -> None:
    files = [file for file in (repository / "library").rglob("*") if file.is_file()]
    texts = {file: file.read_text() for file in files}
    assert not [file for file in files if file.name.endswith("_test.rego")]
    for place in (str(policy.SHIPPED), str(repository)):
        assert [file for file, text in texts.items() if place in text] == []
    assert __version__ in texts[repository / "library/README.md"]


def test_a_library_is_written_anew_and_other_files_are_not_replaced(tmp_path: Path) -> None:
    library = tmp_path / "library"
    rule_library.write(library)
    stale = library / LIBRARY.rpartition("/")[2] / "docker/authz/old.rego"
    stale.write_text("package docker.authz.old\n")
    assert run(tmp_path, "policy", "library", "library").stdout == "library: written\n"
    assert not stale.exists()
    (tmp_path / "mine").mkdir()
    kept = tmp_path / "mine/policies"
    kept.write_text("mine")
    done = run(tmp_path, "policy", "library", "mine")
    assert done.returncode == 1
    assert "mine holds other files: name a folder of its own" in done.stderr
    assert kept.read_text() == "mine"


def test_a_configuration_of_regal_that_is_there_is_kept(tmp_path: Path) -> None:
    assert "config.yaml: written" in run(tmp_path, "policy", "init").stdout
    config = tmp_path / ".regal/config.yaml"
    config.write_text("rules: {}\n")
    assert "config.yaml: kept" in run(tmp_path, "policy", "init").stdout
    assert config.read_text() == "rules: {}\n"


def test_a_library_among_the_rules_is_refused_by_the_plugin(
    repository: Path, opa: Opa, tmp_path: Path
) -> None:
    """Its policies would stand beside the shipped ones."""
    rule_library.write(tmp_path / "rules/library")
    with pytest.raises(PolicyError, match="data beside rules is not loaded"):
        policy.rule_packages(tmp_path / "rules", opa)
