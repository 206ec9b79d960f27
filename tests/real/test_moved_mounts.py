"""A folder that is replaced by a link after it was judged: dockerd follows it, the guard does not.

The folder is replaced from inside a container that may mount the workspace, as a guarded client
would do it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.tools.attack.catalogue.builders import archive
from tests.harness.client import call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import prepare
from tests.harness.plugin import running_plugin, wait_for
from tests.real.conftest import TESTED, Guarded, guard_with

_LASTING: Final = ("sleep", "100000")


@dataclass(frozen=True)
class Place:
    """A guarded dockerd, its workspace, and a folder of the host that nobody may mount."""

    guarded: Guarded
    secret: Path

    @property
    def workspace(self) -> Path:
        return self.guarded.workspace

    @property
    def dockerd(self) -> Dockerd:
        return self.guarded.dockerd

    def folder(self, name: str) -> Path:
        """A new folder of the workspace with a file in it."""
        folder = self.workspace / name
        folder.mkdir()
        (folder / "mine").touch()
        return folder

    def replace(self, folder: Path) -> None:
        """Put a link to the secret folder in a folder's place, from inside a container."""
        name = folder.name
        commands = f"rm -r /w/{name} && ln -s {self.secret} /w/{name}"
        mount = f"--volume={self.workspace}:/w"
        self.guarded.succeeds("run", "--rm", mount, IMAGE, "sh", "-c", commands)
        assert folder.is_symlink()


@pytest.fixture(scope="module", params=TESTED)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("moved")
    workspace, secret = folder / "workspace", folder / "secret"
    workspace.mkdir()
    secret.mkdir()
    (secret / "theirs").touch()
    config = folder / "config.yaml"
    roots = f"mounts: {{allow: [{{path: {workspace}}}]}}\nnetworks: {{links: true}}\n"
    config.write_text(f"profile: devcontainer\nlog: {{level: debug}}\n{roots}")
    name = f"opa-authz-{os.getpid()}-moved"
    socket = Path(f"/run/docker/plugins/{name}.sock")
    with ExitStack() as cleanup:
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(request.param)))
        dockerd.import_image()
        plugin = cleanup.enter_context(
            running_plugin(
                folder, f"--config={config}", socket_=socket, data_root=dockerd.data_root
            )
        )
        guard_with(dockerd, name)
        yield Place(Guarded(dockerd, plugin, name, workspace), secret)


def test_a_folder_of_the_workspace_is_mounted_started_and_copied_from_as_ever(place: Place) -> None:
    folder, guarded = place.folder("kept"), place.guarded
    guarded.succeeds("create", "--name=kept", f"--volume={folder}:/data", IMAGE, *_LASTING)
    for command in ("start", "stop --time=0", "start", "restart --time=0"):
        guarded.succeeds(*command.split(), "kept")
    assert "mine" in guarded.succeeds("exec", "kept", "ls", "/data")
    assert "mine" in guarded.succeeds("cp", "kept:/data", "-")
    guarded.succeeds("rm", "--force", "kept")


@pytest.mark.parametrize("reference", ["name", "id", "prefix"])
def test_a_container_whose_folder_was_replaced_is_not_started(place: Place, reference: str) -> None:
    folder, guarded = place.folder(f"start-{reference}"), place.guarded
    name = f"start-{reference}"
    created = ("create", f"--name={name}", f"--volume={folder}:/data", IMAGE, "ls", "/data")
    id_ = guarded.succeeds(*created).strip()
    place.replace(folder)
    called = {"name": name, "id": id_, "prefix": id_[:8]}[reference]
    message = guarded.is_denied("start", called, by="mounts.moved")
    assert f"{folder} (a link to {place.secret})" in message
    guarded.succeeds("rm", name)


def test_without_a_guard_the_same_container_sees_what_the_link_leads_to(place: Place) -> None:
    folder, guarded = place.folder("unguarded"), place.guarded
    guarded.succeeds("create", "--name=open", f"--volume={folder}:/data", IMAGE, "ls", "/data")
    place.replace(folder)
    with unguarded(place):
        assert "theirs" in place.dockerd.docker("start", "--attach", "open").stdout
        place.dockerd.docker("rm", "open")


def test_a_container_whose_folder_was_replaced_while_it_ran_is_not_restarted(place: Place) -> None:
    folder, guarded = place.folder("restart"), place.guarded
    guarded.succeeds(
        "run", "--detach", "--name=again", f"--volume={folder}:/data", IMAGE, *_LASTING
    )
    place.replace(folder)
    guarded.is_denied("restart", "--time=0", "again", by="mounts.moved")
    assert "mine" not in guarded.succeeds("exec", "again", "ls", "/data")
    guarded.succeeds("pause", "again")
    guarded.succeeds("unpause", "again")
    assert "theirs" not in guarded.succeeds("exec", "again", "ls", "/data")
    guarded.succeeds("rm", "--force", "again")


def test_a_daemon_that_is_started_again_starts_nothing_whose_folder_was_replaced(
    place: Place,
) -> None:
    folder, guarded = place.folder("daemon"), place.guarded
    run = ("run", "--detach", "--stop-signal=KILL")
    guarded.succeeds(*run, "--name=once", f"--volume={folder}:/data", IMAGE, *_LASTING)
    whole = f"--volume={place.workspace}:/w"
    guarded.succeeds(*run, "--name=ever", "--restart=always", whole, IMAGE, *_LASTING)
    place.replace(folder)
    place.dockerd.stop()
    place.dockerd.start()
    running = ("ps", "--format={{.Names}}")
    wait_for(lambda: "ever" in guarded.succeeds(*running), "no container started again", 30)
    assert "once" not in guarded.succeeds(*running)
    guarded.is_denied("start", "once", by="mounts.moved")
    guarded.succeeds("rm", "--force", "once", "ever")


@pytest.mark.parametrize("state", ["create", "run --detach"])
def test_files_are_not_copied_through_a_folder_that_was_replaced(place: Place, state: str) -> None:
    name = f"copy-{state.split(maxsplit=1)[0]}"
    folder, guarded = place.folder(name), place.guarded
    mount = f"--volume={folder}:/data"
    guarded.succeeds(*state.split(), f"--name={name}", mount, IMAGE, *_LASTING)
    place.replace(folder)
    guarded.is_denied("cp", f"{name}:/data/theirs", "-", by="mounts.moved")
    target = f"/containers/{name}/archive?path=/data"
    headers = {"Content-Type": "application/x-tar"}
    put = call(place.dockerd.socket, "PUT", target, headers, archive({"new": ""}))
    assert "[mounts.moved" in put.text
    assert not (place.secret / "new").exists()
    guarded.succeeds("rm", "--force", name)


def test_a_name_that_a_link_gave_starts_no_container_whose_folder_was_replaced(
    place: Place,
) -> None:
    """The linked container keeps that name when it is renamed and another gets its own."""
    folder, guarded = place.folder("linked"), place.guarded
    mount = f"--volume={folder}:/data"
    guarded.succeeds("create", "--name=meant", mount, IMAGE, *_LASTING)
    guarded.succeeds("create", "--name=web", "--link=meant:db", IMAGE, "true")
    guarded.succeeds("rename", "meant", "hidden")
    guarded.succeeds("create", "--name=meant", IMAGE, "true")
    place.replace(folder)
    linked, hidden = (
        guarded.succeeds("inspect", "--format={{.Id}}", name) for name in ("web/db", "hidden")
    )
    assert linked == hidden
    guarded.is_denied("start", "web/db", by="mounts.moved")
    guarded.succeeds("rm", "--force", "web", "meant", "hidden")


def bind_volume(place: Place, name: str, folder: Path) -> None:
    options = ("type=none", "o=bind", f"device={folder}")
    place.guarded.succeeds("volume", "create", *(f"--opt={option}" for option in options), name)


def test_a_volume_whose_folder_was_replaced_is_not_used(place: Place) -> None:
    folder, guarded = place.folder("volume"), place.guarded
    bind_volume(place, "bound", folder)
    listed = guarded.succeeds("run", "--rm", "--volume=bound:/data", IMAGE, "ls", "/data")
    assert "mine" in listed
    guarded.succeeds("create", "--name=before", "--volume=bound:/data", IMAGE, "ls", "/data")
    place.replace(folder)
    guarded.is_denied("start", "before", by="mounts.moved")
    guarded.is_denied("create", "--volume=bound:/data", IMAGE, by="mounts.moved")
    guarded.succeeds("rm", "before")


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_what_dockerd_starts_again_by_itself_has_no_folder_that_could_be_replaced(
    place: Place, policy: str
) -> None:
    folder, guarded = place.folder(policy), place.guarded
    bind_volume(place, policy, folder)
    restart = f"--restart={policy}"
    for source in (folder, policy):
        mount = f"--volume={source}:/data"
        denied = guarded.is_denied("create", restart, mount, IMAGE, by="mounts.subfolders")
        assert "a volume on it with a subpath" in denied
    guarded.succeeds("create", f"--name={policy}", f"--volume={folder}:/data", IMAGE, *_LASTING)
    guarded.is_denied("update", restart, policy, by="mounts.subfolders")
    guarded.succeeds("update", "--restart=no", policy)
    guarded.succeeds(
        "create", f"--name=root-{policy}", restart, f"--volume={place.workspace}:/w", IMAGE, "true"
    )
    guarded.succeeds("rm", policy, f"root-{policy}")


def test_a_service_has_no_folder_that_could_be_replaced_but_in_the_root_itself(
    place: Place,
) -> None:
    folder = place.folder("service")
    body = {
        "Name": "web",
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": IMAGE,
                "Mounts": [{"Type": "bind", "Source": str(folder), "Target": "/data"}],
            }
        },
    }
    assert "[mounts.subfolders" in place.guarded.post("/services/create", body).text


def test_a_subpath_of_a_volume_on_the_root_is_mounted_and_never_leads_out(place: Place) -> None:
    folder, guarded = place.folder("subpath"), place.guarded
    bind_volume(place, "root", place.workspace)
    mount = "--mount=type=volume,src=root,dst=/data,volume-subpath=subpath"
    created = ("create", "--name=sub", "--restart=on-failure:1", mount, IMAGE, "ls", "/data")
    if place.dockerd.engine.name == "20.10":  # engines before 26 know no subpath
        assert "volume-subpath" in place.dockerd.docker(*created, check=False).stderr
        return
    guarded.succeeds(*created)
    assert "mine" in guarded.succeeds("start", "--attach", "sub")
    place.replace(folder)
    started = place.dockerd.docker("start", "--attach", "sub", check=False)
    assert started.returncode != 0
    assert "theirs" not in started.stdout
    guarded.succeeds("rm", "--force", "sub")


def test_a_container_that_dockerd_does_not_find_in_its_state_is_not_started(place: Place) -> None:
    message = place.guarded.is_denied("start", "nobody", by="mounts.moved")
    assert "nobody" in message


class unguarded:  # noqa: N801 - reads as a statement
    """A dockerd that asks nobody for a while."""

    def __init__(self, place: Place) -> None:
        self._dockerd = place.dockerd
        self._name = place.guarded.name

    def __enter__(self) -> None:
        self._dockerd.reload({})
        ask = ("plugin", "ls")
        wait_for(lambda: self._dockerd.docker(*ask, check=False).returncode == 0, "no guard", 20)

    def __exit__(self, *_: object) -> None:
        guard_with(self._dockerd, self._name)
