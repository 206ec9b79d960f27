"""Results that were saved are read back as they were, and anything else is refused."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from authz_plugin.errors import SettingsError
from authz_plugin.tools.compliance import saved
from authz_plugin.tools.compliance.controls import REPORTED
from authz_plugin.tools.compliance.saved import read_examination, read_validation
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.sandbox import open_sandbox
from tests.conftest import with_policy
from tests.harness.in_process import Ended, run_command
from tests.tools.compliance.made import examination, validation

FINDING = Finding("dockerd.icc", "info", "they reach each other", "why", "fix")


@pytest.fixture(scope="module")
def documents() -> tuple[dict[str, Any], dict[str, Any]]:
    """What validate and doctor print of a host under profile cis."""
    with open_sandbox(with_policy(profile="cis")) as sandbox:
        return validation(sandbox).to_document(), examination(sandbox, FINDING).to_document()


@pytest.mark.parametrize("schema", [saved._VALIDATION, saved._EXAMINATION])
def test_the_schemas_of_what_is_saved_are_schemas(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_what_was_saved_is_read_back(
    documents: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    files = tmp_path / "validation.json", tmp_path / "doctor.json"
    for file, document in zip(files, documents, strict=True):
        file.write_text(json.dumps(document))
    assert read_validation(files[0]).to_document() == documents[0]
    examined = read_examination(files[1])
    assert examined.to_document() == documents[1]
    assert examined.findings == [FINDING]


def changed(change: Callable[[dict[str, Any]], Any], document: dict[str, Any]) -> bytes:
    copied = copy.deepcopy(document)
    change(copied)
    return json.dumps(copied).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("time"),
        lambda d: d.pop("policy_revision"),
        lambda d: d.update(version=2),
        lambda d: d.update(time="yesterday"),
        lambda d: d.update(checks={}, findings={}),
        lambda d: d.update(checks=[{}], findings=[{}]),
        lambda d: (d.get("checks") or d["findings"])[0].update(id=7),
        lambda d: (d.get("checks") or d["findings"])[0].update(more="x"),
        lambda d: (d.get("checks") or d["findings"])[0].update(passed=1, severity="fine"),
    ],
)
def test_what_is_no_result_of_this_version_is_refused(
    documents: tuple[dict[str, Any], dict[str, Any]],
    tmp_path: Path,
    change: Callable[[dict[str, Any]], Any],
) -> None:
    file = tmp_path / "saved.json"
    file.write_bytes(changed(change, documents[0]))
    with pytest.raises(SettingsError, match=r"^--validation: .*is not what `opa-authz validate"):
        read_validation(file)
    file.write_bytes(changed(change, documents[1]))
    with pytest.raises(SettingsError, match=r"^--doctor: .*is not what `opa-authz doctor"):
        read_examination(file)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'"text"'])
def test_what_is_no_json_document_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "saved.json"
    file.write_bytes(content)
    for read in (read_validation, read_examination):
        with pytest.raises(SettingsError, match="is not what"):
            read(file)
        with pytest.raises(SettingsError, match="cannot be read"):
            read(tmp_path / "none.json")


def test_the_command_takes_both_and_asks_no_daemon(
    documents: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    for name, document in zip(("validation", "doctor"), documents, strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))

    def report(*arguments: str) -> Ended:
        files = [f"--validation={tmp_path}/validation.json", f"--doctor={tmp_path}/doctor.json"]
        host = f"--host=unix://{tmp_path}/none.sock"
        return run_command(tmp_path, "report", "--config=/dev/null", host, *files, *arguments)

    output = tmp_path / "report.html"
    done = report("--profile=cis", "--format=html", f"--output={output}")
    assert (done.returncode, done.stdout) == (3, "")
    written, *counts = done.stderr.splitlines()
    assert written == f"{output}: report as html"
    assert len(counts) == len(REPORTED)
    assert re.match(r"  CIS .*: \d+ met, (\d+ partly, )?\d+ not ", counts[0])
    assert output.read_text().startswith("<!DOCTYPE html>")
    printed = json.loads(report("--profile=cis", "--json", "--standard=cis").stdout)
    assert [one["name"] for one in printed["standards"]] == ["cis"]
    assert printed["standards"][0]["summary"]["met"] > 10
    assert printed["evidence"]["doctor"]["file"] == f"{tmp_path}/doctor.json"
    refused = report("--profile=production")
    assert refused.returncode == 1
    assert "is of policy revision" in refused.stderr
