"""The smallest change that allows a request: narrow, tried, and nothing more than needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authz_plugin import policy
from authz_plugin.hostpaths import LocalHostPaths
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.config_changes.gate import Gate
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.explanation.candidates import with_changes
from authz_plugin.tools.explanation.changes import SearchTooLongError, smallest_change
from authz_plugin.tools.explanation.reasons import Explainer
from authz_plugin.tools.explanation.report import lines, to_document
from authz_plugin.tools.rule_sources import rule_sources
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.harness.own_rule import ROW, write_own_rule


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    role = {"callers": [{"user": "ci"}], "profile": "production"}
    with open_sandbox(with_policy(profile="devcontainer", roles={"ci": role})) as opened:
        yield opened


def create(top: dict[str, Any] | None = None, **host: Any) -> Request:
    body = {"Image": "alpine:3", **(top or {}), "HostConfig": host}
    return Request.of_json("POST", "/containers/create", body)


def changed(sandbox: Sandbox, request: Request, user: str = "") -> dict[str, Any] | None:
    """The change for a request, as settings; it is checked once more that it allows it."""
    message = authz_message(request, Client(user))
    changes = smallest_change(sandbox, [message])
    if changes is None:
        return None
    config = sandbox.configured(with_changes(sandbox.settings.policy, changes))
    assert sandbox.judge(message, config).allow
    return with_changes({}, changes)


CAPABILITIES = policy.configuration(with_policy(profile="devcontainer"), LocalHostPaths())[
    "capabilities"
]["allow"]


@pytest.mark.parametrize(
    ("request_", "change"),
    [
        (Request("GET", "/plugins"), {"operations": {"plugin.list": "allow"}}),
        (create(Privileged=True), {"privileged": {"allow": True}}),
        (create(CapAdd=["SYS_PTRACE"]), {"capabilities": {"allow": [*CAPABILITIES, "SYS_PTRACE"]}}),
        (create(PidMode="host"), {"namespaces": {"allow": ["pid:host"]}}),
        (
            create(Binds=["/srv/x:/x"]),
            {"mounts": {"allow": [{"path": "/workspace"}, {"path": "/srv/x"}]}},
        ),
        (
            create(Binds=["/srv/x:/x:ro"]),
            {"mounts": {"allow": [{"path": "/workspace"}, {"path": "/srv/x", "read_only": True}]}},
        ),
        (
            create(Devices=[{"PathOnHost": "/dev/kvm"}]),
            {"devices": {"allow": ["/dev/kvm"]}},
        ),
        (
            create(Runtime="kata"),
            {"containers": {"runtimes": ["", "runc", "io.containerd.runc.v2", "kata"]}},
        ),
        (create(Links=["db:db"]), {"networks": {"links": True}}),
        (create({"Unheard": 1}), {"request": {"unknown_fields": "ignore"}}),
        (Request("GET", "/info"), {}),
    ],
)
def test_the_change_is_the_narrow_one(
    sandbox: Sandbox, request_: Request, change: dict[str, Any]
) -> None:
    assert changed(sandbox, request_) == change


def test_several_denials_need_several_changes(sandbox: Sandbox) -> None:
    change = changed(sandbox, create(Privileged=True, PidMode="host"))
    assert change == {"privileged": {"allow": True}, "namespaces": {"allow": ["pid:host"]}}


def test_several_requests_are_allowed_together(sandbox: Sandbox) -> None:
    requests = [Request("GET", "/plugins"), Request("GET", "/swarm"), Request("GET", "/info")]
    changes = smallest_change(sandbox, [authz_message(r, Client()) for r in requests])
    assert changes is not None
    assert with_changes({}, changes) == {
        "operations": {"plugin.list": "allow", "swarm.inspect": "allow"}
    }


def test_a_role_is_changed_for_the_role_alone(sandbox: Sandbox) -> None:
    change = changed(sandbox, Request("GET", "/volumes"), user="ci")
    assert change == {"roles": {"ci": {"operations": {"volume.list": "allow"}}}}


def test_where_no_narrow_change_will_do_an_exception_for_the_image_is_proposed(
    sandbox: Sandbox,
) -> None:
    change = changed(sandbox, create(Binds=["/run/docker.sock:/s"]))
    assert change is not None
    rules = {exception["rule"]: exception for exception in change["exceptions"]}
    assert rules["mounts.protected"]["when"] == {"image": "docker.io/library/alpine:3"}
    assert rules["mounts.protected"]["value"] == "/run/docker.sock"


def test_a_search_that_takes_too_long_is_given_up(sandbox: Sandbox) -> None:
    with pytest.raises(SearchTooLongError):
        smallest_change(sandbox, [authz_message(create(Privileged=True), Client())], until=0.0)


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/volumes?x=1&x=2"),
        Request("GET", "/no/such/route"),
        Request("POST", "/containers/create", (("Content-Type", "text/plain"),), b"{}"),
    ],
)
def test_what_the_plugin_refuses_no_configuration_allows(
    sandbox: Sandbox, request_: Request
) -> None:
    assert changed(sandbox, request_) is None


def test_an_own_rule_can_only_be_made_to_warn(tmp_path: Path) -> None:
    file = write_own_rule(tmp_path)
    settings = with_policy(profile="production")._replace(policies=tmp_path)
    with open_sandbox(settings) as opened:
        assert changed(opened, Request("GET", "/_ping")) == {"rules": {"custom.own": "warn"}}
        source = rule_sources(opened.find_opa, opened.sources)["custom.own"]
    assert source.place == f"{file}:{ROW}"
    assert source.rule.title == "Nobody pings"


def test_every_shipped_rule_has_a_place_a_title_and_a_description(sandbox: Sandbox) -> None:
    sources = rule_sources(sandbox.find_opa, sandbox.sources)
    assert sources.keys() >= policy.rule_ids()
    for id_, source in sources.items():
        line = Path(source.file).read_text().splitlines()[source.row - 1]
        assert "contains" in line, id_
        assert source.rule.title
        assert source.rule.description


def test_an_explanation_names_facts_rules_places_and_the_change(sandbox: Sandbox) -> None:
    message = authz_message(create(Binds=["/srv/x:/x"]), Client())
    explanation = Explainer(sandbox).explain("docker run", message)
    document = to_document(explanation, Gate(()))
    assert document["verdict"] == "deny"
    assert document["facts"]["mounts"][0]["path"] == "/srv/x"
    (rule,) = document["rules"]
    assert rule["rule"] == "mounts.source"
    assert rule["file"].endswith("rules/mounts/mounts.rego")
    assert document["change"]["settings"]["mounts"]["allow"][-1] == {"path": "/srv/x"}
    json.dumps(document)
    text = "\n".join(text for _, text in lines(explanation, Gate(())))
    assert f"mounts.rego:{rule['line']}" in text
    assert "      - {path: /srv/x}" in text


def test_an_explanation_shows_no_secret(sandbox: Sandbox) -> None:
    options = {"type": "cifs", "o": "username=u,password=hunter2", "device": "//h/s"}
    mount = {
        "Type": "volume",
        "Source": "v",
        "Target": "/v",
        "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": options}},
    }
    request = create({"Env": ["TOKEN=hunter2"]}, Mounts=[mount])
    explanation = Explainer(sandbox).explain("docker run", authz_message(request, Client()))
    text = "\n".join(text for _, text in lines(explanation, Gate(())))
    assert "hunter2" not in json.dumps(to_document(explanation, Gate(()))) + text
