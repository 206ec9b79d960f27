"""What many paths, images and ports have in common, and where they are left apart."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.tools.config_changes import paths
from authz_plugin.tools.config_changes.steps import Bind, Ports
from authz_plugin.tools.learning.roots import bind_roots, image_roots, port_ranges

PROTECTED = ("/srv/shop/secret", "/var/run/docker.sock")


def bind(text: str) -> Bind:
    """``/path``, ``/path:ro`` or ``/path->/where/its/link/leads``."""
    path, read_only, _ = text.partition(":ro")
    path, _, resolved = path.partition("->")
    return Bind(path, resolved or path, bool(read_only))


@pytest.mark.parametrize(
    ("mounts", "roots"),
    [
        ("/srv/a/x /srv/a/y", "/srv/a/x /srv/a/y"),
        ("/srv/a/x /srv/a/y /srv/a/z", "/srv/a"),
        ("/srv/a/1/src /srv/a/2/src /srv/a/3/src", "/srv/a"),
        ("/srv/a/x /srv/a/x/deep", "/srv/a/x"),
        ("/srv/a/x /srv/a/y /srv/a/z /srv/b", "/srv/a /srv/b"),
        ("/srv/x /srv/y /srv/z", "/srv/x /srv/y /srv/z"),
        ("/x /y /z", "/x /y /z"),
        ("/home/u/x /home/u/y /home/u/z", "/home/u/x /home/u/y /home/u/z"),
        ("/home/u/a/x /home/u/a/y /home/u/a/z", "/home/u/a"),
        ("/etc/x /etc/y /etc/z", "/etc/x /etc/y /etc/z"),
        ("/var/lib/x /var/lib/y /var/lib/z", "/var/lib/x /var/lib/y /var/lib/z"),
        ("/srv/shop/x /srv/shop/y /srv/shop/z", "/srv/shop/x /srv/shop/y /srv/shop/z"),
        ("/d/a/1 /d/a/2 /d/a/3 /d/b/1 /d/c/1", "/d/a /d/b/1 /d/c/1"),
        ("/d/a:ro /d/b:ro /d/c:ro", "/d/a:ro /d/b:ro /d/c:ro"),
        ("/d/e/a:ro /d/e/b:ro /d/e/c:ro", "/d/e:ro"),
        ("/d/e/a /d/e/b /d/e/c:ro", "/d/e/a /d/e/b /d/e/c:ro"),
        ("/d/e/a /d/e/b /d/e/c /d/e/f:ro", "/d/e"),
        ("/d/a:ro /d/a", "/d/a"),
        ("/d/a:ro /d/a/b", "/d/a:ro /d/a/b"),
        ("/d/e/a /d/e/b /d/e/c->/etc", "/d/e/a /d/e/b /d/e/c->/etc"),
        ("/d/e/a /d/e/b /d/e/f /d/e/c->/mnt/x", "/d/e /d/e/c->/mnt/x"),
    ],
)
def test_mounts_are_summed_up_where_three_branch_and_nothing_is_in_danger(
    mounts: str, roots: str
) -> None:
    found = bind_roots(map(bind, mounts.split()), PROTECTED)
    assert set(found.values()) == set(map(bind, roots.split()))
    assert set(found) == set(map(bind, mounts.split()))


PATHS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=5).map(
    lambda parts: f"/data/{'/'.join(parts)}"
)


@given(st.sets(st.tuples(PATHS, st.booleans()), max_size=40))
def test_every_mount_lies_below_its_root_and_may_be_written_only_if_it_was(
    mounts: set[tuple[str, bool]],
) -> None:
    binds = {Bind(path, path, read_only) for path, read_only in mounts}
    for mount, root in bind_roots(binds, ()).items():
        assert paths.below(mount.path, root.path)
        assert mount.read_only or not root.read_only
        written = [other.path for other in binds if not other.read_only]
        assert root.read_only or any(paths.below(path, root.path) for path in written)


@pytest.mark.parametrize(
    ("images", "patterns"),
    [
        ("r.local/a:1 r.local/a:2", "r.local/a:1 r.local/a:2"),
        ("r.local/a:1 r.local/a:2 r.local/a@sha256:x", "r.local/a"),
        ("r.local/s/a:1 r.local/s/b:1 r.local/s/c", "r.local/s/*"),
        ("r.local:5000/s/a:1 r.local:5000/s/b:1 r.local:5000/s/c/d:1", "r.local:5000/s/*"),
        ("r.local/a:1 r.local/b:1 r.local/c:1", "r.local/a:1 r.local/b:1 r.local/c:1"),
        (
            "docker.io/library/a:1 docker.io/library/b:1 docker.io/library/c:1",
            "docker.io/library/a:1 docker.io/library/b:1 docker.io/library/c:1",
        ),
        ("docker.io/org/a:1 docker.io/org/b:1 docker.io/org/c:1", "docker.io/org/*"),
    ],
)  # fmt: skip
def test_images_are_summed_up_below_a_registry(images: str, patterns: str) -> None:
    assert set(image_roots(images.split()).values()) == set(patterns.split())


def test_ports_are_summed_up_where_they_are_neighbours() -> None:
    ports = [Ports(80, 80), Ports(8000, 8010), Ports(81, 81), Ports(8005, 8020), Ports(83, 83)]
    assert set(port_ranges(ports).values()) == {Ports(80, 81), Ports(83, 83), Ports(8000, 8020)}


def test_a_great_many_names_take_no_time() -> None:
    began = time.perf_counter()
    deep = Bind("/a" * 8000, "/a" * 8000, read_only=False)
    bind_roots([deep, *(bind(f"/srv/x{i}/y{i % 7}") for i in range(10_000))], PROTECTED)
    image_roots(f"r.local/n{i % 3000}/a:{i}" for i in range(10_000))
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("path", "dangerous"),
    [
        ("/", True),
        ("/etc", True),
        ("/etc/ssl/certs", True),
        ("/etcetera", False),
        ("/usr/share/zoneinfo", True),
        ("/var/run/docker.sock", True),
        ("/var/log/app", True),
        ("/var/lib/app", False),
        ("/var/lib", True),
        ("/srv/shop", True),  # holds what is protected
        ("/srv/shop/secret/x", True),
        ("/srv/shop2", False),
        ("/home", True),
        ("/home/alice", True),
        ("/home/alice/work", False),
        ("/home/alice/.ssh/id_ed25519", True),
        ("/home/alice/.docker/config.json", True),
        ("/data", False),
        ("/opt", True),
        ("/opt/app", False),
        ("/tmp", True),
        ("/tmp/build", False),
        ("/run/user/1000/bus", True),
        ("/srv/db/mysqld.sock", True),
        ("/lib/modules", True),
        ("/library", False),
    ],
)
def test_paths_of_the_system_of_everybody_and_of_what_is_protected_are_dangerous(
    path: str, *, dangerous: bool
) -> None:
    assert bool(paths.danger(path, PROTECTED)) is dangerous
