"""A real OPA as a child process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from authz_plugin import policy
from authz_plugin.engine import binary, child
from authz_plugin.errors import EngineSetupError
from authz_plugin.hostpaths import LocalHostPaths
from tests.conftest import with_policy
from tests.harness.plugin import freeze, wait_for


@pytest.fixture
def bundle(tmp_path: Path, opa: binary.Opa) -> policy.Bundle:
    config = policy.configuration(with_policy(profile="production"), LocalHostPaths())
    return policy.assemble(tmp_path / "bundle", config, None, opa)


def test_it_answers_once_it_is_started(opa: binary.Opa, bundle: policy.Bundle) -> None:
    started = child.start(opa, bundle.folder)
    try:
        assert started.is_running()
        assert started.is_healthy()
    finally:
        started.stop()


def test_its_socket_is_for_this_user_alone(opa: binary.Opa, bundle: policy.Bundle) -> None:
    started = child.start(opa, bundle.folder)
    try:
        assert started.socket.stat().st_mode & 0o777 == 0o600
    finally:
        started.stop()


def test_it_runs_as_a_user_of_its_own_where_its_parent_is_root(
    opa: binary.Opa, bundle: policy.Bundle
) -> None:
    started = child.start(opa, bundle.folder)
    try:
        owner = Path(f"/proc/{started.pid}").stat().st_uid
    finally:
        started.stop()
    assert (owner in child._SPARE_UIDS) is (os.geteuid() == 0)
    assert (owner == os.geteuid()) is (os.geteuid() != 0)


def test_nothing_is_left_when_it_is_stopped(opa: binary.Opa, bundle: policy.Bundle) -> None:
    started = child.start(opa, bundle.folder)
    started.stop()
    assert not started.is_running()
    assert not started.socket.exists()


def test_one_that_hangs_is_running_but_not_healthy(opa: binary.Opa, bundle: policy.Bundle) -> None:
    started = child.start(opa, bundle.folder)
    try:
        freeze(started.pid)
        wait_for(lambda: not started.is_healthy(), "OPA to stop answering")
        assert started.is_running()
    finally:
        started.kill()
    assert not started.is_running()


def test_a_broken_bundle_stops_the_start(opa: binary.Opa, bundle: policy.Bundle) -> None:
    (bundle.folder / "docker/authz/decision.rego").write_text("package docker.authz\n\nallow if")
    with pytest.raises(EngineSetupError, match="ended at its start"):
        child.start(opa, bundle.folder)


def test_it_dies_with_the_process_that_started_it(opa: binary.Opa, bundle: policy.Bundle) -> None:
    program = (
        "import sys, pathlib\n"
        "from authz_plugin.engine import binary, child\n"
        "from authz_plugin.policy import Bundle\n"
        "bundle = Bundle(pathlib.Path(sys.argv[1]), '', '', frozenset())\n"
        "started = child.start(binary.find(), bundle.folder)\n"
        "print(started.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, bundle.folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not _is_alive(pid), "OPA to die with its parent")
    shutil.rmtree(bundle.folder)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
