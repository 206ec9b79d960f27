"""How dockerd is set: what is told by flag and file, and what dockerd says of itself."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.doctor.dockerd import check_reported_data_root
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.doctor.hardening import check_dockerd_info, check_dockerd_settings
from authz_plugin.tools.doctor.host import Host, inspect_host
from tests.conftest import with_policy

NOWHERE = Endpoint("unix:///none.sock", unix=Path("/none.sock"))
PLAIN = {
    "Driver": "overlay2",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
    "Swarm": {"LocalNodeState": "inactive"},
}


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Host]:
    def make(settings: dict[str, Any], *flags: str, uid: int = 0) -> Host:
        for path, text in {
            "etc/docker/daemon.json": json.dumps(settings),
            "proc/7/cmdline": "".join(f"{word}\0" for word in ("dockerd", *flags)),
            "proc/7/status": f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n",
        }.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return inspect_host(tmp_path, NOWHERE, tmp_path / "etc/docker/daemon.json")

    return make


def by_id(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.id: finding for finding in findings}


@pytest.mark.parametrize(
    ("settings", "flags", "id_", "severity"),
    [
        ({}, [], "dockerd.icc", "info"),
        ({"icc": False}, [], "dockerd.icc", "ok"),
        ({}, ["--icc=false"], "dockerd.icc", "ok"),
        ({"icc": True}, [], "dockerd.icc", "info"),
        ({}, [], "dockerd.log-level", "ok"),
        ({"log-level": "info"}, [], "dockerd.log-level", "ok"),
        ({"log-level": "warn"}, [], "dockerd.log-level", "info"),
        ({}, ["-l", "debug"], "dockerd.log-level", "info"),
        ({"log-level": "info", "debug": True}, [], "dockerd.log-level", "info"),
        ({"debug": False}, [], "dockerd.log-level", "ok"),
        ({}, ["-D"], "dockerd.log-level", "info"),
        ({}, [], "dockerd.iptables", "ok"),
        ({"iptables": False}, [], "dockerd.iptables", "info"),
        ({}, ["--iptables=false"], "dockerd.iptables", "info"),
        ({}, [], "dockerd.insecure-registry", "ok"),
        ({"insecure-registries": []}, [], "dockerd.insecure-registry", "ok"),
        ({"insecure-registries": ["r:5000"]}, [], "dockerd.insecure-registry", "warning"),
        ({}, ["--insecure-registry=10.0.0.0/8"], "dockerd.insecure-registry", "warning"),
        ({}, [], "dockerd.ulimit", "info"),
        ({"default-ulimits": {}}, [], "dockerd.ulimit", "info"),
        ({"default-ulimits": {"nofile": {"Hard": 1}}}, [], "dockerd.ulimit", "ok"),
        ({}, ["--default-ulimit", "nofile=1:2"], "dockerd.ulimit", "ok"),
        ({}, [], "dockerd.cgroup-parent", "ok"),
        ({"cgroup-parent": "/x"}, [], "dockerd.cgroup-parent", "info"),
        ({}, [], "dockerd.base-size", "ok"),
        ({"storage-opts": ["overlay2.size=1G"]}, [], "dockerd.base-size", "ok"),
        ({"storage-opts": ["dm.basesize=50G"]}, [], "dockerd.base-size", "info"),
        ({}, [], "dockerd.log-driver", "info"),
        ({"log-driver": "local"}, [], "dockerd.log-driver", "info"),
        ({"log-driver": "syslog"}, [], "dockerd.log-driver", "ok"),
        ({}, [], "dockerd.no-new-privileges", "info"),
        ({"no-new-privileges": True}, [], "dockerd.no-new-privileges", "ok"),
        ({}, ["--no-new-privileges"], "dockerd.no-new-privileges", "ok"),
        ({}, [], "dockerd.live-restore", "info"),
        ({"live-restore": True}, [], "dockerd.live-restore", "ok"),
        ({}, [], "dockerd.userland-proxy", "info"),
        ({"userland-proxy": False}, [], "dockerd.userland-proxy", "ok"),
        ({}, [], "dockerd.experimental", "ok"),
        ({"experimental": True}, [], "dockerd.experimental", "info"),
        ({}, [], "dockerd.rootless", "info"),
    ],
)
def test_a_setting_is_judged_by_flag_file_and_default(
    host: Callable[..., Host],
    settings: dict[str, Any],
    flags: list[str],
    id_: str,
    severity: str,
) -> None:
    finding = by_id(check_dockerd_settings(host(settings, *flags)))[id_]
    assert finding.severity == severity
    assert bool(finding.fix) is (severity != "ok")


def test_a_rootless_dockerd_is_in_order(host: Callable[..., Host]) -> None:
    assert by_id(check_dockerd_settings(host({}, uid=1001)))["dockerd.rootless"].severity == "ok"


def test_a_finding_names_the_value_that_it_is_about(host: Callable[..., Host]) -> None:
    found = by_id(check_dockerd_settings(host({"insecure-registries": ["a:1", "b:2"]})))
    assert found["dockerd.insecure-registry"].what.endswith(": a:1, b:2")


def test_nothing_is_said_of_settings_that_cannot_all_be_seen(
    host: Callable[..., Host], tmp_path: Path
) -> None:
    host({})
    (tmp_path / "etc/docker/daemon.json").write_text("{")
    unreadable = inspect_host(tmp_path, NOWHERE, tmp_path / "etc/docker/daemon.json")
    assert list(check_dockerd_settings(unreadable)) == []
    (tmp_path / "etc/docker/daemon.json").write_text("{}")
    (tmp_path / "proc/7/cmdline").unlink()
    unseen = inspect_host(tmp_path, NOWHERE, tmp_path / "etc/docker/daemon.json")
    assert list(check_dockerd_settings(unseen)) == []


@contextmanager
def answering(status: str, body: Any, folder: Path) -> Iterator[Endpoint]:
    """An endpoint that gives one answer to one request."""
    path = folder / "docker.sock"
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode()

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(head + content)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        yield Endpoint(f"unix://{path}", unix=path)
        thread.join()


@pytest.mark.parametrize(
    ("changes", "id_", "severity"),
    [
        ({}, "dockerd.swarm", "ok"),
        ({"Swarm": {"LocalNodeState": "active"}}, "dockerd.swarm", "info"),
        ({"Swarm": None}, "dockerd.swarm", "info"),
        ({}, "dockerd.storage-driver", "ok"),
        ({"Driver": "aufs"}, "dockerd.storage-driver", "info"),
        ({"Driver": ""}, "dockerd.storage-driver", "info"),
        ({}, "dockerd.seccomp", "ok"),
        ({"SecurityOptions": ["name=seccomp,profile=default"]}, "dockerd.seccomp", "ok"),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, "dockerd.seccomp", "warning"),
        ({"SecurityOptions": ["name=apparmor"]}, "dockerd.seccomp", "warning"),
        ({"SecurityOptions": None}, "dockerd.seccomp", "warning"),
        ({}, "dockerd.confinement", "ok"),
        ({"SecurityOptions": ["name=selinux"]}, "dockerd.confinement", "ok"),
        ({"SecurityOptions": ["name=seccomp,profile=builtin"]}, "dockerd.confinement", "info"),
    ],
)
def test_dockerds_account_of_itself_is_judged(
    tmp_path: Path, changes: dict[str, Any], id_: str, severity: str
) -> None:
    with answering("200 OK", {**PLAIN, **changes}, tmp_path) as endpoint:
        found = by_id(check_dockerd_info(endpoint))
    assert set(found) == {
        "dockerd.swarm", "dockerd.storage-driver", "dockerd.seccomp", "dockerd.confinement"
    }  # fmt: skip
    assert found[id_].severity == severity


@pytest.mark.parametrize(
    ("said", "critical"),
    [
        ("/srv/docker", False),
        ("/srv/docker/100000.100000", False),
        ("/srv/docker/", False),
        ("/home/me/.local/share/docker", True),
        ("/srv/docker/inner", True),
        ("", False),
    ],
)
def test_dockerd_s_own_word_on_its_data_root_counts(
    tmp_path: Path, said: str, critical: bool
) -> None:
    settings = with_policy(data_root="/srv/docker")
    with answering("200 OK", {"DockerRootDir": said}, tmp_path) as endpoint:
        found = by_id(check_reported_data_root(endpoint, settings))
    assert {id_: finding.severity for id_, finding in found.items()} == (
        {"dockerd.root-in-use": "critical"} if critical else {}
    )


@pytest.mark.parametrize(
    ("status", "settings"), [("403 Forbidden", {}), ("200 OK", {"host_paths": "unseen"})]
)
def test_a_data_root_that_is_not_told_or_not_looked_in_is_not_compared(
    tmp_path: Path, status: str, settings: dict[str, Any]
) -> None:
    with answering(status, {"DockerRootDir": "/elsewhere"}, tmp_path) as endpoint:
        assert list(check_reported_data_root(endpoint, with_policy(**settings))) == []


def test_an_account_that_is_denied_proves_nothing(tmp_path: Path) -> None:
    with answering("403 Forbidden", {"message": "denied"}, tmp_path) as endpoint:
        (finding,) = check_dockerd_info(endpoint)
    assert (finding.id, finding.severity) == ("dockerd.info", "info")
    assert "denied" in finding.why
