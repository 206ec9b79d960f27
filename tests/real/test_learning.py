"""A day in warn mode on a real daemon, what is learned of it, and the same day under that."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result

from authz_plugin.cli import cli
from authz_plugin.journal.chain import verify
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.plugin import running_plugin, wait_for
from tests.real.conftest import prepare_content

_WEB: Final = "--name=web --network=shop --volume=SITE:/site:ro --stop-signal=KILL"
DAY: Final = (
    "version",
    f"run --rm {IMAGE} true",
    "network create shop",
    "volume create data",
    f"run --rm --volume=data:/data {IMAGE} touch /data/x",
    f"run --detach {_WEB} {IMAGE} sleep 100",
    "exec web ls /site",
    "logs web",
    "container rm --force web",
    "network rm shop",
    "volume rm data",
)
ATTEMPT: Final = f"create --privileged --name=boss {IMAGE} true"
SECRET: Final = f"run --rm --env=TOKEN=hunter2 {IMAGE} echo hunter2"


class Host:
    """A dockerd, and the settings of the plugin that it asks."""

    def __init__(self, dockerd: Dockerd, folder: Path) -> None:
        self.dockerd = dockerd
        self.folder = folder
        self.name = f"opa-authz-{os.getpid()}-learning"
        self.site = folder / "site"
        self.audit = folder / "audit.jsonl"
        self.site.mkdir()

    def docker(self, line: str) -> subprocess.CompletedProcess[str]:
        return self.dockerd.docker(*line.replace("SITE", str(self.site)).split(), check=False)

    def lives(self, day: tuple[str, ...]) -> None:
        for line in day:
            done = self.docker(line)
            assert done.returncode == 0, (line, done.stderr)

    def settings(self, name: str, policy: str) -> Path:
        """A settings file with a policy configuration."""
        file = self.folder / name
        audit = f"audit: {{file: {self.audit}, inputs: true, sync: always}}\n"
        file.write_text(f"log: {{level: debug}}\n{audit}{policy}")
        return file


def opa_authz(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with scratch_dockerd(prepare(NEWEST)) as dockerd:
        prepare_content(dockerd)
        yield Host(dockerd, tmp_path_factory.mktemp("host"))


def test_a_day_in_warn_mode_becomes_a_policy_under_which_it_passes_but_for_the_attempt(
    host: Host,
) -> None:
    socket = Path(f"/run/docker/plugins/{host.name}.sock")
    warn = host.settings("warn.yaml", "profile: production\nmode: warn\n")
    root = host.dockerd.data_root
    with running_plugin(host.folder, f"--config={warn}", socket_=socket, data_root=root) as plugin:
        host.dockerd.reload({"authorization-plugins": [host.name]})
        wait_for(lambda: host.docker("version") and plugin.records(), "dockerd to ask", 20)
        host.lives((*DAY, SECRET, ATTEMPT, "rm boss"))
        assert plugin.stop() == 0
    _, findings = verify(host.audit)
    assert not findings
    assert "hunter2" not in host.audit.read_text()

    learned = opa_authz("learn", f"--config={warn}")
    assert learned.exit_code == 0, learned.output
    assert "#   --grant privileged.container\n" in learned.stdout
    assert learned.stdout.count("--grant ") == 1
    assert f"- path: {host.site}" in learned.stdout
    assert "hunter2" not in learned.stdout
    day = host.folder / "day.jsonl"
    host.audit.rename(day)

    learned_settings = host.settings("learned.yaml", learned.stdout)
    with running_plugin(
        host.folder, f"--config={learned_settings}", socket_=socket, data_root=root
    ):
        host.lives((*DAY, SECRET))
        denied = host.docker(ATTEMPT)
        assert "[privileged.container HostConfig.Privileged]" in denied.stderr
        beside = host.docker(f"run --rm --volume={host.folder}:/x {IMAGE} true")
        assert "[mounts.source HostConfig.Binds[0]]" in beside.stderr
        assert "[sections.operation" in host.docker("plugin ls").stderr

    options = (f"--file={day}", f"--config={learned_settings}", "--json")
    replayed = opa_authz("replay", *options)
    assert replayed.exit_code == 3, replayed.output
    document = json.loads(replayed.stdout)
    assert document["changed"] == {"denied": 1, "allowed": 0, "otherwise": 0}
    assert document["rules"]["denied"] == {"privileged.container": 1}
    assert document["requests"] > len(DAY)
    (group,) = document["groups"]
    assert group["was"]["warnings"] == ["privileged.container"]
    same = opa_authz("replay", f"--config={learned_settings}", "--since=1h")
    assert same.exit_code == 0, same.output


def test_what_doctor_asked_of_a_daemon_is_not_learned(host: Host) -> None:
    host.audit.unlink(missing_ok=True)
    warn = host.settings("doctor.yaml", "profile: production\nmode: warn\n")
    with running_plugin(
        host.folder,
        f"--config={warn}",
        socket_=Path(f"/run/docker/plugins/{host.name}.sock"),
        data_root=host.dockerd.data_root,
    ) as plugin:
        host.dockerd.reload({"authorization-plugins": [host.name]})
        host.lives(("network ls",))
        opa_authz("doctor", f"--host=unix://{host.dockerd.socket}", f"--config={warn}")
        assert plugin.stop() == 0
    learned = json.loads(opa_authz("learn", f"--config={warn}", "--json").stdout)
    (doctor,) = learned["own_tools"]
    assert (doctor["tool"], doctor["requests"] > 1) == ("doctor", True)
    assert learned["configuration"]["operations"] == {"network.list": "allow"}
