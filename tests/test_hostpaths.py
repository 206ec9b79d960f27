"""Where a path of the host leads: real links in a real file system."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin import hostpaths
from authz_plugin.hostpaths import LocalHostPaths, Resolution, UnseenHostPaths

UNKNOWN = Resolution(None, exists=False)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that no link leads to, with a folder and a file."""
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        found = Path(folder).resolve()
        (found / "folder").mkdir()
        (found / "folder" / "file").write_text("x")
        yield found


def resolve(path: Path | str) -> Resolution:
    return LocalHostPaths().resolve(str(path))


def at(path: Path) -> Resolution:
    return Resolution(str(path), exists=True)


def missing(path: Path) -> Resolution:
    return Resolution(str(path), exists=False)


def linked(link: Path, target: str | Path) -> Path:
    link.symlink_to(target)
    return link


def test_a_path_without_links_leads_to_itself(root: Path) -> None:
    assert resolve(root / "folder") == at(root / "folder")
    assert resolve(root / "folder" / "file") == at(root / "folder" / "file")
    assert resolve("/") == at(Path("/"))


@pytest.mark.parametrize("path", ["{}/folder/../folder", "{}/./folder", "{}//folder", "{}/folder/"])
def test_a_path_that_is_not_clean_leads_where_the_kernel_goes(root: Path, path: str) -> None:
    assert resolve(path.format(root)) == at(root / "folder")


def test_a_relative_path_is_not_taken_for_an_absolute_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert resolve("folder/file") == at(root / "folder" / "file")


@pytest.mark.parametrize("target", ["folder", "./folder", "../{name}/folder", "{root}/folder/"])
def test_a_link_leads_where_it_points(root: Path, target: str) -> None:
    link = linked(root / "link", target.format(root=root, name=root.name))
    assert resolve(link) == at(root / "folder")
    assert resolve(link / "file") == at(root / "folder" / "file")
    assert resolve(link / "new" / "x") == missing(root / "folder" / "new" / "x")


def test_a_chain_of_links_leads_to_its_end(root: Path) -> None:
    last = root / "folder"
    for i in range(30):
        last = linked(root / f"link{i}", last)
    assert resolve(last / "file") == at(root / "folder" / "file")


def test_a_link_out_of_an_allowed_folder_is_seen_through(root: Path) -> None:
    (root / "srv").mkdir()
    linked(root / "srv" / "innocent", "../folder")
    linked(root / "srv" / "root", "/")
    assert resolve(root / "srv" / "innocent") == at(root / "folder")
    assert resolve(root / "srv" / "root") == at(Path("/"))
    assert resolve(f"{root}/srv/root/{root}/folder") == at(root / "folder")


def test_a_path_whose_last_parts_are_missing_leads_where_it_would_be_made(root: Path) -> None:
    link = linked(root / "link", "folder")
    assert resolve(root / "new" / "deep") == missing(root / "new" / "deep")
    assert resolve(link / "new" / "deep") == missing(root / "folder" / "new" / "deep")


def test_a_link_to_nothing_leads_to_where_that_would_be(root: Path) -> None:
    link = linked(root / "link", root / "none")
    assert resolve(link) == missing(root / "none")
    assert resolve(link / "x") == missing(root / "none" / "x")


def test_below_a_file_there_is_nothing(root: Path) -> None:
    assert resolve(root / "folder" / "file" / "x") == missing(root / "folder" / "file" / "x")


@pytest.mark.parametrize("below", ["", "/x", "/x/y"])
def test_a_loop_of_links_leads_nowhere(root: Path, below: str) -> None:
    linked(root / "self", "self")
    linked(root / "a", "b")
    linked(root / "b", "a")
    linked(root / "deep", "deep/x")
    for link in ("self", "a", "b", "deep"):
        assert resolve(f"{root}/{link}{below}") == UNKNOWN


def test_a_path_that_may_not_be_read_leads_nowhere(root: Path) -> None:
    (root / "folder").chmod(0)
    root.chmod(0o755)
    linked(root / "link", "folder")

    def ask(queue: multiprocessing.SimpleQueue[list[Resolution]]) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        queue.put([resolve(root / "folder" / "file"), resolve(root / "link" / "x" / "y")])

    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=ask, args=(answers,))
    process.start()
    process.join()
    (root / "folder").chmod(0o700)
    assert process.exitcode == 0
    assert answers.get() == [UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    "path",
    [
        "/a\0b",
        "\0",
        "/none/a\0b",
        "/" + "a" * 256,
        "/a" * 2048,
        "/" + "é" * 2048,
        "/x" * 1_000_000,
        "/\ud800",
    ],
)
def test_what_cannot_be_a_path_leads_nowhere(path: str) -> None:
    assert resolve(path) == UNKNOWN


def test_the_longest_path_is_a_path() -> None:
    path = "/a" * 2047
    assert resolve(path) == Resolution(path, exists=False)


@pytest.mark.parametrize(
    "name", ["a b", "é", "\u202e", "a\nb", "\x7f", "\\", "...", "~", "$HOME", "*"]
)
def test_odd_names_are_names(root: Path, name: str) -> None:
    (root / name).mkdir()
    linked(root / "link", name)
    assert resolve(root / name) == at(root / name)
    assert resolve(root / "link") == at(root / name)


def test_a_link_to_a_name_that_is_no_text_leads_nowhere(root: Path) -> None:
    odd = os.fsencode(root) + b"/a\xff"
    os.mkdir(odd)  # noqa: PTH102 - bytes
    linked(root / "link", os.fsdecode(odd))
    assert resolve(root / "link") == UNKNOWN
    assert resolve(root / "link" / "x") == UNKNOWN
    Path(os.fsdecode(odd)).rmdir()


def test_where_the_host_cannot_be_seen_nothing_is_known() -> None:
    for path in ("/", "/etc", "/none", ""):
        assert UnseenHostPaths().resolve(path) == UNKNOWN


@given(st.text())
def test_any_path_leads_somewhere_absolute_or_nowhere(text: str) -> None:
    found = resolve(f"/{text}")
    if found.resolved is None:
        assert not found.exists
    else:
        assert found.resolved.startswith("/")
        assert found.resolved.encode()


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=6), st.data())
def test_what_is_resolved_holds_no_link(parts: list[str], data: st.DataObject) -> None:
    targets = ["a", "b", "c", "../a", "/", "a/b", ".", "none/../b"]
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        root = Path(folder).resolve()
        for name in data.draw(st.sets(st.sampled_from(["a", "b", "c"]))):
            (root / name).symlink_to(data.draw(st.sampled_from(targets)))
        found = resolve(root.joinpath(*parts))
        if found.resolved is not None:
            assert resolve(found.resolved) == found
            assert found.exists is Path(found.resolved).exists()
            assert not any(
                p.is_symlink() for p in (Path(found.resolved), *Path(found.resolved).parents)
            )


def test_what_is_mounted_below_a_path_is_known() -> None:
    paths = LocalHostPaths()
    assert paths.holds_mounts("/") is True
    assert paths.holds_mounts("/proc/sys/kernel") is False
    assert paths.holds_mounts("/proc/sys/a file") is False
    assert UnseenHostPaths().holds_mounts("/") is None


@pytest.mark.parametrize("name", ["plain", "with space", "back\\slash", "t\tab"])
def test_a_mount_is_found_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    written = name.replace("\\", r"\134").replace(" ", r"\040").replace("\t", r"\011")
    table = tmp_path / "mountinfo"
    table.write_text(f"36 35 98:0 / /srv/{written}/below rw - ext4 /dev/x rw\n")
    monkeypatch.setattr(hostpaths, "_MOUNTS", table)
    assert LocalHostPaths().holds_mounts(f"/srv/{name}") is True
    assert LocalHostPaths().holds_mounts(f"/srv/{name}/below") is False
    assert LocalHostPaths().holds_mounts("/srv/pl") is False
    assert LocalHostPaths().holds_mounts("/srv") is True
    assert LocalHostPaths().holds_mounts("/below") is False
    assert LocalHostPaths().holds_mounts("/") is True


def test_a_mount_is_found_after_a_folder_above_it_was_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, paths = tmp_path / "mountinfo", LocalHostPaths()
    monkeypatch.setattr(hostpaths, "_MOUNTS", table)
    for name in ("old", "new"):
        table.write_text(f"36 35 98:0 / /srv/{name}/below rw - ext4 /dev/x rw\n")
        assert paths.holds_mounts("/srv/old") is (name == "old")
        assert paths.holds_mounts("/srv/new") is (name == "new")


@pytest.mark.parametrize("content", [None, b"damaged\n", b"36 35 98:0 / \n/srv", b"36 35 / "])
def test_a_table_of_mounts_that_cannot_be_read_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    table = tmp_path / "mountinfo"
    if content is not None:
        table.write_bytes(content)
    monkeypatch.setattr(hostpaths, "_MOUNTS", table)
    assert LocalHostPaths().holds_mounts("/srv") is None
