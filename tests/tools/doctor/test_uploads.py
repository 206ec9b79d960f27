"""Whether the service that collects decisions takes them: asked once, without any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_plugin.settings import Fleet, Receiver, Settings
from authz_plugin.tools.doctor.uploads import check_uploads
from tests.conftest import with_policy
from tests.harness.certificates import Authority
from tests.harness.scripted import TlsService, answer_with, running_service


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def service(authority: Authority) -> Iterator[TlsService]:
    with running_service("127.0.0.1", authority.issue("service")) as running:
        yield running


@pytest.fixture
def uploading(authority: Authority, service: TlsService, tmp_path: Path) -> Settings:
    """The settings of a host that uploads its decisions to the service."""
    token = tmp_path / "token"
    token.write_text("9a7c\n")
    receiver = Receiver(service.url, token_file=token, ca=authority.ca)
    fleet = Fleet("http://x", "b", token, decisions=True, receiver=receiver)
    return with_policy()._replace(fleet=fleet)


def test_a_service_that_takes_decisions_is_asked_once_with_none(
    uploading: Settings, service: TlsService
) -> None:
    service.answer = answer_with("204 No Content")
    before = len(service.received)
    (found,) = check_uploads(uploading)
    assert (found.id, found.severity) == ("uploads.service", "ok")
    (asked,) = service.received[before:]
    assert asked.startswith("POST /logs HTTP/1.1")
    assert "Authorization: Bearer 9a7c" in asked
    assert "Content-Encoding: gzip" in asked


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect"])
def test_a_service_that_redirects_is_told_and_the_target_not_asked(
    uploading: Settings, service: TlsService, status: str
) -> None:
    service.answer = answer_with(status, b"", f"Location: {service.url}/other?sig=5e")
    before = len(service.received)
    (found,) = check_uploads(uploading)
    assert (found.id, found.severity) == ("uploads.redirected", "warning")
    assert "5e" not in found.what
    assert len(service.received) == before + 1


def test_a_service_that_refuses_or_is_away_is_told(
    uploading: Settings, service: TlsService
) -> None:
    service.answer = answer_with("401 Unauthorized")
    (found,) = check_uploads(uploading)
    assert (found.severity, found.what) == (
        "warning",
        f"{service.url}/logs does not take decisions: 401 Unauthorized",
    )
    assert uploading.fleet is not None
    away = uploading.fleet._replace(receiver=Receiver("https://127.0.0.1:1"))
    (found,) = check_uploads(uploading._replace(fleet=away))
    assert (found.id, found.severity) == ("uploads.service", "warning")


def test_a_host_that_uploads_nothing_is_not_asked_about() -> None:
    assert list(check_uploads(with_policy())) == []
