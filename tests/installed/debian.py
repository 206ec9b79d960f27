"""The Debian package in a clean Debian with systemd: ``make deb-test`` (needs root and Debian's
packages)."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.messages import LIST, REQUEST, VOLUMES
from tests.harness.debian import Debian, running_debian
from tests.harness.plugin import Connection, wait_for
from tools.debian_package import SUITES, build
from tools.wheels import make_wheel

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = "etc/opa-authz/config.yaml"
SOCKET: Final = "run/docker/plugins/opa-authz.sock"
SYSTEM: Final = "/etc/systemd/system"
UNIT: Final = "opa-authz.service"


@pytest.fixture(scope="module", params=SUITES)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package for a Debian release; its folder has the release's name."""
    folder = tmp_path_factory.mktemp("made") / request.param
    folder.mkdir()
    return build(make_wheel(ROOT, folder), request.param, folder)


@pytest.fixture(scope="module")
def debian(package: Path) -> Iterator[Debian]:
    """A running Debian that has the package, and a newer one, in /root."""
    folder = Path(tempfile.mkdtemp(prefix="opa-authz-debian-"))
    try:
        with running_debian(package.parent.name, folder) as started:
            shutil.copy(package, folder / "root/old.deb")
            newer(package, folder / "root/new.deb")
            yield started
    finally:
        shutil.rmtree(folder)


def newer(package: Path, target: Path) -> None:
    """The same package with a higher version, and another settings file."""
    tree = target.with_suffix(".tree")
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    text = control.read_text()
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 99.0", text))
    (tree / CONFIG).write_text((tree / CONFIG).read_text() + "# of the newer version\n")
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, target], check=True
    )
    shutil.rmtree(tree)


def main_pid(debian: Debian) -> str:
    return debian.must("systemctl", "show", "--property=MainPID", "--value", UNIT)


def journal(debian: Debian, unit: str = UNIT) -> str:
    return debian.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}").stdout


def verdicts(debian: Debian) -> list[bool]:
    """Whether the lists of containers and of volumes are allowed, asked as dockerd asks."""
    with Connection(Path(f"/proc/{debian.first}/root") / SOCKET) as connection:
        return [connection.post(REQUEST, message)["Allow"] for message in (LIST, VOLUMES)]


def test_1_installed_systemd_starts_it_and_it_decides(debian: Debian) -> None:
    debian.must("apt-get", "install", "--yes", "/root/old.deb")
    assert debian.must("systemctl", "is-active", UNIT) == "active", journal(debian)
    assert debian.must("systemctl", "is-enabled", UNIT) == "enabled"
    assert verdicts(debian) == [True, False]
    audit = debian.folder / "var/log/opa-authz/audit.jsonl"
    wait_for(lambda: '"verdict":"deny"' in audit.read_text(), "the audit file")
    assert debian.must("opa-authz", "check").startswith("sound: profile production")
    assert debian.must("opa-authz", "--version").startswith("opa-authz, version ")


def test_2_it_runs_with_the_rights_of_its_unit(debian: Debian) -> None:
    status = debian.must("cat", f"/proc/{main_pid(debian)}/status")
    assert "CapBnd:\t00000000000000ef" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    program = debian.folder / "usr/lib/opa-authz/lib"
    assert list(program.rglob("__pycache__/*.pyc"))
    account = debian.must("getent", "passwd", "opa-authz-front")
    assert account.endswith("/usr/sbin/nologin")
    assert debian.must("stat", "--format=%U:%G:%a", "/run/docker-engine").startswith("root:opa-")


def test_3_its_files_are_what_dpkg_says_and_systemd_and_man_can_read_them(debian: Debian) -> None:
    assert debian.must("dpkg", "--verify", "opa-authz") == ""
    listed = debian.must("dpkg", "--listfiles", "opa-authz").splitlines()
    units = [name for name in listed if name.startswith("/usr/lib/systemd/system/opa-")]
    assert len(units) >= 5
    mine = [unit for unit in units if "front" not in unit]  # HAProxy is not installed here
    assert debian.must("systemd-analyze", "verify", "--man=no", *mine) == ""
    show = (
        "for page in /usr/share/man/man1/opa-authz*; do zcat $page | groff -Kutf8 -man -ww -z; done"
    )
    assert debian.must("sh", "-c", show) == ""


def test_4_the_console_reads_the_audit_file_and_has_no_other_right(debian: Debian) -> None:
    unit, drop_in = "opa-authz-console.service", "opa-authz.service.d/console.conf"
    debian.must("install", "-D", f"/usr/share/opa-authz/systemd/{drop_in}", f"{SYSTEM}/{drop_in}")
    debian.must("systemctl", "daemon-reload")
    debian.must("systemctl", "restart", UNIT)
    assert verdicts(debian) == [True, False]
    debian.must("systemctl", "start", unit)
    wait_for(lambda: "/enter?token=" in journal(debian, unit), "the console's link", 30)
    socket = f"/proc/{debian.first}/root/run/opa-authz-console/console.sock"
    link = re.findall(r"http\S+", journal(debian, unit))[-1]
    cookies = debian.folder / "root/cookies"
    curl = ["curl", "--silent", "--unix-socket", socket]
    subprocess.run([*curl, "--cookie-jar", cookies, link], stdout=subprocess.DEVNULL, check=True)
    page = subprocess.run(
        [*curl, "--cookie", cookies, "http://localhost/"], stdout=subprocess.PIPE, check=True
    )
    assert b'class="mark bad">deny</b>' in page.stdout
    pid = debian.must("systemctl", "show", "--property=MainPID", "--value", unit)
    status = debian.must("cat", f"/proc/{pid}/status")
    account = debian.must("getent", "passwd", "opa-authz-console")
    assert re.search(r"Uid:\t(\d+)", status)[1] == account.split(":")[2]  # type: ignore[index]
    assert "CapBnd:\t0000000000000000" in status
    debian.must("systemctl", "reload", unit)
    wait_for(lambda: journal(debian, unit).count("token=") == 2, "another link", 10)
    debian.must("systemctl", "stop", unit)
    debian.must("rm", "-r", f"{SYSTEM}/opa-authz.service.d")
    debian.must("systemctl", "daemon-reload")


def test_5_written_settings_are_loaded_by_the_units_of_the_reload(debian: Debian) -> None:
    debian.must("systemctl", "start", "opa-authz-reload.path")
    before = main_pid(debian)
    (debian.folder / CONFIG).write_text("profile: devcontainer\n")
    wait_for(lambda: verdicts(debian) == [True, True], "the new profile", 30)
    assert main_pid(debian) == before
    (debian.folder / CONFIG).write_text("profile: nonsense\n")
    wait_for(
        lambda: "nonsense" in journal(debian, "opa-authz-reload.service"),
        "the mistake's report",
        30,
    )
    assert verdicts(debian) == [True, True]


def test_6_an_upgrade_with_a_mistake_in_the_settings_stops_nothing(debian: Debian) -> None:
    before = main_pid(debian)
    done = debian.run("dpkg", "--force-confold", "--install", "/root/new.deb")
    assert done.returncode == 0, done.stdout
    assert "the settings have a mistake" in done.stdout
    assert main_pid(debian) == before
    assert verdicts(debian) == [True, True]
    debian.must("dpkg", "--force-confold", "--install", "/root/old.deb")


def test_7_an_upgrade_keeps_the_settings_and_starts_the_new_version(debian: Debian) -> None:
    (debian.folder / CONFIG).write_text("profile: devcontainer\n")
    before = main_pid(debian)
    debian.must("dpkg", "--force-confold", "--install", "/root/new.deb")
    assert (debian.folder / CONFIG).read_text() == "profile: devcontainer\n"
    assert "of the newer version" in (debian.folder / f"{CONFIG}.dpkg-dist").read_text()
    assert debian.must("dpkg-query", "--show", "--showformat=${Version}", "opa-authz") == "99.0"
    assert main_pid(debian) not in {before, "0"}
    assert verdicts(debian) == [True, True]


def test_8_it_is_not_removed_while_dockerd_asks_it(debian: Debian) -> None:
    daemon = debian.folder / "etc/docker/daemon.json"
    daemon.parent.mkdir()
    daemon.write_text('{"authorization-plugins": ["opa-authz"]}')
    done = debian.run("dpkg", "--remove", "opa-authz")
    assert done.returncode != 0
    assert "/etc/docker/daemon.json names it" in done.stdout
    assert debian.must("systemctl", "is-active", UNIT) == "active"
    shutil.rmtree(daemon.parent)


def test_9_removed_it_keeps_settings_and_records_and_purged_nothing(debian: Debian) -> None:
    debian.must("apt-get", "remove", "--yes", "opa-authz")
    assert debian.run("systemctl", "is-active", UNIT).stdout.strip() == "inactive"
    assert (debian.folder / CONFIG).exists()
    assert (debian.folder / "var/log/opa-authz/audit.jsonl").exists()
    debian.must("apt-get", "purge", "--yes", "opa-authz")
    left = debian.must("find", "/", "-xdev", "-name", "*opa-authz*", "-not", "-path", "/proc/*")
    assert left == ""


def test_10_the_same_checkout_gives_the_same_package(package: Path, tmp_path: Path) -> None:
    again = build(make_wheel(ROOT, tmp_path), package.parent.name, tmp_path)
    assert again.read_bytes() == package.read_bytes()
