"""A service that answers anything but a sound bundle: what becomes of the policy in force."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from authz_plugin import policy, settings
from authz_plugin.engine.bundle_client import read_status
from authz_plugin.fleet_policy import SIZE_LIMIT, FleetPolicy
from authz_plugin.journal.shared_status import SharedStatus
from authz_plugin.settings import Settings
from authz_plugin.supervisor import fleet
from authz_plugin.supervisor.fleet import FleetPolicies
from authz_plugin.supervisor.policy_status import PolicyStatus
from tests.fleet.test_fleet import (
    LIST_VOLUMES,
    Host,
    allows,
    fetching_opa,
    says,
    signed,
)
from tests.harness.certificates import Authority
from tests.harness.plugin import children, wait_for
from tests.harness.prometheus import free_port
from tests.harness.scripted import (
    Answer,
    TlsService,
    answer_forever,
    answer_nothing,
    answer_with,
    running_service,
)
from tests.harness.site import Site

TOKEN: Final = "4f1c5d0b-a-token-of-the-service"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def service(authority: Authority) -> Iterator[TlsService]:
    with running_service("127.0.0.1", authority.issue("service")) as running:
        yield running


@pytest.fixture
def host(tmp_path: Path, site: Site, authority: Authority, service: TlsService) -> Host:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    return Host(
        tmp_path / "host",
        {
            "url": service.url,
            "bundle": "bundle.tar.gz",
            "key": str(site.public_key),
            "ca": str(authority.ca),
            "token_file": str(token),
        },
    )


class Bundles:
    """Sound bundles of a site: each is newer than the one before."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._number = 0

    def next(self, sections: dict[str, str], built: timedelta | None = None, **rest: Any) -> bytes:
        """A bundle with the revision ``bundleN``, built now or that long from now."""
        self._number += 1
        made = FleetPolicy(
            revision=f"bundle{self._number}",
            built=datetime.now(UTC) + (built or timedelta(seconds=self._number)),
            configuration={"profile": "devcontainer", "sections": sections},
            rules={},
        )
        return signed(self._site, {**made.to_document(), **rest})


CLOSED: Final = {"volumes": "none"}
OPEN: Final = {"volumes": "read"}


class Fetching:
    """What fetches policies in a plugin, without the plugin.

    ``said`` has the messages, ``taken`` the revisions that were put in force.
    """

    def __init__(self, host: Host) -> None:
        self._settings = settings.load({("config",): str(host.config)}, {}, policy.config_schema())
        assert self._settings.fleet is not None
        self.said: list[str] = []
        self.taken: list[str] = []
        self.status = SharedStatus()
        self.policies = FleetPolicies.start(
            self._settings, self._settings.fleet, self.status, self.said.append
        )
        if self.policies.has_policy:
            self._put_in_force(self.policies.applied(self._settings))

    def _put_in_force(self, applied: Settings) -> PolicyStatus:
        self.taken.append(applied.origins.of(()).rpartition(" ")[2])
        return PolicyStatus("devcontainer", "none", "x", 1)

    def says(self, text: str, times: int = 1, limit: float = 30) -> None:
        """Go on until there are that many messages with a text."""

        def is_said() -> bool:
            self.policies.check(self._settings, self._put_in_force)
            return sum(text in message for message in self.said) >= times

        wait_for(is_said, f"{text!r}", limit)

    def other_opa(self, ended: list[int]) -> int:
        """Go on until an OPA fetches that is none of these."""

        def found() -> list[int]:
            self.policies.check(self._settings, self._put_in_force)
            return [opa for opa in children(os.getpid(), "opa") if opa not in ended]

        wait_for(found, "OPA to be there", 20)
        return found()[0]

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status.read()["fleet"]
        return found


@pytest.fixture
def fetch(host: Host) -> Iterator[Callable[[], Fetching]]:
    """Begins to fetch what the service then has."""
    with ExitStack() as cleanup:

        def begin() -> Fetching:
            begun = Fetching(host)
            cleanup.callback(begun.policies.close)
            return begun

        yield begin


def test_the_plugin_decides_by_the_policy_in_force_and_says_what_is_wrong(
    authority: Authority, service: TlsService, site: Site, host: Host
) -> None:
    bundles, port = Bundles(site), free_port()
    certificate = service.certificate
    cases = [
        ("gzip: invalid header", answer_with("200 OK", b"<html>rubbish</html>"), certificate),
        ("certificate is valid for", answer_with("200 OK"), other_host(authority)),
    ]
    service.answer = answer_with("200 OK", bundles.next(CLOSED))
    with host.running(OPA_AUTHZ_METRICS_LISTEN=f"127.0.0.1:{port}") as plugin:
        log = Path(f"/proc/{fetching_opa(plugin)}/cwd/opa.log")
        is_open = False
        assert allows(plugin, LIST_VOLUMES) is is_open
        for number, (reason, answer, presented) in enumerate(cases, 1):
            service.answer, service.certificate = answer, presented
            says(plugin, f"cannot be fetched from {service.url}: ", times=number)
            assert reason in plugin.log.splitlines()[-1]
            assert metric(port, "fleet_up") == 0
            assert allows(plugin, LIST_VOLUMES) is is_open
            is_open = not is_open
            service.certificate = certificate
            service.answer = answer_with("200 OK", bundles.next(OPEN if is_open else CLOSED))
            says(plugin, "is in force", times=number)
            assert allows(plugin, LIST_VOLUMES) is is_open
            wait_for(lambda: metric(port, "fleet_up") == 1, "the metric")
        assert plugin.log.count("answers again") == len(cases)
        assert TOKEN in service.received[-1]
        assert TOKEN not in plugin.log + log.read_text()
        assert metric(port, "fleet_bundles_refused_total") == 0


def test_whatever_the_service_answers_the_policy_stays_and_the_next_is_taken(
    tmp_path: Path,
    fetch: Callable[[], Fetching],
    authority: Authority,
    service: TlsService,
    site: Site,
) -> None:
    bundles, year = Bundles(site), timedelta(days=365)
    good, certificate = bundles.next(CLOSED), service.certificate
    sound = answer_with("200 OK", good)
    cases: list[tuple[str, Answer, tuple[Path, Path]]] = [
        ("unexpected EOF", answer_with("200 OK", good[: len(good) // 2]), certificate),
        ("Internal Server Error", answer_with("500 Internal Server Error"), certificate),
        ("EOF", lambda _: None, certificate),
        ("exceeds configured size_limit_bytes", answer_with("200 OK", large(bundles)), certificate),
        ("has expired", sound, authority.issue("old", begins=-year)),
        ("is not yet valid", sound, authority.issue("new", begins=year)),
        ("signed by unknown authority", sound, Authority(tmp_path / "stranger").issue("service")),
    ]
    service.answer = sound
    fetching = fetch()
    for number, (reason, answer, presented) in enumerate(cases, 1):
        service.answer, service.certificate = answer, presented
        fetching.says(f"cannot be fetched from {service.url}: ", times=number)
        assert reason in fetching.said[-1]
        assert (len(fetching.taken), fetching.facts["up"]) == (number, False)
        service.answer, service.certificate = answer_with("200 OK", bundles.next(OPEN)), certificate
        fetching.says("is in force", times=number)
        assert (len(fetching.taken), fetching.facts["up"]) == (number + 1, True)
    assert fetching.facts["refused"] == 0
    assert TOKEN not in "".join(fetching.said)


@pytest.mark.parametrize("answer", [answer_nothing, answer_forever])
def test_an_answer_that_never_ends_is_given_up_and_the_next_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    fetch: Callable[[], Fetching],
    service: TlsService,
    site: Site,
    answer: Answer,
) -> None:
    monkeypatch.setattr(fleet, "_PATIENCE", 1.0)
    bundles = Bundles(site)
    service.answer = answer_with("200 OK", bundles.next(CLOSED))
    fetching = fetch()
    service.answer = answer
    fetching.says("no answer was complete within 1 s")
    assert (fetching.taken, fetching.facts["up"]) == (["bundle1"], False)
    service.answer = answer_with("200 OK", bundles.next(OPEN))
    fetching.says("from the bundle of revision bundle2")
    assert fetching.facts["up"]
    assert sum("no answer" in message for message in fetching.said) == 1


def test_a_redirect_is_followed_without_the_token_and_the_signature_decides(
    fetch: Callable[[], Fetching], service: TlsService, site: Site, authority: Authority
) -> None:
    bundles = Bundles(site)
    certificate = authority.issue("elsewhere", address="127.0.0.2")
    with running_service("127.0.0.2", certificate) as elsewhere:
        service.answer = answer_with("302 Found", b"", f"Location: {elsewhere.url}/other?sig=9a7c")
        elsewhere.answer = answer_with("200 OK", bundles.next(CLOSED))
        fetching = fetch()
        assert fetching.taken == ["bundle1"]
        assert f"Authorization: Bearer {TOKEN}" in service.received[0]
        assert "GET /other" in elsewhere.received[0]
        assert "authorization" not in elsewhere.received[0].lower()
        site.key = site.new_key("foreign")
        elsewhere.answer = answer_with("200 OK", bundles.next(OPEN))
        fetching.says("failed to verify JWT signature")
        elsewhere.certificate = service.certificate
        fetching.says("certificate is valid for 127.0.0.1, not 127.0.0.2")
        assert "9a7c" not in "".join(fetching.said)
        assert fetching.taken == ["bundle1"]


def test_a_registry_that_redirects_with_status_307_does_not_pass_the_token_on(
    host: Host, fetch: Callable[[], Fetching], service: TlsService, authority: Authority
) -> None:
    name = service.url.removeprefix("https://")
    host.fleet |= {"type": "oci", "bundle": f"{name}/policy:all"}
    host.write()
    certificate = authority.issue("elsewhere", address="127.0.0.2")
    with running_service("127.0.0.2", certificate) as elsewhere:
        service.answer = answer_with("307 Temporary Redirect", b"", f"Location: {elsewhere.url}/x")
        fetch().says("cannot be fetched")
        assert f"Bearer {base64.b64encode(TOKEN.encode()).decode()}" in service.received[0]
        assert "HEAD /x" in elsewhere.received[0]
        assert "authorization" not in elsewhere.received[0].lower()


def test_a_policy_of_a_clock_that_is_ahead_waits_and_does_not_lock_out_later_ones(
    monkeypatch: pytest.MonkeyPatch,
    fetch: Callable[[], Fetching],
    service: TlsService,
    site: Site,
) -> None:
    bundles, year = Bundles(site), timedelta(days=365)
    service.answer = answer_with("200 OK", bundles.next(CLOSED))
    fetching = fetch()
    service.answer = answer_with("200 OK", bundles.next(OPEN, built=year))
    fetching.says("this host's clock has not reached")
    service.answer = answer_with("200 OK", bundles.next(OPEN, built=-year))
    fetching.says("after a look at the builder's clock")
    assert (fetching.taken, fetching.facts["refused"]) == (["bundle1"], 2)
    service.answer = answer_with("200 OK", bundles.next(OPEN))
    fetching.says("from the bundle of revision bundle4")
    service.answer = answer_with("200 OK", bundles.next(OPEN, built=year))
    fetching.says("this host's clock has not reached", times=2)
    later = time.time() + year.total_seconds()
    monkeypatch.setattr(time, "time", lambda: later)
    fetching.says("from the bundle of revision bundle5")
    assert fetching.taken == ["bundle1", "bundle4", "bundle5"]
    assert fetching.facts["refused"] == 3


def test_a_signed_bundle_of_something_else_is_told(
    fetch: Callable[[], Fetching], service: TlsService, site: Site
) -> None:
    service.answer = answer_with("200 OK", Bundles(site).next(CLOSED))
    fetching = fetch()
    service.answer = answer_with("200 OK", signed(site, {"about": "x"}, roots="site/other"))
    fetching.says("has no policy of a fleet")
    assert fetching.taken == ["bundle1"]


def test_a_bundle_that_an_older_version_built_is_taken_with_a_warning_for_each_old_name(
    fetch: Callable[[], Fetching], service: TlsService, site: Site
) -> None:
    bundles, old = Bundles(site), {"walls": {"healthcheck": True}}
    service.answer = answer_with("200 OK", bundles.next(CLOSED, configuration=old))
    fetching = fetch()
    assert fetching.taken == ["bundle1"]
    [said] = fetching.said
    assert said.startswith("the bundle of revision bundle1: walls is now called hardening")
    service.answer = answer_with("200 OK", bundles.next(CLOSED, configuration=old))
    fetching.says("the bundle of revision bundle2: walls is now called hardening")
    assert fetching.taken == ["bundle1", "bundle2"]


def test_the_fetching_opa_may_use_little_memory_and_write_no_large_files(
    fetch: Callable[[], Fetching], service: TlsService, site: Site
) -> None:
    largest = {f"rule{number}.rego": "x" * 90_000 for number in range(11)}
    assert len(json.dumps(largest)) > 0.9 * SIZE_LIMIT
    service.answer = answer_with("200 OK", Bundles(site).next(CLOSED, rules=largest))
    fetching = fetch()
    assert fetching.taken == ["bundle1"]
    [opa] = children(os.getpid(), "opa")
    limits = Path(f"/proc/{opa}/limits").read_text()
    assert re.search(rf"^Max data size +{320 << 20} +{320 << 20} ", limits, re.MULTILINE)
    assert re.search(rf"^Max file size +{16 << 20} +{16 << 20} ", limits, re.MULTILINE)


def test_an_opa_that_ends_again_and_again_is_started_less_and_less_often(
    fetch: Callable[[], Fetching], service: TlsService, site: Site
) -> None:
    service.answer = answer_with("503 Service Unavailable")
    fetching = fetch()
    ended: list[int] = []
    for _ in range(3):
        ended.append(fetching.other_opa(ended))
        os.kill(ended[-1], signal.SIGKILL)
    fetching.says("OPA ended")
    begun = time.monotonic()
    fetching.other_opa(ended)
    assert time.monotonic() - begun > 1.5
    assert fetching.taken == []


VERIFIED: Final = {
    "type": "snapshot",
    "last_request": "2026-11-28T08:00:09.1Z",
    "last_successful_request": "2026-11-28T08:00:09.1Z",
    "last_successful_download": "2026-11-28T08:00:02.123456789Z",
    "last_successful_activation": "2026-11-28T08:00:02.125Z",
}


@pytest.mark.parametrize(
    ("change", "is_verified"),
    [
        ({}, True),
        ({"type": "delta"}, False),
        ({"last_successful_download": "2026-11-28T08:00:02.2Z"}, False),
        ({"last_successful_download": "0001-01-01T00:00:00Z"}, False),
        ({"type": None}, False),
    ],
)
def test_data_counts_only_if_the_last_bundle_was_whole_and_put_in_place(
    change: dict[str, Any], is_verified: bool
) -> None:
    status = read_status({"result": {"bundles": {"site": {**VERIFIED, **change}}}})
    assert status.is_verified is is_verified


def test_what_a_service_says_is_one_short_line_without_the_queries_of_urls() -> None:
    errors = ["line\nfeed \x1b[31m", 'Get "https://s3/x?X-Amz-Signature=5e": refused', "x" * 9000]
    found = {"message": "failed", "errors": errors}
    fault = read_status({"result": {"bundles": {"site": found}}}).fault
    assert fault.startswith('failed: line feed  [31m: Get "https://s3/x?…": refused: xxx')
    assert len(fault) < 600


def large(bundles: Bundles) -> bytes:
    return bundles.next(CLOSED, rest="x" * (5 << 20))


def other_host(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("other", address="127.0.0.3")


def metric(port: int, name: str) -> float:
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    [value] = [
        line.split()[1] for line in text.splitlines() if line.startswith(f"opa_authz_{name} ")
    ]
    return float(value)
