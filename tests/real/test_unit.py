"""The systemd unit: its rights are few, and enough."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson
import pytest

from tests.faults.messages import LIST, REQUEST, VOLUMES, create
from tests.harness.engines import CACHE, unpack
from tests.harness.plugin import Plugin, wait_for

UNIT: Final = Path(__file__).parents[2] / "deploy/systemd/opa-authz.service"
EXPOSURE: Final = 3.2
"""As systemd 252 reckons: 0 for a service that may nothing, 10 for one that may everything."""


def directives(name: str) -> list[str]:
    lines = [line.strip() for line in UNIT.read_text().splitlines()]
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def test_its_exposure_is_what_the_documentation_says() -> None:
    folder = CACHE / "systemd"
    unpack("bookworm", ("systemd", "libsystemd-shared", "libsystemd0"), folder)
    libraries = {str(library.parent) for library in folder.glob("**/*.so*")}
    done = subprocess.run(
        [folder / "usr/bin/systemd-analyze", "security", "--offline=true", UNIT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries))},
    )
    assert f"opa-authz.service: {EXPOSURE} OK" in done.stdout
    assert f"**{EXPOSURE}**" in (UNIT.parents[2] / "docs/explanation/threat-model.md").read_text()


@pytest.fixture
def confined() -> Iterator[Plugin]:
    """The plugin with the unit's capabilities, on a file system that is read-only as its."""
    (capabilities,) = directives("CapabilityBoundingSet")
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities.split())
    assert directives("ProtectSystem") == ["strict"]
    assert directives("ReadWritePaths") == ["/run"]
    folder = Path(tempfile.mkdtemp(prefix="opa-authz-unit-", dir="/run"))
    program = Path(sys.executable).with_name("opa-authz")
    serve = f"{program} serve --profile=devcontainer --socket={folder}/plugin.sock"
    confine = f"setpriv --bounding-set=-all,{kept} --inh-caps=-all --no-new-privs"
    script = f"mount --bind /run /run && mount -o remount,bind,ro / && exec {confine} {serve}"
    with (folder / "plugin.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", script],
            env={
                **os.environ,
                "OPA_AUTHZ_METRICS_LISTEN": f"unix:{folder}/metrics.sock",
                "OPA_AUTHZ_AUDIT_FILE": f"{folder}/audit.jsonl",
            },
            stdout=log,
            stderr=log,
        )
    plugin = Plugin(process, folder / "plugin.sock", folder / "plugin.log")
    try:
        wait_for(
            lambda: "guards the Docker API" in plugin.log or process.poll() is not None,
            "the plugin to serve",
            30,
        )
        yield plugin
    finally:
        if process.poll() is None:
            assert plugin.stop() == 0
        shutil.rmtree(folder)


def test_it_works_with_the_rights_that_its_unit_leaves_it(confined: Plugin, tmp_path: Path) -> None:
    effective = Path(f"/proc/{confined.process.pid}/status").read_text()
    assert "CapEff:\t00000000000000ef" in effective
    assert "NoNewPrivs:\t1" in effective
    assert confined.post(REQUEST, LIST)["Allow"]
    assert confined.post(REQUEST, VOLUMES)["Allow"]
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "link").symlink_to("/etc")
    closed.chmod(0o700)
    os.chown(closed, 65534, 65534)  # root enters it by CAP_DAC_READ_SEARCH alone
    answer = confined.post(REQUEST, create(HostConfig={"Binds": [f"{closed}/link:/x"]}))
    assert "(a link to /etc)" in answer["Msg"]
    confined.reload()
    assert "is in force" in confined.log
    audit = (confined.socket.parent / "audit.jsonl").read_bytes().splitlines()
    assert orjson.loads(audit[0])["event"] == "audit_opened"
