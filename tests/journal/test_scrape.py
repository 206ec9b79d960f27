"""Metrics that other hosts read: TLS, client certificates, tokens, and a real Prometheus."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
import requests
from ruamel.yaml import YAML

from authz_plugin.errors import SetupError
from authz_plugin.journal import address
from authz_plugin.journal.journal import Journal
from authz_plugin.journal.log import LogOptions
from authz_plugin.journal.scrape import Scrape, read_token, tls_context
from authz_plugin.journal.shared_status import SharedStatus
from tests.harness.certificates import Authority
from tests.harness.plugin import running_plugin, wait_for
from tests.harness.prometheus import free_port, running_prometheus

ROOT: Final = Path(__file__).parents[2]
TOKEN: Final = "5e1f0c9a7d3b2468"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    for name in ("plugin", "prometheus"):
        made.issue(name)
    (made.folder / "token").write_text(f"{TOKEN}\n")
    return made


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    shared_status = SharedStatus()
    shared_status.update(engine_up=True)
    made = Journal(LogOptions(), None, shared_status, (), {})
    yield made
    made.stop()


Serve = Callable[..., int]


@pytest.fixture(scope="module")
def serve(authority: Authority, journal: Journal) -> Serve:
    """Serve metrics; returns the port."""

    def start(*, certificates: bool = False, token: bool = False, tls: bool = True) -> int:
        files = authority.folder / "plugin.pem", authority.folder / "plugin-key.pem"
        context = tls_context(*files, authority.ca if certificates else None) if tls else None
        listener = socket.create_server(("127.0.0.1", 0))
        address.serve(Scrape(listener, context, TOKEN.encode() if token else None), journal)
        port: int = listener.getsockname()[1]
        return port

    return start


def get(authority: Authority, port: int, *, name: str = "", **headers: str) -> requests.Response:
    files = (str(authority.folder / f"{name}.pem"), str(authority.folder / f"{name}-key.pem"))
    return requests.get(
        f"https://127.0.0.1:{port}/healthz",
        verify=str(authority.ca),
        cert=files if name else None,
        headers=headers,
        timeout=10,
    )


def test_a_certificate_of_the_named_authority_is_needed(
    authority: Authority, serve: Serve, tmp_path: Path
) -> None:
    port = serve(certificates=True)
    assert get(authority, port, name="prometheus").status_code == 200
    stranger = Authority(tmp_path)
    stranger.issue("prometheus")
    (tmp_path / "ca.pem").write_bytes(authority.ca.read_bytes())
    for name, whose in (("", authority), ("prometheus", stranger)):
        with pytest.raises(requests.ConnectionError):
            get(whose, port, name=name)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Bearer {TOKEN}0", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer ", 401),
        ("", 401),
        (TOKEN, 401),
        ("Basic " + base64.b64encode(f"user:{TOKEN}".encode()).decode(), 401),
        ("Bearer t\u00f6ken", 401),
    ],
)
def test_the_token_is_needed(
    authority: Authority, token_port: int, header: str, status: int
) -> None:
    answer = get(authority, token_port, Authorization=header)
    assert answer.status_code == status
    assert (answer.headers.get("WWW-Authenticate") == "Bearer") == (status == 401)
    assert ("status" in answer.text) == (status == 200)


@pytest.fixture(scope="module")
def token_port(serve: Serve) -> int:
    return serve(token=True)


def test_with_both_neither_is_enough(authority: Authority, serve: Serve) -> None:
    port = serve(certificates=True, token=True)
    assert get(authority, port, name="prometheus").status_code == 401
    with pytest.raises(requests.ConnectionError):
        get(authority, port, Authorization=f"Bearer {TOKEN}")
    both = get(authority, port, name="prometheus", Authorization=f"Bearer {TOKEN}")
    assert both.status_code == 200


def test_without_tls_there_is_no_answer(token_port: int) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{token_port}/healthz", timeout=10)


@pytest.mark.parametrize("tls", [False, True])
def test_clients_that_send_nothing_do_not_keep_others_out(
    authority: Authority, serve: Serve, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    monkeypatch.setattr(address, "_LONGEST", 0.2)
    port = serve(tls=tls)
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(12)]
    try:
        before = time.monotonic()
        if tls:
            assert get(authority, port).status_code == 200
        else:
            assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).ok
        assert time.monotonic() - before < 8
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize(
    "text", ["", "short", "two words of sufficient length", "tökentökentöken1"]
)
def test_a_token_that_is_too_weak_or_not_one_word_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(SetupError, match="one ASCII word of at least 16") as raised:
        read_token(file)
    assert not text or text not in str(raised.value)


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    certificate, key = authority.folder / "plugin.pem", authority.folder / "plugin-key.pem"
    with pytest.raises(SetupError, match=r"metrics\.certificate and metrics\.key: .*broken"):
        tls_context(broken, key, None)
    with pytest.raises(SetupError, match=r"metrics\.client_ca: .*broken"):
        tls_context(certificate, key, broken)
    with pytest.raises(SetupError, match=r"metrics\.token_file: cannot read"):
        read_token(tmp_path / "absent")


def test_a_real_prometheus_scrapes_the_plugin_by_the_shipped_job(
    authority: Authority, tmp_path: Path
) -> None:
    port, folder = free_port(), authority.folder
    config = tmp_path / "config.yaml"
    config.write_text(
        f"profile: production\nmetrics:\n  listen: 127.0.0.1:{port}\n"
        f"  certificate: {folder}/plugin.pem\n  key: {folder}/plugin-key.pem\n"
        f"  client_ca: {folder}/ca.pem\n  token_file: {folder}/token\n"
    )
    job = (ROOT / "deploy/prometheus/scrape-tls.yml").read_text()
    job = job.replace("/etc/prometheus/opa-authz/", f"{folder}/").replace("15s", "1s")
    job = job.replace("docker.example.com:9717", f"127.0.0.1:{port}")
    job = job.replace("/etc/prometheus/rules", str(ROOT / "deploy/prometheus"))
    assert set(YAML(typ="safe").load(job)) == {"scrape_configs", "rule_files"}
    environment = {"OPA_AUTHZ_METRICS_LISTEN": f"127.0.0.1:{port}"}
    with (
        running_plugin(tmp_path, f"--config={config}", environment=environment) as plugin,
        running_prometheus(tmp_path, job) as prometheus,
    ):
        assert f"127.0.0.1:{port} with TLS (/metrics" in plugin.log
        up = 'opa_authz_engine_up{job="opa-authz"} == 1 and up == 1'
        wait_for(lambda: bool(prometheus.query(up)), "a scrape", 30)
        with closing(socket.create_connection(("127.0.0.1", port))) as plain:
            plain.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert b"opa_authz" not in plain.recv(4096)
        assert TOKEN not in plugin.log
