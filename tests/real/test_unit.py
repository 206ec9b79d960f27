"""The systemd units: their rights are few, and enough."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson
import pytest

from authz_plugin.hostpaths import SYSTEM_CACHE
from tests.faults.messages import LIST, REQUEST, VOLUMES, create
from tests.harness.bundle_services import running_registry
from tests.harness.engines import CACHE, unpack
from tests.harness.plugin import Plugin, wait_for
from tests.harness.site import DENY_PINGS, OPEN_VOLUMES, Site

SYSTEMD: Final = Path(__file__).parents[2] / "deploy/systemd"
UNIT: Final = SYSTEMD / "opa-authz.service"
EXPOSURES: Final = {
    "opa-authz.service": 3.2,
    "opa-authz-front.service": 1.5,
    "opa-authz-console.service": 1.3,
}
"""As systemd 252 reckons: 0 for a service that may nothing, 10 for one that may everything."""
PAGES: Final = {
    "opa-authz.service": "threat-model",
    "opa-authz-front.service": "native-grpc",
    "opa-authz-console.service": "console",
}


def directives(name: str, unit: Path = UNIT) -> list[str]:
    lines = [line.strip() for line in unit.read_text().splitlines()]
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def confine(unit: Path = UNIT) -> list[str]:
    """The arguments that run a program with the capabilities that a unit leaves it."""
    (capabilities,) = directives("CapabilityBoundingSet", unit)
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities.split())
    return ["setpriv", f"--bounding-set=-all,{kept}", "--inh-caps=-all", "--no-new-privs"]


def systemd(
    program: str, *arguments: str | Path, path: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program of Debian bookworm's systemd; ``path`` is where it looks for units."""
    folder = CACHE / "systemd"
    unpack("bookworm", ("systemd", "libsystemd-shared", "libsystemd0"), folder)
    libraries = {str(library.parent) for library in folder.glob("**/*.so*")}
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries))}
    (found,) = folder.glob(f"**/bin/{program}")
    return subprocess.run(
        [found, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment | ({"SYSTEMD_UNIT_PATH": path} if path else {}),
    )


@pytest.mark.parametrize("unit", EXPOSURES)
def test_its_exposure_is_what_the_documentation_says(unit: str) -> None:
    done = systemd("systemd-analyze", "security", "--offline=true", SYSTEMD / unit)
    assert done.returncode == 0, done.stderr
    assert f"{unit}: {EXPOSURES[unit]} OK" in done.stdout
    (page,) = (UNIT.parents[2] / "docs").glob(f"*/{PAGES[unit]}.md")
    assert f"**{EXPOSURES[unit]}**" in page.read_text()


def test_systemd_accepts_the_units_with_their_drop_ins(tmp_path: Path) -> None:
    unpack("bookworm", ("docker.io",), CACHE / "bookworm")
    own = CACHE / "systemd/lib/systemd/system"
    docker = CACHE / "bookworm/lib/systemd/system"
    for source in (docker / "docker.service", docker / "docker.socket", *SYSTEMD.iterdir()):
        if source.is_dir():
            shutil.copytree(source, tmp_path / source.name)
        else:
            text = source.read_text()
            for program in ("sbin/haproxy", "sbin/dockerd", "local/bin/opa-authz", "bin/systemctl"):
                text = text.replace(f"/usr/{program} ", "/bin/true ")
            (tmp_path / source.name).write_text(text)
    mine = [source.name for source in SYSTEMD.iterdir() if source.is_file()]
    units = [tmp_path / name for name in ("docker.socket", "docker.service", *mine)]
    done = systemd("systemd-analyze", "verify", "--man=no", *units, path=f"{tmp_path}:{own}")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_folder_of_dockerds_own_socket_is_for_root_and_the_front(tmp_path: Path) -> None:
    """Tried by the programs that systemd runs at its start."""
    deploy = SYSTEMD.parent
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    for program, kind in (("systemd-sysusers", "sysusers.d"), ("systemd-tmpfiles", "tmpfiles.d")):
        file = deploy / kind / "opa-authz-front.conf"
        options = ["--create"] if kind == "tmpfiles.d" else []
        systemd(program, f"--root={tmp_path}", *options, file)
    name, _, uid, gid, *_ = (tmp_path / "etc/passwd").read_text().strip().split(":")
    unit = (SYSTEMD / "opa-authz-front.service").read_text()
    assert f"\nUser={name}\n" in unit
    facts = (tmp_path / "run/docker-engine").stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (0, int(gid), 0o750)
    assert uid != "0"


@contextmanager
def running_confined(state: Path, *options: str) -> Iterator[Plugin]:
    """The plugin with the unit's capabilities, on a file system that is read-only as its; ``state``
    is the folder that systemd makes for it, and its cache is empty."""
    assert directives("ProtectSystem") == ["strict"]
    assert directives("ReadWritePaths") == ["/run"]
    assert directives("StateDirectory") == ["opa-authz"]
    folder = Path(tempfile.mkdtemp(prefix="opa-authz-unit-", dir="/run"))
    program = Path(sys.executable).with_name("opa-authz")
    serve = shlex.join(
        [*confine(), str(program), "serve", f"--socket={folder}/plugin.sock", *options]
    )
    writable = " && ".join(f"mount --bind {path} {path}" for path in ("/run", state))
    empty = f"mkdir -p {SYSTEM_CACHE} && mount -t tmpfs none {SYSTEM_CACHE}"
    script = f"{writable} && {empty} && mount -o remount,bind,ro / && exec {serve}"
    with (folder / "plugin.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", script],
            env={
                **os.environ,
                **dict(line.split("=", 1) for line in directives("Environment")),
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
        assert process.poll() is None, plugin.log
        yield plugin
    finally:
        if process.poll() is None:
            assert plugin.stop() == 0
        shutil.rmtree(folder)


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[Plugin]:
    with running_confined(tmp_path, "--profile=devcontainer") as plugin:
        yield plugin


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
    assert "(a link)" in answer["Msg"]
    confined.reload()
    assert "is in force" in confined.log
    audit = (confined.socket.parent / "audit.jsonl").read_bytes().splitlines()
    assert orjson.loads(audit[0])["event"] == "audit_opened"


@pytest.mark.parametrize("engine", ["embedded", "opa"])
def test_the_check_before_a_reload_has_the_rights_to_have_each_engine_decide(
    tmp_path: Path, engine: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"engine: {engine}\n")
    program = str(Path(sys.executable).with_name("opa-authz"))
    command = [*confine(SYSTEMD / "opa-authz-reload.service"), program, "check"]
    done = subprocess.run(
        [*command, f"--config={config}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sound: ")


def test_it_fetches_and_keeps_a_policy_with_these_rights(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.write(OPEN_VOLUMES, DENY_PINGS)
    state = tmp_path / "state"
    state.mkdir()
    with running_registry(tmp_path / "registry") as registry:
        site.build(f"--push=oci://{registry}/policy:all", "--plain-http")
        fleet = {"url": f"http://{registry}", "type": "oci", "bundle": f"{registry}/policy:all"}
        fleet |= {"key": str(site.public_key), "folder": str(state / "fleet")}
        config = tmp_path / "config.yaml"
        config.write_text(orjson.dumps({"fleet": {**fleet, "interval": 1}}).decode())
        with running_confined(state, f"--config={config}") as plugin:
            assert plugin.post(REQUEST, LIST)["Allow"], plugin.log
            site.write("volumes: none", DENY_PINGS)
            site.build(f"--push=oci://{registry}/policy:all", "--plain-http")
            wait_for(lambda: "is in force" in plugin.log, "the newer policy", 30)
            assert not plugin.post(REQUEST, VOLUMES)["Allow"]
            assert "cannot be kept" not in plugin.log
    assert (state / "fleet/current/policy.json").is_file()
