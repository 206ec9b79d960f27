"""The operator tutorial, step by step as it stands in the docs, on a real dockerd.

The test stands in for systemd, for the registry and for PyPI. Paths of the host are replaced by
paths below a folder of the test, in commands and back again in their output.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
import requests

from tests.harness.dockerd import Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.pages import Step, steps
from tests.harness.plugin import Plugin, running_plugin
from tests.harness.prometheus import free_port
from tests.real.conftest import guard_with

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/tutorial/operator.md"
BIN: Final = Path(sys.executable).parent
NAME: Final = f"opa-authz-{os.getpid()}-tutorial"
_HOST_PATHS: Final = (
    "/opt/opa-authz",
    "/usr/local/bin",
    "/etc/opa-authz",
    "/etc/systemd/system",
    "/var/log/opa-authz",
    "/srv/data",
)


class Host:
    """A host for one reader of the tutorial: a dockerd, and what systemd would run."""

    def __init__(self, dockerd: Dockerd, folder: Path, cleanup: ExitStack) -> None:
        self.dockerd = dockerd
        self.folder = folder
        self._cleanup = cleanup
        self._service = ExitStack()
        self._plugin: Plugin | None = None
        self._replaced = {path: f"{folder}{path}" for path in _HOST_PATHS}
        self._replaced["/etc/docker/daemon.json"] = str(dockerd.config_file)
        self._replaced["127.0.0.1:9717"] = f"127.0.0.1:{free_port()}"
        self._replaced["127.0.0.1:2376"] = f"127.0.0.1:{free_port()}"
        self._replaced['["opa-authz"]'] = f'["{NAME}"]'
        self._replaced["plugin opa-authz:"] = f"plugin {NAME}:"
        for path in ("usr/local/bin", "etc/systemd/system", "srv"):
            (folder / path).mkdir(parents=True)
        cleanup.callback(self._stop_plugin)

    def run(self, step: Step) -> subprocess.CompletedProcess[str]:
        """Run a step; its exit status and its output as the page would have it."""
        if step.command == "docker pull busybox":
            self.dockerd.import_image("busybox")
        elif step.command.startswith("python3 -m venv "):
            return self._make_venv(Path(self._to_host(step.command.split()[-1])))
        elif step.command == "opa-authz console":
            return self._console()
        elif step.command.startswith("systemctl "):
            self._systemctl(step.command.removeprefix("systemctl "))
        else:
            return self._shell(self._to_host(step.command))
        return subprocess.CompletedProcess(step.command, 0, "", "")

    def _make_venv(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the command without its copy of pip, which is there already and takes seconds."""
        made = self._shell(f"python3 -m venv --without-pip {folder}")
        pip = folder / "bin/pip"
        pip.write_text(f'#!/bin/sh\nexec {folder}/bin/python -m pip "$@"\n')
        pip.chmod(0o755)
        return made

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        done.stdout = self._to_page(done.stdout)
        return done

    @property
    def _environment(self) -> dict[str, str]:
        engine = self.dockerd.engine
        path = (f"{self.folder}/usr/local/bin", engine.docker.parent, BIN, os.environ["PATH"])
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        return {
            **engine.environment,
            "PATH": ":".join(map(str, path)),
            # Everything that the plugin is made with and of is there already.
            "PYTHONPATH": packages,
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's reading: no isolation
            "PIP_NO_DEPS": "1",
            "PIP_NO_COMPILE": "1",
            "DOCKER_HOST": f"unix://{self.dockerd.socket}",
            "DOCKER_CONFIG": str(self.dockerd.folder / "client"),
            "OPA_AUTHZ_CONFIG": f"{self.folder}/etc/opa-authz/config.yaml",
            "OPA_AUTHZ_DATA_ROOT": str(self.dockerd.data_root),
        }

    def _console(self) -> subprocess.CompletedProcess[str]:
        """Start the console, open its link, see the newest denial, and press Ctrl-C."""
        port = free_port()
        command = [str(BIN / "opa-authz"), "console", f"--listen=127.0.0.1:{port}"]
        with subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, text=True
        ) as console:
            assert console.stdout is not None
            told = [console.stdout.readline() for _ in range(2)]
            browser = requests.Session()
            browser.get(told[1].strip(), timeout=10).raise_for_status()
            page = browser.get(f"http://127.0.0.1:{port}/?verdict=deny", timeout=10)
            assert "plugin.list" in page.text
            console.send_signal(signal.SIGINT)
        shown = "".join(told).replace(f"127.0.0.1:{port}", "127.0.0.1:9718")
        return subprocess.CompletedProcess("opa-authz console", console.returncode, shown)

    def _systemctl(self, command: str) -> None:
        match command:
            case "daemon-reload":
                pass
            case "enable --now opa-authz":
                assert (self.folder / "etc/systemd/system/opa-authz.service").is_file()
                self._start_plugin()
            case "reload opa-authz":
                assert self._plugin is not None
                self._plugin.reload()
                assert "is not taken over" not in self._plugin.log
            case "restart opa-authz":
                self._stop_plugin()
                self._start_plugin()
            case "disable --now opa-authz":
                self._stop_plugin()
            case "reload docker":
                config = json.loads(self.dockerd.config_file.read_text())
                assert config == {"authorization-plugins": [NAME]}
                guard_with(self.dockerd, NAME)
            case "restart docker":
                self._restart_docker()
            case _:
                pytest.fail(f"systemctl {command}")

    def _start_plugin(self) -> None:
        self._plugin = self._service.enter_context(
            running_plugin(
                self.folder,
                f"--config={self.folder}/etc/opa-authz/config.yaml",
                socket_=Path(f"/run/docker/plugins/{NAME}.sock"),
                environment={"OPA_AUTHZ_METRICS_LISTEN": self._replaced["127.0.0.1:9717"]},
                data_root=self.dockerd.data_root,
            )
        )

    def _stop_plugin(self) -> None:
        self._service.close()

    def _restart_docker(self) -> None:
        file = self.dockerd.config_file
        config = json.loads(file.read_text()) if file.exists() else {}
        folder = self.folder / "etc/systemd/system/docker.service.d"
        unit = "".join(drop_in.read_text() for drop_in in folder.glob("*.conf"))
        flags = re.findall(r"--host=tcp://\S+", unit)
        environment = dict(re.findall(r"^Environment=(\w+)=(.*)", unit, re.MULTILINE))
        self.dockerd.stop()
        engine, own = self.dockerd.engine, self.dockerd.folder
        self.dockerd = Dockerd(engine, own, config, flags, environment=environment)
        self._cleanup.callback(self.dockerd.stop)
        self.dockerd.start()

    def _to_host(self, text: str) -> str:
        for path, replaced in self._replaced.items():
            text = text.replace(path, replaced)
        return text

    def _to_page(self, text: str) -> str:
        for path, replaced in self._replaced.items():
            text = text.replace(replaced, path)
        return text


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.fail("a real dockerd needs root")
    with ExitStack() as cleanup:
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(NEWEST)))
        yield Host(dockerd, tmp_path, cleanup)


def test_every_step_of_the_tutorial_does_what_the_page_says(host: Host) -> None:
    done = 0
    for step in steps(PAGE):
        ran = host.run(step)
        assert ran.returncode == step.status, f"{step.command}\n{ran.stdout}{ran.stderr}"
        assert step.shows(ran.stdout), f"{step.command}\n{ran.stdout}"
        done += 1
    assert done > 40
