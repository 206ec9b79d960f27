"""What doctor sees of a host's processes, settings, accounts and files: on made-up hosts."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.doctor.access import check_files, check_plugin, check_socket
from authz_plugin.tools.doctor.dockerd import check_data_root, check_dockerd
from authz_plugin.tools.doctor.finding import Finding
from authz_plugin.tools.doctor.host import Host, inspect_host, untrusted_writers
from tests.conftest import with_policy

NOWHERE = Endpoint("unix:///none.sock", unix=Path("/none.sock"))


class Machine:
    """The files of a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("etc/group", f"docker:x:{os.getgid()}:alice,bob\n")
        self.write("etc/passwd", f"eve:x:1001:{os.getgid()}:e:/home/eve:/bin/sh\n")

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def daemon_json(self, **settings: Any) -> Path:
        return self.write("etc/docker/daemon.json", json.dumps(settings))

    def runs(self, *arguments: str, pid: int = 7, uid: int = 0) -> None:
        self.write(f"proc/{pid}/cmdline", "".join(f"{word}\0" for word in arguments))
        self.write(f"proc/{pid}/status", f"Name:\tdockerd\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")

    def host(self, endpoint: Endpoint = NOWHERE) -> Host:
        return inspect_host(self.root, endpoint)

    def own_host(self, **settings: Any) -> Host:
        """A host whose dockerd runs as who runs this test, and so trusts these files."""
        self.runs("dockerd", uid=os.geteuid())
        return inspect_host(self.root, NOWHERE, self.daemon_json(**settings))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def by_id(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.id: finding for finding in findings}


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["--host=unix:///a", "-H", "tcp://b"], ["unix:///a", "tcp://b"]),
        (["-H=c", "--host", "d"], ["c", "d"]),
        (["--hostname=x"], []),
    ],
)
def test_a_flag_is_read_in_all_its_spellings(
    machine: Machine, arguments: list[str], values: list[str]
) -> None:
    machine.runs("/usr/bin/dockerd", *arguments)
    dockerd = machine.host().dockerd
    assert dockerd is not None
    assert dockerd.values("--host") == values


def test_a_flag_without_a_value_is_on(machine: Machine) -> None:
    machine.runs("dockerd", "--tlsverify", "--host=tcp://0.0.0.0:2376")
    dockerd = machine.host().dockerd
    assert dockerd is not None
    assert dockerd.values("--tlsverify") == ["true"]


def test_of_several_dockerds_the_one_that_serves_the_endpoint_is_looked_at(
    machine: Machine,
) -> None:
    machine.runs("dockerd", "--host=unix:///other.sock", pid=5)
    machine.runs("dockerd", f"--host={NOWHERE.url}", pid=6)
    dockerd = machine.host().dockerd
    assert dockerd is not None
    assert dockerd.pid == 6
    machine.runs("dockerd", pid=6)
    assert machine.host().dockerd is None


def test_the_kernel_says_who_serves_a_socket(tmp_path: Path) -> None:
    """Looked up in the real /proc: this test's own process is no dockerd, and is not taken."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        machine = Machine(tmp_path)
        machine.runs("dockerd", pid=1)
        machine.runs("dockerd", "--debug", pid=os.getpid())
        dockerd = machine.host(Endpoint(f"unix://{path}", unix=path)).dockerd
    assert dockerd is not None
    assert dockerd.pid == os.getpid()


def test_daemon_json_is_where_dockerd_was_told(machine: Machine) -> None:
    machine.write("srv/d.json", '{"debug": true}')
    machine.runs("dockerd", "--config-file=/srv/d.json")
    assert machine.host().daemon_file.settings == {"debug": True}


def test_a_host_is_known_by_its_own_name(machine: Machine) -> None:
    assert machine.host().name == ""
    machine.write("etc/hostname", "prod-7\n")
    assert machine.host().name == "prod-7"


def test_a_rootless_dockerd_reads_the_file_of_its_user(machine: Machine) -> None:
    machine.write("home/eve/.config/docker/daemon.json", '{"debug": true}')
    machine.runs("dockerd", uid=1001)
    host = machine.host()
    assert host.is_rootless
    assert host.daemon_file.settings == {"debug": True}
    assert by_id(check_dockerd(host))["dockerd.user"].severity == "ok"


PLUGIN = "authorization-plugins"


@pytest.mark.parametrize(
    ("settings", "flags", "id_", "severity"),
    [
        ({PLUGIN: ["opa-authz"]}, [], "dockerd.plugin", "ok"),
        ({}, ["--authorization-plugin=opa-authz"], "dockerd.plugin-by-flag", "critical"),
        (
            {PLUGIN: ["opa-authz"]},
            ["--authorization-plugin=opa-authz"],
            "dockerd.plugin-twice",
            "warning",
        ),
        ({}, [], "dockerd.plugin-none", "critical"),
        ({PLUGIN: []}, [], "dockerd.plugin-none", "critical"),
        ({"authorization-plugin": ["x"]}, [], "dockerd.key-misspelt", "critical"),
        ({"authorisation-plugins": ["x"]}, [], "dockerd.key-misspelt", "critical"),
        ({"hosts": ["tcp://0.0.0.0:2375"]}, [], "dockerd.tcp-open", "critical"),
        ({"hosts": ["tcp://127.0.0.1:2375"]}, [], "dockerd.tcp-open", "warning"),
        ({"hosts": ["tcp://[::1]:2375"]}, [], "dockerd.tcp-open", "warning"),
        ({"hosts": ["tcp://0.0.0.0:2376"], "tls": True}, [], "dockerd.tcp-open", "critical"),
        ({"hosts": ["tcp://0.0.0.0:2376"], "tlsverify": True}, [], "dockerd.tcp", "ok"),
        ({}, ["--host=tcp://0.0.0.0:2376", "--tlsverify"], "dockerd.tcp", "ok"),
        ({"hosts": ["unix:///run/docker.sock"]}, [], "dockerd.tcp", "ok"),
        ({}, [], "dockerd.tcp", "ok"),
        ({}, [], "dockerd.user", "info"),
        ({"userns-remap": "default"}, [], "dockerd.user", "ok"),
        ({}, ["--userns-remap=default"], "dockerd.user", "ok"),
    ],
)
def test_dockerds_settings_are_judged_by_flag_and_file(
    machine: Machine, settings: dict[str, Any], flags: list[str], id_: str, severity: str
) -> None:
    machine.daemon_json(**settings)
    machine.runs("/usr/bin/dockerd", *flags)
    assert by_id(check_dockerd(machine.host()))[id_].severity == severity


def test_other_keys_are_not_called_misspelt(machine: Machine) -> None:
    machine.daemon_json(**{PLUGIN: ["opa-authz"], "storage-driver": "vfs", "log-opts": {}})
    machine.runs("dockerd")
    assert "dockerd.key-misspelt" not in by_id(check_dockerd(machine.host()))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_daemon_json_that_dockerd_will_refuse_is_found(machine: Machine, text: str) -> None:
    machine.write("etc/docker/daemon.json", text)
    assert by_id(check_dockerd(machine.host()))["dockerd.file"].severity == "warning"


def test_a_host_whose_dockerd_is_not_seen_says_so(machine: Machine) -> None:
    found = by_id(check_dockerd(machine.host()))
    assert set(found) == {"dockerd.unseen"}


@pytest.fixture
def listening(tmp_path: Path) -> Any:
    opened = []

    def open_socket(path: str, mode: int = 0o600) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        opened.append(listener)
        listener.bind(str(file))
        listener.listen()
        file.chmod(mode)
        return file

    yield open_socket
    for listener in opened:
        listener.close()


def at_socket(machine: Machine, path: Path) -> dict[str, Finding]:
    return by_id(check_socket(machine.host(Endpoint(f"unix://{path}", unix=path))))


def test_the_accounts_that_may_use_dockers_socket_are_named(
    machine: Machine, listening: Any
) -> None:
    found = at_socket(machine, listening("run/docker.sock", 0o660))
    assert found["socket.group"].severity == "info"
    assert "group docker may use it: alice, bob, eve" in found["socket.group"].what


def test_a_socket_that_its_group_may_not_use_is_in_order(machine: Machine, listening: Any) -> None:
    found = at_socket(machine, listening("run/docker.sock", 0o600))
    assert found["socket.group"].severity == "ok"


def test_a_socket_of_an_empty_group_is_in_order(machine: Machine, listening: Any) -> None:
    for file in ("etc/group", "etc/passwd"):
        machine.write(file, "")
    found = at_socket(machine, listening("run/docker.sock", 0o660))
    assert found["socket.group"].severity == "ok"


def test_a_socket_of_dockers_for_everybody_is_critical(machine: Machine, listening: Any) -> None:
    found = at_socket(machine, listening("run/docker.sock", 0o666))
    assert found["socket.everybody"].severity == "critical"


def test_a_socket_of_dockers_that_is_not_for_everybody_is_in_order(
    machine: Machine, listening: Any
) -> None:
    found = at_socket(machine, listening("run/docker.sock", 0o660))
    assert found["socket.everybody"].severity == "ok"


def plugin(machine: Machine) -> dict[str, Finding]:
    return by_id(check_plugin(machine.own_host(**{PLUGIN: ["opa-authz"]})))


SOCKET = "run/docker/plugins/opa-authz.sock"
SPEC = "etc/docker/plugins/opa-authz.spec"
DESCRIPTION = "etc/docker/plugins/opa-authz.json"


def test_a_plugin_that_is_nowhere_is_critical(machine: Machine) -> None:
    assert plugin(machine)["plugin.missing"].severity == "critical"


def test_a_plugin_that_listens_is_in_order(machine: Machine, listening: Any) -> None:
    listening(SOCKET)
    found = plugin(machine)
    # the test's folder lies below /tmp, which is everybody's but sticky
    assert {finding.severity for finding in found.values()} == {"ok"}, found


def test_a_socket_that_nobody_listens_on_is_critical(machine: Machine, listening: Any) -> None:
    listening(SOCKET)
    (machine.root / SOCKET).unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(machine.root / SOCKET))
    assert plugin(machine)["plugin.dead"].severity == "critical"


def test_a_socket_for_everybody_is_a_warning(machine: Machine, listening: Any) -> None:
    listening(SOCKET, 0o666)
    assert plugin(machine)["plugin.everybody"].severity == "warning"


def test_a_socket_that_others_can_replace_is_critical(machine: Machine, listening: Any) -> None:
    listening(SOCKET).parent.chmod(0o777)
    assert plugin(machine)["plugin.replaceable"].severity == "critical"


def test_a_specification_behind_a_socket_is_found(machine: Machine, listening: Any) -> None:
    listening(SOCKET)
    machine.write(SPEC, "unix:///run/other.sock")
    assert plugin(machine)["plugin.shadowed"].severity == "warning"


@pytest.mark.parametrize(
    ("path", "text", "id_"),
    [
        (SPEC, "unix:///run/x.sock\n", "plugin.specification"),
        (SPEC, "tcp://10.0.0.1:1", "plugin.unverified"),
        (SPEC, "https://10.0.0.1:1", "plugin.unverified"),
        (DESCRIPTION, '{"Addr": "https://h:1"}', "plugin.unverified"),
        (DESCRIPTION, '{"Addr": "https://h:1", "TLSConfig": {}}', "plugin.unverified"),
        (
            DESCRIPTION,
            '{"Addr": "https://h:1", "TLSConfig": {"CAFile": "/c", "InsecureSkipVerify": true}}',
            "plugin.unverified",
        ),
        (
            DESCRIPTION,
            '{"Addr": "tcp://h:1", "TLSConfig": {"CAFile": "/c"}}',
            "plugin.unverified",
        ),
        (
            DESCRIPTION,
            '{"Addr": "https://h:1", "TLSConfig": {"CAFile": "/c"}}',
            "plugin.specification",
        ),
    ],
)
def test_a_specification_must_say_whom_to_trust(
    machine: Machine, path: str, text: str, id_: str
) -> None:
    machine.write(path, text)
    assert set(plugin(machine)) == {id_}


def test_a_managed_plugin_can_be_switched_off(machine: Machine) -> None:
    machine.daemon_json(**{PLUGIN: ["registry.example/opa-authz:1"]})
    found = by_id(check_plugin(machine.host()))
    assert found["plugin.managed"].severity == "warning"


@pytest.mark.parametrize(
    ("mode", "folder_mode", "reasons"),
    [(0o644, 0o755, 0), (0o666, 0o755, 1), (0o644, 0o777, 1), (0o644, 0o1777, 0)],
)
def test_files_that_others_may_write_or_replace_are_found(
    machine: Machine, mode: int, folder_mode: int, reasons: int
) -> None:
    host = machine.own_host()
    host.daemon_file.path.chmod(mode)
    host.daemon_file.path.parent.chmod(folder_mode)
    assert len(list(untrusted_writers(host.daemon_file.path, host.trusted_uids))) == reasons
    found = by_id(check_files(host, None))
    assert found["files.writable"].severity == ("critical" if reasons else "ok")


def test_files_of_other_accounts_are_found(machine: Machine) -> None:
    file = machine.daemon_json()
    reasons = list(untrusted_writers(file, frozenset()))
    assert f"{file} belongs to uid {os.geteuid()}" in reasons


@pytest.mark.parametrize(
    ("told", "settings", "severity"),
    [
        ({}, {}, "ok"),
        ({"data-root": "/srv/docker"}, {}, "critical"),
        ({"data-root": "/srv/docker/"}, {"data_root": "/srv/docker"}, "ok"),
        ({}, {"data_root": "/srv/docker"}, "critical"),
    ],
)
def test_the_plugin_must_look_for_containers_where_dockerd_has_them(
    machine: Machine, told: dict[str, Any], settings: dict[str, Any], severity: str
) -> None:
    machine.daemon_json(**told)
    machine.runs("dockerd", "--host=fd://")
    (found,) = check_data_root(machine.host(), with_policy(**settings))
    assert (found.id, found.severity) == ("dockerd.data-root", severity)


def test_a_flag_tells_the_data_root_too(machine: Machine) -> None:
    machine.runs("dockerd", "--data-root=/srv/docker")
    (found,) = check_data_root(machine.host(), with_policy())
    assert found.severity == "critical"
    assert found.fix.startswith("set data_root: /srv/docker")


def test_a_plugin_that_sees_no_host_paths_looks_for_no_containers(machine: Machine) -> None:
    machine.runs("dockerd", "--data-root=/srv/docker")
    assert list(check_data_root(machine.host(), with_policy(host_paths="unseen"))) == []
