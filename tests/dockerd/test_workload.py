"""Users, limits, walls and logs, in one form for containers and services."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authz_plugin import dockerd
from authz_plugin.dockerd.workload import Walls, Workload

JSON = {"content-type": "application/json"}


def workload(uri: str, body: Any) -> Workload:
    return dockerd.read("POST", uri, JSON, json.dumps(body).encode()).workload


def create(**host_config: Any) -> Workload:
    return workload("/containers/create", {"Image": "x", "HostConfig": host_config})


def limits(found: Workload) -> dict[str, float]:
    return {limit.resource: limit.value for limit in found.limits}


@pytest.mark.parametrize(
    ("user", "sort"),
    [
        ("", "default"),
        ("root", "root"),
        ("root:1000", "root"),
        ("0", "root"),
        ("00", "root"),
        ("+0", "root"),
        ("-0", "root"),
        ("0:1000", "root"),
        ("1000", "numeric"),
        ("1000:0", "numeric"),
        ("www-data", "named"),
        ("Root", "named"),
        ("0x0", "named"),
        ("\u0661", "named"),
        (":1000", "named"),
        (" 0", "named"),
    ],
)
def test_a_user_is_of_a_sort(user: str, sort: str) -> None:
    (found,) = workload("/containers/create", {"Image": "x", "User": user}).users
    assert (found.process, found.sort) == ("container", sort)
    (found,) = workload("/containers/x/exec", {"Cmd": ["x"], "User": user}).users
    assert (found.process, found.sort) == ("exec", sort)


def test_a_container_without_limits_has_none() -> None:
    assert limits(create()) == {"memory": -1, "cpus": -1, "pids": -1}


@pytest.mark.parametrize(
    ("given", "resource", "value"),
    [
        ({"Memory": 5}, "memory", 5),
        ({"Memory": -1}, "memory", -1),
        ({"NanoCpus": 1_500_000_000}, "cpus", 1.5),
        ({"CpuQuota": 50_000}, "cpus", 0.5),
        ({"CpuQuota": 50_000, "CpuPeriod": 25_000}, "cpus", 2),
        ({"CpuQuota": -1}, "cpus", -1),
        ({"PidsLimit": 7}, "pids", 7),
        ({"PidsLimit": 0}, "pids", -1),
        ({"PidsLimit": -1}, "pids", -1),
        ({"Memory": 5, "MemorySwap": 8}, "swap", 3),
        ({"Memory": 5, "MemorySwap": -1}, "swap", -1),
        ({"ShmSize": 9}, "shm", 9),
    ],
)
def test_a_limit_is_what_dockerd_makes_of_it(
    given: dict[str, int], resource: str, value: float
) -> None:
    assert limits(create(**given))[resource] == value


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, {}),
        ({"Memory": 0, "NanoCpus": 0}, {}),
        ({"Memory": -1}, {"memory": -1}),
        ({"CpuPeriod": 1000}, {"cpus": -1}),
        ({"PidsLimit": 0}, {"pids": -1}),
        ({"MemorySwap": -1}, {"swap": -1}),
    ],
)
def test_an_update_lists_what_it_changes(change: dict[str, int], found: dict[str, int]) -> None:
    assert limits(workload("/containers/x/update", change)) == found


def test_a_services_limits_are_read_like_a_containers() -> None:
    template = {
        "ContainerSpec": {},
        "Resources": {"Limits": {"MemoryBytes": 5, "NanoCPUs": 10**9}, "SwapBytes": -1},
    }
    found = limits(workload("/services/create", {"TaskTemplate": template}))
    assert found == {"memory": 5, "cpus": 1, "pids": -1, "swap": -1}


@pytest.mark.parametrize(
    ("options", "size", "names"),
    [
        ("", -1, ()),
        ("size=64m,exec", 64 << 20, ("size", "exec")),
        ("size=1G,size=2k", 2048, ("size", "size")),
        ("size=50%", -1, ("size",)),
        ("size=", -1, ("size",)),
    ],
)
def test_a_tmpfs_has_a_size_and_options(options: str, size: int, names: tuple[str, ...]) -> None:
    found = create(Tmpfs={"/x": options})
    assert limits(found)["tmpfs"] == size
    assert found.tmpfs[0].options == names


def test_a_tmpfs_among_the_mounts_is_one_too() -> None:
    options = {"SizeBytes": 5, "Options": [["exec"], []]}
    found = create(Mounts=[{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": options}])
    assert (limits(found)["tmpfs"], found.tmpfs[0].options) == (5, ("exec",))
    plain = create(Mounts=[{"Type": "tmpfs", "Target": "/x"}])
    assert limits(plain)["tmpfs"] == -1


def test_the_last_word_on_new_privileges_counts() -> None:
    for options, kept in (
        (["no-new-privileges"], True),
        (["no-new-privileges:true", "no-new-privileges:false"], False),
        (["no-new-privileges=false", "no-new-privileges"], True),
        ([], False),
    ):
        walls = create(SecurityOpt=options).walls
        assert walls is not None
        assert walls.no_new_privileges is kept


def test_walls_of_containers_and_services() -> None:
    container = workload(
        "/containers/create",
        {
            "Image": "x",
            "Healthcheck": {"Test": ["CMD", "true"]},
            "HostConfig": {"ReadonlyRootfs": True, "CapDrop": ["cap_net_raw", "All"]},
        },
    )
    assert container.walls == Walls(
        read_only_root=True,
        no_new_privileges=False,
        dropped=("NET_RAW", "ALL"),
        healthcheck=True,
    )
    spec = {
        "ReadOnly": True,
        "CapabilityDrop": ["ALL"],
        "Privileges": {"NoNewPrivileges": True},
        "Healthcheck": {"Test": ["NONE"]},
    }
    service = workload("/services/create", {"TaskTemplate": {"ContainerSpec": spec}})
    assert service.walls == Walls(
        read_only_root=True, no_new_privileges=True, dropped=("ALL",), healthcheck=False
    )


def test_log_drivers_are_read_wherever_they_stand() -> None:
    config = {"Type": "syslog", "Config": {"syslog-address": "udp://x"}}
    (driver,) = create(LogConfig=config).log_drivers
    assert (driver.name, driver.options) == ("syslog", {"syslog-address": "udp://x"})
    named = {"Name": "gelf", "Options": {}}
    template = {"TaskTemplate": {"LogDriver": named}}
    assert workload("/services/create", template).log_drivers[0].name == "gelf"
    spec = {"TaskDefaults": {"LogDriver": named}}
    assert workload("/swarm/update?version=1", spec).log_drivers[0].name == "gelf"
    assert workload("/swarm/init", {"Spec": spec}).log_drivers[0].name == "gelf"
    assert create().log_drivers == ()


def test_ulimits_and_sysctls_are_listed() -> None:
    found = create(Ulimits=[{"Name": "nofile", "Soft": 1, "Hard": 2}, None], Sysctls={"net.x": "1"})
    assert [(u.name, u.soft, u.hard) for u in found.ulimits] == [("nofile", 1, 2)]
    assert [(s.name, s.value) for s in found.sysctls] == [("net.x", "1")]
