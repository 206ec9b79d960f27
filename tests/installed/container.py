"""The container image: built and used on scratch dockerds (``make image-test``)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.certificates import Authority
from tests.harness.client import call
from tests.harness.debian import tree
from tests.harness.dockerd import Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.plugin import wait_for
from tests.harness.prometheus import free_port
from tests.real.conftest import guard_with
from tools.container_image import write_context

ROOT: Final = Path(__file__).parents[2]
IMAGE: Final = "opa-authz:test"
BASE: Final = "python-of-debian"
_USER: Final = 64750


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Dockerd]:
    """A dockerd that has built the image, from Debian's Python, without network."""
    context = Path(tempfile.mkdtemp(prefix="opa-authz-image-"))
    try:
        write_context(context, "3.11")
        base = tree("bookworm", "python", "python3,python3-venv,python3-pip")
        with scratch_dockerd(prepare(NEWEST)) as daemon:
            daemon.docker("import", str(base), BASE, timeout=300)
            options = ["--network=none", f"--build-arg=BASE={BASE}", f"--tag={IMAGE}"]
            daemon.docker("build", *options, str(context), timeout=600)
            yield daemon
    finally:
        shutil.rmtree(context)


def ran(dockerd: Dockerd, *arguments: str) -> str:
    options = ["--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp"]
    return dockerd.docker("run", *options, *arguments, timeout=120).stdout


def test_commands_run_without_root_and_without_a_writable_disk(dockerd: Dockerd) -> None:
    assert ran(dockerd, IMAGE, "--version").startswith("opa-authz")
    assert ran(dockerd, "--entrypoint=id", IMAGE, "-u").strip() == str(_USER)
    checked = ran(dockerd, IMAGE, "check", "--profile=production")
    assert "policy revision" in checked or "revision" in checked


def test_the_bill_of_materials_names_what_is_installed(dockerd: Dockerd) -> None:
    bill = json.loads(ran(dockerd, "--entrypoint=cat", IMAGE, "/usr/share/opa-authz/sbom.cdx.json"))
    code = (
        "from importlib.metadata import distributions as d; import json;"
        "print(json.dumps([[x.name, x.version] for x in d()]))"
    )
    program = "--entrypoint=/opt/opa-authz/bin/python3"
    installed = {
        (name.lower(), version)
        for name, version in json.loads(ran(dockerd, program, IMAGE, "-c", code))
    }
    named = {(part["name"].lower(), part["version"]) for part in bill["components"]}
    assert {name for name, _ in installed - named} == {"docker-opa-authz"}
    assert named - installed == set()
    assert all(part["externalReferences"][0]["hashes"] for part in bill["components"])


def test_the_plugin_takes_little_room(dockerd: Dockerd) -> None:
    megabytes = ran(dockerd, "--entrypoint=du", IMAGE, "-sm", "/opt/opa-authz").split()[0]
    assert int(megabytes) < 150


def test_a_dockerd_asks_a_plugin_in_a_container_over_tls(dockerd: Dockerd, tmp_path: Path) -> None:
    settings, port = tmp_path / "settings", free_port()
    authority = Authority(settings)
    authority.issue("plugin")
    certificate, key = authority.issue("dockerd")
    (settings / "config.yaml").write_text(
        f"profile: production\nserver:\n  listen: 127.0.0.1:{port}\n"
        "  certificate: /etc/opa-authz/plugin.pem\n  key: /etc/opa-authz/plugin-key.pem\n"
        "  client_ca: /etc/opa-authz/ca.pem\nmetrics: {listen: off}\n"
    )
    for path in (settings, *settings.iterdir()):
        os.chown(path, _USER, _USER)
    name = f"opa-authz-{os.getpid()}-image"
    spec = json.loads((ROOT / "plugin.json").read_text())
    spec["Addr"] = f"https://127.0.0.1:{port}"
    spec["TLSConfig"] |= {
        "CAFile": str(authority.ca), "CertFile": str(certificate), "KeyFile": str(key)
    }  # fmt: skip
    file = Path(f"/etc/docker/plugins/{name}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(spec))
    try:
        dockerd.docker(
            "run", "--detach", "--name=plugin", "--network=host", "--read-only",
            "--cap-drop=ALL", "--security-opt=no-new-privileges:true",
            "--tmpfs=/tmp:mode=1777", f"--volume={settings}:/etc/opa-authz:ro", IMAGE, "serve",
        )  # fmt: skip
        wait_for(
            lambda: "guards the Docker API" in dockerd.docker("logs", "plugin").stderr,
            "the plugin",
            60,
        )
        with scratch_dockerd(prepare(NEWEST)) as guarded:
            guard_with(guarded, name)
            assert guarded.docker("ps").returncode == 0
            denied = call(guarded.socket, "GET", "/v1.44/volumes")
            assert denied.status == 403
            assert "authorization denied" in denied.text
    finally:
        file.unlink()
        dockerd.docker("rm", "--force", "plugin", check=False)
