"""What a denial tells the client about every recorded request, attack and witness of the ledger: no
path of the guard, and the key that opens a closed operation. The operator's record has the paths.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from ruamel.yaml import YAML

from authz_plugin import policy, settings
from authz_plugin.authorizer import Authorizer
from authz_plugin.decision import Decision
from authz_plugin.engine.opa import _complaint
from authz_plugin.enginestate import NoEngineState
from authz_plugin.errors import EngineError
from authz_plugin.hostpaths import SHIPPED, LocalHostPaths
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.settings import Key
from authz_plugin.tools.attack.catalogue import CATALOGUE
from authz_plugin.tools.attack.created_objects import CreatedObjects
from authz_plugin.tools.attack.model import ObjectKind
from authz_plugin.tools.attack.preparation import Preparation
from authz_plugin.tools.attack.rendering import render
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Endpoint, Request
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.adversary.seeds import seeds
from tests.corpus import recorded

STRICT: Final = Path(__file__).parent / "real/attacks/strict.yaml"
ABOVE: Final = ("/", "/etc", "/etc/docker", "/run", "/run/docker", "/usr", "/var", "/var/cache")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the plugin's socket and settings file."""
    return tmp_path_factory.mktemp("installation")


@pytest.fixture(scope="module")
def sandbox(installation: Path) -> Iterator[Sandbox]:
    file = installation / "config.yaml"
    file.write_text("profile: production\n")
    flags: dict[Key, Any] = {
        ("config",): str(file),
        ("server", "socket"): str(installation / "plugin.sock"),
    }
    with open_sandbox(settings.load(flags, {}, policy.config_schema())) as opened:
        yield opened


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory, installation: Path) -> list[bytes]:
    """dockerd's messages about all requests."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "link").symlink_to(installation)
    endpoint = Endpoint("unix:///none", unix=Path("/none"))
    prepared = Preparation(endpoint, CreatedObjects(endpoint), None, folder)
    prepared._folder = folder
    prepared._created_objects._removable = dict.fromkeys(get_args(ObjectKind), True)
    attacks = [
        render(attack.request, prepared.context_for(attack)) for attack in CATALOGUE
        if not attack.grpc
    ]  # fmt: skip
    witnesses = [
        Request(one.method, one.written_target(), tuple(one.headers().items()), one.written_body())
        for seed in seeds()
        for one in (seed.request, seed.harmless)
    ]
    binds = [_binds(str(path)) for path in (*ABOVE, folder / "link", installation.parent)]
    asked = [authz_message(one, Client()) for one in (*attacks, *witnesses, *binds)]
    return list(dict.fromkeys([*asked, *(json.dumps(r.message).encode() for r in recorded())]))


def _binds(path: str) -> Request:
    body = {"Image": "alpine", "HostConfig": {"Binds": [f"{path}:/x"]}}
    headers = (("Content-Type", "application/json"),)
    return Request("POST", "/v1.44/containers/create", headers, json.dumps(body).encode())


@pytest.mark.parametrize("name", ["production", "closed", "everything open"])
def test_no_denial_tells_where_the_guard_lives(
    sandbox: Sandbox, messages: list[bytes], installation: Path, name: str
) -> None:
    text = STRICT.read_text().replace("WORKSPACE", os.fspath(installation.parent))
    strict = YAML(typ="safe").load(text)
    config = sandbox.configured(strict if name == "everything open" else {"profile": name})
    paths = [*config["guard"]["paths"], *config["guard"]["prefixes"]]
    assert {str(SHIPPED), str(installation / "plugin.sock")} <= set(paths)
    denied = 0
    for message in messages:
        judged = sandbox.judge(message, config)
        denied += not judged.allow
        told = judged.message
        for given in _values(judged.record):
            told = told.replace(given, "")
        assert not [path for path in paths if path in told], judged.message
    assert denied > 300


def _values(record: DecisionRecord) -> list[str]:
    """What the client itself wrote that a denial quotes, the longest first."""
    values = (str(denial.value).partition(" (a link to ")[0] for denial in record.denials)
    return sorted((value for value in values if value.startswith("/")), key=len, reverse=True)


def test_the_operators_record_has_the_paths(sandbox: Sandbox, installation: Path) -> None:
    record = sandbox.judge(authz_message(_binds("/"), Client())).record
    details = record.to_document()["details"]
    for path in ("/etc/docker", "/run/docker/plugins", str(SHIPPED), str(installation)):
        assert path in details
    assert "bind mount of / reaches /etc/cdi" in details


def test_a_link_into_the_guard_is_not_told_to_the_client(
    sandbox: Sandbox, installation: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(installation / "config.yaml")
    judged = sandbox.judge(authz_message(_binds(str(link)), Client()))
    assert f"bind mount of {link} (a link) is not allowed" in judged.message
    assert "config.yaml" not in judged.message
    assert "config.yaml" in judged.record.to_document()["details"]


def test_a_closed_operation_names_the_keys_that_open_it(
    sandbox: Sandbox,
) -> None:
    request = authz_message(Request("POST", "/v1.44/volumes/create", (), b""), Client())
    told = sandbox.judge(request, sandbox.configured({"profile": "closed"})).message
    assert "opened by sections: {volumes: write} or operations: {volume.create: allow}" in told
    for opened in ({"sections": {"volumes": "write"}}, {"operations": {"volume.create": "allow"}}):
        record = sandbox.judge(request, sandbox.configured({"profile": "closed", **opened})).record
        assert "sections.operation" not in {denial.rule for denial in record.denials}


class _Broken:
    """An engine that complains of a file of the policy."""

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        del document, decision_id
        location = {"file": "/run/opa-authz-x1/1/bundle/a.rego", "row": 3}
        answer = json.dumps({"errors": [{"code": "eval_conflict_error", "location": location}]})
        raise EngineError("OPA answered with status 500", _complaint(answer.encode()))

    def close(self) -> None:
        """Do nothing."""


def test_a_failure_of_the_engine_tells_files_to_the_operator_alone() -> None:
    records: list[DecisionRecord] = []
    authorizer = Authorizer(
        _Broken(), LocalHostPaths(), NoEngineState(), lambda record, _: records.append(record)
    )
    answer = authorizer.authorize(authz_message(Request("GET", "/info", (), b""), Client()))
    assert "OPA answered with status 500" in answer.message
    assert "/run" not in answer.message
    assert "/run/opa-authz-x1/1/bundle/a.rego:3" in records[0].error
