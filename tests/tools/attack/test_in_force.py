"""The settings here are compared with if the plugin that the daemon asks decides with them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.errors import SetupError
from authz_plugin.settings import Metrics, Settings
from authz_plugin.tools.attack.in_force import open_in_force
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.sandbox import open_sandbox
from tests.conftest import with_policy
from tests.tools.attack.test_campaign import Foreign, serving

SETTINGS: Final = with_policy(profile="production")
TOKEN: Final = "0123456789abcdef"


class Host:
    """A daemon, and metrics; ``asks`` says whether the daemon asks the plugin that serves them."""

    def __init__(self, *, asks: bool) -> None:
        self.asks = asks
        self.revision = "none"
        self.denials = self.others = 0
        self.authorizations: set[str | None] = set()

    @contextmanager
    def running(self, folder: Path) -> Iterator[tuple[Endpoint, Settings]]:
        host = self

        class Daemon(Foreign):
            @property
            def content(self) -> bytes:  # type: ignore[override]
                host.denials += host.asks
                return b"{}"

        class Plugin(Foreign):
            status = 200

            @property
            def content(self) -> bytes:  # type: ignore[override]
                host.others += 1
                host.authorizations.add(self.headers.get("Authorization"))
                return (
                    f'opa_authz_policy_info{{profile="x",revision="{host.revision}"}} 1.0\n'
                    f'opa_authz_denials_total{{rule="request.query"}} {host.denials}.0\n'
                    f'opa_authz_denials_total{{rule="sections.operation"}} {host.others}.0\n'
                ).encode()

        for name in ("daemon", "plugin"):
            (folder / name).mkdir()
        with (
            serving(folder / "daemon", Daemon) as endpoint,
            serving(folder / "plugin", Plugin) as metrics,
        ):
            yield endpoint, SETTINGS._replace(metrics=Metrics(f"unix:{metrics.unix}"))


@pytest.fixture(scope="module")
def revision() -> str:
    with open_sandbox(SETTINGS) as sandbox:
        return sandbox.bundle.revision


def reason(endpoint: Endpoint, settings: Settings) -> str:
    with pytest.raises(SetupError) as raised, open_in_force(endpoint, settings):
        pass
    return str(raised.value)


def test_the_policy_is_that_of_the_plugin_that_the_daemon_asks(
    tmp_path: Path, revision: str
) -> None:
    host = Host(asks=True)
    host.revision = revision
    with (
        host.running(tmp_path) as (endpoint, settings),
        open_in_force(endpoint, settings) as sandbox,
    ):
        assert sandbox.config["profile"] == "production"


def test_a_plugin_with_another_policy_is_not_compared_with(tmp_path: Path, revision: str) -> None:
    with Host(asks=True).running(tmp_path) as (endpoint, settings):
        said = reason(endpoint, settings)
    assert said == f"the plugin decides with policy none, and the settings here make {revision}"


def test_a_plugin_that_this_daemon_does_not_ask_is_not_compared_with(
    tmp_path: Path, revision: str
) -> None:
    host = Host(asks=False)
    host.revision = revision
    with host.running(tmp_path) as (endpoint, settings):
        assert f"was not asked about a request to {endpoint.url}" in reason(endpoint, settings)


def test_metrics_are_asked_for_with_the_plugins_token(tmp_path: Path) -> None:
    host = Host(asks=True)
    (tmp_path / "token").write_text(TOKEN)
    with host.running(tmp_path) as (endpoint, settings):
        metrics = settings.metrics._replace(token_file=tmp_path / "token")
        reason(endpoint, settings._replace(metrics=metrics))
    assert host.authorizations == {f"Bearer {TOKEN}"}


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    ("metrics", "why"),
    [
        (Metrics("off"), "serve no metrics"),
        (Metrics(closed_port()), "no plugin serves metrics at 127.0.0.1:"),
        (Metrics("0.0.0.0:9717", certificate=Path("x")), "need TLS"),
    ],
)
def test_metrics_that_cannot_be_read_tell_nothing(metrics: Metrics, why: str) -> None:
    nobody = Endpoint("unix:///nowhere", unix=Path("/nowhere"))
    assert why in reason(nobody, SETTINGS._replace(metrics=metrics))


def test_another_web_server_is_no_plugin(tmp_path: Path) -> None:
    with serving(tmp_path, Foreign) as endpoint:
        settings = SETTINGS._replace(metrics=Metrics(f"unix:{endpoint.unix}"))
        assert "no plugin serves metrics" in reason(endpoint, settings)
