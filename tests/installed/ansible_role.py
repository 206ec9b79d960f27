"""The Ansible role in a clean Debian with systemd: ``make ansible-test`` (needs root and Debian's
packages)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.messages import LIST, REQUEST, VOLUMES
from tests.harness.certificates import Authority
from tests.harness.debian import Debian, running_debian
from tests.harness.engines import CACHE, make_once, unpack
from tests.harness.plugin import Connection, wait_for
from tests.harness.site import OPEN_VOLUMES, Site
from tests.harness.site import VOLUMES as CLOSED_VOLUMES
from tools.debian_package import build
from tools.wheels import make_wheel

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = "bookworm"
ANSIBLE: Final = "2.19.14"
LACKING: Final = {
    ".deb": ("python3-apt", "python-apt-common"),
    ".whl": (
        "python3-venv",
        "python3.11-venv",
        "python3-pip-whl",
        "python3-setuptools-whl",
        "python3-distutils",
        "python3-lib2to3",
    ),
}
"""What hosts have for Ansible's module ``apt``, and for ``python3 -m venv``."""

DOCKERD: Final = """\
[Service]
ExecStart=sleep infinity
ExecReload=cp /etc/docker/daemon.json /srv/reloaded.json
"""
"""A service under dockerd's name that says when it was reloaded, and with which settings."""


TOKEN: Final = "a-token-of-the-service"
SERVICE: Final = f"""\
import functools, http.server, ssl


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers["Authorization"] == "Bearer {TOKEN}":
            return super().do_GET()
        return self.send_error(401)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/service.pem", "/root/service-key.pem")
handler = functools.partial(Handler, directory="/srv")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@dataclass
class Managed:
    """A host that Ansible manages, from inside."""

    debian: Debian
    site: Site
    variables: dict[str, Any]

    def play(self, **variables: Any) -> tuple[int, dict[str, int], str]:
        """Run the role; its exit status, the counts of its recap and its output."""
        file = self.debian.folder / "root/variables.json"
        file.write_text(json.dumps(self.variables | variables))
        done = self.debian.run(
            *["env", "PYTHONPATH=/opt/ansible", "LC_ALL=C.UTF-8", "ANSIBLE_NOCOLOR=1"],
            *["python3", "-m", "ansible", "playbook", "--inventory=localhost,"],
            *["--connection=local", "--extra-vars=@/root/variables.json", "/root/role/play.yml"],
        )
        recap = dict(re.findall(r"(\w+)=(\d+)", done.stdout.rpartition("PLAY RECAP")[2]))
        return done.returncode, {name: int(count) for name, count in recap.items()}, done.stdout

    def push(self, sections: str) -> str:
        """Put a policy on the host's own web server; its revision."""
        self.site.write(sections)
        revision: str = self.site.build()["policy_revision"]
        shutil.copy(self.site.built, self.debian.folder / "srv/build.tar.gz")
        return revision

    def allows(self, message: Any) -> bool:
        socket = Path(f"/proc/{self.debian.first}/root/run/docker/plugins/opa-authz.sock")
        with Connection(socket) as connection:
            return bool(connection.post(REQUEST, message)["Allow"])

    def text(self, name: str) -> str:
        return (self.debian.folder / name).read_text()

    @property
    def daemon(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text("etc/docker/daemon.json"))
        return found

    @property
    def main_pid(self) -> str:
        return self.debian.must("systemctl", "show", "--property=MainPID", "--value", "opa-authz")


def ansible() -> Path:
    """ansible-core for the Python of the Debian, fetched unless that was done before."""
    target = CACHE / f"ansible-core-{ANSIBLE}"

    def make(partial: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        python = ["--python-version=3.11", "--only-binary=:all:", f"--target={partial}"]
        subprocess.run([*pip, *python, f"ansible-core=={ANSIBLE}"], check=True)

    make_once(target, make)
    return target


@pytest.fixture(scope="module", params=[".deb", ".whl"])
def managed(request: pytest.FixtureRequest) -> Iterator[Managed]:
    """A host to which nothing was done yet, for each kind of package."""
    folder = Path(tempfile.mkdtemp(prefix="opa-authz-ansible-"))
    made = folder / "made"
    made.mkdir()
    wheel = make_wheel(ROOT, made)
    deb = build(wheel, SUITE, made)  # it also fetches the wheels of the requirements
    try:
        (folder / "root").mkdir()
        with running_debian(SUITE, folder / "root") as debian:
            root = debian.folder
            lacking = CACHE / f"ansible{request.param}"
            unpack(SUITE, LACKING[request.param], lacking)
            copy(lacking, root)
            copy(ansible(), root / "opt/ansible")
            copy(ROOT / "deploy/ansible", root / "root/role")
            for wheels in (ROOT / ".cache/deb").glob("3.11-*"):
                copy(wheels, root / "root/wheels")
            package = deb if request.param == ".deb" else wheel
            site = Site(folder / "site")
            for file in (package, site.public_key):
                shutil.copy(file, root / "root")
            shutil.copy(ROOT / ".venv/bin/opa", root / "usr/bin/opa")
            roles = [{"role": "opa_authz"}]
            play = [{"hosts": "localhost", "gather_facts": False, "roles": roles}]
            (root / "root/role/play.yml").write_text(json.dumps(play))
            (root / "etc/docker").mkdir()
            before = {"log-level": "warn", "authorization-plugins": ["other"]}
            (root / "etc/docker/daemon.json").write_text(json.dumps(before))
            (root / "etc/systemd/system/docker.service").write_text(DOCKERD)
            debian.must("systemctl", "start", "docker")
            start_service(debian, folder / "authority")
            yield Managed(
                debian,
                site,
                {
                    "opa_authz_package": f"/root/{package.name}",
                    "opa_authz_public_key": f"/root/{site.public_key.name}",
                    "opa_authz_token": TOKEN,
                    "opa_authz_ca": "/root/ca.pem",
                    "opa_authz_fleet": {
                        "url": "https://127.0.0.1:8000",
                        "bundle": "{group}.tar.gz",
                        "labels": {"group": "build"},
                        "interval": 2,
                    },
                    "opa_authz_service_addresses": ["192.0.2.20"],
                    "opa_authz_pip_arguments": ["--no-index", "--find-links=/root/wheels"],
                    "opa_authz_retries": 5,
                },
            )
    finally:
        shutil.rmtree(folder)


def start_service(debian: Debian, authority: Path) -> None:
    """Serve /srv on the host's loopback interface, by TLS, to those who have the token."""
    Authority(authority).issue("service")
    for name in ("ca.pem", "service.pem", "service-key.pem"):
        shutil.copy(authority / name, debian.folder / "root")
    (debian.folder / "root/service.py").write_text(SERVICE)
    debian.must("systemd-run", "--unit=site", "python3", "/root/service.py")


def copy(source: Path, target: Path) -> None:
    """Copy a tree into another, which may have links in the place of some of its folders."""
    target.mkdir(parents=True, exist_ok=True)
    through = 'tar -C "$1" -c . | tar -C "$2" --keep-directory-symlink --no-same-owner -x'
    subprocess.run(["bash", "-o", "pipefail", "-c", through, "-", source, target], check=True)


def test_1_without_a_policy_dockerd_is_not_told_to_ask_the_plugin(managed: Managed) -> None:
    status, _, output = managed.play(opa_authz_retries=2)
    assert status != 0
    assert "start the plugin, which fetches it" in output, output
    assert TOKEN not in output
    assert managed.daemon["authorization-plugins"] == ["other"]
    assert not managed.allows(LIST), "a host that never had a policy denies"


def test_2_with_a_policy_dockerd_asks_it_beside_its_other_plugins(managed: Managed) -> None:
    managed.push(CLOSED_VOLUMES)
    status, recap, output = managed.play()
    assert (status, recap["failed"]) == (0, 0), output
    assert managed.daemon == {
        "log-level": "warn",
        "authorization-plugins": ["other", "opa-authz"],
    }
    assert json.loads(managed.text("srv/reloaded.json")) == managed.daemon
    assert managed.debian.must("systemctl", "is-enabled", "opa-authz") == "enabled"
    assert (managed.allows(LIST), managed.allows(VOLUMES)) == (True, False)
    mode = managed.debian.must("stat", "--format=%U:%a", "/etc/opa-authz/service.token")
    assert mode == "root:600"


def test_3_again_it_changes_nothing(managed: Managed) -> None:
    before = managed.main_pid
    status, recap, output = managed.play()
    assert (status, recap["changed"]) == (0, 0), output
    assert managed.main_pid == before


def test_4_the_unit_lets_the_plugin_keep_policies_and_reach_the_service(managed: Managed) -> None:
    managed.push(OPEN_VOLUMES)
    wait_for(lambda: managed.allows(VOLUMES), "the new policy", 30)
    shown = managed.debian.must(
        "systemctl", "show", "--property=IPAddressAllow,StateDirectory", "opa-authz"
    )
    assert "192.0.2.20/32" in shown
    assert "StateDirectory=opa-authz" in shown
    assert '"read"' in managed.text("var/lib/opa-authz/fleet/current/policy.json")


def test_5_settings_with_a_mistake_are_not_written(managed: Managed) -> None:
    before, written = managed.main_pid, managed.text("etc/opa-authz/config.yaml")
    status, _, output = managed.play(opa_authz_settings={"audti": {}})
    assert status != 0
    assert "audti" in output
    assert managed.text("etc/opa-authz/config.yaml") == written
    assert managed.main_pid == before


def test_6_changed_settings_restart_the_plugin_once(managed: Managed) -> None:
    before = managed.main_pid
    changed = {"opa_authz_settings": {"deadline": 2}}
    status, recap, output = managed.play(**changed)
    assert (status, recap["changed"]) == (0, 2), output
    assert managed.main_pid != before
    assert managed.allows(VOLUMES)
    assert managed.play(**changed)[1]["changed"] == 0
