"""Every way to a path of the host is found, under the path that dockerd will mount."""

from __future__ import annotations

import json
import posixpath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin import dockerd
from authz_plugin.dockerd.mounts import Mount, clean
from authz_plugin.dockerd.routes import ROUTES

JSON_HEADERS = {"content-type": "application/json"}


def mounts(uri: str, body: Any, method: str = "POST") -> list[Mount]:
    sent = b"" if body is None else json.dumps(body).encode()
    headers = {} if body is None else JSON_HEADERS
    return list(dockerd.read(method, uri, headers, sent).mounts)


def created(**host_config: Any) -> list[Mount]:
    return mounts("/containers/create", {"Image": "x", "HostConfig": host_config})


def bound(bind: str, **host_config: Any) -> Mount:
    (mount,) = created(Binds=[bind], **host_config)
    assert mount.field == "HostConfig.Binds[0]"
    return mount


def mounted(**mount: Any) -> Mount:
    (found,) = created(Mounts=[mount])
    return found


def local(options: dict[str, str], driver: str = "local") -> Mount:
    """A volume of a driver, made with options; the same wherever the options stand."""
    (made,) = mounts("/volumes/create", {"Name": "v", "Driver": driver, "DriverOpts": options})
    config = {"DriverConfig": {"Name": driver, "Options": options}}
    volume = {"Type": "volume", "Source": "v", "Target": "/t", "VolumeOptions": config}
    service = {"TaskTemplate": {"ContainerSpec": {"Mounts": [volume]}}}
    (in_container,) = created(Mounts=[volume])
    (in_service,) = mounts("/services/create", service)
    for other in (in_container, in_service):
        assert other.field.endswith("Mounts[0].VolumeOptions.DriverConfig")
        assert (other.type, other.source, other.path) == (made.type, made.source, made.path)
        assert (other.read_only, other.propagation) == (made.read_only, made.propagation)
        assert (other.driver, other.options) == (driver, options)
    assert made.field == "DriverOpts"
    return made


@pytest.mark.parametrize(
    ("bind", "path"),
    [
        ("/:/h", "/"),
        ("/etc:/e", "/etc"),
        ("/etc/:/e", "/etc"),
        ("//etc:/e", "/etc"),
        ("///etc///passwd:/e", "/etc/passwd"),
        ("/./etc/.:/e", "/etc"),
        ("/srv/../etc:/e", "/etc"),
        ("/srv/data/../../etc:/e", "/etc"),
        ("/../../etc:/e", "/etc"),
        ("/srv/..:/e", "/"),
        ("/...:/e", "/..."),
        ("/a b:/e", "/a b"),
        ("/é:/e", "/é"),
        ("/etc\n:/e", "/etc\n"),
        ("/x\\..\\etc:/e", "/x\\..\\etc"),
        ("/etc:/e:ro", "/etc"),
        ("/etc:ro", "/etc"),
        ("/etc::", "/etc"),
        ("/var/run/docker.sock:/s", "/var/run/docker.sock"),
    ],
)
def test_a_bind_of_a_path_is_a_bind_of_the_clean_path(bind: str, path: str) -> None:
    mount = bound(bind, VolumeDriver="rclone")
    assert (mount.type, mount.path, mount.driver) == ("bind", path, "")
    assert mount.source == bind.partition(":")[0]


@pytest.mark.parametrize(
    ("bind", "source", "target"),
    [
        ("data:/d", "data", "/d"),
        ("data:/d:ro", "data", "/d"),
        ("etc/passwd:/d", "etc/passwd", "/d"),
        ("./etc:/d", "./etc", "/d"),
        ("../etc:/d", "../etc", "/d"),
        ("~/etc:/d", "~/etc", "/d"),
        ("\\etc:/d", "\\etc", "/d"),
        (" /etc:/d", " /etc", "/d"),
        ("/d", "", "/d"),
        ("/etc:", "", "/etc"),
        (":/d", "", "/d"),
        ("", "", ""),
    ],
)
def test_a_bind_of_a_name_is_a_volume_of_the_containers_driver(
    bind: str, source: str, target: str
) -> None:
    mount = bound(bind, VolumeDriver="rclone")
    assert (mount.type, mount.path, mount.driver) == ("volume", None, "rclone")
    assert (mount.source, mount.target) == (source, target)


@pytest.mark.parametrize(
    ("mode", "read_only", "propagation"),
    [
        ("", False, ""),
        (":", False, ""),
        (":rw", False, ""),
        (":ro", True, ""),
        (":ro,Z", True, ""),
        (":z,ro,rslave", True, "rslave"),
        (":rshared", False, "rshared"),
        (":shared,ro", True, "shared"),
        (":private", False, "private"),
        (":rprivate,nocopy,cached", False, "rprivate"),
        (":RO", False, ""),
        (":Rshared", False, ""),
        (": ro", False, ""),
        (":roo", False, ""),
        (":ro:rw", False, ""),
        (":ro=1", False, ""),
    ],
)
def test_the_mode_of_a_bind_counts_only_in_dockers_own_words(
    mode: str,
    read_only: bool,
    propagation: str,
) -> None:
    mount = bound(f"/srv:/t{mode}")
    assert (mount.read_only, mount.propagation) == (read_only, propagation)
    assert (mount.type, mount.path, mount.target) == ("bind", "/srv", "/t")


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/", "/"),
        ("/srv/../etc", "/etc"),
        ("//etc/", "/etc"),
        ("/.", "/"),
        ("/a:b", "/a:b"),
        ("etc", None),
        ("../etc", None),
        ("\\etc", None),
        ("", None),
        ("C:\\", None),
    ],
)
def test_a_mount_of_type_bind_is_a_bind_of_the_clean_path(source: str, path: str | None) -> None:
    mount = mounted(Type="bind", Source=source, Target="/t", ReadOnly=True)
    assert mount == Mount(
        type="bind",
        field="HostConfig.Mounts[0]",
        source=source,
        path=path,
        target="/t",
        read_only=True,
    )


def test_a_bind_has_the_propagation_of_its_options() -> None:
    mount = mounted(Type="bind", Source="/s", BindOptions={"propagation": "rshared"})
    assert mount.propagation == "rshared"
    assert mounted(Type="bind", Source="/s", BindOptions={}).propagation == ""
    assert mounted(Type="bind", Source="/s", BindOptions=None).propagation == ""


@pytest.mark.parametrize(
    "kind", ["tmpfs", "image", "npipe", "cluster", "", "BIND", "Bind", "bind ", "Volume", "rbind"]
)
def test_a_container_mount_of_another_type_keeps_it_and_names_no_path(kind: str) -> None:
    mount = mounted(Type=kind, Source="/etc", Target="/t")
    assert (mount.type, mount.source, mount.path) == (kind, "/etc", None)
    assert mount.field == "HostConfig.Mounts[0]"


@pytest.mark.parametrize("options", [None, {}, {"DriverConfig": None}, {"DriverConfig": {}}])
def test_a_volume_without_driver_options_is_a_volume(options: Any) -> None:
    mount = mounted(Type="volume", Source="/etc", Target="/t", VolumeOptions=options)
    field = "HostConfig.Mounts[0]"
    assert mount == Mount(type="volume", field=field, source="/etc", volume="/etc", target="/t")


def test_an_anonymous_volume_with_driver_options_is_judged_like_a_named_one() -> None:
    config = {"Options": {"o": "bind", "device": "/etc"}}
    mount = mounted(Type="volume", Target="/t", VolumeOptions={"DriverConfig": config})
    assert (mount.type, mount.path, mount.driver) == ("bind", "/etc", "")


@pytest.mark.parametrize("driver", ["", "local"])
@pytest.mark.parametrize("flags", ["bind", "rbind", "bind,rw", "rw,rbind", "ro,bind", ",bind,,"])
@pytest.mark.parametrize("kind", [None, "", "none", "bind", "ext4", "nfs", "tmpfs", "overlay"])
def test_a_local_volume_that_binds_is_a_bind_whatever_its_type_says(
    driver: str, flags: str, kind: str | None
) -> None:
    options = {"o": flags, "device": "/etc/"} | ({} if kind is None else {"type": kind})
    mount = local(options, driver)
    assert (mount.type, mount.source, mount.path) == ("bind", "/etc/", "/etc")


@pytest.mark.parametrize(
    ("device", "path"),
    [
        ("/", "/"),
        ("//etc//", "/etc"),
        ("/./etc", "/etc"),
        ("/srv/../etc", None),
        ("/..", None),
        ("/srv/a/..", None),
        ("/..a", "/..a"),
        ("etc", None),
        ("../etc", None),
        ("", None),
    ],
)
def test_a_device_is_a_path_only_where_links_cannot_lead_it_elsewhere(
    device: str, path: str | None
) -> None:
    mount = local({"o": "bind", "device": device})
    assert (mount.type, mount.source, mount.path) == ("bind", device, path)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"type": "ext4", "device": "/dev/sda1"}, "/dev/sda1"),
        ({"type": "bind", "device": "/etc"}, "/etc"),
        ({"type": "none", "o": "BIND", "device": "/etc"}, "/etc"),
        ({"type": "none", "o": " bind", "device": "/etc"}, "/etc"),
        ({"type": "none", "o": "bind=1", "device": "/etc"}, "/etc"),
        ({"type": "none", "O": "bind", "device": "/etc"}, "/etc"),
        ({"type": "nfs", "o": "addr=10.0.0.1", "device": ":/export"}, None),
        ({"type": "tmpfs", "device": "tmpfs"}, None),
        ({"type": "overlay", "o": "lowerdir=/,upperdir=/u", "device": "overlay"}, None),
        ({"size": "10g"}, None),
    ],
)
def test_a_local_volume_that_does_not_bind_stays_a_volume_with_its_device(
    options: dict[str, str], path: str | None
) -> None:
    mount = local(options)
    assert (mount.type, mount.source, mount.path) == ("volume", "v", path)


@pytest.mark.parametrize("driver", ["rclone", "LOCAL", "Local", "local:latest", " local"])
def test_the_options_of_another_driver_mean_what_that_driver_likes(driver: str) -> None:
    mount = local({"o": "bind,ro", "device": "/etc", "type": "none"}, driver)
    assert (mount.type, mount.source, mount.path) == ("volume", "v", None)
    assert not mount.read_only


@pytest.mark.parametrize(
    ("flags", "read_only", "propagation"),
    [
        ("bind", False, ""),
        ("bind,ro", True, ""),
        ("ro,bind", True, ""),
        ("ro,bind,rw", False, ""),
        ("rw,bind,ro", True, ""),
        ("bind,ro,rw,ro", True, ""),
        ("bind,RO", False, ""),
        ("bind,ro=recursive", False, ""),
        ("bind,rshared", False, "rshared"),
        ("bind,ro,slave", True, "slave"),
    ],
)
def test_of_ro_and_rw_in_the_options_the_last_counts(
    flags: str,
    read_only: bool,
    propagation: str,
) -> None:
    mount = local({"o": flags, "device": "/srv"})
    assert (mount.read_only, mount.propagation) == (read_only, propagation)


def test_a_mount_is_read_only_if_either_place_says_so() -> None:
    config = {"DriverConfig": {"Options": {"o": "bind,rw", "device": "/srv"}}}
    assert mounted(Type="volume", ReadOnly=True, VolumeOptions=config).read_only


@pytest.mark.parametrize("options", [{"ClusterVolumeSpec": {}}, {"ClusterVolumeSpec": None}])
@pytest.mark.parametrize("driver", ["", "local", "csi"])
def test_a_volume_is_a_cluster_volume_only_with_a_driver_for_it(
    driver: str, options: dict[str, Any]
) -> None:
    (mount,) = mounts("/volumes/create", {"Name": "v", "Driver": driver, **options})
    cluster = driver == "csi" and options["ClusterVolumeSpec"] is not None
    assert (mount.type, mount.field) == ("cluster" if cluster else "volume", "Name")


def test_a_volume_of_no_body_is_an_anonymous_volume() -> None:
    read = dockerd.read("POST", "/volumes/create", {"content-length": "0"}, b"")
    assert read.mounts == (Mount(type="volume", field="Name"),)


def test_every_list_of_a_container_is_read_and_each_mount_says_where_it_stands() -> None:
    body = {
        "Image": "x",
        "Volumes": {"/anonymous": {}},
        "HostConfig": {
            "VolumeDriver": "rclone",
            "Binds": ["/a:/1", "b:/2"],
            "Mounts": [{"Type": "bind", "Source": "/c"}, {"Type": "tmpfs"}],
            "Tmpfs": {"/run": "rw,ro,size=1m"},
        },
    }
    found = mounts("/containers/create", body)
    assert [(mount.field, mount.type, mount.path) for mount in found] == [
        ("HostConfig.Binds[0]", "bind", "/a"),
        ("HostConfig.Binds[1]", "volume", None),
        ("HostConfig.Mounts[0]", "bind", "/c"),
        ("HostConfig.Mounts[1]", "tmpfs", None),
        ("HostConfig.Tmpfs['/run']", "tmpfs", None),
        ("Volumes['/anonymous']", "volume", None),
    ]
    assert found[4].read_only
    assert found[4].options == {"o": "rw,ro,size=1m"}
    assert (found[5].target, found[5].driver) == ("/anonymous", "rclone")


@pytest.mark.parametrize("uri", ["/services/create", "/services/web/update?version=1"])
@pytest.mark.parametrize("kind", ["bind", "BIND", "Bind", "bInD", ""])
def test_a_service_binds_under_a_type_in_any_case_and_under_none(uri: str, kind: str) -> None:
    mount = {
        "Type": kind,
        "Source": "/srv/../etc",
        "Target": "/t",
        "ReadOnly": True,
        "BindOptions": {"Propagation": "RShared"},
    }
    (found,) = mounts(uri, {"TaskTemplate": {"ContainerSpec": {"Mounts": [mount]}}})
    assert found == Mount(
        type="bind",
        field="TaskTemplate.ContainerSpec.Mounts[0]",
        source="/srv/../etc",
        path="/etc",
        target="/t",
        read_only=True,
        propagation="rshared",
    )


@pytest.mark.parametrize("kind", ["volume", "VOLUME"])
def test_a_services_volume_that_binds_is_a_bind_under_a_type_in_any_case(kind: str) -> None:
    config = {"DriverConfig": {"Options": {"o": "rbind", "device": "/etc"}}}
    spec = {"Mounts": [{"Type": kind, "Source": "v", "VolumeOptions": config}]}
    (found,) = mounts("/services/create", {"TaskTemplate": {"ContainerSpec": spec}})
    assert (found.type, found.path) == ("bind", "/etc")


def test_a_services_tmpfs_in_any_case_is_a_tmpfs_with_its_limit() -> None:
    spec = {"Mounts": [{"Type": "TMPFS", "Target": "/t", "TmpfsOptions": {"SizeBytes": 9}}]}
    body = json.dumps({"TaskTemplate": {"ContainerSpec": spec}}).encode()
    read = dockerd.read("POST", "/services/create", JSON_HEADERS, body)
    assert [mount.type for mount in read.mounts] == ["tmpfs"]
    assert [mount.target for mount in read.workload.tmpfs] == ["/t"]
    assert ("tmpfs", 9) in [(limit.resource, limit.value) for limit in read.workload.limits]


@pytest.mark.parametrize("spec", [None, {}, {"Mounts": None}, {"Mounts": []}])
def test_a_service_without_mounts_has_none(spec: Any) -> None:
    assert mounts("/services/create", {"TaskTemplate": {"ContainerSpec": spec}}) == []


@pytest.mark.parametrize(
    ("method", "uri", "body", "field"),
    [
        ("POST", "/containers/x/checkpoints", {"CheckpointDir": "/srv/../etc"}, "CheckpointDir"),
        ("POST", "/containers/x/checkpoints", {"checkpointdir": "//etc"}, "CheckpointDir"),
        ("GET", "/containers/x/checkpoints?dir=/srv/../etc", None, "query.dir"),
        ("GET", "/containers/x/checkpoints?dir=%2Fetc%2F", None, "query.dir"),
        ("DELETE", "/containers/x/checkpoints/y?dir=/etc/.", None, "query.dir"),
        ("POST", "/containers/x/start?checkpoint-dir=/./etc", None, "query.checkpoint-dir"),
    ],
)
def test_the_directory_of_a_checkpoint_is_a_bind(
    method: str, uri: str, body: Any, field: str
) -> None:
    (mount,) = mounts(uri, body, method)
    assert (mount.type, mount.path, mount.field) == ("bind", "/etc", field)
    assert not mount.read_only


@pytest.mark.parametrize(
    ("method", "uri", "body"),
    [
        ("POST", "/containers/x/checkpoints", {"CheckpointID": "y"}),
        ("GET", "/containers/x/checkpoints?dir=", None),
        ("GET", "/containers/x/checkpoints?Dir=/etc", None),
        ("POST", "/containers/x/start?checkpoint=y", None),
        ("POST", "/containers/x/stop?checkpoint-dir=/etc", None),
        ("POST", "/containers/x/exec", {"Cmd": ["/etc"]}),
        ("POST", "/containers/x/update", {"Devices": [{"PathOnHost": "/dev/sda"}]}),
        ("POST", "/containers/create", {"HostConfig": {"VolumesFrom": ["web", "db:ro"]}}),
    ],
)
def test_what_reaches_no_path_itself_is_no_mount(method: str, uri: str, body: Any) -> None:
    assert mounts(uri, body, method) == []


def test_volumes_taken_from_a_container_are_a_use_of_that_container() -> None:
    body = {"HostConfig": {"VolumesFrom": ["web", "/db:ro", ""]}}
    sent = json.dumps(body).encode()
    read = dockerd.read("POST", "/containers/create", JSON_HEADERS, sent)
    used = [(r.field, r.kind, r.name) for r in read.references if r.use == "use"]
    assert used == [
        ("HostConfig.VolumesFrom[0]", "container", "web"),
        ("HostConfig.VolumesFrom[1]", "container", "db"),
        ("HostConfig.VolumesFrom[2]", "container", ""),
    ]


def test_no_other_operation_takes_mounts() -> None:
    reads_mounts = {
        "container.create",
        "container.commit",  # runs the create decoder; what it says of a HostConfig is dropped
        "service.create",
        "service.update",
    }
    with_mounts = {
        operation.id
        for _, _, operation in ROUTES
        if '"Mounts"' in json.dumps(getattr(operation.body, "zero", dict)())
        or "ContainerSpec" in json.dumps(getattr(operation.body, "zero", dict)())
    }
    assert with_mounts == reads_mounts


PATHS = st.lists(st.sampled_from(["", ".", "..", "a", "b", "...", "..a", " "]), max_size=8)


@given(PATHS)
def test_a_path_is_cleaned_as_go_cleans_it(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assert clean(path) == posixpath.normpath(path).replace("//", "/")


@given(st.text().filter(lambda path: not path.startswith("/")))
def test_a_path_that_is_not_absolute_is_none(path: str) -> None:
    assert clean(path) is None


@given(st.text(), st.text().filter(lambda text: ":" not in text), st.text())
def test_every_bind_that_starts_with_a_slash_and_has_a_target_is_a_bind(
    source: str, target: str, mode: str
) -> None:
    source = source.replace(":", "")
    bind = f"/{source}:{target}x:{mode}"
    (mount,) = created(Binds=[bind.encode(errors="replace").decode()])
    assert mount.type == "bind"
    assert mount.path == clean(f"/{source}".encode(errors="replace").decode())
