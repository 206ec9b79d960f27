"""What dockerd keeps on disk is read as it means it, and what cannot be read is unknown."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.enginestate import (
    DEFAULT_ROOT,
    LocalEngineState,
    Unknown,
    UnseenEngineState,
    data_root,
)

WEB = "a" * 63 + "1"
DB = "a" * 63 + "2"
OTHER = "bad" + "0" * 61


def container(root: Path, id_: str, name: str, *, links: Any = None, points: Any = None) -> None:
    folder = root / "containers" / id_
    folder.mkdir(parents=True, exist_ok=True)
    stored = {"ID": id_, "Name": f"/{name}", "MountPoints": {"/x": {"Source": f"/{name}"}}}
    stored |= {} if points is None else {"MountPoints": points}
    (folder / "config.v2.json").write_text(json.dumps(stored))
    (folder / "hostconfig.json").write_text(json.dumps({"Links": links}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    container(tmp_path, WEB, "web", links=["db:database", "/other:/web/far"])
    container(tmp_path, DB, "db")
    container(tmp_path, OTHER, "other")
    (tmp_path / "volumes/plain").mkdir(parents=True)
    (tmp_path / "volumes/bound").mkdir()
    options = {"MountType": "none", "MountOpts": "bind", "MountDevice": "/srv"}
    (tmp_path / "volumes/bound/opts.json").write_text(json.dumps(options))
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("web", ["web"]),
        ("/web", ["web"]),
        (WEB, ["web"]),
        ("bad0", ["other"]),
        ("a", ["db", "web"]),
    ],
)
def test_a_container_is_found_by_all_that_dockerd_takes_for_it(
    root: Path, reference: str, names: list[str]
) -> None:
    points = LocalEngineState(root).mount_points(reference)
    assert sorted(point["Source"].lstrip("/") for point in points) == names


@pytest.mark.parametrize("reference", ["web/database", "web/far", "/web/never", "web/"])
def test_a_name_that_a_link_may_have_given_means_every_container(
    root: Path, reference: str
) -> None:
    """The linked container can have been renamed, or be in the network of a third."""
    points = LocalEngineState(root).mount_points(reference)
    assert sorted(point["Source"] for point in points) == ["/db", "/other", "/web"]


@pytest.mark.parametrize("link", ["db:../bad0", "db:/bad0", "db:..", "db:", "/db", "db:x/../.."])
def test_a_link_that_can_give_any_name_makes_every_prefix_mean_every_container(
    root: Path, link: Any
) -> None:
    container(root, DB, "db", links=[link])
    state = LocalEngineState(root)
    assert len(state.mount_points("bad0")) == 3
    assert state.mount_points("other") == state.mount_points(OTHER) == [{"Source": "/other"}]


def test_without_links_a_name_with_a_slash_is_nobody_s(root: Path) -> None:
    container(root, WEB, "web")
    with pytest.raises(Unknown, match="there is no container"):
        LocalEngineState(root).mount_points("web/database")


def test_all_are_meant_that_a_reference_may_mean(root: Path) -> None:
    container(root, "c" * 64, "bad")
    points = LocalEngineState(root).mount_points("bad")
    assert {point["Source"] for point in points} == {"/bad", "/other"}


def test_a_whole_id_is_no_other_container_s_name(root: Path) -> None:
    container(root, "c" * 64, WEB)
    assert [point["Source"] for point in LocalEngineState(root).mount_points(WEB)] == ["/web"]


@pytest.mark.parametrize("reference", ["nobody", "", "0" * 64, "A" * 64])
def test_a_container_that_is_not_there_is_unknown(root: Path, reference: str) -> None:
    with pytest.raises(Unknown, match="there is no container"):
        LocalEngineState(root).mount_points(reference)


def test_a_container_is_found_by_the_name_that_it_has_now(root: Path) -> None:
    state = LocalEngineState(root)
    assert state.mount_points("web")
    container(root, WEB, "renamed")
    with pytest.raises(Unknown):
        state.mount_points("web")
    assert state.mount_points("renamed")


def test_a_remapped_user_namespace_that_begins_later_is_found(root: Path) -> None:
    state = LocalEngineState(root)
    long_ago = root.stat().st_mtime_ns - 10**12
    os.utime(root, ns=(long_ago, long_ago))
    assert state.mount_points("web") == [{"Source": "/web"}]
    container(root / "100000.100000", "d" * 64, "remapped")
    assert state.mount_points("remapped") == [{"Source": "/remapped"}]


def test_containers_of_remapped_user_namespaces_are_found(root: Path) -> None:
    container(root / "100000.100000", "d" * 64, "remapped")
    assert LocalEngineState(root).mount_points("remapped") == [{"Source": "/remapped"}]


def test_a_volume_has_its_options_or_none(root: Path) -> None:
    state = LocalEngineState(root)
    assert [options["MountDevice"] for options in state.volume_options("bound")] == ["/srv"]
    for name in ("plain", "new", "../volumes/bound", "."):
        assert state.volume_options(name) == []


def test_a_volume_has_the_options_that_it_has_in_any_user_namespace(root: Path) -> None:
    remapped = root / "100000.100000/volumes/bound"
    remapped.mkdir(parents=True)
    (remapped / "opts.json").write_text('{"MountDevice": "/elsewhere"}')
    options = LocalEngineState(root).volume_options("bound")
    assert {found["MountDevice"] for found in options} == {"/srv", "/elsewhere"}


@pytest.mark.parametrize("damage", ["gone", "elsewhere", "a file"])
def test_without_dockerd_s_folder_nothing_is_known(tmp_path: Path, damage: str) -> None:
    place = tmp_path / "root"
    if damage == "elsewhere":
        place.mkdir()
    elif damage == "a file":
        place.touch()
    state = LocalEngineState(place)
    with pytest.raises(Unknown, match="data_root"):
        state.mount_points("web")
    with pytest.raises(Unknown, match="data_root"):
        state.volume_options("data")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000, b"{}" + b"x" * 9]
)
def test_a_file_that_dockerd_does_not_write_is_unknown(root: Path, content: bytes) -> None:
    (root / "containers" / WEB / "config.v2.json").write_bytes(content)
    (root / "volumes/bound/opts.json").write_bytes(content)
    state = LocalEngineState(root)
    with pytest.raises(Unknown):
        state.mount_points(WEB)
    with pytest.raises(Unknown):
        state.mount_points("web")
    with pytest.raises(Unknown):
        state.volume_options("bound")


def test_neither_links_nor_pipes_are_read_for_dockerd_s_files(root: Path) -> None:
    config, options = root / "containers" / WEB / "config.v2.json", root / "volumes/bound/opts.json"
    target = root / "elsewhere.json"
    config.rename(target)
    config.symlink_to(target)
    options.unlink()
    os.mkfifo(options)
    with pytest.raises(Unknown):
        LocalEngineState(root).mount_points(WEB)
    with pytest.raises(Unknown):
        LocalEngineState(root).volume_options("bound")


def test_a_folder_without_a_container_hides_no_other(root: Path) -> None:
    (root / "containers" / DB / "config.v2.json").unlink()
    state = LocalEngineState(root)
    assert state.mount_points("web") == [{"Source": "/web"}]
    for reference in ("db", DB, DB[:20] + "a2"):
        with pytest.raises(Unknown, match="there is no container"):
            state.mount_points(reference)


def test_a_container_whose_links_are_not_stored_yet_may_give_any_name(root: Path) -> None:
    (root / "containers" / DB / "hostconfig.json").unlink()
    state = LocalEngineState(root)
    assert state.mount_points("web") == [{"Source": "/web"}]
    assert len(state.mount_points("bad0")) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(name=JSON, points=JSON, links=JSON)
def test_whatever_stands_in_the_files_is_known_or_unknown_and_nothing_else(
    name: Any, points: Any, links: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "containers" / WEB
        place.mkdir(parents=True)
        (place / "config.v2.json").write_text(json.dumps({"Name": name, "MountPoints": points}))
        (place / "hostconfig.json").write_text(json.dumps({"Links": links}))
        for reference in (WEB, WEB[:4], "web"):
            with contextlib.suppress(Unknown):
                assert isinstance(LocalEngineState(Path(folder)).mount_points(reference), list)


def test_on_another_host_nothing_is_seen() -> None:
    state = UnseenEngineState()
    assert not state.is_seen
    with pytest.raises(Unknown):
        state.mount_points("web")
    with pytest.raises(Unknown):
        state.volume_options("data")


@pytest.mark.parametrize(
    ("content", "root"),
    [
        (None, DEFAULT_ROOT),
        ("{}", DEFAULT_ROOT),
        ('{"data-root": "/srv/docker"}', Path("/srv/docker")),
        ('{"data-root": ""}', DEFAULT_ROOT),
        ('{"data-root": 1}', None),
        ('{"data-root": {}}', None),
        ('{"data-root": "docker"}', None),
        ('{"graph": "/srv/docker"}', None),
        ("{", None),
    ],
)
def test_the_data_root_is_what_daemon_json_says(
    tmp_path: Path, content: str | None, root: Path | None
) -> None:
    file = tmp_path / "daemon.json"
    if content is not None:
        file.write_text(content)
    assert data_root(file) == root


def test_where_the_data_root_is_not_known_nothing_in_it_is() -> None:
    state = LocalEngineState(None)
    assert state.is_seen
    with pytest.raises(Unknown, match="set data_root"):
        state.mount_points("web")
    with pytest.raises(Unknown, match="set data_root"):
        state.volume_options("data")
