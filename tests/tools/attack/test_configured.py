"""An attack that has an effect is open on purpose, by a key, or it got through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

from authz_plugin.tools.attack.campaign import Campaign
from authz_plugin.tools.attack.catalogue import select
from authz_plugin.tools.attack.configured import Configured
from authz_plugin.tools.attack.report import Report, lines
from authz_plugin.tools.authz_message import Client
from authz_plugin.tools.docker_client import Request
from authz_plugin.tools.sandbox import open_sandbox
from tests.conftest import with_policy
from tests.tools.attack.test_campaign import Foreign, serving

VOLUME: Final = Request.of_json("POST", "/volumes/create", {"Name": "x"})
NETWORK: Final = Request.of_json("POST", "/networks/create", {"Name": "x"})
PRIVILEGED: Final = Request.of_json(
    "POST", "/containers/create", {"Image": "a", "HostConfig": {"Privileged": True}}
)
PRODUCTION: Final[dict[str, Any]] = {"profile": "production"}
OPENED: Final[dict[str, Any]] = {
    **PRODUCTION,
    "sections": {"volumes": "write", "networks": "write"},
    "volumes": {"named": True},
}

OWN: Final = """\
package docker.authz.rules.custom_own

import data.docker.authz.denial
import data.docker.authz.effective

denials contains denial.of("custom.own", "Name", null, "no", "") if {
\tinput.operation.id == "network.create"
\tnot effective.config.privileged.allow
}
"""


@contextmanager
def configured(policy: dict[str, Any], user: str = "") -> Iterator[Configured]:
    with open_sandbox(with_policy(**policy)) as sandbox:
        yield Configured(sandbox, Client(user))


def opened_by(request: Request, policy: dict[str, Any], user: str = "") -> tuple[str, ...] | None:
    """The keys that open a request, or None if the configuration denies it."""
    with configured(policy, user) as configuration:
        judgement = configuration.judge(request)
        return configuration.opening_keys(judgement) if judgement.allow else None


def test_what_the_configuration_denies_is_not_open() -> None:
    assert opened_by(VOLUME, PRODUCTION) is None
    assert opened_by(PRIVILEGED, OPENED) is None


def test_a_key_without_which_a_request_is_denied_opens_it() -> None:
    assert opened_by(VOLUME, OPENED) == ("sections.volumes",)
    assert opened_by(NETWORK, OPENED) == ("sections.networks",)


def test_keys_that_open_a_request_independently_are_all_named() -> None:
    operations = {"network.create": "allow", "exec.create": "allow"}
    assert opened_by(NETWORK, {**OPENED, "operations": operations}) == (
        "operations.network.create", "sections.networks",
    )  # fmt: skip


def test_a_key_of_the_callers_role_is_named_with_the_role() -> None:
    role = {"callers": [{"user": "root"}], "privileged": {"allow": True}}
    policy = {**PRODUCTION, "roles": {"boss": role}}
    found = opened_by(PRIVILEGED, policy, "root")
    assert found is not None
    assert "roles.boss.privileged.allow" in found
    assert opened_by(PRIVILEGED, policy) is None


@pytest.mark.parametrize(
    ("policy", "keys"),
    [
        ({"mode": "warn"}, ("mode",)),
        ({"rules": {"privileged.container": "warn"}}, ("rules.privileged.container",)),
        (
            {"rules": {"privileged.container": "warn"}, "privileged": {"allow": True}},
            ("privileged.allow", "rules.privileged.container"),
        ),
    ],
)
def test_the_keys_of_each_rule_are_named(policy: dict[str, Any], keys: tuple[str, ...]) -> None:
    assert opened_by(PRIVILEGED, {**PRODUCTION, **policy}) == (*keys, "sections.containers")


def test_a_key_that_a_rule_reads_without_naming_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "own.rego").write_text(OWN)
    opened = {**OPENED, "privileged": {"allow": True}, "policies": str(tmp_path)}
    assert opened_by(NETWORK, opened) == ("privileged.allow", "sections.networks")


def test_what_profile_closed_allows_needs_no_key() -> None:
    assert opened_by(Request("GET", "/_ping"), PRODUCTION) == ()


class _Obeying(Foreign):
    """Answers as a dockerd that has done what it was asked for, and shows no object."""

    content = b"{}"
    headers_ = (("Api-Version", "1.51"), ("Content-Type", "application/json"))

    @property
    def status(self) -> int:  # type: ignore[override]
        shown = self.path.endswith("/json") or self.path.startswith(("/networks/", "/volumes/"))
        return 500 if self.command == "GET" and shown else 201


def attacked(folder: Path, policy: dict[str, Any], *ids: str) -> Report:
    """The report on a daemon that nothing guards, compared with a configuration."""
    with serving(folder, _Obeying) as endpoint, configured(policy) as configuration:
        campaign = Campaign(
            endpoint, select(ids), configured=configuration, progress=lambda *_: None
        )
        results = campaign.run()
        return Report(
            endpoint.url,
            campaign.preparation,
            results,
            campaign.created_objects,
            configuration.description,
        )


def text(report: Report, *, verbose: bool = False) -> str:
    return "\n".join(text for _, text in lines(report, verbose=verbose))


def test_only_what_the_configuration_denies_got_through(tmp_path: Path) -> None:
    report = attacked(
        tmp_path, OPENED, "scenario.privileged", "scenario.network", "scenario.volume"
    )
    found = {one["id"]: one for one in report.to_document()["attacks"]}
    assert found["scenario.network"]["outcome"] == "open"
    assert found["scenario.network"]["opened_by"] == ["sections.networks"]
    assert found["scenario.privileged"]["outcome"] == "succeeded"
    assert found["scenario.privileged"]["denied_by"] == ["privileged.container"]
    assert [result.attack.id for result in report.succeeded] == ["scenario.privileged"]
    said = text(report)
    assert "      open by sections.networks\n" in said
    assert "open by sections.networks: dockerd" in text(report, verbose=True)
    assert "Open because the configuration opens it; not counted" in said
    assert "the configuration denies it  [privileged.container]" in said
    assert "CRITICAL: 1 attack succeeded" in said


def test_what_is_open_on_purpose_is_no_failure(tmp_path: Path) -> None:
    report = attacked(tmp_path, OPENED, "scenario.network", "scenario.volume")
    assert report.succeeded == []
    suite = next(iter(ET.fromstring(report.to_junit())))
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "2")
    skipped = [element.get("message", "") for element in suite.iter("skipped")]
    assert any("sections.networks" in message for message in skipped)
    said = text(report)
    assert "successfully blocked" not in said
    assert "Your deployment is protected" not in said
    assert "No attack got through that the configuration denies.\n" in said
    assert "Open because the configuration opens it: 2, see above." in said


def test_an_ordinary_operation_that_the_configuration_denies_got_through(tmp_path: Path) -> None:
    denying = {**PRODUCTION, "operations": {"container.logs": "deny"}}
    report = attacked(tmp_path, denying, "read.logs")
    assert [result.attack.id for result in report.succeeded] == ["read.logs"]
